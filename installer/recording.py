"""What happens to a run's events on their way out: numbered, timed, redacted, remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from installer.core.events import (
    CheckFinished,
    CheckResult,
    Event,
    Run,
    Stamped,
    StepFinished,
    StepStarted,
)
from installer.core.report import StepRecord
from installer.ports import Talk

T = TypeVar("T")


def stamp(
    run: Run[T],
    now: Callable[[], str],
    redact: Callable[[Event], Event],
    medians: Mapping[str, float],
) -> Talk[Stamped, T]:
    """Number, time and redact events: the one place where they leave the house."""
    seq = 0
    while True:
        try:
            event = next(run)
        except StopIteration as stop:
            value: T = stop.value
            return value
        seq += 1
        if isinstance(event, StepStarted) and event.step in medians:
            event = replace(event, eta_s=round(medians[event.step], 1))
        yield Stamped(seq, now(), redact(event))


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
