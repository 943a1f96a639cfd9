"""The verdict of one assertion on a sound service or container with a few changes."""

from __future__ import annotations

from typing import Any

from installer.core.events import CheckResult, Outcome
from installer.core.policy import audit_compose, audit_inspect
from tests.policy.builders import audit_context, hardening_table, sound_container, sound_service

TABLE = hardening_table()


def judge(assertion: str, changes: dict[str, Any], service: str = "gitea", **facts: Any) -> Outcome:
    body = sound_service(service) | changes
    results = audit_compose({"services": {service: body}}, TABLE, audit_context(**facts))
    (found,) = [r for r in results if r.id == assertion]
    return found.outcome


def judge_container(
    assertion: str, changes: dict[str, Any], service: str = "gitea", **facts: Any
) -> CheckResult:
    container = sound_container(service)
    for path, value in changes.items():
        *parents, last = path.split(".")
        inner = container
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    results = audit_inspect(container, None, TABLE, audit_context(**facts))
    (found,) = [r for r in results if r.id == assertion]
    return found
