"""The one event stream: what a run says while it works, and the type of a run.

A run is a generator that yields events and returns a value. Each `StepStarted` has exactly one
`StepFinished`, and a run ends with exactly one `RunFinished`; `span` and `pipeline` see to it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import StrEnum
from typing import Any, Literal, TypeAlias, TypeVar

from installer.core.errors import ExitCode, InstallError, Problem

EVENTS_VERSION = 1
"""The `v` of the JSON form; names and meanings are frozen for a version."""


class Outcome(StrEnum):
    """How a check or a step ended. The last three stay visible until the end of the report."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"  # the check could not be run
    WAIVED = "waived"  # bypassed by a recorded decision
    UNMET = "unmet"  # the guide asks for it, and this installation does not give it


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found. `expected` and `found` are text for people, without secrets."""

    id: str
    title: str
    outcome: Outcome
    where: str | None = None
    expected: str = ""
    found: str = ""
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step begins; `parent` is the step it is part of. `eta_s` is an estimate in seconds."""

    step: str
    title: str
    parent: str | None = None
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class StepProgress:
    """`done` of `total` units (bytes, images, services); also a sign of life when nothing moves.

    `eta_s` is an estimate of the seconds that are left.
    """

    step: str
    done: int
    total: int | None
    note: str = ""
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class StepOutput:
    """One line that a command printed."""

    step: str
    line: str
    stream: Literal["out", "err"] = "out"


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step ended. `changed` says whether anything on a host is different now."""

    step: str
    outcome: Outcome
    changed: bool
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class CheckFinished:
    """A check was made."""

    step: str
    result: CheckResult


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event of a run."""

    exit_code: ExitCode
    problems: tuple[Problem, ...] = ()


Event: TypeAlias = (
    StepStarted | StepProgress | StepOutput | StepFinished | CheckFinished | RunFinished
)
T = TypeVar("T")
Run: TypeAlias = Generator[Event, None, T]


def span(step: str, title: str, body: Run[T], *, parent: str | None = None) -> Run[T]:
    """Bracket `body` with started and finished, also when it fails.

    The finished event of a body that returns says `changed=False`; steps that change something
    speak for themselves (`phases.steps`).
    """
    yield StepStarted(step, title, parent)
    try:
        value = yield from body
    except InstallError as error:
        yield StepFinished(step, Outcome.FAIL, changed=False, problem=error.problems[0])
        raise
    yield StepFinished(step, Outcome.PASS, changed=False)
    return value


@dataclass(frozen=True, slots=True)
class Stamped:
    """An event with its number, counting from 1, and its time (ISO 8601, UTC); free of secrets."""

    seq: int
    at: str
    event: Event


def map_text(value: Any, change: Callable[[str], str]) -> Any:
    """A copy of an event in which `change` was applied to every text, however deep."""
    if isinstance(value, str) and not isinstance(value, StrEnum):
        return change(value)
    if isinstance(value, tuple):
        return tuple(map_text(item, change) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: map_text(getattr(value, f.name), change) for f in fields(value)}
        )
    return value
