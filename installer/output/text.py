"""Lines for people: narration of a run, problems with their remedies, the proposal, the summary.

Colour is never the only signal and is left out by the caller's word (`NO_COLOR`, no terminal).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from installer.core.errors import ExitCode, Problem
from installer.core.events import (
    CheckFinished,
    CheckResult,
    Event,
    Outcome,
    RunFinished,
    Stamped,
    StepFinished,
    StepOutput,
    StepProgress,
    StepStarted,
)
from installer.core.report import Report

Write = Callable[[str], None]

MOST_PLACES = 3
"""Places that one line names; more are counted, and all are in the report."""

PROGRESS_EVERY = timedelta(seconds=10)
"""How often a step that goes on says when it will be done."""

LARGE = 10_000
"""From here on a number of units (bytes) is told as a part of the whole."""

_COLOURS = {
    Outcome.PASS: "32",
    Outcome.WARN: "33",
    Outcome.FAIL: "31",
    Outcome.UNKNOWN: "36",
    Outcome.WAIVED: "35",
    Outcome.UNMET: "35",
}


class Narrator:
    """A sink that tells a person what happens, a line per step and per notable check."""

    def __init__(self, write: Write, *, colour: bool, verbose: bool, quiet: bool) -> None:
        self._write = write
        self._colour = colour
        self._verbose = verbose
        self._quiet = quiet
        self._titles: dict[str, str] = {}
        self._told: dict[str, datetime] = {}
        self._alike: dict[tuple[str, ...], list[CheckResult]] = {}

    def __call__(self, stamped: Stamped) -> None:
        """Tell one event."""
        event = stamped.event
        if isinstance(event, RunFinished):
            for line in format_problems(event.problems, event.exit_code):
                self._write(line)
        elif not self._quiet:
            for line in self._tell(event, stamped.at):
                self._write(line)

    def _tell(self, event: Event, at: str) -> Iterator[str]:
        if isinstance(event, StepStarted):
            self._titles[event.step] = event.title
            eta = f", usually {_duration(event.eta_s)}" if event.eta_s else ""
            yield f"  …     {event.title}{eta}"
        elif isinstance(event, StepFinished):
            yield from self._flush()
            title = self._titles.get(event.step, event.step)
            yield f"{self._badge(event.outcome)}  {title}{' (changed)' if event.changed else ''}"
        elif isinstance(event, CheckFinished):
            self._hear(event.result)
        elif isinstance(event, StepOutput) and self._verbose:
            yield f"          {event.line}"
        elif isinstance(event, StepProgress) and (self._verbose or self._is_due(event, at)):
            yield f"          {_progress(event)}"

    def _is_due(self, event: StepProgress, at: str) -> bool:
        """Whether to say how a step gets on: when that tells its end, and not all the time."""
        now = datetime.fromisoformat(at)
        last = self._told.get(event.step)
        if not event.eta_s or (last is not None and now - last < PROGRESS_EVERY):
            return False
        self._told[event.step] = now
        return True

    def _hear(self, result: CheckResult) -> None:
        """Keep what is worth a line; findings that differ in their place only become one line."""
        if self._verbose or result.outcome is not Outcome.PASS:
            key = (result.outcome, result.id, result.title, result.found)
            self._alike.setdefault(key, []).append(result)

    def _flush(self) -> Iterator[str]:
        for results in self._alike.values():
            places = [result.where for result in results if result.where]
            where = ", ".join(places[:MOST_PLACES])
            if len(places) > MOST_PLACES:
                where = f"{len(places)} places"
            yield f"{self._badge(results[0].outcome)}    {describe_check(results[0], where)}"
        self._alike.clear()

    def _badge(self, outcome: Outcome) -> str:
        text = f"  {outcome.value:<6}"
        return f"\x1b[{_COLOURS[outcome]}m{text}\x1b[0m" if self._colour else text


def describe_check(result: CheckResult, where: str | None = None) -> str:
    """One line: what was checked, where, and what was found."""
    place = result.where if where is None else where
    where = f" [{place}]" if place else ""
    found = f": {result.found}" if result.found else ""
    return f"{result.id} {result.title}{where}{found}"


def format_problems(problems: Sequence[Problem], exit_code: ExitCode) -> Iterator[str]:
    """Each problem with its place and what to do; the error class first."""
    for problem in problems:
        place = str(problem.mark) if problem.mark else ""
        where = ": ".join(part for part in (place, problem.where or "") if part)
        yield f"{exit_code.class_name}: {where + ': ' if where else ''}{problem.summary}"
        yield f"  code: {problem.code}"
        for line in (problem.detail or "").splitlines():
            yield f"  | {line}"
        yield f"  what to do: {problem.remedy.summary}"
        for command in problem.remedy.commands:
            yield f"    $ {command}"


def format_summary(report: Report) -> Iterator[str]:
    """The end of a run in a few lines, for standard output."""
    counts = count_outcomes(report.checks)
    yield f"deployment  {report.facts['deployment']} on {report.facts['target']}"
    yield f"release     {report.facts['release']}"
    yield f"changed     {'yes' if report.changed else 'no changes'}"
    yield "checks      " + ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    yield f"result      {report.exit_code.class_name} ({int(report.exit_code)})"


def count_outcomes(checks: Iterable[CheckResult]) -> dict[str, int]:
    """Outcome → how many checks ended so, every outcome present."""
    counts = {outcome.value: 0 for outcome in Outcome}
    for check in checks:
        counts[check.outcome.value] += 1
    return counts


def _progress(event: StepProgress) -> str:
    amount = ""
    if event.total:
        share = f"{100 * event.done // event.total} %"
        amount = f"{event.done}/{event.total}" if event.total < LARGE else share
    left = f", about {_duration(event.eta_s)} left" if event.eta_s else ""
    return f"{amount} {event.note}".strip() + left


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
