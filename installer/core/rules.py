"""What a preflight rule yields, and the short ways to say it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from installer.core.errors import Problem, Remedy
from installer.core.events import Outcome
from installer.core.facts import HostFacts
from installer.core.requirements import Requirements


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a rule found; `problem` is there unless the outcome is PASS."""

    outcome: Outcome
    where: str | None = None
    expected: str = ""
    found: str = ""
    problem: Problem | None = None


Judge: TypeAlias = Callable[[HostFacts, Requirements], Iterable[Finding]]


def passed(where: str | None = None, *, expected: str = "", found: str = "") -> Finding:
    """The requirement is met."""
    return Finding(Outcome.PASS, where, expected, found)


def unknown(where: str | None, code: str, why: str) -> Finding:
    """The check could not be made."""
    problem = Problem(
        code=code,
        summary=f"not known: {why}",
        where=where,
        remedy=Remedy("run preflight again; look at this by hand if it stays unknown"),
    )
    return Finding(Outcome.UNKNOWN, where, found="unknown", problem=problem)


def judged(
    outcome: Outcome,
    problem: Problem,
    *,
    expected: str = "",
    found: str = "",
) -> Finding:
    """A warning or a failure; it stands where its problem does."""
    return Finding(outcome, problem.where, expected, found, problem)


def version_of(text: str | None) -> tuple[int, int] | None:
    """Major and minor of a version text such as `26.1.5+dfsg1`."""
    match = re.match(r"(\d+)\.(\d+)", text or "")
    return (int(match[1]), int(match[2])) if match else None
