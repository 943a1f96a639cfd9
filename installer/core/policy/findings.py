"""Results of the hardening audit: what was expected, what was found, and what to do about it.

A value that may be secret is named by its key or position, never shown.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from installer.core.errors import Problem, Remedy
from installer.core.events import CheckResult, Outcome
from installer.core.manifest import Exception_
from installer.core.policy.operators import Fault
from installer.core.policy.paths import SERVICE_PREFIX, Json
from installer.core.policy.resolve import Subject
from installer.core.policy.table import Assertion, Condition, Deviation, Side

NOT_OFFERED = "not offered by the host"
_SHOWN = 120
"""Characters of a value at fault that a result shows."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A condition that does not hold, and the elements because of which it does not."""

    condition: Condition
    faults: tuple[Fault, ...]


def passed(subject: Subject, assertion: Assertion) -> CheckResult:
    """The assertion holds."""
    return CheckResult(assertion.id, assertion.title, Outcome.PASS, subject.service)


def not_offered(subject: Subject, assertion: Assertion) -> CheckResult:
    """The host lacks what the assertion needs: reported, neither passed nor failed."""
    return replace(passed(subject, assertion), outcome=Outcome.WARN, found=NOT_OFFERED)


def waived(
    subject: Subject, assertion: Assertion, declared: Exception_, deviation: Deviation
) -> CheckResult:
    """A deviation that the role's row lists and the service declares is in use."""
    return replace(
        passed(subject, assertion),
        outcome=Outcome.WAIVED,
        expected=f"at most: {deviation.allowed}",
        found=f"{declared.reason}; made up for by: {declared.compensation}",
    )


def broken(subject: Subject, assertion: Assertion, breaches: Collection[Breach]) -> CheckResult:
    """The assertion does not hold; fails for a must, warns for a should."""
    must = any((b.condition.severity or assertion.severity) == "must" for b in breaches)
    is_redacted = assertion.id in subject.table.redacted
    found = "; ".join(dict.fromkeys(_show(subject, b, is_redacted) for b in breaches))
    result = replace(
        passed(subject, assertion),
        outcome=Outcome.FAIL if must else Outcome.WARN,
        expected="; ".join(dict.fromkeys(_describe(b.condition) for b in breaches)),
        found=found,
    )
    return with_problem(result, f"found {found}", subject.side)


def failed(subject: Subject, assertion: str, title: str, found: str) -> CheckResult:
    """A declared exception is at fault."""
    result = CheckResult(assertion, title, Outcome.FAIL, subject.service, found=found)
    return with_problem(result, found, subject.side)


def with_problem(result: CheckResult, detail: str, side: Side) -> CheckResult:
    """The result with a problem whose remedy fits the side it was found on."""
    remedy = (
        Remedy(
            f"correct stacks/compose/{result.where}, or declare an exception that the role's row"
            " of assets/hardening.yaml lists"
        )
        if side == "compose"
        else Remedy(
            f"compare {result.where} with its release and apply again, so that it is recreated"
        )
    )
    problem = Problem(
        code="policy.hardening",
        summary=f"{result.id} {result.title.lower()}: {detail}",
        where=result.where,
        remedy=remedy,
    )
    return replace(result, problem=problem)


def _describe(condition: Condition) -> str:
    words: list[Any] = [f"{condition.path.removeprefix(SERVICE_PREFIX)}:", condition.op]
    value = condition.value
    if isinstance(value, Mapping) and "op" in value:
        words.append(value["op"])
        value = value.get("value")
    return " ".join(str(word) for word in (*words, value) if word is not None)


def _show(subject: Subject, breach: Breach, is_redacted: bool) -> str:
    path = breach.condition.path.removeprefix(SERVICE_PREFIX)
    shown = (
        _name_of(subject, fault) if is_redacted else _shorten(fault[1]) for fault in breach.faults
    )
    return f"{path}: {', '.join(shown)}"


def _name_of(subject: Subject, fault: Fault) -> str:
    """Key or position of an element whose value may be secret."""
    index, value = fault
    key, sign, _ = str(value).partition("=")
    if sign and re.fullmatch(r"[\w.-]{1,80}", key) and not subject.context.secrets.is_in(key):
        return key
    return f"element {index + 1}"


def _shorten(value: Json) -> str:
    text = "" if value is None else str(value)
    if not text:
        return "nothing"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
