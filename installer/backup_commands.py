"""The commands `backup` and `restore`: what is asked for, consent, and which run that makes.

Sequencing is in `pipeline` and `phases`; the command module hands in how runs are drained.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from typing import Any, Protocol

from installer import pipeline, stages
from installer.core.errors import ChangesPending, ExitCode, Problem, Remedy, UsageError
from installer.core.events import Run, span
from installer.core.report import Report
from installer.invocation import Invocation
from installer.job import Consent
from installer.output.backups import format_backups, format_restore
from installer.phases import restore as in_place
from installer.phases.backups import Backups, find_backup, list_backups, make_backup
from installer.phases.drill import Drill, run_drill
from installer.phases.launch import active_project
from installer.phases.steps import Step
from installer.ports import Ports
from installer.recording import Timed

_SCRATCH = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


class Drain(Protocol):
    """Runs to the end, handing every event to the sinks."""

    def __call__(self, invocation: Invocation, ports: Timed, run: Run[Any], /) -> Any: ...


class Finish(Protocol):
    """Keeps and prints what came out."""

    def __call__(self, invocation: Invocation, report: Report, /) -> ExitCode: ...


def back_up(args: argparse.Namespace, drain: Drain, finish: Finish) -> ExitCode:
    """`backup now` and `backup list`."""
    invocation = Invocation.open(args)
    with invocation.open_ports() as ports:
        work = open_backups(invocation, ports)
        if args.action == "list":
            invocation.tell(format_backups(list_backups(work)))
            return ExitCode.OK
        run = span("backup.now", "make a backup and verify it", make_backup(work))
        report = drain(invocation, ports, pipeline.carry_out(invocation.job, ports, run))
    return finish(invocation, report)


def restore(args: argparse.Namespace, drain: Drain, finish: Finish) -> ExitCode:
    """A drill, or with consent a restore in place."""
    invocation = Invocation.open(args)
    if args.into is not None:
        _refuse_bad_name(args.into)
    else:
        in_place.refuse_by_hand(invocation.job.plan, args.part)
        _refuse_without_consent(args, invocation)
    job = invocation.job
    with invocation.open_ports() as ports:
        if args.into is not None:
            run = pipeline.carry_out(job, ports, _drill(args, invocation, ports))
        else:
            stages.log_in(job, ports)
            consent = Consent(take_over=args.take_over)
            steps = _steps_in_place(args, invocation, ports)
            run = pipeline.restore(job, ports, consent, steps)
        report = drain(invocation, ports, run)
    return finish(invocation, report)


def open_backups(invocation: Invocation, ports: Ports) -> Backups:
    """What a run about backups works with."""
    job = invocation.job
    return Backups(
        plan=job.plan,
        project=active_project(job.plan, job.layout),
        engine=ports.engine,
        clock=ports.clock,
        entropy=ports.entropy,
    )


def open_drill(invocation: Invocation, ports: Ports, name: str) -> Drill:
    """What a restore works with, beside the deployment under this name."""
    job = invocation.job
    return Drill(open_backups(invocation, ports), ports.host, job.layout, job.bundle, name)


def _drill(args: argparse.Namespace, invocation: Invocation, ports: Ports) -> Run[None]:
    work = open_drill(invocation, ports, args.into)
    manifest = find_backup(list_backups(work.backups), args.backup)
    yield from run_drill(work, manifest, args.part)


def _steps_in_place(
    args: argparse.Namespace, invocation: Invocation, ports: Ports
) -> Iterator[Step]:
    """Each step is made when those before it are done, so the backup is chosen once it can be."""
    work = open_drill(invocation, ports, in_place.NAME)
    yield in_place.resume_step(work)
    manifest = find_backup(list_backups(work.backups), args.backup)
    yield _safety_step(work.backups)
    yield in_place.beside_step(work, manifest, args.part)
    yield in_place.stop_step(work)
    yield in_place.swap_step(work, manifest, args.part)
    yield from stages.restart_steps(invocation.job, ports)
    yield in_place.done_step(work)


def _safety_step(work: Backups) -> Step:
    """What there is now is in a backup of its own, before anything takes its place."""
    made: list[str] = []

    def make() -> Run[None]:
        made.append((yield from make_backup(work)))

    def is_listed() -> bool:
        return bool(made) and any(m["run"] == made[0] for m in list_backups(work))

    return Step("restore.safety", "back up what there is now", lambda: False, make, is_listed)


def _refuse_bad_name(name: str) -> None:
    if not _SCRATCH.fullmatch(name) or name == in_place.NAME:
        raise UsageError(
            Problem(
                "usage.scratch",
                f"{name!r} is no name for a drill; allowed: 1 to 31 of a-z, 0-9 and -, and not"
                f" {in_place.NAME}",
                Remedy("name it", ("devplat-install restore --into drill",)),
            )
        )


def _refuse_without_consent(args: argparse.Namespace, invocation: Invocation) -> None:
    """Raises `ChangesPending` unless the deployment's name was typed, and `--yes` was given."""
    deployment = invocation.job.plan.deployment
    lines = tuple(format_restore(deployment, args.backup, args.part))
    if args.confirm is None and not args.unattended and sys.stdin.isatty():
        sys.stderr.write("\n".join((*lines, f"type {deployment} to go on: ")))
        sys.stderr.flush()
        if sys.stdin.readline().strip() == deployment:
            return
    if args.yes and args.confirm == deployment:
        return
    invocation.tell(lines)
    raise ChangesPending(
        Problem(
            "consent.missing",
            f"the data of {deployment} would be replaced, and nobody has typed its name;"
            " nothing was changed",
            Remedy(
                "try the backup beside it first; to replace the data, confirm it by name",
                (
                    "devplat-install restore --into drill",
                    f"devplat-install restore --yes --confirm {deployment}",
                ),
            ),
            where=deployment,
        )
    )
