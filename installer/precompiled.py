"""Templates that a build has compiled: Python modules beside `stacks/compose`, and their loader.

A module stands for a template only while the template, the version of Jinja and the environment are
those it was compiled from; every other template is compiled from its source, as without a build.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import jinja2

from installer.core import templating

FOLDER = "_compiled"
"""Beside `compose` below `stacks/`; made by `hatch_build.py`, never edited, in no repository."""
INDEX = "index.json"


def compile_templates(stacks: Path) -> Path:
    """Compile every template below `stacks/compose` into `stacks/_compiled`; returns that folder.

    Modules hold Python source, not byte code: they fit every version of Python, and an installer
    of packages makes the byte code for its own. The folder is replaced as a whole.

    Raises:
        jinja2.TemplateSyntaxError: a template is at fault.
    """
    sources = jinja2.FileSystemLoader(stacks / "compose")
    environment = templating.make_environment(sources)
    names = environment.list_templates(filter_func=_is_template)
    target = stacks / FOLDER
    with tempfile.TemporaryDirectory(dir=stacks, prefix=".compiled-") as made:
        fresh = Path(made, FOLDER)
        environment.compile_templates(
            fresh, zip=None, filter_func=_is_template, ignore_errors=False
        )
        digests = {name: _digest(sources.get_source(environment, name)[0]) for name in names}
        index = {"compiler": _compiler(), "templates": digests}
        Path(fresh, INDEX).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
        if target.exists():
            target.rename(Path(made, "stale"))
        fresh.rename(target)
    return target


class PrecompiledLoader(jinja2.BaseLoader):
    """Loads a template's module when it is up to date, else the template."""

    def __init__(self, stacks: Path) -> None:
        self._sources = jinja2.FileSystemLoader(stacks / "compose")
        self._modules = jinja2.ModuleLoader(stacks / FOLDER)
        self._digests = _read_index(stacks / FOLDER / INDEX)

    def get_source(
        self, environment: jinja2.Environment, template: str
    ) -> tuple[str, str | None, Callable[[], bool] | None]:
        """The text of a template."""
        return self._sources.get_source(environment, template)

    def list_templates(self) -> list[str]:
        """Every file below `stacks/compose`."""
        return self._sources.list_templates()

    def is_compiled(self, environment: jinja2.Environment, name: str) -> bool:
        """Whether there is a module for the template as it is now."""
        wanted = self._digests.get(name)
        return wanted is not None and wanted == _digest(self.get_source(environment, name)[0])

    def load(
        self,
        environment: jinja2.Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,
    ) -> jinja2.Template:
        """The template, ready to render."""
        if self.is_compiled(environment, name):
            try:
                return self._modules.load(environment, name, globals)
            except jinja2.TemplateNotFound:
                pass  # the folder was replaced or removed meanwhile
        return self._sources.load(environment, name, globals)


def _is_template(name: str) -> bool:
    """Templates end in `.j2`; those that others include lie in `_shared`."""
    return name.endswith(".j2") or name.startswith("_shared/")


def _read_index(path: Path) -> Mapping[str, str]:
    """Template → digest of its source; empty when there is no index, or one of another compiler."""
    try:
        index = json.loads(path.read_bytes())
        return index["templates"] if index["compiler"] == _compiler() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # what was compiled only saves time


def _compiler() -> str:
    """What a module depends on besides its template: Jinja, and how its environment is made."""
    return f"jinja2 {jinja2.__version__}, {_digest(Path(templating.__file__).read_text())}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
