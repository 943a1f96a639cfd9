"""The Jinja environment of every template. Needs Jinja alone, so that a build can use it too."""

from __future__ import annotations

import jinja2
from jinja2.sandbox import SandboxedEnvironment


def make_environment(
    loader: jinja2.BaseLoader, cache: jinja2.BytecodeCache | None = None
) -> SandboxedEnvironment:
    """A strict, sandboxed environment: an unknown name is an error, and nothing is escaped."""
    return SandboxedEnvironment(
        loader=loader,
        bytecode_cache=cache,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
