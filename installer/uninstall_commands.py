"""The command `uninstall`: what is there that is ours, consent, and its removal.

No secret is needed for it and no store is opened: a platform whose secrets are lost can be removed.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator

from installer import pipeline
from installer.backup_commands import Drain, Finish
from installer.core.errors import ChangesPending, ExitCode, Problem, Remedy, UsageError
from installer.core.removal import Removal, Wish, plan_removal, refuse_unsafe
from installer.invocation import Invocation
from installer.output.removal import format_removal, format_run_directory
from installer.output.workspace_hosts import format_workspace_hosts
from installer.phases.journal import TargetLock
from installer.phases.remains import read_found
from installer.phases.uninstall import uninstall as carry_out
from installer.stacks import load_stacks


def uninstall(args: argparse.Namespace, drain: Drain, finish: Finish) -> ExitCode:
    """`uninstall`, with the data kept unless its deletion is asked for by name."""
    invocation = Invocation.open(args)
    job = invocation.job
    deployment = job.plan.deployment
    _refuse_other_name(args, deployment)
    catalog = load_stacks().catalog
    wish = Wish(args.delete_data is not None, remove_images=args.images == "remove")
    with invocation.open_target() as target:
        found = read_found(target.host, job.layout)
        known = {*catalog.services, *job.plan.services}
        removal = plan_removal(deployment, job.layout, found, wish, known)
        invocation.tell(format_removal(removal))
        hosts = job.plan.answers.at("workspaces.hosts")
        urls = hosts if isinstance(hosts, tuple) else ()
        invocation.tell(format_workspace_hosts(deployment, urls))
        if removal.is_empty:
            invocation.tell([f"nothing of {deployment} is on {target.host.name}"])
            invocation.tell(_format_rest(invocation))
            return ExitCode.OK
        answers = [
            f"{name}-{manifest.server.answer}"
            for name, manifest in catalog.services.items()
            if manifest.server
        ]
        refuse_unsafe(removal, found, answers)
        _refuse_without_consent(args, removal)
        lock = TargetLock(target.host, job.layout, job.owner, target.clock, job.is_gone)
        work = carry_out(removal, target.host, lock, take_over=args.take_over)
        report = drain(invocation, target, pipeline.carry_out(job, target, work))
    status = finish(invocation, report)
    invocation.tell(_format_rest(invocation))
    return status


def _format_rest(invocation: Invocation) -> Iterator[str]:
    mode = invocation.job.plan.answers.vault.mode
    return format_run_directory(invocation.workspace.root, mode)


def _refuse_other_name(args: argparse.Namespace, deployment: str) -> None:
    """Deleting data takes the deployment's name; at a terminal it is asked for later."""
    name = args.delete_data
    if name in (None, deployment) or (name == "" and _is_attended(args)):
        return
    raise UsageError(
        Problem(
            "usage.delete_data",
            f"--delete-data names {name!r}, and the deployment is {deployment!r}; nothing was"
            " changed",
            Remedy(
                "type the deployment's name, so that no data is deleted by mistake",
                (f"devplat-install uninstall --delete-data {deployment}",),
            ),
            where="--delete-data",
        )
    )


def _is_attended(args: argparse.Namespace) -> bool:
    return not args.unattended and sys.stdin.isatty()


def _refuse_without_consent(args: argparse.Namespace, removal: Removal) -> None:
    """Raises `ChangesPending` unless somebody agreed, by `--yes` or by typing the name."""
    deployment = removal.deployment
    if args.yes and args.delete_data != "":
        return
    if _is_attended(args):
        what = "AND ITS DATA" if removal.all_data else "and keep its data"
        sys.stderr.write(f"type {deployment} to remove it {what}: ")
        sys.stderr.flush()
        if sys.stdin.readline().strip() == deployment:
            return
    data = " with all its data" if removal.all_data else ""
    raise ChangesPending(
        Problem(
            "consent.missing",
            f"{deployment} would be removed{data}, and nobody has consented to it; nothing was"
            " changed",
            Remedy(
                "read what would be removed, then run again with --yes",
                (shlex.join(_again(args, deployment)),),
            ),
            where=deployment,
        )
    )


def _again(args: argparse.Namespace, deployment: str) -> list[str]:
    """The very command that was given, and the word that it lacked."""
    words = ["devplat-install", "uninstall"]
    words += ["--unattended"] if args.unattended else []
    words += ["--answers", args.answers] if args.answers else []
    for setting in args.settings or ():
        words += ["--set", setting]
    words += ["--run-dir", args.run_dir] if args.run_dir else []
    words += ["--delete-data", deployment] if args.delete_data is not None else ["--keep-data"]
    words += ["--images", args.images] if args.images != "keep" else []
    words += ["--take-over"] if args.take_over else []
    return [*words, "--yes"]
