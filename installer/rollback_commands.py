"""The command `rollback`: which release, what stands against it, consent, and the same apply.

It looks at the target first, with today's answers; the release's own answers make the job then.
"""

from __future__ import annotations

import argparse
import shlex
import sys

from installer import pipeline
from installer.backup_commands import Drain, Finish
from installer.core.draft import dump
from installer.core.errors import ChangesPending, ExitCode, Problem, Remedy
from installer.core.history import (
    History,
    ReleaseRecord,
    choose_release,
    find_image_changes,
    refuse_irreversible,
)
from installer.invocation import Invocation
from installer.job import Consent, Job
from installer.output.history import format_history, format_way_back
from installer.output.proposal import format_proposal
from installer.phases.history import read_answers, read_history, read_release
from installer.redrawing import draw_release
from installer.stacks import load_stacks
from installer.wiring import Target


def roll_back(args: argparse.Namespace, drain: Drain, finish: Finish) -> ExitCode:
    """`rollback`, and `rollback --list`."""
    invocation = Invocation.open(args)
    with invocation.open_target() as target:
        history = read_history(target.host, invocation.job.layout)
        if args.list:
            invocation.tell(format_history(history))
            return ExitCode.OK
        record = _choose(history, args.to)
        job = _draw(invocation, target, record)
    changes = find_image_changes(job.plan, _images_now(history), record.images)
    refuse_irreversible(
        job.plan.answers, invocation.job.plan.answers, changes, accepted=args.accept_newer_data
    )
    then = invocation.over(job)
    with then.open_ports() as ports:
        drafted = drain(then, ports, pipeline.prepare(then.job, ports))
        if isinstance(drafted, pipeline.Failure):
            return drafted.exit_code
        if not drafted.is_noop:
            then.tell(format_way_back(record, changes))
            then.tell(format_proposal(drafted, then.job.facts))
            _refuse_without_consent(args, then, record)
        consent = Consent(take_over=args.take_over, repair=args.repair)
        run = pipeline.apply(then.job, drafted, ports, consent, "rollback")
        report = drain(then, ports, run)
    status = finish(then, report)
    if report.ok:
        kept = then.workspace.save_answers(dump(job.plan.answers))
        then.tell([f"answers     {kept} has those of release {record.release} now"])
    return status


def _choose(history: History, wanted: str | None) -> ReleaseRecord:
    release = choose_release(history, wanted)
    record = history.record_of(release)
    if record is None:
        raise ValueError(f"{release} was chosen and is not recorded")
    return record


def _draw(invocation: Invocation, target: Target, record: ReleaseRecord) -> Job:
    host, layout = target.host, invocation.job.layout
    text = read_answers(host, layout, record)
    return draw_release(
        record,
        text,
        invocation.job,
        load_stacks(),
        lambda: read_release(host, layout, record.release),
    )


def _images_now(history: History) -> dict[str, str]:
    """Of the active release, by its manifest on the target."""
    return dict(history.present.get(history.current or "", {}))


def _refuse_without_consent(
    args: argparse.Namespace, invocation: Invocation, record: ReleaseRecord
) -> None:
    """Raises `ChangesPending` unless somebody agreed, by `--yes` or at the terminal."""
    if args.yes:
        return
    deployment = invocation.job.plan.deployment
    if not args.unattended and sys.stdin.isatty():
        sys.stderr.write(f"type {deployment} to go back: ")
        sys.stderr.flush()
        if sys.stdin.readline().strip() == deployment:
            return
    raise ChangesPending(
        Problem(
            "consent.missing",
            f"{deployment} would go back to release {record.release}, and nobody has consented to"
            " it; nothing was changed",
            Remedy(
                "read what would be done, then run again with --yes",
                (shlex.join(_again(args, record)),),
            ),
            where=deployment,
        )
    )


def _again(args: argparse.Namespace, record: ReleaseRecord) -> list[str]:
    """The very command that was given, with the release by name and the word that it lacked."""
    words = ["devplat-install", "rollback", "--to", record.release]
    words += ["--unattended"] if args.unattended else []
    words += ["--answers", args.answers] if args.answers else []
    for setting in args.settings or ():
        words += ["--set", setting]
    words += ["--run-dir", args.run_dir] if args.run_dir else []
    words += ["--accept-newer-data"] if args.accept_newer_data else []
    words += ["--take-over"] if args.take_over else []
    return [*words, "--yes"]
