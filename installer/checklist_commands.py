"""The commands `checklist`, `report` and `verify`: what is measured, stated, signed and checked.

The rules are in `core.checklist`; the files are at `checklist_desk`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from installer import pipeline
from installer.adapters.clock import SystemClock
from installer.adapters.signing import fingerprint, is_signed, load_public, load_signer
from installer.checklist_desk import Desk
from installer.core.checklist import Standing, attest, waive
from installer.core.checklist.stating import find_state
from installer.core.errors import (
    ExitCode,
    InstallError,
    IntegrityError,
    LocalIoError,
    Problem,
    Remedy,
    UsageError,
)
from installer.core.events import CheckResult
from installer.core.seals import Signer, Verdict, check_form
from installer.core.secretrefs import parse_secret_ref
from installer.evidence_files import pack_files, read_pack
from installer.invocation import Invocation
from installer.output.checklist import format_item, format_standing
from installer.output.textfile import Verdict as Verification
from installer.output.textfile import format_metrics

if TYPE_CHECKING:
    from installer.backup_commands import Drain, Finish

_MEASURED = (ExitCode.OK, ExitCode.VERIFY_FAILED, ExitCode.BACKUP)
"""How a verification ends that came to its end."""


def check_list(args: argparse.Namespace, drain: Drain, finish: Finish) -> ExitCode:
    """`checklist run`, `show`, `attest`, `waive` and `report`."""
    if args.action == "run":
        return _run(args, drain, finish)
    invocation = Invocation.open(args, offline=True)
    desk = Desk.open(invocation.job, invocation.workspace.root)
    if args.action == "report":
        return _write(args, invocation, desk)
    scene, _, _ = desk.look()
    if args.action == "attest":
        desk.record(attest(scene, args.item, by=args.by, note=args.note))
    elif args.action == "waive":
        until, reason = args.until, args.reason
        desk.record(waive(scene, args.item, by=args.by, reason=reason, until=until))
    else:
        return _show(invocation, desk, _chosen(scene.standing, args))
    after, _, _ = desk.look()
    invocation.tell(format_item(find_state(after.standing, args.item)))
    return ExitCode.OK


def report(args: argparse.Namespace, drain: Drain, finish: Finish) -> ExitCode:
    """`report`, which makes the evidence pack, and `report check`."""
    del drain, finish
    if args.action == "check":
        return _check(args)
    invocation = Invocation.open(args, offline=True)
    return _write(args, invocation, Desk.open(invocation.job, invocation.workspace.root))


def verify(args: argparse.Namespace, drain: Drain, finish: Finish) -> ExitCode:
    """Verify, keep what came out, and leave metrics of it where they are asked for."""
    invocation = Invocation.open(args)
    desk = Desk.open(invocation.job, invocation.workspace.root)
    begun = SystemClock().monotonic()
    try:
        with invocation.open_ports() as ports:
            made = drain(invocation, ports, pipeline.verify(invocation.job, ports))
    except InstallError as error:
        _leave_metrics(args, desk, error.exit_code, (), begun)
        raise
    status = finish(invocation, made)
    if status in _MEASURED:
        invocation.tell(["evidence    devplat-install report makes the pack of it"])
    _leave_metrics(args, desk, status, made.checks, begun)
    return status


def _run(args: argparse.Namespace, drain: Drain, finish: Finish) -> ExitCode:
    invocation = Invocation.open(args)
    desk = Desk.open(invocation.job, invocation.workspace.root)
    _chosen(desk.look()[0].standing, args)  # before anything is contacted
    signer = _signer(args, invocation)
    with invocation.open_ports() as ports:
        made = drain(invocation, ports, pipeline.verify(invocation.job, ports, host=True))
    status = finish(invocation, made)
    if status not in _MEASURED:
        return status
    invocation.tell([f"evidence    {desk.write_pack(None, signer)[-1]}"])
    accepted = _show(invocation, desk, _chosen(desk.look()[0].standing, args))
    return accepted if args.items else status or accepted


def _show(invocation: Invocation, desk: Desk, standing: Standing) -> ExitCode:
    invocation.tell(format_standing(standing, desk.table))
    return standing.exit_code


def _chosen(standing: Standing, args: argparse.Namespace) -> Standing:
    return standing.only([find_state(standing, id).item.id for id in args.items])


def _write(args: argparse.Namespace, invocation: Invocation, desk: Desk) -> ExitCode:
    signer = _signer(args, invocation)
    folder = Path(args.output) if args.output else None
    for path in desk.write_pack(folder, signer):
        invocation.tell([f"evidence    {path}"])
    invocation.tell([f"signed by   {signer.fingerprint}" if signer else _UNSIGNED])
    return desk.look()[0].standing.exit_code


_UNSIGNED = "signed by   nobody; the hashes find a change by accident only (--sign-key FILE)"


def _signer(args: argparse.Namespace, invocation: Invocation) -> Signer | None:
    if args.sign_key is None:
        return None
    passphrase = None
    if args.sign_passphrase is not None:
        reference = parse_secret_ref(args.sign_passphrase)
        if reference is None:
            raise UsageError(_no_reference())
        passphrase = invocation.reader.read(reference, "--sign-passphrase")
    return load_signer(Path(args.sign_key), passphrase)


def _check(args: argparse.Namespace) -> ExitCode:
    wanted = load_public(Path(args.key)) if args.key else None
    verdicts = []
    for path in pack_files(args.files):
        try:
            verdicts.append(check_form(str(path), read_pack(path), is_signed))
        except ValueError as error:
            raise UsageError(_no_form(path)) from error
    problems = [p for verdict in verdicts for p in _judge(verdict, wanted)]
    intact = [verdict for verdict in verdicts if not verdict.altered]
    if len({verdict.evidence for verdict in intact}) > 1:
        problems.append(_different(intact))
    at_fault = {problem.where for problem in problems}
    for verdict in verdicts:
        if verdict.name not in at_fault:
            by = fingerprint(verdict.signed_by) if verdict.signed_by else ""
            told = _tell_signed(by, known=wanted is not None)
            sys.stdout.write(f"intact      {verdict.name}: {told}\n")
    if problems:
        raise IntegrityError(*problems)
    return ExitCode.OK


def _tell_signed(by: str, *, known: bool) -> str:
    if not by:
        return "not signed; who changes it can make the hashes anew"
    return f"signed by {by}" + ("" if known else "; compare the key, or name it with --key")


def _judge(verdict: Verdict, wanted: str | None) -> list[Problem]:
    if verdict.altered:
        return [_altered(verdict)]
    if wanted is not None and verdict.signed_by != wanted:
        return [_other_key(verdict)]
    return []


def _leave_metrics(
    args: argparse.Namespace,
    desk: Desk,
    status: ExitCode,
    checks: tuple[CheckResult, ...],
    begun: float,
) -> None:
    if args.textfile is None:
        return
    clock, facts = SystemClock(), desk.job.facts
    verdict = Verification(
        deployment=facts["deployment"],
        release=desk.job.bundle.release,
        product=facts["product"],
        exit_code=status,
        checks=checks,
        ended=round(clock.now().timestamp(), 3),
        took=round(clock.monotonic() - begun, 3),
    )
    replace_public(Path(args.textfile), format_metrics(verdict, desk.table))


def replace_public(path: Path, text: str) -> None:
    """Put a file that others may read in place in one step.

    Raises:
        LocalIoError: it cannot be written; the old one is as it was.
    """
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # the exporter runs as somebody else
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise LocalIoError(
            Problem(
                "local.unwritable",
                f"{path}: {error.strerror}",
                Remedy("name a file in the directory that the textfile collector reads"),
                where="--textfile",
            )
        ) from error


def _altered(verdict: Verdict) -> Problem:
    return Problem(
        "report.altered",
        f"{verdict.name} was altered: {', '.join(verdict.altered)}",
        Remedy("take it from where it was written, or make it anew", ("devplat-install report",)),
        where=verdict.name,
    )


def _other_key(verdict: Verdict) -> Problem:
    what = "it is signed with another key" if verdict.signed_by else "it is not signed"
    return Problem(
        "report.other_key",
        f"{verdict.name} is not signed with the key that was named: {what}",
        Remedy("ask who made it for the right public key, or for a signed one"),
        where=verdict.name,
    )


def _different(verdicts: list[Verdict]) -> Problem:
    return Problem(
        "report.different",
        "these files are of different packs: "
        + ", ".join(f"{verdict.name} {verdict.evidence[:12]}" for verdict in verdicts),
        Remedy("check files that were made together"),
        where="FILE",
    )


def _no_form(path: Path) -> Problem:
    return Problem(
        "report.form",
        f"{path} ends in none of .json, .md and .html",
        Remedy("name a form of an evidence pack as it was written"),
        where="FILE",
    )


def _no_reference() -> Problem:
    return Problem(
        "secret.form",
        "the passphrase is given by reference, not as it is",
        Remedy("write env:NAME, file:/path or prompt"),
        where="--sign-passphrase",
    )
