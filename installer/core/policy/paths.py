"""Paths into a compose service or a container's description, as the hardening table writes them.

`a.b` is a key, `*` every element, `[x=y]` every element whose `x` is `y`, `[config]` (also written
`[Destination in config or secret]`) every mount that normalisation marked as configuration. Nothing
here decides what a value should be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""A value of a parsed document, whose form only its reader knows."""

CONFIG_MARK = "is_config"
"""Key that normalisation adds to mounts; the named filters select by it."""

SERVICE_PREFIX = "services.*."
"""What compose paths begin with; they are evaluated below one service."""

_TOKEN = re.compile(r"\.?(?:\[(?P<filter>[^\]]+)\]|(?P<key>[^.\[\]]+))")
_NAMED_FILTERS = ("config", "Destination in config or secret")


@dataclass(frozen=True, slots=True)
class Step:
    """One step down: a key, every element (`key` is `*`), or those where `key` is `value`."""

    key: str
    value: str | bool | None = None

    @property
    def is_plural(self) -> bool:
        """Whether this step leads to any number of elements."""
        return self.key == "*" or self.value is not None


@dataclass(frozen=True, slots=True)
class Selection:
    """What a path leads to.

    Attributes:
        values: The values, in document order; a key that is absent gives None.
        plural: Whether the path may lead to any number of values; if not, there is exactly one.
        names_one: Whether the path names one element by an `[x=y]` filter, whose absence counts.
    """

    values: tuple[Any, ...]
    plural: bool
    names_one: bool


@lru_cache(maxsize=512)
def parse_path(text: str) -> tuple[Step, ...]:
    """The steps of a path.

    Raises:
        ValueError: the text is not a path.
    """
    steps: list[Step] = []
    position = 0
    rest = text.removeprefix(SERVICE_PREFIX)
    while position < len(rest):
        match = _TOKEN.match(rest, position)
        if match is None:
            raise ValueError(f"not a path: {text!r}")
        steps.append(_parse_step(match["key"], match["filter"]))
        position = match.end()
    if not steps:
        raise ValueError("an empty path")
    return tuple(steps)


def select(root: Json, text: str) -> Selection:
    """The values that a path leads to."""
    steps = parse_path(text)
    values: tuple[Any, ...] = (root,)
    for step in steps:
        values = tuple(found for value in values for found in _descend(value, step))
    return Selection(
        values,
        plural=any(step.is_plural for step in steps),
        names_one=any(isinstance(step.value, str) for step in steps),
    )


def _parse_step(key: str | None, filter_text: str | None) -> Step:
    if filter_text is None:
        return Step(key or "")
    if filter_text in _NAMED_FILTERS:
        return Step(CONFIG_MARK, True)
    name, sign, wanted = filter_text.partition("=")
    if not sign:
        raise ValueError(f"not a filter: {filter_text!r}")
    return Step(name.strip(), wanted.strip())


def _descend(value: Json, step: Step) -> tuple[Any, ...]:
    if not step.is_plural:
        return (value.get(step.key) if isinstance(value, Mapping) else None,)
    elements = _elements_of(value)
    if step.value is None:
        return elements
    return tuple(e for e in elements if isinstance(e, Mapping) and e.get(step.key) == step.value)


def _elements_of(value: Json) -> tuple[Any, ...]:
    """Elements of a list or mapping; what stands where a list should be is its only element."""
    if isinstance(value, Mapping):
        return tuple(value.values())
    if isinstance(value, list | tuple):
        return tuple(value)
    return () if value is None else (value,)
