"""The lock and the journal on a real file system (F-078, F-079, INV-04, INV-09)."""

import json
import os
from pathlib import Path

import pytest

from installer.core.errors import LockedError
from installer.core.owner import Owner
from installer.phases.journal import TargetJournal, TargetLock


def owner(run, machine="bastion", process="1"):
    return Owner(run, "ops", machine, process, "2026-01-01T00:00:00+00:00")


@pytest.fixture
def lock(host, layout, clock):
    def make(run, *, gone=False, **more):
        return TargetLock(host, layout, owner(run, **more), clock, lambda process: gone)

    return make


def test_the_lock_is_free_again_after_release(lock):
    first = lock("a")
    assert first.acquire() is None
    first.release()
    assert lock("b").acquire() is None


def test_a_second_run_is_told_who_holds_the_lock_and_since_when(lock):
    lock("a").acquire()
    with pytest.raises(LockedError) as caught:
        lock("b", machine="elsewhere").acquire()
    problem = caught.value.problems[0]
    assert problem.code == "lock.held"
    for piece in ("held by ops", "bastion", "since 2026-01-01", "run a"):
        assert piece in problem.summary


def test_the_lock_of_an_ended_process_of_this_machine_is_taken_over_and_said(lock):
    lock("a").acquire()
    assert "run a" in lock("b", gone=True).acquire()


def test_a_process_that_looks_ended_from_another_machine_keeps_its_lock(lock):
    lock("a").acquire()
    with pytest.raises(LockedError):
        lock("b", gone=True, machine="elsewhere").acquire()


def test_a_silent_lock_needs_the_named_option(lock, layout):
    lock("a").acquire()
    os.utime(layout.lock, (1, 1))
    other = lock("b", machine="elsewhere")
    with pytest.raises(LockedError) as caught:
        other.acquire()
    assert caught.value.problems[0].code == "lock.stale"
    assert "take over" in caught.value.problems[0].remedy.summary
    assert "run a" in other.acquire(take_over=True)


def test_the_named_option_does_not_take_a_living_lock(lock):
    lock("a").acquire()
    with pytest.raises(LockedError):
        lock("b", machine="elsewhere").acquire(take_over=True)


def test_release_leaves_the_lock_of_another_run(lock, layout):
    lock("a").acquire()
    lock("b").release()
    assert json.loads(Path(layout.lock).read_text())["run"] == "a"


def test_a_damaged_lock_is_held_by_an_unknown_user(lock, layout):
    lock("a").acquire()
    Path(layout.lock).write_text("{")
    with pytest.raises(LockedError) as caught:
        lock("b").acquire()
    assert "unknown user" in caught.value.problems[0].summary


def test_the_journal_is_a_whole_document_at_every_moment(host, layout, lock):
    mine = lock("a")
    mine.acquire()
    journal = TargetJournal(host, layout, mine, "r1")
    seen = []
    for act in (journal.begin, journal.end):
        act("ship.release")
        seen.append(json.loads(Path(layout.journal).read_text())["steps"])
    assert seen == [{"ship.release": "begun"}, {"ship.release": "done"}]
    assert Path(layout.journal).stat().st_mode & 0o777 == 0o600
    assert [p.name for p in Path(layout.state).iterdir() if p.name.endswith(".part")] == []


def test_the_heartbeat_is_renewed_at_most_once_a_minute(lock, layout, clock):
    mine = lock("a")
    mine.acquire()
    os.utime(layout.lock, (1, 1))
    mine.beat()
    assert Path(layout.lock).stat().st_mtime == 1
    clock.seconds += 61
    mine.beat()
    assert Path(layout.lock).stat().st_mtime > 1
