"""When a backup is due: slots of a schedule, and what is missed is made up. BK-10."""

from __future__ import annotations

import json
import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from installer.core.schedule import schedule_slots
from tests.backup.world import PATIENCE_S, World, bundle, wait_for

BERLIN = "Europe/Berlin"


def last_slot(
    programs: Path, schedule: str, begin: datetime, end: datetime, zone: str = "UTC"
) -> datetime | None:
    program = bundle().files["backup/schedule.jq"].data.decode()
    done = subprocess.run(
        [programs / "jq", "-n", "--argjson", "slots", json.dumps(schedule_slots(schedule)),
         "--argjson", "from", str(int(begin.timestamp())), "--argjson", "to",
         str(int(end.timestamp())), program],
        env={**os.environ, "TZ": zone}, capture_output=True, check=True, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    return None if found is None else datetime.fromtimestamp(found, UTC)


@pytest.mark.parametrize(
    ("schedule", "now", "wanted"),
    [
        ("0 3 * * *", "2026-11-24T10:30", "2026-11-24T03:00"),
        ("0 3 * * *", "2026-11-24T03:00", "2026-11-24T03:00"),
        ("0 3 * * *", "2026-11-24T02:59", "2026-11-23T03:00"),
        ("*/15 * * * *", "2026-11-24T10:29", "2026-11-24T10:15"),
        ("30 1 * * sun", "2026-11-24T10:00", "2026-11-22T01:30"),
        ("30 1 * * 7", "2026-11-24T10:00", "2026-11-22T01:30"),
        ("0 0 1 * *", "2026-11-24T10:00", "2026-11-01T00:00"),
        # day and weekday both restricted: either is enough (crontab(5))
        ("0 0 1 * mon", "2026-11-24T10:00", "2026-11-23T00:00"),
        ("0 4 29 feb *", "2026-11-24T10:00", None),
    ],
)
def test_the_last_slot_is_found(
    programs: Path, schedule: str, now: str, wanted: str | None
) -> None:
    end = datetime.fromisoformat(now).replace(tzinfo=UTC)
    found = last_slot(programs, schedule, end - timedelta(days=366), end)
    assert found == (wanted and datetime.fromisoformat(wanted).replace(tzinfo=UTC))


def test_a_slot_is_told_in_the_zone_of_the_answers(programs: Path) -> None:
    end = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    found = last_slot(programs, "0 3 * * *", end - timedelta(days=1), end, BERLIN)
    assert found is not None
    assert found.astimezone(ZoneInfo(BERLIN)).hour == 3
    assert found.hour == 1


@settings(max_examples=15, deadline=None)
@given(minute=st.integers(0, 59), hour=st.integers(0, 23), offset=st.integers(0, 200_000))
def test_a_daily_slot_is_less_than_a_day_old(
    programs: Path, minute: int, hour: int, offset: int
) -> None:
    end = datetime(2026, 11, 24, tzinfo=UTC) + timedelta(minutes=offset)
    found = last_slot(programs, f"{minute} {hour} * * *", end - timedelta(days=3), end)
    assert found is not None
    assert (found.hour, found.minute) == (hour, minute)
    assert timedelta(0) <= end - found < timedelta(days=1)


def wait_for_runs(world: World, wanted: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while len(list((world.state / "manifests").glob("*.json"))) < wanted:
        assert time.monotonic() < end, (world.state / "why").read_text()
        time.sleep(0.1)


def start_job(world: World, **more: str) -> None:
    world.start(
        "sh", str(world.etc / "main.sh"), BACKUP_TICK="0.2", BACKUP_LOOK_BACK="90000", **more
    )


@pytest.mark.slow
def test_a_missed_run_is_made_up_once_and_again_only_when_asked(world: World) -> None:
    """Started after the scheduled time, as after a reboot: due at once, then not any more."""
    start_job(world)
    wait_for_runs(world, 1)
    first = world.manifest()["run"]
    assert wait_for(world.state / "slot").read_text().strip() != "null"
    status, _, _ = world.call("ctl.sh", "request", "somebody")
    assert status == 0
    wait_for_runs(world, 2)
    assert world.manifest()["run"] != first
    end = time.monotonic() + PATIENCE_S
    while world.last()["request"] != "somebody":
        assert time.monotonic() < end
        time.sleep(0.1)
    assert len(world.complete()) == 2  # one that was asked for removes none


@pytest.mark.slow
def test_a_backup_that_failed_stays_due(world: World) -> None:
    """A failed run is no run: the next attempt comes without anybody asking."""
    script = world.root / "backup-files-gitea/part.sh"
    good = script.read_text()
    script.write_text("exit 1")
    start_job(world, BACKUP_AGAIN="1")
    end = time.monotonic() + PATIENCE_S
    while not (world.state / "last").exists() or world.last()["complete"]:
        assert time.monotonic() < end
        time.sleep(0.1)
    script.write_text(good)
    wait_for_runs(world, 1)
    assert world.complete()


@pytest.mark.slow
def test_a_new_host_finds_the_backup_that_there_is_and_makes_no_other(world: World) -> None:
    """An empty platform must not at once be backed up over the full one."""
    assert world.backup()[0] == 0
    kept = world.complete()
    for path in world.state.iterdir():
        if path.name in ("newest", "slot", "last"):
            path.unlink()
    # the slot that counts began before that backup ended
    (world.etc / "slots.json").write_text(json.dumps(schedule_slots("0 * * * *")))
    start_job(world)
    end = time.monotonic() + PATIENCE_S
    while not (world.state / "newest").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert world.manifest()["run"] == kept[0]
    time.sleep(3)  # it would have begun by now
    assert not (world.state / "last").exists()
    assert world.complete() == kept
