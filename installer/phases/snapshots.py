"""A snapshot of the secret server's storage on this machine, taken when its secrets have changed.

It is a copy and changes nothing of the platform: when it cannot be taken the run fails, and what
runs goes on. Restoring is a matter of the runbook.
"""

from __future__ import annotations

from installer.core.errors import (
    BackupError,
    IntegrityError,
    LocalIoError,
    Problem,
    Remedy,
    SecretStoreError,
)
from installer.core.events import CheckFinished, CheckResult, Outcome, Run
from installer.phases.server import Server
from installer.phases.steps import Step
from installer.ports import KeptSnapshot

_ID = "vault.snapshot"


def snapshot_step(server: Server) -> Step:
    """The server's storage of now is kept in the run directory. Needs a login."""
    snapshots = server.ports.snapshots
    kept: list[KeptSnapshot] = []

    def take() -> Run[None]:
        try:
            kept[:] = [snapshots.keep(server.ports.admin.snapshot(), server.clock.now())]
        except (SecretStoreError, IntegrityError, LocalIoError) as error:
            raise BackupError(_not_taken(server, error.problems[0])) from error
        yield CheckFinished(_ID, _finding(kept[0]))

    def is_taken() -> bool:
        return bool(kept) and snapshots.is_intact(kept[0])

    # always taken: what is in the storage is not known before it was asked for
    return Step(_ID, "take a snapshot of the secret server", lambda: False, take, is_taken)


def _finding(kept: KeptSnapshot) -> CheckResult:
    found = f"{kept.size} bytes, SHA-256 {kept.digest}"
    title = "a snapshot of the secret server's storage is complete and kept on this machine"
    return CheckResult(_ID, title, Outcome.PASS, found=found, where=kept.place)


def _not_taken(server: Server, cause: Problem) -> Problem:
    return Problem(
        "backup.snapshot",
        f"no snapshot of {server.manifest.name} was kept: {cause.summary}; what runs was left"
        " as it is",
        Remedy(
            f"{cause.remedy.summary}; the next apply or rotate takes one", cause.remedy.commands
        ),
        where=cause.where or server.ports.snapshots.place,
        detail=cause.detail,
    )
