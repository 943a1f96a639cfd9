"""What each command does: read the answers, draw up the job, open the ports, drain a run.

No rule is here; `pipeline` sequences, `core` decides, `output` formats.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from installer import conversing, pipeline, reading, upkeep_commands, wiring
from installer.core import draft, store_grants
from installer.core.bundle import Bundle, BundleFile
from installer.core.errors import (
    ChangesPending,
    ExitCode,
    LocalIoError,
    Problem,
    Remedy,
    UsageError,
)
from installer.core.events import Run, Stamped
from installer.core.images import ImageLock, format_lock, lock_keys
from installer.core.proposal import Proposal
from installer.core.report import Report
from installer.core.rotation import choose_secrets
from installer.invocation import Invocation
from installer.job import Consent
from installer.output import jsonl, proposal, text
from installer.output.rotation import format_rotation
from installer.output.runbook import format_runbook
from installer.ports import ServerPorts
from installer.recording import Timed, stamp
from installer.stacks import load_stacks, load_templates
from installer.workspace import EventLog

T = TypeVar("T")
Sink = Callable[[Stamped], None]


def run(args: argparse.Namespace) -> ExitCode:
    """Carry out the command that was parsed."""
    if args.command in upkeep_commands.COMMANDS:
        return upkeep_commands.COMMANDS[args.command](args, _drain, _finish)
    commands: Mapping[str | None, Callable[[argparse.Namespace], ExitCode]] = {
        None: install,
        "answers": _answers,
        "apply": install,
        "events": _events_schema,
        "images": _lock_images,
        "plan": _plan,
        "preflight": _preflight,
        "render": _render,
        "rotate": _rotate,
        "status": _status,
        "unseal": _unseal,
    }
    return commands[args.command](args)


def install(args: argparse.Namespace) -> ExitCode:
    """Prepare, ask for consent, apply, verify, report."""
    invocation = Invocation.open(args)
    with invocation.open_ports() as ports:
        drafted = _drain(invocation, ports, pipeline.prepare(invocation.job, ports))
        if isinstance(drafted, pipeline.Failure):
            return drafted.exit_code
        _refuse_other_plan(args, drafted)
        if not drafted.is_noop and not args.yes:
            invocation.tell(proposal.format_proposal(drafted, invocation.job.facts))
            if args.draft is None or not conversing.consents(invocation.job.plan.deployment):
                raise ChangesPending(_consent(invocation))
        consent = Consent(take_over=args.take_over, repair=args.repair)
        report = _drain(invocation, ports, pipeline.apply(invocation.job, drafted, ports, consent))
        return _finish(invocation, report, ports.server)


def _plan(args: argparse.Namespace) -> ExitCode:
    invocation = Invocation.open(args)
    with invocation.open_ports() as ports:
        drafted = _drain(invocation, ports, pipeline.prepare(invocation.job, ports))
    if isinstance(drafted, pipeline.Failure):
        return drafted.exit_code
    invocation.tell(proposal.format_proposal(drafted, invocation.job.facts))
    pending = args.detailed_exitcode and not drafted.is_noop
    return ExitCode.CHANGES_PENDING if pending else ExitCode.OK


def _preflight(args: argparse.Namespace) -> ExitCode:
    invocation = Invocation.open(args)
    with invocation.open_ports() as ports:
        outcome = _drain(invocation, ports, pipeline.examine(invocation.job, ports))
    return outcome.exit_code if isinstance(outcome, pipeline.Failure) else ExitCode.OK


def _unseal(args: argparse.Namespace) -> ExitCode:
    invocation = Invocation.open(args)
    if invocation.job.plan.server is None:
        raise UsageError(
            Problem(
                "usage.no_server",
                "this platform has no secret server of its own, so there is nothing to unseal",
                Remedy("unseal an external server with its own means"),
                where="vault.mode",
            )
        )
    with invocation.open_ports() as ports:
        consent = Consent(take_over=args.take_over)
        report = _drain(invocation, ports, pipeline.unseal(invocation.job, ports, consent))
    return _finish(invocation, report)


def _rotate(args: argparse.Namespace) -> ExitCode:
    invocation = Invocation.open(args)
    plan = invocation.job.plan
    choice = choose_secrets(plan, args.names)
    if not args.names and not args.all:
        raise UsageError(
            Problem(
                "usage.rotate",
                "name the secrets to rotate, or say --all",
                Remedy(f"these can be rotated: {', '.join(choice.names)}"),
            )
        )
    if not args.yes:
        invocation.tell(format_rotation(plan, choice))
        raise ChangesPending(_rotation_consent(args, plan.deployment))
    with invocation.open_ports() as ports:
        consent = Consent(take_over=args.take_over)
        run = pipeline.rotate(invocation.job, ports, consent, args.names)
        report = _drain(invocation, ports, run)
    return _finish(invocation, report)


def _rotation_consent(args: argparse.Namespace, deployment: str) -> Problem:
    """Asks for consent with the very command that was given, and the word that it lacked."""
    words = ["devplat-install", "rotate"]
    words += ["--unattended"] if args.unattended else []
    words += ["--answers", args.answers] if args.answers else []
    for setting in args.settings or ():
        words += ["--set", setting]
    words += ["--run-dir", args.run_dir] if args.run_dir else []
    words += ["--take-over"] if args.take_over else []
    words += ["--yes", *(args.names or ["--all"])]
    return Problem(
        "consent.missing",
        "secrets would get new values and services be restarted, and nobody has consented to it;"
        " nothing was changed",
        Remedy("read what would be done, then run again with --yes", (shlex.join(words),)),
        where=deployment,
    )


def _status(args: argparse.Namespace) -> ExitCode:
    invocation = Invocation.open(args)
    with invocation.open_ports() as ports:
        deployed = pipeline.read_status(invocation.job, ports)
        waiting = pipeline.read_waiting(invocation.job, ports, deployed)
        invocation.tell(proposal.format_status(deployed, waiting))
    return ExitCode.OK


def _render(args: argparse.Namespace) -> ExitCode:
    job = Invocation.open(args, offline=True).job
    _write_bundle(Path(args.output), job.bundle)
    print(f"release {job.bundle.release}: {len(job.bundle.files)} files in {args.output}")
    return ExitCode.OK


def _answers(args: argparse.Namespace) -> ExitCode:
    catalog = load_stacks().catalog
    if args.action == "init":
        print(draft.skeleton(catalog), end="")
    elif args.action == "schema":
        print(json.dumps(draft.schema(catalog), indent=1, sort_keys=True))
    else:
        given = reading.read_draft(args)
        _explain(args, given, reading.validate(args, given, catalog))
    return ExitCode.OK


def _explain(args: argparse.Namespace, given: draft.Draft, validated: draft.Validated) -> None:
    if args.action == "check":
        for problem in validated.warnings:
            print(f"warning: {problem.where}: {problem.summary}", file=sys.stderr)
        for note in validated.notes:
            print(f"note: {note.where}: {note.summary}", file=sys.stderr)
        print("the answers are acceptable")
    elif args.vault_policy:
        print(store_grants.describe_grants(validated.answers), end="")
    else:
        for row in draft.show(given, validated.answers):
            print(f"{row.path} = {row.value}  ({row.source})")


def _events_schema(args: argparse.Namespace) -> ExitCode:
    del args
    print(json.dumps(jsonl.schema(), indent=1, sort_keys=True))
    return ExitCode.OK


def _lock_images(args: argparse.Namespace) -> ExitCode:
    """Resolve every image of the catalog; nothing is written unless all resolve."""
    registry = wiring.open_registry(args)
    images = {
        f"{image.repository}:{image.tag}": image
        for service in load_stacks().catalog.services.values()
        for image in service.images
    }
    digests = {
        key: registry.digest(images[key].repository, images[key].tag)
        for key in lock_keys(images.values())
    }
    _write_text(Path(args.output), format_lock(ImageLock(digests)))
    print(f"{len(digests)} digests in {args.output}")
    return ExitCode.OK


def _drain(invocation: Invocation, ports: Timed, run: Run[T]) -> T:
    """Run to the end, handing every event to the sinks."""
    log = EventLog(invocation.workspace)
    sinks: tuple[Sink, ...] = (invocation.narrator, log)
    stamped = stamp(
        run,
        now=lambda: ports.clock.now().isoformat(timespec="milliseconds"),
        redact=invocation.redact_event,
        medians=invocation.workspace.medians(),
    )
    try:
        while True:
            try:
                event = next(stamped)
            except StopIteration as stop:
                value: T = stop.value
                return value
            for sink in sinks:
                sink(event)
    finally:
        stamped.close()
        log.close()
        if log.failure:
            print(f"the log {log.path} ended early: {log.failure.strerror}", file=sys.stderr)


def _finish(invocation: Invocation, report: Report, server: ServerPorts | None = None) -> ExitCode:
    """Keep and print what came out; with it the runbook of a secret server that has been set up."""
    path = invocation.workspace.save_report(report)
    invocation.workspace.record_timings(report)
    invocation.tell(text.format_summary(report))
    invocation.tell([f"report      {path}"])
    if server is not None and server.custody.access() is not None:
        invocation.tell([f"runbook     {_write_runbook(invocation, server)}"])
    return report.exit_code


def _write_runbook(invocation: Invocation, server: ServerPorts) -> Path:
    stacks = load_stacks()
    environment = load_templates(stacks.root, stacks.catalog).environment
    run_dir = str(invocation.workspace.root.resolve())
    shares = server.custody.handed_over()
    content = format_runbook(invocation.job.plan, shares, run_dir, environment)
    return invocation.workspace.save_runbook(invocation.redactor.redact(content))


def _refuse_other_plan(args: argparse.Namespace, drafted: Proposal) -> None:
    wanted = getattr(args, "plan", None)
    if wanted and wanted != drafted.bundle.release:
        raise ChangesPending(
            Problem(
                "plan.changed",
                f"the plan is {drafted.bundle.release} now, not {wanted}",
                Remedy("look at it again", ("devplat-install plan",)),
            )
        )


def _consent(invocation: Invocation) -> Problem:
    answers = invocation.args.answers or invocation.workspace.answers
    return Problem(
        "consent.missing",
        "there are changes, and nobody has consented to them; nothing was changed",
        Remedy(
            "read the proposal, then run again with --yes",
            (f"devplat-install --unattended --answers {answers} --yes",),
        ),
        where=invocation.job.plan.deployment,
    )


def _write_bundle(root: Path, bundle: Bundle) -> None:
    if root.exists() and any(root.iterdir()):
        raise UsageError(
            Problem("usage.not_empty", f"{root} is not empty", Remedy("name a new directory"))
        )
    for path, file in bundle.files.items():
        _write_file(root / path, file)


def _write_file(path: Path, file: BundleFile) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
        path.chmod(file.mode)
    except OSError as error:
        raise LocalIoError(_unwritable(path, error)) from error


def _write_text(path: Path, content: str) -> None:
    _write_file(path, BundleFile(content.encode()))


def _unwritable(path: Path, error: OSError) -> Problem:
    return Problem(
        "local.unwritable",
        f"{path}: {error.strerror}",
        Remedy("choose a place that can be written"),
        where=os.fspath(path),
    )
