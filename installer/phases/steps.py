"""A step says how to check, do, verify and undo itself; `run_steps` sequences and journals them.

The journal knows nothing of what a step does, and a step nothing of the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from installer.core.errors import DeployError, InstallError, Problem, Remedy
from installer.core.events import (
    Event,
    Outcome,
    Run,
    StepFinished,
    StepOutput,
    StepProgress,
    StepStarted,
)
from installer.ports import OutputLine, Talk


def no_effect() -> Run[None]:
    """Nothing to do or to undo."""
    return
    yield  # pragma: no cover - makes this a generator


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a host.

    Attributes:
        check: True when everything is as `do` would leave it; observes, changes nothing.
        do: Makes the change. Killed anywhere, it can be run again.
        verify: True when the change is observed on the host; a return code is no observation.
        undo: Takes back what `do` made, for a run that fails later; None when what it made is kept
            (data, secrets, and whatever a rerun continues from).
    """

    id: str
    title: str
    check: Callable[[], bool]
    do: Callable[[], Run[None]]
    verify: Callable[[], bool]
    undo: Callable[[], Run[None]] | None = None


class Journal(Protocol):
    """Records what a run did, durably, before and after each change."""

    def begin(self, step: str) -> None: ...
    def end(self, step: str) -> None: ...
    def undone(self, step: str) -> None: ...


def run_steps(steps: Iterable[Step], journal: Journal) -> Run[tuple[str, ...]]:
    """Run steps in order; returns the ids of those that changed something.

    Steps may be made as they are needed: one is asked for when those before it are done. When a
    step fails, or one cannot be made, the steps of this call that changed something are undone in
    reverse order, the failed one first.

    Raises:
        InstallError: what the failed step raised, or `DeployError` when its change is not observed.
    """
    done: list[Step] = []
    coming = iter(steps)
    while True:
        try:
            step = next(coming, None)
        except InstallError:
            yield from undo_steps(done, journal)
            raise
        if step is None:
            break
        yield StepStarted(step.id, step.title)
        try:
            if step.check():
                yield StepFinished(step.id, Outcome.PASS, changed=False)
                continue
            journal.begin(step.id)
            done.append(step)
            yield from step.do()
            if not step.verify():
                raise DeployError(_unobserved(step))
            journal.end(step.id)
        except InstallError as error:
            yield StepFinished(step.id, Outcome.FAIL, changed=False, problem=error.problems[0])
            yield from undo_steps(done, journal)
            raise
        yield StepFinished(step.id, Outcome.PASS, changed=True)
    return tuple(step.id for step in done)


def undo_steps(done: Sequence[Step], journal: Journal) -> Run[None]:
    """Undo in reverse order; a failing undo is told and does not stop the others."""
    for step in reversed(done):
        if step.undo is None:
            continue
        name = f"{step.id}.undo"
        yield StepStarted(name, f"undo: {step.title}")
        try:
            yield from step.undo()
        except InstallError as error:
            yield StepFinished(name, Outcome.FAIL, changed=False, problem=error.problems[0])
            continue
        with suppress(InstallError):  # the undo is done; a lost record is found by the next check
            journal.undone(step.id)
        yield StepFinished(name, Outcome.PASS, changed=True)


def relay(step: str, talk: Talk[OutputLine, object]) -> Iterator[Event]:
    """The lines of a running command as events; silence becomes progress, a sign of life."""
    beats = 0
    for line in talk:
        if line.stream == "beat":
            beats += 1
            yield StepProgress(step, beats, None, note="still working")
        else:
            yield StepOutput(step, line.text, line.stream)


def _unobserved(step: Step) -> Problem:
    return Problem(
        code="deploy.not_observed",
        summary=f"the change of {step.id!r} is not visible on the host although nothing complained",
        where=step.id,
        remedy=Remedy("run again; if it repeats, look at the run directory's log"),
    )
