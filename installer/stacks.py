"""Reads `stacks/`: the catalog and the templates, from the directory that `resources` found."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

from installer.core.catalog import Catalog, read_catalog
from installer.core.errors import Problem, Remedy, StackError
from installer.core.rendering import Templates
from installer.core.templating import make_environment
from installer.precompiled import PrecompiledLoader
from installer.resources import data_root

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Stacks:
    """What `stacks/` and `assets/` hold; the catalog is read, the rest is read when it is used."""

    root: Path
    catalog: Catalog

    def asset(self, name: str) -> bytes:
        """Bytes of a file below `assets/`."""
        return (self.root / "assets" / name).read_bytes()


def load_stacks() -> Stacks:
    """Find and read the catalog.

    Raises:
        StackError: a manifest is at fault.
    """
    root = data_root()
    return Stacks(root, load_catalog(root))


def load_catalog(root: Path) -> Catalog:
    """Every folder of `stacks/compose` that has a manifest.

    Raises:
        StackError: a manifest is not YAML or not valid.
    """
    documents = {}
    for path in sorted((root / "stacks" / "compose").glob("*/service.yaml")):
        documents[path.parent.name] = load_yaml(path)
    return read_catalog(documents)


def load_templates(root: Path, catalog: Catalog) -> Templates:
    """The templates of every service, as a build compiled them, else compiled and cached here."""
    folder = root / "stacks" / "compose"
    return Templates(
        baseline=load_yaml(root / "stacks" / "_shared" / "baseline.yaml"),
        files={
            name: tuple(
                sorted(
                    path.relative_to(folder / name).as_posix()
                    for path in (folder / name).rglob("*")
                    if path.is_file()
                )
            )
            for name in catalog.services
        },
        read=lambda path: (folder / path).read_bytes(),
        environment=make_environment(PrecompiledLoader(root / "stacks"), _bytecode_cache()),
    )


def _bytecode_cache() -> jinja2.BytecodeCache | None:
    """For templates that no build compiled: compiling is most of a render that finds no cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "devplat-install" / "templates"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            return jinja2.FileSystemBytecodeCache(str(folder))
    except OSError:
        return None  # a cache is never worth a failure


def load_yaml(path: Path) -> dict[str, Any]:
    """A mapping of ours; anything else counts as an empty one.

    Raises:
        StackError: it is not YAML.
    """
    try:
        document = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise StackError(
            Problem(
                "stack.yaml", f"{path.name}: {error}", Remedy(f"correct {path}"), path.parent.name
            )
        ) from error
    return document if isinstance(document, dict) else {}
