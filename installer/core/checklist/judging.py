"""Every item with how it stands: what was measured, what was stated, what was accepted.

The rules: a measurement cannot be talked away; what could not be measured is never passed; items
that share a probe share its result; what was stated or measured goes stale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from installer.core.checklist.measuring import Fault, Measure, Measured, worst
from installer.core.checklist.statements import Kind, Statement
from installer.core.checklist.states import Result
from installer.core.checklist.table import Item, Mode, holds_any
from installer.core.errors import ExitCode

_MOST = 3
"""Reasons of an item that its line tells; the others are counted."""


@dataclass(frozen=True, slots=True)
class ItemState:
    """One item, and all that is to be shown of it.

    Attributes:
        why: The reason of its result, for people; empty for a pass.
        measured: The checks that were seen, and what is wrong.
        statement: The one that counts, also when it is stale.
        waiver: The one that was given last, also when it has ended or does not cover everything.
        open_: Failures that no waiver in force covers.
    """

    item: Item
    head: Item
    result: Result
    why: str
    measured: Measured
    statement: Statement | None = None
    waiver: Statement | None = None
    open_: tuple[Fault, ...] = ()

    @property
    def checked_at(self) -> datetime | None:
        """When the newest of its checks was made."""
        return max((sight.at for sight in self.measured.sights), default=None)

    @property
    def can_attest(self) -> bool:
        """Whether a person may state it; never for what is measured alone."""
        return self.item.mode is not Mode.AUTOMATIC and self.result is not Result.NOT_APPLICABLE

    @property
    def can_waive(self) -> bool:
        """Whether there is a failure that somebody can accept."""
        applies = self.result is not Result.NOT_APPLICABLE
        return applies and any(fault.can_waive for fault in self.measured.faults)


@dataclass(frozen=True, slots=True)
class Standing:
    """All items, in the order of the guide, and how a run with them ends."""

    items: tuple[ItemState, ...]

    def state(self, id: str) -> ItemState:
        """One item's; KeyError when there is none."""
        return next(s for s in self.items if s.item.id == id)

    def counts(self) -> Mapping[str, int]:
        """Result → how many items stand so, every result present."""
        return {result.value: sum(s.result is result for s in self.items) for result in Result}

    @property
    def exit_code(self) -> ExitCode:
        """0 only if every item is good; a failure of one class alone ends as that class."""
        if all(state.result.is_good for state in self.items):
            return ExitCode.OK
        failed = [f for s in self.items for f in s.open_ if f.verdict is Result.FAIL]
        classes = {fault.error for fault in failed}
        return classes.pop() if len(classes) == 1 else ExitCode.VERIFY_FAILED

    def only(self, ids: Sequence[str]) -> Standing:
        """These items alone; all when none is named."""
        chosen = tuple(s for s in self.items if s.item.id in ids)
        return Standing(chosen) if ids else self


def judge_items(measure: Measure, chain: Sequence[Statement]) -> Standing:
    """How every item stands."""
    last: dict[tuple[str, Kind], Statement] = {(s.item, s.kind): s for s in chain}
    heads: dict[str, ItemState] = {}
    states = []
    for item in measure.table.items:
        head = measure.table.head(item)
        if head.id not in heads:
            waiver, stated = last.get((head.id, Kind.WAIVE)), last.get((head.id, Kind.ATTEST))
            heads[head.id] = _judge(measure, head, waiver, stated)
        states.append(replace(heads[head.id], item=item, head=head))
    return Standing(tuple(states))


def _judge(
    measure: Measure, item: Item, waiver: Statement | None, stated: Statement | None
) -> ItemState:
    measured = measure.measure(item)
    state = ItemState(item, item, Result.PASS, "", measured, stated, waiver)
    is_stated = stated is not None and not _why_stale(measure, stated)
    faults = tuple(f for f in measured.faults if not (f.stated_instead and is_stated))
    verdict = worst(faults)
    if verdict is Result.NOT_APPLICABLE:
        return replace(state, result=verdict, why=faults[0].text)
    in_force = waiver is not None and waiver.is_in_force(measure.now.date())
    covers = frozenset(waiver.covers) if waiver is not None and in_force else frozenset()
    open_ = tuple(f for f in faults if not f.can_waive or f.key not in covers)
    if open_:
        why = _tell(open_, waiver, in_force=in_force)
        return replace(state, result=worst(open_), why=why, open_=open_)
    if faults and waiver is not None:
        result = Result.NOT_MET_ACCEPTED if verdict is Result.NOT_MET else Result.WAIVED
        why = f"{waiver.by} accepts until {waiver.until}: {waiver.note} ({_tell(faults)})"
        return replace(state, result=result, why=why)
    return _ask(measure, state)


def _ask(measure: Measure, state: ItemState) -> ItemState:
    """Nothing that was measured stands against it; what is left is to be stated."""
    item, stated = state.item, state.statement
    if not item.asks or not holds_any(item.asks_if, measure.at):
        return state
    if stated is None:
        return replace(state, result=Result.PENDING, why=f"to be stated: {item.asks}")
    why = f"{stated.by}, {stated.made:%Y-%m-%d}: {stated.note}"
    if stale := _why_stale(measure, stated):
        return replace(state, result=Result.STALE, why=f"{stale}: {why}")
    return replace(state, result=Result.ATTESTED, why=why)


def _why_stale(measure: Measure, stated: Statement) -> str:
    days = measure.table.valid_days.stated
    if stated.release != measure.release:
        return f"stated of release {stated.release}"
    if measure.now - stated.made > timedelta(days=days):
        return f"stated more than {days} days ago"
    return ""


def _tell(
    faults: Sequence[Fault], waiver: Statement | None = None, *, in_force: bool = True
) -> str:
    told = "; ".join(fault.text for fault in faults[:_MOST])
    more = f"; and {len(faults) - _MOST} more" if len(faults) > _MOST else ""
    if waiver is None:
        return told + more
    ended = f"the waiver of {waiver.by} ended on {waiver.until}"
    return f"{'not covered by the waiver' if in_force else ended}: {told}{more}"
