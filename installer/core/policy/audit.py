"""The hardening audit: every assertion of the table against every service or container.

Pure: documents in, results out. Each result names assertion and service.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from installer.core.events import CheckResult, Outcome
from installer.core.manifest import Exception_
from installer.core.policy.context import AuditContext
from installer.core.policy.findings import (
    Breach,
    broken,
    failed,
    not_offered,
    passed,
    waived,
    with_problem,
)
from installer.core.policy.normal import as_mapping, normalise_container, normalise_service
from installer.core.policy.operators import Fault, find_faults
from installer.core.policy.paths import select
from installer.core.policy.resolve import Subject, resolve_value
from installer.core.policy.table import (
    Assertion,
    Condition,
    Coverage,
    Deviation,
    HardeningTable,
    Role,
    Side,
    Sides,
)

LABEL_ROLE = "devplat.role"
LABEL_SERVICE = "com.docker.compose.service"


def audit_compose(
    document: Mapping[str, Any], table: HardeningTable, context: AuditContext
) -> tuple[CheckResult, ...]:
    """The compose side of every assertion for every service of a fully resolved model.

    Args:
        document: `docker compose config --format json`, or our own model before `$` is escaped.
        table: The assertions and roles.
        context: Facts of the deployment.
    """
    results: list[CheckResult] = []
    for name, body in sorted((document.get("services") or {}).items()):
        label = role_of(body)
        normal = normalise_service(body or {}, context)
        results += _audit(_make_subject("compose", name, label, normal, table, context))
    return tuple(results)


def audit_inspect(
    inspect: Mapping[str, Any], role: str | None, table: HardeningTable, context: AuditContext
) -> tuple[CheckResult, ...]:
    """The inspect side of every assertion for one container.

    Args:
        inspect: The engine's JSON (`GET /containers/{id}/json`).
        role: The container's role; None takes it from its label.
        table: The assertions and roles.
        context: Facts of the deployment.
    """
    labels = as_mapping((inspect.get("Config") or {}).get("Labels"))
    label = role if role is not None else str(labels.get(LABEL_ROLE, ""))
    service = str(labels.get(LABEL_SERVICE) or label or inspect.get("Name", "?"))
    normal = normalise_container(inspect, context)
    return tuple(_audit(_make_subject("inspect", service, label, normal, table, context)))


def role_of(body: Mapping[str, Any] | None) -> str:
    """The role label of a compose service; empty when it has none."""
    return str(as_mapping((body or {}).get("labels")).get(LABEL_ROLE, ""))


def audit_processes(
    service: str, programs: Collection[str], table: HardeningTable
) -> tuple[CheckResult, ...]:
    """The assertions about programs that must not run in a container.

    Args:
        service: The service whose container it is.
        programs: Command lines or program names of all its processes (`docker top`).
        table: The assertions; their deviations allow a server inside the service's own program,
            which is no process of its own, so they let no process pass.
    """
    names = {line.strip().split(" ")[0].rsplit("/", 1)[-1].rstrip(":") for line in programs}
    results: list[CheckResult] = []
    for assertion in table.assertions:
        pattern = table.processes.get(assertion.id)
        if pattern is None:
            continue
        found = ", ".join(sorted(name for name in names if re.fullmatch(pattern, name)))
        outcome = Outcome.FAIL if found else Outcome.PASS
        result = CheckResult(
            assertion.id, assertion.title, outcome, service, f"no process {pattern}", found
        )
        results.append(with_problem(result, f"{found} runs", "inspect") if found else result)
    return tuple(results)


def _make_subject(
    side: Side,
    service: str,
    label: str,
    document: dict[str, Any],
    table: HardeningTable,
    context: AuditContext,
) -> Subject:
    """A label without a row gets the strictest row: no capability, no deviation."""
    row, role = table.find_role(label) or ("", Role())
    document["role"] = row
    return Subject(side, service, label, row, role, document, table, context)


def _audit(subject: Subject) -> list[CheckResult]:
    declared = {e.assertion: e for e in subject.context.exceptions.get(subject.service, ())}
    results: list[CheckResult] = []
    for assertion in subject.table.assertions:
        result = _check(subject, assertion, declared.pop(assertion.id, None))
        if result is not None:
            results.append(result)
    results += [
        failed(subject, unknown, "exceptions name assertions of the table", "no such assertion")
        for unknown in declared
    ]
    return results


def _check(
    subject: Subject, assertion: Assertion, declared: Exception_ | None
) -> CheckResult | None:
    """The result of one assertion; None when it has no condition on this side."""
    deviation = subject.table.deviation_of(subject.role, assertion.id)
    if declared is not None and deviation is None:
        found = f"an exception that is not among the deviations of role {subject.label!r}"
        return failed(subject, assertion.id, assertion.title, found)
    conditions = _conditions_for(subject, assertion)
    if not conditions:
        return None
    breaches, is_excused = _find_breaches(subject, assertion, conditions)
    if declared is not None and deviation is not None:
        return _check_deviation(subject, assertion, breaches, declared, deviation)
    if breaches:
        return broken(subject, assertion, breaches)
    return not_offered(subject, assertion) if is_excused else passed(subject, assertion)


def _conditions_for(subject: Subject, assertion: Assertion) -> list[Condition]:
    """The conditions on this side that count for this role and, by the notes, in this case."""
    dropped = {
        path
        for entry in subject.table.not_needed
        if entry.assertion == assertion.id and _all_hold(subject, assertion, entry.when)
        for path in entry.paths
    }
    return [
        condition
        for condition in subject.table.conditions_of(assertion, subject.side)
        if condition.path not in dropped and (not condition.roles or subject.row in condition.roles)
    ]


def _all_hold(subject: Subject, assertion: Assertion, sides: Sides) -> bool:
    """Whether there are conditions on this side, and all of them hold."""
    conditions = sides.on(subject.side)
    return bool(conditions) and not any(_find_faults(subject, assertion, c) for c in conditions)


def _find_breaches(
    subject: Subject, assertion: Assertion, conditions: Collection[Condition]
) -> tuple[list[Breach], bool]:
    """What does not hold, and whether something is excused because the host does not offer it."""
    offers = subject.context.offers
    breaches: list[Breach] = []
    is_excused = False
    for condition in conditions:
        faults = _find_faults(subject, assertion, condition)
        if not faults:
            continue
        if condition.offered is None or offers(condition.offered):
            breaches.append(Breach(condition, faults))
        elif condition.instead is None or not offers(condition.instead):
            is_excused = True
    return breaches, is_excused


def _find_faults(subject: Subject, assertion: Assertion, condition: Condition) -> tuple[Fault, ...]:
    argument = resolve_value(condition.value, assertion.id, subject)
    faults = find_faults(condition.op, argument, select(subject.document, condition.path))
    judged_elsewhere = subject.table.left_to_others.get(assertion.id)
    if judged_elsewhere is None:
        return faults
    return tuple(f for f in faults if not re.fullmatch(judged_elsewhere, str(f[1])))


def _check_deviation(
    subject: Subject,
    assertion: Assertion,
    breaches: list[Breach],
    declared: Exception_,
    deviation: Deviation,
) -> CheckResult:
    """A declared and listed deviation: waived as far as it reaches, failed when not needed."""
    coverage = subject.table.coverage_of(subject.row, assertion.id)
    rest = [left for breach in breaches if (left := _uncovered(breach, coverage)) is not None]
    if rest:
        return broken(subject, assertion, rest)
    if not breaches and not _all_hold(subject, assertion, coverage.used_when):
        found = "a declared exception that nothing needs any longer"
        return failed(subject, assertion.id, assertion.title, found)
    return waived(subject, assertion, declared, deviation)


def _uncovered(breach: Breach, coverage: Coverage) -> Breach | None:
    """What of a breach a deviation does not reach, or None."""
    pattern = re.compile(coverage.covers, re.DOTALL)
    faults = tuple(
        fault
        for fault in breach.faults
        if not pattern.fullmatch("" if fault[1] is None else str(fault[1]))
    )
    if faults:
        return Breach(breach.condition, faults)
    if coverage.at_most is not None and len(breach.faults) > coverage.at_most:
        return breach
    return None
