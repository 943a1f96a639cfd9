"""Raw answers by path, each with where it came from: file, environment, flags, a screen.

Precedence: default < file < environment < flag < typed; a value counts only if somebody set it. A
draft is immutable, and nothing here judges a value or knows which paths exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType
from typing import TypeAlias

from installer.core.errors import Mark, Problem, Remedy
from installer.core.fields import to_text
from installer.core.yamlfile import ListNode, MapNode, Node, ScalarNode, read_yaml

Path: TypeAlias = tuple[str, ...]
PREFIX = "DEVPLAT_"
"""Of the environment variables that hold answers: `DEVPLAT_SSH__HOST` is `ssh.host`."""
_DEEPEST = 12


class Source(IntEnum):
    """Where a value came from; a larger one wins."""

    DEFAULT = 0
    FILE = 1
    ENV = 2
    FLAG = 3
    TYPED = 4

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Entry:
    """One value as given.

    Attributes:
        node: The value.
        source: Kind of origin.
        origin: The variable, the flag or the file, for messages.
        readable: Others than the owner can read it where it is written.
    """

    node: Node
    source: Source
    origin: str = ""
    readable: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """Values by path, the places of keys, and problems found before any value was judged."""

    entries: Mapping[Path, Entry] = field(default_factory=dict)
    key_marks: Mapping[Path, Mark] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def set(self, path: str, value: object, source: Source = Source.TYPED) -> Draft:
        """This draft with one value set: text, number, bool, or a sequence of them."""
        key = split_path(path)
        entry = Entry(make_node(value), source)
        return replace(self, entries=MappingProxyType({**self.entries, key: entry}))

    def unset(self, path: str) -> Draft:
        """This draft without the value at a path."""
        key = split_path(path)
        kept = {k: e for k, e in self.entries.items() if k != key}
        return replace(self, entries=MappingProxyType(kept))

    def source_of(self, path: str) -> Source:
        """Where the value at a path, or below it, came from."""
        key = split_path(path)
        below = [e.source for k, e in self.entries.items() if k[: len(key)] == key]
        return max(below, default=Source.DEFAULT)


def split_path(path: str) -> Path:
    """The segments of a dotted path."""
    return tuple(path.split("."))


def make_node(value: object) -> Node:
    """A value given by a program or a screen, as a node without a place."""
    if isinstance(value, list | tuple):
        return ListNode(tuple(make_node(item) for item in value))
    if value is None or isinstance(value, str | int | float | bool):
        return ScalarNode(to_text(value), value)
    return ScalarNode(str(value), str(value))


def from_file(data: bytes, name: str, mode: int | None = None) -> Draft:
    """Read an answers file.

    Args:
        data: Its bytes.
        name: Its name, for messages.
        mode: Its permission bits; None when unknown, which counts as readable by others.

    Raises:
        AnswersError: the file cannot be read at all; lesser problems are kept in the draft.
    """
    document = read_yaml(data, name)
    readable = mode is None or bool(mode & 0o077)
    entries: dict[Path, Entry] = {}
    key_marks: dict[Path, Mark] = {}
    pending: list[tuple[Path, MapNode]] = [((), document.root)]
    while pending:
        path, mapping = pending.pop()
        for item in mapping.entries:
            key = (*path, item.key)
            key_marks[key] = item.mark
            if isinstance(item.node, MapNode) and item.node.entries:
                pending.append((key, item.node))
            else:
                entries[key] = Entry(item.node, Source.FILE, name, readable)
    problems = document.problems
    if ("version",) not in key_marks:
        problems = (*problems, _no_version(name))
    return Draft(MappingProxyType(entries), MappingProxyType(key_marks), problems)


def _no_version(name: str) -> Problem:
    return Problem(
        "file.version",
        "the file does not say which format it has; version is required",
        Remedy("begin the file with: version: 1"),
        where="version",
        mark=Mark(name, 1, 1),
    )


def from_environment(environment: Mapping[str, str]) -> Draft:
    """Read `DEVPLAT_<SECTION>__<FIELD>`; further levels by further `__`.

    A variable without `__` counts only where it names a field at the top (`DEVPLAT_TIMEZONE`).
    """
    entries: dict[Path, Entry] = {}
    for name, value in sorted(environment.items()):
        if not name.startswith(PREFIX):
            continue
        path = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if len(path) == 1 and path[0] not in _TOP_FIELDS:
            continue
        entries[path[:_DEEPEST]] = Entry(ScalarNode(value, value), Source.ENV, name)
    return Draft(MappingProxyType(entries))


_TOP_FIELDS = frozenset({"timezone"})


def from_flags(settings: Sequence[str]) -> Draft:
    """Read `path=value` of `--set`."""
    entries: dict[Path, Entry] = {}
    problems: list[Problem] = []
    for number, setting in enumerate(settings, start=1):
        path, equals, value = setting.partition("=")
        if not equals or not path.strip():
            problems.append(
                Problem(
                    "flag.form",
                    f"the --set number {number} has no '=' after a path",
                    Remedy("write --set path=value, as --set ssh.port=2222"),
                )
            )
            continue
        key = split_path(path.strip())[:_DEEPEST]
        entries[key] = Entry(ScalarNode(value, value), Source.FLAG, "--set", readable=True)
    return Draft(MappingProxyType(entries), problems=tuple(problems))


def merge(*layers: Draft) -> Draft:
    """One draft of several; for each path the value with the strongest source counts."""
    entries: dict[Path, Entry] = {}
    key_marks: dict[Path, Mark] = {}
    problems: list[Problem] = []
    for layer in layers:
        problems += layer.problems
        key_marks |= layer.key_marks
        for path, entry in layer.entries.items():
            if path not in entries or entry.source >= entries[path].source:
                entries[path] = entry
    return Draft(MappingProxyType(entries), MappingProxyType(key_marks), tuple(problems))
