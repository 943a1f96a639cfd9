"""The step that takes a snapshot: what it reports, and what a failure of it does not do."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from installer.core.errors import (
    BackupError,
    ExitCode,
    IntegrityError,
    LocalIoError,
    Problem,
    Remedy,
    SecretStoreError,
    SshConnectError,
)
from installer.core.events import CheckFinished, Outcome, StepFinished
from installer.phases.snapshots import snapshot_step
from installer.phases.steps import run_steps
from installer.ports import KeptSnapshot
from tests.phases.test_steps import Journal

KEPT = KeptSnapshot("/runs/snapshots/20260101T000000Z.snap", 4711, "ab" * 32)


class Snapshots:
    place = "/runs/snapshots"

    def __init__(self, error=None, intact=True):
        self.error = error
        self.is_intact = lambda kept: intact
        self.kept = []

    def keep(self, pieces, taken):
        if self.error:
            raise self.error
        self.kept.append((b"".join(pieces), taken))
        return KEPT


def server_with(snapshots, snapshot=lambda: iter((b"one", b"two"))):
    clock = SimpleNamespace(now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    ports = SimpleNamespace(admin=SimpleNamespace(snapshot=snapshot), snapshots=snapshots)
    return SimpleNamespace(ports=ports, clock=clock, manifest=SimpleNamespace(name="server"))


def problem(code="cause"):
    return Problem(code, "the disk is full", Remedy("free some space", ("df -h",)), where="/runs")


def test_size_and_hash_are_reported(tmp_path):
    snapshots = Snapshots()
    events = list(run_steps([snapshot_step(server_with(snapshots))], Journal()))
    found = [e.result for e in events if isinstance(e, CheckFinished)]
    assert [(r.id, r.outcome) for r in found] == [("vault.snapshot", Outcome.PASS)]
    assert found[0].where == KEPT.place
    assert "4711 bytes" in found[0].found and KEPT.digest in found[0].found
    assert snapshots.kept == [(b"onetwo", datetime(2026, 1, 1, tzinfo=UTC))]
    assert [e.changed for e in events if isinstance(e, StepFinished)] == [True]


@pytest.mark.parametrize(
    "error", [SecretStoreError(problem()), IntegrityError(problem()), LocalIoError(problem())]
)
def test_a_snapshot_that_cannot_be_kept_fails_the_run_with_the_way_out(error):
    with pytest.raises(BackupError) as caught:
        list(run_steps([snapshot_step(server_with(Snapshots(error)))], Journal()))
    assert caught.value.exit_code is ExitCode.BACKUP == 22
    told = caught.value.problems[0]
    assert told.code == "backup.snapshot"
    assert "the disk is full" in told.summary and "what runs was left" in told.summary
    assert told.remedy.summary.startswith("free some space")
    assert told.remedy.commands == ("df -h",)
    assert told.where == "/runs"


def test_a_server_that_stops_in_the_middle_is_a_failed_backup_too():
    def snapshot():
        yield b"one"
        raise SecretStoreError(problem("vault.unreachable"))

    with pytest.raises(BackupError):
        list(run_steps([snapshot_step(server_with(Snapshots(), snapshot))], Journal()))


def test_a_lost_connection_keeps_its_own_status():
    with pytest.raises(SshConnectError):
        list(
            run_steps(
                [snapshot_step(server_with(Snapshots(SshConnectError(problem()))))], Journal()
            )
        )


def test_a_snapshot_has_nothing_to_undo():
    """Invariant 4: a run that fails later keeps it."""
    assert snapshot_step(server_with(Snapshots())).undo is None


def test_a_snapshot_that_is_not_on_the_disk_afterwards_is_not_believed():
    with pytest.raises(Exception, match="not visible"):
        list(run_steps([snapshot_step(server_with(Snapshots(intact=False)))], Journal()))
