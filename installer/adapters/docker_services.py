"""Judges services by the engine's own description of their containers.

Says which service failed and why, from states, exit codes and health logs; reads no message but the
engine's error of a container that was never started. Asks the engine nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from installer.adapters.docker_failures import Cause, find_cause, find_port
from installer.core.errors import Problem, Remedy
from installer.ports import Container, Project

LOG_LINES = 20
HEALTH_LINES = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """A service that is not in service. `rank` orders causes before their consequences."""

    rank: int
    code: str
    service: str
    container: str
    what: str
    said: str = ""


def find_failures(containers: Sequence[Container], wanted: Collection[str]) -> tuple[Failure, ...]:
    """The failed ones among the wanted services (all, when none is named), causes first.

    A container that was made and not started because of another one is no failure of its own.
    """
    failures = [
        failure
        for container in containers
        if not wanted or container.service in wanted
        for failure in [judge_container(container)]
        if failure is not None
    ]
    return tuple(sorted(failures, key=lambda failure: (failure.rank, failure.service)))


def judge_container(container: Container) -> Failure | None:
    """What is wrong with one container, if anything."""
    state: Mapping[str, Any] = container.inspect.get("State") or {}
    name = str(container.inspect.get("Name", "")).lstrip("/")
    message = str(state.get("Error") or "")
    status = int(state.get("ExitCode") or 0)

    def failure(rank: int, code: str, what: str, said: str = "") -> Failure:
        return Failure(rank, code, container.service, name, what, said)

    if message and container.state in ("created", "exited"):
        if find_cause(message) is Cause.PORT:
            return failure(
                0, "deploy.port_taken", f"cannot be started: {_port_text(message)}", message
            )
        return failure(0, "deploy.not_started", "cannot be started", message)
    if state.get("OOMKilled"):
        return failure(1, "deploy.out_of_memory", f"ran out of memory (exit status {status})")
    if container.state in ("restarting", "dead") or (container.state == "exited" and status):
        return failure(1, "deploy.exited", f"ended with exit status {status}")
    if container.health == "unhealthy":
        return failure(2, "deploy.unhealthy", "is unhealthy", _health_log(state))
    if container.health == "starting":
        return failure(
            3, "deploy.not_healthy", "did not become healthy in time", _health_log(state)
        )
    restarts = int(container.inspect.get("RestartCount") or 0)
    if restarts and container.health is None:
        return failure(1, "deploy.exited", f"keeps ending: {restarts} restarts")
    return None


def service_problem(failure: Failure, lines: Sequence[str]) -> Problem:
    """The problem for a failed service, with the last lines of its log."""
    last = "\n".join(lines[-LOG_LINES:])
    told = f"last log lines of {failure.service}:\n{last}" if last else "its log is empty"
    advice = (
        f"read the last log lines of {failure.service} below for the cause, correct it and run "
        "again to resume"
    )
    if failure.code == "deploy.port_taken":
        advice = (
            f"find out what holds the port on the host ({failure.what}) and stop it, or give the "
            "deployment another address (target.address); then run again"
        )
    elif failure.code == "deploy.out_of_memory":
        advice = f"raise the memory of {failure.service} (sizing) and run again"
    listing = "ss -ltnp" if failure.code == "deploy.port_taken" else None
    return Problem(
        code=failure.code,
        summary=f"the service {failure.service} {failure.what}",
        where=failure.service,
        detail="\n".join(part for part in (failure.said, told) if part),
        remedy=Remedy(advice, (listing or f"docker logs --tail 100 {failure.container}",)),
    )


def unknown_problem(project: Project, wait_s: int, message: str) -> Problem:
    """A start that failed although every container looks well."""
    lines = [line for line in message.splitlines() if line.strip()]
    return Problem(
        code="deploy.up",
        summary=f"the services of {project.name} did not start within {wait_s} s",
        where=project.name,
        detail="\n".join(lines[-LOG_LINES:]) or None,
        remedy=Remedy(
            "read the messages of Compose below, correct the cause and run again to resume",
            (f"docker compose -p {project.name} ps -a",),
        ),
    )


def restarted_problem(project: Project, message: str, *, back: bool) -> Problem:
    """A start that the engine itself broke off."""
    after = "and is back" if back else "and did not come back"
    return Problem(
        code="deploy.engine_restarted",
        summary=f"the daemon restarted while services were started {after}",
        where=project.name,
        detail="\n".join(message.splitlines()[-3:]) or None,
        remedy=Remedy(
            "find out why the daemon restarted (updates, memory), start the service if it is "
            "stopped, then run again to resume",
            ("journalctl -u docker --since -10min", "systemctl start docker"),
        ),
    )


def _port_text(message: str) -> str:
    port = find_port(message)
    return f"port {port} is taken" if port else "a published port is taken"


def _health_log(state: Mapping[str, Any]) -> str:
    """The last answers of the health check."""
    log = (state.get("Health") or {}).get("Log") or []
    lines = [
        f"health check, status {entry.get('ExitCode')}: {str(entry.get('Output', '')).strip()}"
        for entry in log[-HEALTH_LINES:]
    ]
    return "\n".join(lines)
