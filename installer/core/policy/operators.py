"""The operators of the hardening table over values that a path selected.

Each says which elements are at fault, so that a finding can name them and a deviation can be held
against them. Comparison is strict: `1` is not `True`, `"0"` is not `0`; only absent and empty text
are the same, since the engine writes either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from installer.core.policy.paths import Json, Selection

Test: TypeAlias = Callable[[str], bool]
"""What may stand in place of a regular expression: a named test of a text."""

Fault: TypeAlias = tuple[int, Any]
"""Position and value of an element that is at fault."""


def find_faults(op: str, argument: Json, selection: Selection) -> tuple[Fault, ...]:
    """The elements because of which the condition does not hold; none when it holds."""
    if op in ("each", "none"):
        return _find_among(op, argument, _elements(selection, argument["op"]))
    values = selection.values
    if not values and selection.names_one:
        values = (None,)
    faults: list[Fault] = []
    for index, value in enumerate(values):
        faults += [(index, part) for part in _faulty_parts(op, argument, value)]
    return tuple(faults)


def holds(op: str, value: Json, argument: Json) -> bool:
    """Whether a single value satisfies an operator other than `each` and `none`.

    Raises:
        KeyError: there is no such operator.
    """
    return _TESTS[op](value, argument)


def is_empty(value: Json) -> bool:
    """Null, absent, empty text, empty list or empty mapping; neither 0 nor false is empty."""
    return value is None or (isinstance(value, str | Mapping | Sequence) and not value)


def _find_among(op: str, inner: Mapping[str, Any], elements: Sequence[Any]) -> tuple[Fault, ...]:
    wanted = op == "each"
    return tuple(
        (index, element)
        for index, element in enumerate(elements)
        if holds(inner["op"], element, inner.get("value")) is not wanted
    )


def _elements(selection: Selection, inner_op: str) -> list[Any]:
    """What `each` and `none` range over; a mapping gives `key=value` texts, for its keys itself."""
    if selection.plural:
        return list(selection.values)
    value = selection.values[0]
    if isinstance(value, Mapping):
        if inner_op == "key_has":
            return [value]
        return [f"{key}={'' if item is None else item}" for key, item in value.items()]
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None else [value]


def _faulty_parts(op: str, argument: Json, value: Json) -> list[Any]:
    if holds(op, value, argument):
        return []
    if op == "subset_of":
        return [item for item in _listed(value) if not _is_among(item, argument)]
    if op == "empty" and isinstance(value, list | tuple):
        return list(value)
    if op == "empty" and isinstance(value, Mapping):
        return [f"{key}={item}" for key, item in value.items()]
    return [value]


def _listed(value: Json) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _is_same(left: Json, right: Json) -> bool:
    left, right = ("" if side is None else side for side in (left, right))
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return bool(left == right)


def _is_among(value: Json, argument: Json) -> bool:
    return any(_is_same(value, item) for item in argument or ())


def _is_within(value: Json, low: Json, high: Json) -> bool:
    """Number between two bounds; a bound that is None is not known and not held against it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (low is None or value >= low) and (high is None or value <= high)


def _matches(value: Json, pattern: str | Test) -> bool:
    text = "" if value is None else str(value)
    if callable(pattern):
        return pattern(text)
    return re.fullmatch(pattern, text, re.DOTALL) is not None


_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": _is_same,
    "ne": lambda value, argument: not _is_same(value, argument),
    "in": _is_among,
    "not_in": lambda value, argument: not _is_among(value, argument),
    "ge": lambda value, argument: _is_within(value, argument, None),
    "le": lambda value, argument: _is_within(value, None, argument),
    "between": lambda value, argument: _is_within(value, argument[0], argument[1]),
    "contains": lambda value, argument: _is_among(argument, _listed(value)),
    "contains_all": lambda value, argument: all(_is_among(a, _listed(value)) for a in argument),
    "subset_of": lambda value, argument: all(_is_among(v, argument) for v in _listed(value)),
    "empty": lambda value, argument: is_empty(value),  # noqa: ARG005 - one signature for all
    "present": lambda value, argument: not is_empty(value),  # noqa: ARG005
    "matches": _matches,
    "not_matches": lambda value, argument: re.search(argument, str(value or "")) is None,
    "key_has": lambda value, argument: isinstance(value, Mapping) and argument in value,
}

OPERATORS = frozenset({*_TESTS, "each", "none"})
"""Every operator of the table."""
