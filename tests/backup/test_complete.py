"""A backup that counts: everything stored, read back, listed in a manifest. BK-03..BK-08, BK-19."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.backup.world import World

pytestmark = pytest.mark.slow


def test_a_backup_is_complete_and_its_manifest_says_what_is_in_it(world: World) -> None:
    """BK-05: release, versions, size and checksum of each part, counts, times, key."""
    status, told = world.backup()
    assert status == 0, told
    manifest = world.manifest()
    (part,) = manifest["parts"]
    assert manifest["release"] == json.loads((world.etc / "manifest.json").read_text())["release"]
    assert manifest["versions"]["backup"].startswith("docker.io/restic/restic:")
    assert manifest["key"] == json.loads(world.restic("key", "list", "--json"))[0]["id"]
    assert manifest["started"] <= part["started"] <= part["ended"] <= manifest["ended"]
    stored = world.restic_bytes("dump", part["snapshot"], "files.tar")
    assert len(stored) == part["size"] == manifest["size"]
    assert hashlib.sha256(stored).hexdigest() == part["sha256"]
    assert part["facts"]["entries"] == 14
    assert "./data/a name with blanks" in part["facts"]["sample"]
    assert world.complete() == [manifest["run"]]
    told_metrics = world.metrics()
    assert told_metrics["devplat_backup_last_success_timestamp_seconds"] == manifest["ended"]
    assert told_metrics['devplat_backup_last_result{part="all"}'] == 1
    assert told_metrics['devplat_backup_size_bytes{part="files"}'] == part["size"]


def test_without_the_passphrase_nothing_can_be_read(world: World) -> None:
    """BK-07: the files do not show what is in them, and another key is named by the old one's."""
    assert world.backup()[0] == 0
    everything = b"".join(p.read_bytes() for p in world.repository.rglob("*") if p.is_file())
    assert b"blank" not in everything
    assert b"tool.git" not in everything
    key = (world.state / "key").read_text().strip()
    world.passphrase.write_text("another one")
    status, told = world.backup()
    assert status != 0
    assert (
        f"the passphrase opens no key of the repository; its backups were made with key {key}"
        in told
    )
    assert world.last()["complete"] is False


def break_part(world: World, script: str) -> None:
    (world.root / "backup-files-gitea/part.sh").write_text(script)


@pytest.mark.parametrize(
    "script",
    [
        # the guide's own mistake: what fails in the middle of a pipe
        "echo begun; head -c 300000 /dev/zero; false | cat >/dev/null; exit 7",
        "kill -9 $$",
        "exit 1",
    ],
    ids=["in the middle", "killed", "at once"],
)
def test_a_part_that_fails_fails_the_backup_and_old_ones_stay(world: World, script: str) -> None:
    """BK-03: no status is lost in a pipe, nothing is called complete, nothing old is removed."""
    assert world.backup()[0] == 0
    before = world.complete()
    break_part(world, script)
    status, told = world.backup()
    assert status != 0
    assert "part files: it could not be stored" in told
    assert world.complete() == before
    assert world.metrics()['devplat_backup_last_result{part="files"}'] == 0
    assert world.last()["why"].startswith("part files")


def test_a_part_whose_service_is_dead_is_not_waited_for_without_end(world: World) -> None:
    """BK-03, and the part that stops after it has begun is found broken off."""
    server = world.children[0].pid
    break_part(world, f"head -c 100000 /dev/zero; kill -9 -- -{server}")
    status, told = world.backup()
    assert status != 0
    assert "part files: broken off" in told
    os.utime(world.spool("files") / "alive", (1, 1))
    status, told = world.backup()
    assert status != 0
    assert "part files: nothing answers in its spool" in told


def test_an_upload_that_fails_fails_the_backup(world: World) -> None:
    """BK-03: the place that backups go to refuses."""
    assert world.backup()[0] == 0
    before = world.complete()
    (world.repository / "data").rename(world.repository / "data.away")
    (world.repository / "data").write_text("no directory")
    # restic itself tries again for a quarter of an hour; the limit of a part ends that
    status, told = world.backup(BACKUP_LIMIT="8")
    assert status != 0
    assert "part files: it could not be stored" in told
    (world.repository / "data").unlink()
    (world.repository / "data.away").rename(world.repository / "data")
    assert world.complete() == before


def test_a_repository_that_is_gone_is_not_made_anew(world: World) -> None:
    """BK-08: an empty place after a mistake in the mounts must not pass for a first backup."""
    assert world.backup()[0] == 0
    world.repository.rename(world.root / "away")
    world.repository.mkdir()
    status, told = world.backup()
    assert status != 0
    assert "the repository is gone" in told
    assert list(world.repository.iterdir()) == []


