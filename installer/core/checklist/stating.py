"""Makes statements: who may state what, and in which words. The one place with these rules.

A screen or a command hands in what a person typed, and keeps what comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from installer.core.checklist.judging import ItemState, Standing
from installer.core.checklist.measuring import Measure
from installer.core.checklist.statements import (
    Kind,
    Statement,
    clean_name,
    clean_note,
    read_until,
)
from installer.core.checklist.table import Mode
from installer.core.errors import Problem, Remedy, UsageError
from installer.core.fields import nearest

_WAIVABLE_WORD = "devplat-install checklist waive"


@dataclass(frozen=True, slots=True)
class Scene:
    """What a statement is made about, and by which account; `now` is UTC."""

    measure: Measure
    standing: Standing
    account: str
    target: str
    product: str

    @property
    def now(self) -> datetime:
        """When it is made."""
        return self.measure.now


def attest(scene: Scene, id: str, *, by: str, note: str) -> Statement:
    """A person states that an item is met.

    Raises:
        UsageError: there is no such item, it is found out automatically, or a text is unusable.
    """
    state = find_state(scene.standing, id)
    if state.item.mode is Mode.AUTOMATIC:
        raise UsageError(_automatic(state))
    if not state.can_attest:
        raise UsageError(_not_asked(state))
    return _make(scene, Kind.ATTEST, state, clean_name(by), clean_note(note, "--note"))


def waive(scene: Scene, id: str, *, by: str, reason: str, until: str) -> Statement:
    """A person accepts the failures that an item has now, until a day.

    Raises:
        UsageError: there is no such item or no such failure, or a text or the day is unusable.
    """
    state = find_state(scene.standing, id)
    if not state.can_waive:
        raise UsageError(_nothing_to_waive(state))
    longest = scene.measure.table.longest_waiver_days
    day = read_until(until, scene.now.date(), longest)
    covers = tuple(sorted(fault.key for fault in state.measured.faults if fault.can_waive))
    note = clean_note(reason, "--reason")
    return _make(scene, Kind.WAIVE, state, clean_name(by), note, until=day, covers=covers)


def find_state(standing: Standing, id: str) -> ItemState:
    """The item of this id, in any case of its letters.

    Raises:
        UsageError: there is none.
    """
    wanted = id.strip().upper()
    known = [state.item.id for state in standing.items]
    if wanted not in known:
        raise UsageError(_unknown(id, known))
    return standing.state(wanted)


def _make(
    scene: Scene,
    kind: Kind,
    state: ItemState,
    by: str,
    note: str,
    *,
    until: str = "",
    covers: tuple[str, ...] = (),
) -> Statement:
    return Statement(
        kind=kind,
        item=state.head.id,
        by=by,
        account=scene.account,
        at=scene.now.isoformat(timespec="seconds"),
        note=note,
        until=until,
        release=scene.measure.release,
        target=scene.target,
        product=scene.product,
        evidence=state.measured.digest,
        covers=covers,
    )


def _automatic(state: ItemState) -> Problem:
    return Problem(
        "checklist.automatic",
        f"{state.item.id} {state.item.text} is found out automatically and cannot be stated",
        Remedy(
            "correct what fails and run the checklist again, or accept the failure by name",
            (f"{_WAIVABLE_WORD} {state.item.id} --by NAME --reason TEXT --until DATE",),
        ),
        where=state.item.id,
    )


def _not_asked(state: ItemState) -> Problem:
    return Problem(
        "checklist.not_applicable",
        f"{state.item.id} does not apply: {state.why}",
        Remedy("leave it as it is"),
        where=state.item.id,
    )


def _nothing_to_waive(state: ItemState) -> Problem:
    return Problem(
        "checklist.nothing_to_waive",
        f"{state.item.id} is {state.result}, and no failure was seen that could be accepted",
        Remedy("run the checklist first", ("devplat-install checklist run",)),
        where=state.item.id,
    )


def _unknown(id: str, known: list[str]) -> Problem:
    close = nearest(id.strip().upper(), known)
    return Problem(
        "checklist.unknown_item",
        f"there is no item {id.strip()[:40]!r}" + (f"; did you mean {close}?" if close else ""),
        Remedy("see the items", ("devplat-install checklist show",)),
        where="ITEM",
    )
