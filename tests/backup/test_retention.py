"""What is kept, decided by the rendered jq program over a simulated clock. BK-08."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.backup.world import bundle

START = datetime(2026, 1, 1, 3, 0, tzinfo=UTC)


def name(at: datetime) -> str:
    return f"{at:%Y%m%dT%H%M%SZ}-0badcafe"


def removed(
    programs: Path,
    runs: Sequence[str],
    current: str,
    daily: int = 30,
    weekly: int = 0,
    monthly: int = 0,
) -> list[str]:
    """The runs that the rendered program would remove."""
    program = bundle().files["backup/retention.jq"].data.decode()
    keep = json.dumps({"daily": daily, "weekly": weekly, "monthly": monthly})
    done = subprocess.run(
        [programs / "jq", "-c", "--argjson", "keep", keep, "--arg", "current", current, program],
        input=json.dumps([{"run": run} for run in runs]), env={**os.environ, "TZ": "UTC"},
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    found: list[str] = json.loads(done.stdout)
    return found


def simulate(programs: Path, days: Sequence[datetime], **keep: int) -> list[str]:
    """A backup on each of these days, each followed by a removal."""
    kept: list[str] = []
    for day in days:
        kept.append(name(day))
        kept = [run for run in kept if run not in removed(programs, kept, name(day), **keep)]
    return kept


@pytest.mark.slow
@pytest.mark.parametrize(("weekly", "monthly", "wanted"), [(0, 0, 30), (8, 12, 44)])
def test_400_days_of_daily_backups_keep_what_was_answered(
    programs: Path, weekly: int, monthly: int, wanted: int
) -> None:
    days = [START + timedelta(days=day) for day in range(400)]
    kept = simulate(programs, days, weekly=weekly, monthly=monthly)
    assert kept[-30:] == [name(day) for day in days[-30:]]
    assert abs(len(kept) - wanted) <= 3  # weeks and months overlap the days
    if monthly:
        months = {run[:6] for run in kept}
        assert len(months) == 12


def test_of_several_backups_of_a_day_the_last_one_stays(programs: Path) -> None:
    runs = [name(START + timedelta(hours=hour)) for hour in (0, 4, 8)]
    assert removed(programs, runs, runs[-1]) == runs[:2]


@pytest.mark.parametrize("jump", [timedelta(days=3650), timedelta(days=-3650)])
def test_a_clock_that_jumps_removes_nothing_that_would_have_stayed(
    programs: Path, jump: timedelta
) -> None:
    days = [START + timedelta(days=day) for day in range(20)]
    runs = [name(day) for day in days]
    jumped = name(days[-1] + jump)
    assert removed(programs, [*runs, jumped], jumped) == []
    # and the clock comes back
    later = name(days[-1] + timedelta(days=1))
    assert removed(programs, [*runs, jumped, later], later) == []


def test_the_backup_just_made_and_the_last_good_one_are_never_removed(programs: Path) -> None:
    """With a clock far in the past the new backup is the oldest of all."""
    runs = [name(START + timedelta(days=day)) for day in range(60)]
    past = name(datetime(2001, 1, 1, tzinfo=UTC))
    gone = removed(programs, [*runs, past], past)
    assert past not in gone
    assert runs[-1] not in gone
    assert removed(programs, [runs[0]], runs[0], daily=0) == []


def test_a_list_that_is_too_short_removes_no_more_than_the_whole_one(programs: Path) -> None:
    """Counting days that have a backup: what a listing lacks can only save others."""
    runs = [name(START + timedelta(days=day)) for day in range(50)]
    whole = set(removed(programs, runs, runs[-1]))
    for lost in (0, 10, 30, 48):
        some = [*runs[:lost], runs[-1]]
        assert set(removed(programs, some, runs[-1])) <= whole
    assert removed(programs, [], runs[-1]) == []


def test_names_of_others_are_let_be(programs: Path) -> None:
    others = ["a name with blanks", "", "20260101T030000Z", "?"]
    runs = [name(START + timedelta(days=day)) for day in range(40)]
    gone = removed(programs, [*others, *runs], runs[-1])
    assert set(gone) == set(runs[:10])