def test_never_two_at_once(world: World) -> None:
    """BK-10."""
    break_part(world, "sleep 30")
    first = world.start("sh", str(world.etc / "run.sh"))
    end = time.monotonic() + 30
    while not (world.state / "work/files.sum").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert world.backup()[0] == 75
    os.killpg(first.pid, signal.SIGKILL)


def test_a_job_killed_at_20_instants_leaves_nothing_that_counts(world: World) -> None:
    """BK-04: only backups with a final manifest count; half ones are removed next time."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    begun = time.monotonic()
    assert world.backup()[0] == 0
    took = time.monotonic() - begun
    for _ in range(20):
        child = world.start("sh", str(world.etc / "run.sh"))
        time.sleep(chance.uniform(0, took))  # the instant of the kill
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    status, told = world.backup()
    assert status == 0, (seed, told)
    complete = world.complete()
    assert world.manifest()["run"] in complete
    parts = {tag[4:] for s in world.snapshots() for tag in s["tags"] if tag.startswith("run:")}
    assert parts == set(complete), seed
    assert world.fetch("after-all")["state"] == "ready"


def test_the_lock_of_a_program_nobody_waited_for_does_not_stop_the_next_run(world: World) -> None:
    """BK-04: killed while it held the repository for itself; its number is still taken."""
    assert world.backup()[0] == 0
    holder = world.start(str(world.programs / "restic"), "check", "--read-data")
    end = time.monotonic() + 30
    while not (held := list((world.repository / "locks").iterdir())):
        assert time.monotonic() < end
        time.sleep(0.005)
    holder.kill()  # and not waited for: it stays in the table of programs
    status, told = world.backup()
    assert held
    assert status == 0, told


def damage(world: World, how: str) -> None:
    """Change what is stored, behind restic's back."""
    packs = sorted((p for p in (world.repository / "data").rglob("*") if p.is_file()),
                   key=lambda p: p.stat().st_size)  # fmt: skip
    for pack in packs:
        content = bytearray(pack.read_bytes())
        pack.chmod(0o600)
        if how == "flip":
            content[len(content) // 3] ^= 1
        elif how == "truncate":
            del content[len(content) // 2 :]
        pack.write_bytes(content)
        if how == "remove":
            pack.unlink()


@pytest.mark.parametrize("how", ["flip", "truncate", "remove"])
def test_a_damaged_backup_is_found_before_anything_is_restored(world: World, how: str) -> None:
    """BK-19, F-089: no part gets its name, so nothing can be restored from it."""
    assert world.backup()[0] == 0
    damage(world, how)
    found = world.fetch("drill")
    assert found["state"] in ("damaged", "failed"), found
    assert not list((world.root / "scratch/drill").glob("*.tar"))
    assert world.backup()[0] != 0  # and the next run does not pass its check


def test_parts_of_two_backups_are_not_mixed_and_a_run_without_manifest_is_none(
    world: World,
) -> None:
    """BK-19: a manifest that names another backup's part; one that is removed."""
    assert world.backup()[0] == 0
    manifest = world.manifest()
    run = manifest["run"]
    swapped: dict[str, Any] = json.loads(json.dumps(manifest))
    swapped["parts"][0]["snapshot"] = world.store_part("20250101T030000Z-00000000", b"other")
    world.forget_manifest(run)
    world.store_manifest(run, swapped)
    found = world.fetch("mixed", run)
    assert found["state"] == "damaged"
    assert "its manifest says" in found["why"]
    world.forget_manifest(run)
    assert world.complete() == []
    assert world.fetch("gone", run)["why"] == f"there is no complete backup {run}"


def test_files_that_vanish_are_listed_and_others_are_kept(world: World, data: Path) -> None:
    """BK-02: what was removed while it was read is told, not hidden."""
    script = world.root / "backup-files-gitea/part.sh"
    script.write_text(
        script.read_text().replace(
            "total=$(wc", f"rm -f '{data}/data/a name with blanks'\ntotal=$(wc"
        )
    )
    status, told = world.backup()
    assert status == 0, told
    (part,) = world.manifest()["parts"]
    (gone,) = part["facts"]["gone"]
    assert "a name with blanks" in gone


def test_a_name_that_cannot_be_listed_fails_loudly(world: World, data: Path) -> None:
    (data / "data/two\nlines").write_text("odd")
    assert world.backup()[0] != 0
    assert world.complete() == []


def test_one_part_is_fetched_alone_and_an_unknown_one_is_named(world: World, data: Path) -> None:
    """BK-16."""
    world.serve_files(data, "more")
    (world.etc / "parts").write_text("files\nmore\n")
    assert world.backup()[0] == 0
    assert world.fetch("one", "newest", "more")["state"] == "ready"
    assert [p.name for p in (world.root / "scratch/one").glob("*.tar")] == ["more.tar"]
    found = world.fetch("none", "newest", "nothing")
    assert found["state"] == "failed"
    assert found["why"].endswith("has no part nothing")
