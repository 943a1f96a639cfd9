"""The command line of Compose, and the problems that it tells by its exit status.

Builds arguments and problems; runs nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from installer.core.errors import Problem, Remedy
from installer.ports import Completed, Project

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"

UNREADABLE = (14, 15)
"""Compose's statuses for a file that is missing and for one that it cannot read."""

NOT_RUNNING = 253
"""Status of our own for a service without a running container; no program is known to use it."""


def project_labels(project: Project, service: str | None = None) -> list[str]:
    """The labels of a project's containers, or of one service's."""
    labels = [f"{PROJECT_LABEL}={project.name}"]
    return labels if service is None else [*labels, f"{SERVICE_LABEL}={service}"]


def make_compose_argv(project: Project, *arguments: str) -> list[str]:
    """`docker compose` for a project; its files may be absolute or relative to its directory."""
    base = project.directory.rstrip("/")
    files = [file if file.startswith("/") else f"{base}/{file}" for file in project.files]
    named = [part for file in files for part in ("-f", file)]
    where = ["-p", project.name, "--project-directory", project.directory]
    return ["docker", "compose", *where, "--ansi", "never", *named, *arguments]


def make_exec_script(project: Project, service: str, argv: Sequence[str]) -> str:
    """A script that runs `argv` in the first running container of a service.

    Without one it says so on standard error and ends with `NOT_RUNNING`.

    By the engine's own command: Compose would read all its files anew, and mixes its own errors
    with the program's statuses.
    """
    said = f"the service {service} of {project.name} is not running"
    filters = " ".join(f"--filter label={shlex.quote(x)}" for x in project_labels(project, service))
    return (
        f"ids=$(docker ps -q --no-trunc {filters}) || exit\n"
        f'[ -n "$ids" ] || {{ echo {shlex.quote(said)} >&2; exit {NOT_RUNNING}; }}\n'
        f'exec docker exec -i "$(echo $ids | cut -d" " -f1)" {shlex.join(argv)}'
    )


def unreadable_file(project: Project, done: Completed) -> Problem:
    """Files that Compose cannot read."""
    lines = done.error_text.strip().splitlines() or ["no message"]
    return Problem(
        code="stack.compose_file",
        summary=f"Compose cannot read {', '.join(project.files)}: {lines[-1]}",
        where=project.directory,
        remedy=Remedy(
            "correct compose.override.yaml if it is at fault, else report the message; nothing was "
            "changed"
        ),
    )


def failed_command(done: Completed, host: str) -> Problem:
    """A command that failed although the engine runs."""
    lines = done.error_text.strip().splitlines()
    return Problem(
        code="engine.command",
        summary=lines[-1] if lines else f"Compose ends with status {done.status}",
        where=host,
        detail="\n".join(lines[-15:]) or None,
        remedy=Remedy("correct what the engine's command names, then run again to resume"),
    )
