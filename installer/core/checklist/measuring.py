"""What the evidence says of an item, before anybody has stated anything.

A check without a result is pending, as is one that could not be run; neither is ever passed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from installer.core.checklist.evidence import Evidence, Sight
from installer.core.checklist.patterns import fits
from installer.core.checklist.states import Result
from installer.core.checklist.table import Checklist, Item, Lookup, Need, holds_any
from installer.core.errors import ExitCode
from installer.core.events import CheckResult, Outcome

AHEAD = timedelta(minutes=5)
"""How far a result may lie in the future; clocks of two machines are never the same."""
_ORDER = (Result.FAIL, Result.NOT_MET, Result.STALE, Result.PENDING)
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an item is not passed; `key` is the same as long as the reason is.

    `error` is the class of a run that ends because of it. `can_waive` says that somebody may accept
    it: what was never run is not there to accept. `stated_instead` says that a statement may stand
    for it.
    """

    key: str
    verdict: Result
    text: str
    error: ExitCode = ExitCode.VERIFY_FAILED
    can_waive: bool = True
    stated_instead: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen of an item, and what is wrong."""

    sights: tuple[Sight, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def verdict(self) -> Result:
        """The worst of what is wrong; a pass when nothing is."""
        return worst(self.faults)

    @property
    def digest(self) -> str:
        """SHA-256 over the results, in their canonical JSON."""
        rows = [[asdict(s.result), s.run, s.at.isoformat(), s.release] for s in self.sights]
        canonical = json.dumps(rows, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Measure:
    """What items are measured against: evidence, the answers, the release, and the time (UTC)."""

    table: Checklist
    evidence: Evidence
    at: Lookup
    release: str
    now: datetime

    def measure(self, item: Item) -> Measured:
        """Everything that counts of one item that has a probe of its own."""
        if not holds_any(item.applies_if, self.at):
            verdict = Result(item.otherwise)
            fault = Fault(f"{item.id}:applies", verdict, item.because)
            return Measured(faults=(fault,))
        sights: list[Sight] = []
        faults: list[Fault] = []
        for number, need in enumerate(item.needs):
            if holds_any(need.when, self.at):
                seen, missing = self._look(need)
                sights += seen
                faults += self._missing(f"{item.id}:{number}", need, missing)
                faults += [fault for sight in seen for fault in self._judge(sight, need)]
        unique = {id(sight): sight for sight in sights}
        told = sorted({f.key: f for f in faults}.values(), key=lambda f: _ORDER.index(f.verdict))
        return Measured(tuple(unique.values()), tuple(told))

    def _look(self, need: Need) -> tuple[list[Sight], list[str]]:
        seen: list[Sight] = []
        missing = []
        for pattern in need.checks:
            found = self.evidence.find(pattern)
            seen += found
            if not found:
                missing.append(pattern)
        for pattern in need.rest:
            found = self.evidence.find(pattern)
            named = {id: self.table.names(id) for id in {s.result.id for s in found}}
            seen += [s for s in found if not named[s.result.id]]
            missing += [] if found else [pattern]
        for pattern in need.also:
            seen += [s for s in self.evidence.find(pattern) if s.release == self.release]
        return seen, missing

    def _missing(self, key: str, need: Need, patterns: list[str]) -> list[Fault]:
        error = ExitCode[need.error.upper()]
        if not patterns:
            return []
        if need.lacking:
            return [Fault(key, Result.NOT_MET, need.lacking, error)]
        text = f"not yet run: {', '.join(patterns)} ({need.proves})"
        return [Fault(key, Result.PENDING, text, error, can_waive=False)]

    def _judge(self, sight: Sight, need: Need) -> Iterator[Fault]:
        result = sight.result
        error = ExitCode[need.error.upper()]
        place = f" [{result.where}]" if result.where else ""
        told = f"{result.id}{place} {result.title}: {result.found}"[:_SHOWN].rstrip(": ")
        if stale := self._why_stale(sight):
            yield Fault(f"stale:{stale}", Result.STALE, stale, error, can_waive=False)
        elif result.outcome is Outcome.FAIL or _is_strict(result, need):
            yield Fault(sight.key, Result.FAIL, told, error)
        elif result.outcome is Outcome.UNKNOWN:
            yield Fault(sight.key, Result.PENDING, f"could not be run: {told}", error)
        elif result.outcome is Outcome.UNMET:
            instead = need.stated_instead
            yield Fault(sight.key, Result.NOT_MET, told, error, stated_instead=instead)
        elif result.outcome is Outcome.WAIVED and not self.table.declares(result.id):
            text = f"waived in the answers alone: {told}"
            yield Fault(sight.key, Result.FAIL, text, error)

    def _why_stale(self, sight: Sight) -> str:
        days = self.table.valid_days.measured
        if sight.release != self.release:
            return f"made against release {sight.release}"
        if self.now - sight.at > timedelta(days=days):
            return f"older than {days} days"
        if sight.at - self.now > AHEAD:
            return f"made at {sight.at:%Y-%m-%d %H:%M} UTC, which is in the future"
        return ""


def _is_strict(result: CheckResult, need: Need) -> bool:
    return result.outcome is Outcome.WARN and any(fits(result.id, p) for p in need.strict)


def worst(faults: Sequence[Fault]) -> Result:
    """The verdict that the others give way to; `not_applicable` stands alone."""
    verdicts = {fault.verdict for fault in faults}
    if Result.NOT_APPLICABLE in verdicts:
        return Result.NOT_APPLICABLE
    return next((result for result in _ORDER if result in verdicts), Result.PASS)
