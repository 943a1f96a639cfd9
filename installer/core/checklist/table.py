"""The checklists as data: the guide's items, what is measured for each, and what is asked.

`assets/checklist.yaml` is the one list; nothing here names an item or a service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from installer.core.checklist.patterns import fits
from installer.core.errors import Problem, Remedy, StackError
from installer.core.manifest_parts import Condition

Lookup = Callable[[str], object]
"""The value at a dotted answer path; None where there is no such answer."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Mode(StrEnum):
    """Who finds out about an item."""

    AUTOMATIC = "automatic"  # the product, and nobody can say otherwise
    ASSISTED = "assisted"  # the product measures, a person states the rest
    MANUAL = "manual"  # a person, shown as stated


class Need(_Model):
    """Something that is measured.

    Attributes:
        proves: What it shows, as a sentence.
        checks: Patterns of check ids; each must have a result.
        also: Patterns that count where there is a result.
        rest: Patterns of checks that count when no other item names them; each must have a result.
        strict: Patterns of checks that must not even warn.
        when: It counts if one of these holds; always when empty.
        lacking: Why nothing measures it; then what has no result is not met instead of not yet run.
        stated_instead: Whether a statement stands for what is reported as not met.
        error: Class of a run that fails because of it.
    """

    proves: str
    checks: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    strict: tuple[str, ...] = ()
    when: tuple[Condition, ...] = ()
    lacking: str | None = None
    stated_instead: bool = False
    error: Literal["verify_failed", "backup"] = "verify_failed"


class Item(_Model):
    """One line of a checklist, in the words of the guide.

    Attributes:
        list_: Id of the list it is of.
        applies_if: It applies if one of these holds; always when empty.
        otherwise, because: What it is if none does, and why.
        asks: What a person has to state; empty when nothing is asked.
        asks_if: It is asked if one of these holds; always when empty.
        same_as: The item whose probe and statement it shares.
    """

    id: Annotated[str, Field(pattern=r"^[A-Z]{2}-\d{2}$")]
    list_: Annotated[str, Field(alias="list")]
    group: str
    text: str
    mode: Mode
    applies_if: tuple[Condition, ...] = ()
    otherwise: Literal["not_applicable", "not_met"] = "not_applicable"
    because: str = ""
    needs: tuple[Need, ...] = ()
    asks: str = ""
    asks_if: tuple[Condition, ...] = ()
    same_as: str | None = None
    remedy: str = ""


class Area(_Model):
    """A group of checks in the report; patterns of their ids."""

    title: str
    checks: tuple[str, ...]


class ListTitle(_Model):
    """A list of items."""

    id: str
    title: str


class ValidDays(_Model):
    """Days after which a measurement, or a statement, is stale."""

    measured: Annotated[int, Field(ge=1)]
    stated: Annotated[int, Field(ge=1)]


class Checklist(_Model):
    """All lists; `items` are in the order of the guide."""

    version: Literal[1]
    valid_days: ValidDays
    longest_waiver_days: Annotated[int, Field(ge=1)]
    declared: tuple[str, ...]
    lists: tuple[ListTitle, ...]
    areas: tuple[Area, ...]
    items: tuple[Item, ...]

    @cached_property
    def by_id(self) -> Mapping[str, Item]:
        """Items by their ids."""
        return {item.id: item for item in self.items}

    def head(self, item: Item) -> Item:
        """The item whose probe and statement this one shares; itself when it has its own."""
        return self.by_id[item.same_as] if item.same_as else item

    def declares(self, id: str) -> bool:
        """Whether a waived check of this id is a deviation that a table of ours lists."""
        return any(fits(id, pattern) for pattern in self.declared)

    @cached_property
    def named(self) -> tuple[str, ...]:
        """Every pattern by which some item names a check, once."""
        needs = [need for item in self.items for need in item.needs]
        return tuple(dict.fromkeys(p for need in needs for p in (*need.checks, *need.also)))

    @property
    def patterns(self) -> tuple[str, ...]:
        """Every pattern of checks that count for some item."""
        rest = (p for item in self.items for need in item.needs for p in need.rest)
        return tuple(dict.fromkeys((*self.named, *rest)))

    def names(self, id: str) -> bool:
        """Whether some item names the check of this id."""
        return any(fits(id, pattern) for pattern in self.named)


def parse_checklist(data: bytes) -> Checklist:
    """The lists of a file of ours.

    Raises:
        StackError: it is at fault.
    """
    try:
        table = Checklist.model_validate(yaml.safe_load(data))
    except (yaml.YAMLError, ValidationError) as error:
        raise StackError(_fault(str(error))) from error
    if len(table.by_id) != len(table.items):
        raise StackError(_fault("an id is given twice"))
    for item in table.items:
        head = table.by_id.get(item.same_as or item.id)
        if head is None or head.same_as or head.mode is not item.mode:
            raise StackError(
                _fault(f"{item.id} shares the probe of {item.same_as}, which has none")
            )
        if item.mode is Mode.AUTOMATIC and not head.needs:
            raise StackError(_fault(f"{item.id} is automatic, and nothing is measured for it"))
    return table


def holds_any(conditions: tuple[Condition, ...], at: Lookup) -> bool:
    """Whether one of the conditions holds, or there is none; an empty list is no answer."""
    return not conditions or any(c.holds(_given(at(c.answer))) for c in conditions)


def _given(value: object) -> object:
    return None if isinstance(value, str | tuple | list | dict) and not value else value


def _fault(what: str) -> Problem:
    return Problem(
        "stack.checklist",
        f"the checklist is at fault: {what.splitlines()[0]}",
        Remedy("correct assets/checklist.yaml"),
        detail=what,
    )
