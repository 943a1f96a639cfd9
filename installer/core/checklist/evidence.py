"""What the kept reports say of each check: the newest result, with its run, time and release.

A run that did not come to the end of its checks proves nothing by those that passed; what failed in
it counts. Steps count as checks of their own, so that a drill that broke off is not passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from installer.core.checklist.patterns import fits, literal_prefix
from installer.core.errors import ExitCode
from installer.core.events import CheckResult, Outcome
from installer.core.report import Report, StepRecord

VERIFY_STEP = "verify"
STEP_PREFIX = "step."
_COMPLETE = frozenset({ExitCode.OK, ExitCode.VERIFY_FAILED, ExitCode.BACKUP})
"""How a run ends that made every check it began."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One result, and when it was seen: end of its run in UTC, and the release that was meant."""

    result: CheckResult
    run: str
    at: datetime
    release: str

    @property
    def key(self) -> str:
        """Names the check and its place; the same from run to run."""
        return f"{self.result.id}@{self.result.where or ''}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The sights of each run by check id, newest run first."""

    runs: tuple[dict[str, tuple[Sight, ...]], ...]
    _found: dict[str, tuple[Sight, ...]] = field(default_factory=dict)

    def find(self, pattern: str) -> tuple[Sight, ...]:
        """What the newest run that has such checks says of them; empty when none has."""
        if pattern not in self._found:
            self._found[pattern] = next(filter(None, self._matches(pattern)), ())
        return self._found[pattern]

    def _matches(self, pattern: str) -> Iterator[tuple[Sight, ...]]:
        if literal_prefix(pattern) == pattern:
            yield from (run.get(pattern, ()) for run in self.runs)
            return
        for run in self.runs:
            yield tuple(s for id, sights in run.items() if fits(id, pattern) for s in sights)


def gather(reports: Sequence[Report], planned: Sequence[Sight] = ()) -> Evidence:
    """The evidence of reports, the newest first, and of what the plan itself says now."""
    known: dict[str, tuple[Sight, ...]] = {}
    for sight in planned:
        known[sight.result.id] = (*known.get(sight.result.id, ()), sight)
    return Evidence((known, *(_by_id(report) for report in reports)))


def _by_id(report: Report) -> dict[str, tuple[Sight, ...]]:
    at = datetime.fromisoformat(report.facts["ended"])
    facts = (report.facts["run"], at, report.facts["release"])
    found: dict[str, tuple[Sight, ...]] = {}
    for result in counting(report):
        found[result.id] = (*found.get(result.id, ()), Sight(result, *facts))
    return found


def counting(report: Report) -> Iterator[CheckResult]:
    """The results of a report that say something, its steps among them."""
    complete = is_complete(report)
    for result in (*report.checks, *map(_step_result, report.steps)):
        if complete or result.outcome in (Outcome.FAIL, Outcome.UNKNOWN):
            yield result


def is_complete(report: Report) -> bool:
    """Whether every check that was begun was made."""
    cut_short = any(s.step == VERIFY_STEP and s.outcome is not Outcome.PASS for s in report.steps)
    return report.exit_code in _COMPLETE and not cut_short


def _step_result(step: StepRecord) -> CheckResult:
    return CheckResult(f"{STEP_PREFIX}{step.step}", step.title, step.outcome)
