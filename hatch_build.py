"""Build hook: compiles the templates, so that not even the first render on a machine has to."""

from __future__ import annotations

import compileall
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileTemplates(BuildHookInterface):  # type: ignore[type-arg]
    """Runs for a wheel and for an editable install; a source distribution needs no modules."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Make `stacks/_compiled`."""
        if self.target_name != "wheel":
            return
        sys.path.insert(0, self.root)
        try:
            from installer.precompiled import compile_templates  # noqa: PLC0415
        finally:
            sys.path.remove(self.root)
        made = compile_templates(Path(self.root, "stacks"))
        if version == "editable":  # a wheel's modules get their byte code where it is installed
            compileall.compile_dir(made, quiet=1)
