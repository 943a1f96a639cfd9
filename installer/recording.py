"""What happens to a run's events on their way out: numbered, timed, redacted, remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol, TypeVar

from installer.core.events import (
    CheckFinished,
    CheckResult,
    Event,
    Run,
    Stamped,
    StepFinished,
    StepProgress,
    StepStarted,
)
from installer.core.report import StepRecord
from installer.ports import Clock, Talk

T = TypeVar("T")


class Timed(Protocol):
    """What a run needs at least to be recorded."""

    @property
    def clock(self) -> Clock:
        """Says when something was."""
        ...


SETTLED_S = 1.0
"""Seconds of a step before its pace says anything."""


def stamp(
    run: Run[T],
    now: Callable[[], str],
    redact: Callable[[Event], Event],
    medians: Mapping[str, float],
) -> Talk[Stamped, T]:
    """Number, time and redact events: the one place where they leave the house."""
    seq = 0
    forecast = _Forecast(medians)
    while True:
        try:
            event = next(run)
        except StopIteration as stop:
            value: T = stop.value
            return value
        seq += 1
        at = now()
        yield Stamped(seq, at, redact(forecast.complete(event, at)))


class _Forecast:
    """How long a step will take: by its pace where it knows its size, else as it usually does."""

    def __init__(self, medians: Mapping[str, float]) -> None:
        self._medians = medians
        self._began: dict[str, datetime] = {}

    def complete(self, event: Event, at: str) -> Event:
        """The event with its estimate, where there is one."""
        if isinstance(event, StepStarted):
            self._began[event.step] = datetime.fromisoformat(at)
            return _estimated(event, self._medians.get(event.step))
        if isinstance(event, StepProgress) and event.step in self._began:
            passed = datetime.fromisoformat(at) - self._began[event.step]
            return _estimated(event, self._left(event, passed.total_seconds()))
        return event

    def _left(self, event: StepProgress, passed_s: float) -> float | None:
        if event.total and 0 < event.done <= event.total:
            pace_known = passed_s >= SETTLED_S
            return passed_s * (event.total / event.done - 1) if pace_known else None
        usual = self._medians.get(event.step, 0.0)
        return usual - passed_s if usual > passed_s else None


def _estimated(event: StepStarted | StepProgress, seconds: float | None) -> Event:
    return event if seconds is None else replace(event, eta_s=round(seconds, 1))


class Recorder:
    """Listens to a run and remembers what its report needs."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._started: dict[str, tuple[float, str]] = {}
        self.steps: list[StepRecord] = []
        self.checks: list[CheckResult] = []

    def watch(self, run: Run[T]) -> Run[T]:
        """Pass a run through."""
        while True:
            try:
                event = next(run)
            except StopIteration as stop:
                value: T = stop.value
                return value
            self._hear(event)
            yield event

    def _hear(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            self._started[event.step] = (self._monotonic(), event.title)
        elif isinstance(event, StepFinished):
            since, title = self._started.get(event.step, (self._monotonic(), event.step))
            seconds = round(self._monotonic() - since, 2)
            self.steps.append(StepRecord(event.step, title, event.outcome, event.changed, seconds))
        elif isinstance(event, CheckFinished):
            self.checks.append(event.result)
