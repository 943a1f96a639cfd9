"""The command `support-bundle`: what is known of a deployment, in one archive without secrets.

Whatever cannot be reached is left out and named: it is asked for when things are broken.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import platform
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from installer import pipeline
from installer.adapters.clock import SystemClock
from installer.backup_commands import Drain, Finish
from installer.core.bundle import COMPOSE_PATH, MANIFEST_PATH
from installer.core.draft import dump
from installer.core.errors import ExitCode, InstallError, LocalIoError, Problem, Remedy, UsageError
from installer.core.events import CheckFinished, CheckResult, Outcome, Run, span
from installer.core.secrets import Secret
from installer.core.support import (
    Gathered,
    LeftOut,
    SupportBundle,
    describe_failure,
    make_bundle,
    parts_of_secrets,
)
from installer.invocation import Invocation
from installer.phases.support import collect_host, read_delivered
from installer.ports import Clock, Host

RUNS = 3
"""Runs whose logs and reports are taken."""
FEWEST_LINES, MOST_LINES = 1, 100_000


@dataclass(frozen=True, slots=True)
class Here:
    """This machine: the time is all that is needed of it."""

    clock: Clock


def collect(args: argparse.Namespace, drain: Drain, finish: Finish) -> ExitCode:
    """Collect, redact, write one archive that nobody else can read."""
    if not FEWEST_LINES <= args.lines <= MOST_LINES:
        raise UsageError(_bad_lines(args.lines))
    invocation = Invocation.open(args)
    name = f"support-{invocation.job.plan.deployment}-{invocation.workspace.run}"
    target = Path(args.output) if args.output else invocation.workspace.root / f"{name}.tar.gz"
    if target.exists():
        raise UsageError(_exists(target))
    here = Here(SystemClock())
    work = _write(invocation, args.lines, name, target)
    report = drain(invocation, here, pipeline.carry_out(invocation.job, here, work))
    status = finish(invocation, report)
    if report.ok:
        invocation.tell(
            [
                f"bundle      {target}",
                "look into it before you send it: secrets that are known were taken out, and your"
                " names, addresses and logs are in it",
            ]
        )
    return status


def _write(invocation: Invocation, lines: int, name: str, target: Path) -> Run[None]:
    gathered = Gathered()
    secrets: dict[str, Secret] = {}
    local = _collect_here(invocation, gathered)
    yield from span("support.local", "collect what this machine has", local)
    try:
        yield from _visit(invocation, lines, gathered, secrets)
    except InstallError as error:
        why = describe_failure(error.problems[0])
        gathered.leave("host, target, containers", why)
        yield _warned("the host could not be examined; only this machine's part is there", why)
    if not secrets:
        _learn_stored(invocation, None, secrets)
    invocation.redactor.add(*secrets.values())
    bundle = make_bundle(gathered, invocation.job.facts, invocation.redactor.redact, secrets)
    yield from span("support.write", f"write {target}", _save(bundle, name, target))


def _visit(
    invocation: Invocation, lines: int, gathered: Gathered, secrets: dict[str, Secret]
) -> Run[None]:
    job = invocation.job
    deployment, layout = job.plan.deployment, job.layout
    with invocation.open_target() as found:
        host = found.host
        with suppress(InstallError):  # then the store has to know
            secrets |= parts_of_secrets(read_delivered(host, deployment, layout))
        _learn_stored(invocation, host, secrets)
        if not secrets:
            why = "no secret of the deployment is known here, so none could be taken out of logs"
            gathered.leave("containers/*/log.txt", why)
            yield _warned("logs of containers are left out", why)
        work = collect_host(host, deployment, layout, gathered, lines if secrets else None)
        yield from span("support.host", "collect what the host tells", work)


def _collect_here(invocation: Invocation, gathered: Gathered) -> Run[None]:
    job, root = invocation.job, invocation.workspace.root
    gathered.add("answers.yaml", dump(job.plan.answers))
    for name in (MANIFEST_PATH, COMPOSE_PATH):
        gathered.add(f"rendered/{name}", job.bundle.files[name].data.decode())
    gathered.add("bastion.txt", f"{platform.platform()}\npython {platform.python_version()}\n")
    names = sorted(path.name for path in (root / "runs").iterdir() if path.is_dir())
    earlier = [name for name in names if name != invocation.workspace.run]
    for run in earlier[-RUNS:]:
        for path in sorted((root / "runs" / run).iterdir()):
            if path.suffix in (".json", ".jsonl", ".md"):
                _add_file(gathered, f"runs/{run}/{path.name}", path)
    for name in ("secrets.store", "custody", "snapshots", "runbook.md"):
        if (root / name).exists():
            gathered.leave(f"run directory: {name}", "keys and copies of secrets never leave it")
    yield from ()


def _add_file(gathered: Gathered, name: str, path: Path) -> None:
    try:
        gathered.add(name, path.read_text("utf-8", "replace"))
    except OSError as error:
        gathered.leave(name, str(error.strerror))


def _learn_stored(invocation: Invocation, host: Host | None, secrets: dict[str, Secret]) -> None:
    """Secrets of the store, as far as it can be read now; whatever is missing is no failure."""
    with suppress(InstallError), invocation.open_kept(host) as kept:
        if kept is None:
            return
        stores = [kept.store]
        if kept.server is not None:
            stores = [kept.server.courier]
            access = kept.server.custody.access()
            if host is not None and access is not None:
                kept.server.admin.log_in_as(access)
                stores.append(kept.store)
        for store in stores:
            for name in sorted(store.names()):
                if (value := store.get(name)) is not None:
                    secrets |= parts_of_secrets({name: value.reveal()})


def _save(bundle: SupportBundle, name: str, target: Path) -> Run[None]:
    """One archive, readable by its owner alone, never over another file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, data in bundle.files.items():
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(gzip.compress(packed.getvalue(), mtime=0))
    except OSError as error:
        raise LocalIoError(_unwritable(target, error)) from error
    title = f"{len(bundle.files)} files, {len(bundle.left)} left out; MANIFEST.json lists both"
    yield CheckFinished("support.write", CheckResult("support.bundle", title, Outcome.PASS))
    for item in bundle.left:
        yield CheckFinished("support.write", _left_out(item))


def _left_out(item: LeftOut) -> CheckResult:
    return CheckResult("support.left_out", item.why, Outcome.PASS, where=item.path)


def _warned(title: str, why: str) -> CheckFinished:
    result = CheckResult("support.incomplete", title, Outcome.WARN, found=why)
    return CheckFinished("support.host", result)


def _bad_lines(given: int) -> Problem:
    return Problem(
        "usage.lines",
        f"--lines is {given}; allowed: {FEWEST_LINES} to {MOST_LINES}",
        Remedy("ask for fewer", ("devplat-install support-bundle --lines 500",)),
        where="--lines",
    )


def _exists(path: Path) -> Problem:
    return Problem(
        "usage.exists",
        f"{path} exists, and nothing is written over it",
        Remedy("name a new file", ("devplat-install support-bundle --output FILE.tar.gz",)),
        where="--output",
    )


def _unwritable(path: Path, error: OSError) -> Problem:
    return Problem(
        "local.unwritable",
        f"{path}: {error.strerror}",
        Remedy("choose a place that can be written"),
        where=os.fspath(path),
    )
