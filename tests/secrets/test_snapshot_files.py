"""Snapshots on this machine: only whole ones are kept, durably and privately, the newest seven."""

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from installer.adapters import snapshot_files
from installer.adapters.snapshot_files import KEPT, SnapshotFiles
from installer.core.errors import IntegrityError, LocalIoError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STATE = b"encrypted by the barrier " * 400


def meta(size):
    return json.dumps({"Version": 1, "ID": "bolt-snapshot", "Index": 7, "Size": size}).encode()


def archive(members=None, sums=None, sealed=True):
    """As the servers write one; `None` for a part leaves it out."""
    members = {"meta.json": meta(len(STATE)), "state.bin": STATE, **(members or {})}
    members = {name: data for name, data in members.items() if data is not None}
    lines = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    lines.update(sums or {})
    members["SHA256SUMS"] = "".join(f"{d}  {n}\n" for n, d in lines.items() if d).encode()
    if sealed:
        members["SHA256SUMS.sealed"] = b"\x00\x01"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def snapshots(tmp_path):
    return SnapshotFiles(tmp_path / "run" / "snapshots")


def pieces(data, size=1000):
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_a_snapshot_lies_private_and_whole_under_its_time(snapshots, umask):
    """SE-08: mode 0600 in a directory of mode 0700, whatever the umask."""
    data = archive()
    before = os.umask(umask)
    try:
        kept = snapshots.keep(pieces(data), NOON)
    finally:
        os.umask(before)
    assert kept.place == f"{snapshots.place}/20260301T120000Z.snap"
    assert (kept.size, kept.digest) == (len(data), hashlib.sha256(data).hexdigest())
    assert stat.S_IMODE(Path(kept.place).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(snapshots.place).stat().st_mode) == 0o700
    assert snapshots.is_intact(kept)


def test_the_name_is_of_utc_whatever_the_clock_shows(snapshots):
    kept = snapshots.keep([archive()], NOON.astimezone(timezone(timedelta(hours=5, minutes=30))))
    assert kept.place.endswith("/20260301T120000Z.snap")


def test_only_the_newest_seven_stay_and_nothing_else_is_touched(snapshots, tmp_path):
    folder = tmp_path / "run" / "snapshots"
    for day in range(KEPT + 3):
        snapshots.keep([archive()], NOON + timedelta(days=day))
        (folder / "of-an-operator.snap").write_text("mine")
    names = sorted(p.name for p in folder.glob("2*.snap"))
    assert names == [f"202603{day:02}T120000Z.snap" for day in range(4, 11)]
    assert (folder / "of-an-operator.snap").read_text() == "mine"


DEFECTS = {
    "nothing": b"",
    "no gzip": b"<html>an error page</html>",
    "cut off": archive()[:-9],
    "cut off in the middle": archive()[: len(archive()) // 2],
    "a bit of the checksum of the whole": archive()[:-8] + b"\x00\x00\x00\x00" + archive()[-4:],
    "no tar inside": gzip.compress(b"x" * 2000),
    "an empty tar": gzip.compress(b"\0" * 10240),
    "no state": archive({"state.bin": None}),
    "no meta": archive({"meta.json": None}),
    "no sum of the state": archive(sums={"state.bin": None}),
    "another sum": archive(sums={"state.bin": hashlib.sha256(b"x").hexdigest()}),
    "a sum of something that is not there": archive(sums={"more.bin": "00"}),
    "meta that is no JSON": archive({"meta.json": b"{"}),
    "meta without a size": archive({"meta.json": b"{}"}),
    "meta of another state": archive({"meta.json": meta(3)}),
}


@pytest.mark.parametrize("data", DEFECTS.values(), ids=DEFECTS)
def test_what_is_no_snapshot_is_refused_and_leaves_the_others_alone(snapshots, data):
    """SE-28: each seeded defect is found."""
    good = snapshots.keep([archive()], NOON)
    with pytest.raises(IntegrityError) as caught:
        snapshots.keep(pieces(data), NOON + timedelta(days=1))
    assert caught.value.problems[0].code == "backup.snapshot"
    names = {path.name for path in Path(snapshots.place).iterdir()}
    assert "20260301T120000Z.snap" in names and not [n for n in names if "0302" in n]
    assert snapshots.is_intact(good)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_list_that_only_the_server_can_read_may_be_there_or_not(snapshots, sealed):
    assert snapshots.is_intact(snapshots.keep([archive(sealed=sealed)], NOON))


def test_a_snapshot_that_changed_on_the_disk_is_noticed(snapshots, tmp_path):
    kept = snapshots.keep([archive()], NOON)
    path = tmp_path / "run" / "snapshots" / "20260301T120000Z.snap"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert not snapshots.is_intact(kept)


def test_more_than_a_storage_can_have_is_not_collected(snapshots, monkeypatch):
    monkeypatch.setattr(snapshot_files, "LARGEST", 5000)
    with pytest.raises(LocalIoError) as caught:
        snapshots.keep((b"x" * 1000 for _ in range(10**9)), NOON)
    assert caught.value.problems[0].code == "backup.too_big"


def test_a_bomb_is_not_unpacked(snapshots, monkeypatch):
    data = gzip.compress(b"\0" * 3_000_000)
    monkeypatch.setattr(snapshot_files, "LARGEST", 1_000_000)
    with pytest.raises(IntegrityError, match="unpacked"):
        snapshots.keep([data], NOON)


def test_a_place_that_others_can_enter_is_refused(snapshots, tmp_path):
    (tmp_path / "run" / "snapshots").mkdir(parents=True, mode=0o755)
    (tmp_path / "run" / "snapshots").chmod(0o755)
    with pytest.raises(LocalIoError) as caught:
        snapshots.keep([archive()], NOON)
    assert caught.value.problems[0].code == "store.mode"


def test_a_link_in_the_place_of_a_snapshot_is_replaced_and_not_followed(snapshots, tmp_path):
    """SE-08: without following links."""
    snapshots.keep([archive()], NOON)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("untouched")
    link = tmp_path / "run" / "snapshots" / "20260302T120000Z.snap"
    link.symlink_to(elsewhere)
    snapshots.keep([archive()], NOON + timedelta(days=1))
    assert elsewhere.read_text() == "untouched"
    assert not link.is_symlink()
