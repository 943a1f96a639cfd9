"""Asks the service that makes the backups: for one now, for what there is, for one to be fetched.

The work is done by that service, so a lost connection ends the waiting and not the backup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from installer.core.errors import BackupError, IntegrityError, Problem, Remedy, UsageError
from installer.core.events import CheckFinished, CheckResult, Outcome, Run, StepProgress
from installer.core.manifest import ServiceManifest
from installer.core.manifest_parts import CollectorPart
from installer.core.plan import Plan
from installer.ports import Clock, Engine, Entropy, Project

POLL_S = 2.0
TAKEN_UP_S = 120
"""Seconds until a request must have been taken up; the service looks every few seconds."""
LONGEST_S = 24 * 3600

Manifest = Mapping[str, Any]
"""The manifest of a complete backup, as the service stores it."""


@dataclass(frozen=True, slots=True)
class Backups:
    """What a run about backups works with."""

    plan: Plan
    project: Project
    engine: Engine
    clock: Clock
    entropy: Entropy

    @property
    def collector(self) -> ServiceManifest:
        """The service that makes them.

        Raises:
            UsageError: there are no backups in this deployment.
        """
        found = self.plan.collector
        if found is None:
            raise UsageError(
                Problem(
                    "usage.no_backups",
                    "this platform makes no backups",
                    Remedy("switch them on in the answers and apply", ("devplat-install apply",)),
                    where="backup.enabled",
                )
            )
        return found

    @property
    def part(self) -> CollectorPart:
        """How it is asked."""
        part = self.collector.collector
        if part is None:
            raise ValueError(f"{self.collector.name} makes no backups")
        return part

    def ask(self, *words: str) -> str:
        """Its answer.

        Raises:
            BackupError: it does not run, or refuses.
        """
        argv = (*self.part.ask, *words)
        done = self.engine.exec(self.project, self.collector.name, argv)
        if done.status != 0:
            lines = (done.error_text or done.text).strip().splitlines() or ["no answer"]
            raise BackupError(_refused(self.collector.name, words[0], lines))
        return done.text


def make_backup(work: Backups) -> Run[str]:
    """Ask for a backup and wait until it is complete and verified; returns its id.

    Raises:
        BackupError: it failed, with the service's own reason, or was not taken up.
    """
    token = work.entropy(8).hex()
    work.ask("request", token)
    begun = work.clock.monotonic()
    beats = 0
    while True:
        status = json.loads(work.ask("status"))
        last, running = status["last"], status["running"]
        if last and last["request"] == token:
            break
        waited = work.clock.monotonic() - begun
        if waited > LONGEST_S or (running is None and waited > TAKEN_UP_S):
            raise BackupError(_not_taken_up(work.collector.name, waited))
        beats += 1
        note = f"{running['run']} runs" if running else "asked for, not begun yet"
        yield StepProgress("backup.now", beats, None, note=note)
        work.clock.sleep(POLL_S)
    if not last["complete"]:
        raise BackupError(_failed(work.collector.name, last["run"], last["why"]))
    found = find_backup(list_backups(work), last["run"])
    yield CheckFinished("backup.now", _complete(found))
    return str(last["run"])


def list_backups(work: Backups) -> list[Manifest]:
    """The manifests of all complete backups, the newest first.

    Raises:
        BackupError: the service does not run, or its repository does not answer.
    """
    found: list[Manifest] = json.loads(work.ask("list"))
    return found


def find_backup(manifests: list[Manifest], run: str | None) -> Manifest:
    """The backup of that id, or the newest.

    Raises:
        BackupError: there is none.
    """
    chosen = [m for m in manifests if run in (None, m["run"])]
    if not chosen:
        what = f"there is no complete backup {run}" if run else "there is no complete backup yet"
        command = "devplat-install backup list" if run else "devplat-install backup now"
        raise BackupError(Problem("backup.absent", what, Remedy("see what there is", (command,))))
    return chosen[0]


def fetch_backup(work: Backups, name: str, run: str, part: str | None) -> Run[None]:
    """Have a backup fetched into a scratch directory, compared with its manifest part by part.

    Raises:
        IntegrityError: it is damaged; nothing was restored.
        BackupError: it could not be fetched.
    """
    work.ask("fetch", name, run, *((part,) if part else ()))
    begun = work.clock.monotonic()
    beats = 0
    while True:
        told = json.loads(work.ask("fetched", name))
        if told["state"] != "running":
            break
        if work.clock.monotonic() - begun > LONGEST_S:
            raise BackupError(_not_taken_up(work.collector.name, LONGEST_S))
        beats += 1
        yield StepProgress("restore.fetch", beats, None, note=f"fetches {run}")
        work.clock.sleep(POLL_S)
    if told["state"] == "damaged":
        raise IntegrityError(_damaged(run, told["why"]))
    if told["state"] != "ready":
        raise BackupError(_failed(work.collector.name, run, told["why"]))
    title = "every part is as the manifest's checksum says"
    yield CheckFinished(
        "restore.fetch", CheckResult("restore.checksum", title, Outcome.PASS, where=run)
    )


def _complete(found: Manifest) -> CheckResult:
    parts = ", ".join(f"{part['name']} {part['size']} bytes" for part in found["parts"])
    return CheckResult(
        "backup.complete",
        "the backup is complete, and was read back",
        Outcome.PASS,
        where=found["run"],
        found=f"{parts}; key {found['key'][:8]}; {found['ended'] - found['started']} s",
    )


def _failed(service: str, run: str, why: str) -> Problem:
    return Problem(
        "backup.failed",
        f"{run}: {why}; backups from before are untouched",
        Remedy(f"read the log of {service}, then try again", ("devplat-install backup now",)),
        where=service,
    )


def _damaged(run: str, why: str) -> Problem:
    return Problem(
        "backup.damaged",
        f"backup {run} is damaged: {why}; nothing was restored from it",
        Remedy(
            "take another backup; the checksum of this one does not match its manifest",
            ("devplat-install backup list",),
        ),
        where=run,
    )


def _refused(service: str, word: str, lines: list[str]) -> Problem:
    return Problem(
        "backup.refused",
        f"{word}: {lines[-1]}",
        Remedy(f"look at {service}", ("devplat-install status",)),
        where=service,
        detail="\n".join(lines[-10:]),
    )


def _not_taken_up(service: str, waited: float) -> Problem:
    return Problem(
        "backup.not_taken_up",
        f"nothing was heard of it for {waited:.0f} s",
        Remedy(f"read the log of {service}"),
        where=service,
    )
