"""Shipping on a real file system: what is sent, what is kept, what is noticed."""

import os
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from installer.core.bundle import Bundle, BundleFile
from installer.core.errors import RemoteIoError
from installer.core.events import StepProgress
from installer.core.layout import Layout
from installer.phases.ship import (
    SQUEEZED_BYTES,
    SecretFile,
    data_step,
    override_step,
    pieces,
    release_step,
    secrets_step,
)


def bundle(release="aaaaaaaaaaaa", **files):
    content = {
        "compose.yaml": BundleFile(b"services: {}\n"),
        "door/with blank.sh": BundleFile(b"#!/bin/sh\n", 0o755),
        **{name.replace("__", "/"): BundleFile(data) for name, data in files.items()},
    }
    return Bundle(dict(sorted(content.items())), {}, release)


def do(step):
    for _ in step.do():
        pass
    return step.verify()


def test_a_release_arrives_with_contents_and_modes(host, layout):
    step = release_step(host, layout, bundle())
    assert not step.check()
    assert do(step)
    script = Path(layout.release("aaaaaaaaaaaa")) / "door" / "with blank.sh"
    assert script.read_bytes() == b"#!/bin/sh\n"
    assert stat.S_IMODE(script.stat().st_mode) == 0o755
    assert step.check()


@pytest.mark.parametrize("damage", ["content", "mode", "missing", "extra"])
def test_any_difference_on_the_target_is_noticed(host, layout, damage):
    step = release_step(host, layout, bundle())
    do(step)
    root = Path(layout.release("aaaaaaaaaaaa"))
    match damage:
        case "content":
            (root / "compose.yaml").write_text("services: {x: {}}\n")
        case "mode":
            (root / "compose.yaml").chmod(0o666)
        case "missing":
            (root / "compose.yaml").unlink()
        case "extra":
            (root / "more.yaml").write_text("x")
    assert not step.check()


def test_an_edited_release_is_kept_beside_when_it_is_restored(host, layout):
    step = release_step(host, layout, bundle())
    do(step)
    root = Path(layout.release("aaaaaaaaaaaa"))
    (root / "compose.yaml").write_text("by hand\n")
    assert do(step)
    assert (root.parent / "aaaaaaaaaaaa.edited" / "compose.yaml").read_text() == "by hand\n"


def test_a_partial_upload_is_not_taken_for_a_release(host, layout):
    part = Path(layout.releases) / ".aaaaaaaaaaaa.part"
    part.mkdir(parents=True)
    (part / "junk").write_text("x")
    step = release_step(host, layout, bundle())
    assert not step.check()
    assert do(step)
    assert not part.exists()


def test_undo_removes_the_release_unless_it_is_active(host, layout):
    step = release_step(host, layout, bundle())
    do(step)
    Path(layout.current).symlink_to("releases/aaaaaaaaaaaa")
    list(step.undo())
    assert step.check()
    Path(layout.current).unlink()
    list(step.undo())
    assert not Path(layout.release("aaaaaaaaaaaa")).exists()


class Rewriting:
    """A host that runs another script than it is given."""

    name = "rewriting"

    def __init__(self, host, rewrite):
        self._host = host
        self._rewrite = rewrite

    def run(self, command):
        return self._host.run(command)

    def stream(self, command):
        return self._host.stream(replace(command, script=self._rewrite(command.script)))


def before_listing(change):
    """Somebody's change just before the shipping command looks at what is in place."""
    return lambda script: f"\n{change}\n[ -d".join(script.rsplit("\n[ -d", 1))


def test_a_release_that_is_not_in_place_as_sent_is_not_verified(host, layout):
    place = Path(layout.release("aaaaaaaaaaaa"))
    step = release_step(
        Rewriting(host, before_listing(f"echo >> {place}/compose.yaml")), layout, bundle()
    )
    assert not do(step)
    assert do(release_step(Rewriting(host, before_listing("true")), layout, bundle()))


def test_what_was_seen_while_shipping_is_believed_once(host, layout):
    step = release_step(host, layout, bundle())
    assert do(step)
    (Path(layout.release("aaaaaaaaaaaa")) / "compose.yaml").write_text("by hand\n")
    assert not step.verify()
    assert do(step)


def test_an_upload_tells_how_many_bytes_are_sent_while_it_lasts(host, layout, monkeypatch):
    monkeypatch.setattr("installer.adapters.process.BEAT_S", 0.02)
    big = bundle(a_big=os.urandom(SQUEEZED_BYTES))
    slow = Rewriting(host, before_listing("sleep 0.2"))
    seen = [e for e in release_step(slow, layout, big).do() if isinstance(e, StepProgress)]
    total = seen[0].total
    assert seen[0].done == 0
    assert total > SQUEEZED_BYTES
    assert [e.done for e in seen] == sorted(e.done for e in seen)
    assert seen[-1].done == total == seen[-1].total
    assert len(seen) > 3
    assert {e.note for e in seen} == {"3 files"}


@pytest.fixture
def disk(tmp_path):
    """An ext4 disk of its own, and a way to see what it holds if the power goes now."""
    image, crashed = tmp_path / "disk.img", tmp_path / "crashed.img"
    live, after = tmp_path / "live", tmp_path / "after"
    live.mkdir()
    after.mkdir()
    for program in ("mkfs.ext4", "mount"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"{program} is not installed: no disk of its own to cut off")
    image.write_bytes(b"")
    os.truncate(image, 64 << 20)
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, env=environment)
    tried = subprocess.run(["mount", "-o", "loop", image, live], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no loop devices here: {tried.stderr.strip()}")

    def cut():
        # the rename has reached the disk, as it does by itself within seconds
        subprocess.run(["sync", live / "opt" / "releases"], check=True)
        shutil.copyfile(image, crashed)
        subprocess.run(["mount", "-o", "loop", crashed, after], check=True)
        return after

    yield live, cut
    subprocess.run(["umount", after], capture_output=True)
    subprocess.run(["umount", live], check=True)


def sizes_after_crash(live, cut, host, script=lambda text: text):
    (live / "opt").mkdir()
    layout = Layout(str(live / "opt"), str(live / "data"))
    step = release_step(Rewriting(host, script), layout, bundle(a_big=os.urandom(2_000_000)))
    assert do(step)
    place = Path(layout.release("aaaaaaaaaaaa"))
    survived = cut() / place.relative_to(live)
    return {
        path.relative_to(place).as_posix(): (
            path.stat().st_size, (survived / path.relative_to(place)).stat().st_size
        )
        for path in place.rglob("*") if path.is_file()
    }  # fmt: skip


def test_after_a_crash_a_release_that_has_its_name_has_its_contents(host, disk):
    sizes = sizes_after_crash(*disk, host)
    assert len(sizes) == 3
    assert all(written == kept > 0 for written, kept in sizes.values())


def test_the_crash_would_empty_files_that_only_their_directory_was_synced_for(host, disk):
    """The seeded defect: it shows that the check above can fail."""
    sizes = sizes_after_crash(*disk, host, lambda text: text.replace("sync -f .", "sync ."))
    assert any(written != kept for written, kept in sizes.values())


def test_the_override_is_seeded_once_and_never_rewritten(host, layout):
    step = override_step(host, layout)
    assert do(step)
    Path(layout.override).write_text("services: {mine: {}}\n")
    assert step.check()
    with pytest.raises(RemoteIoError):
        do(step)
    assert Path(layout.override).read_text() == "services: {mine: {}}\n"
    assert [path.name for path in Path(layout.override).parent.iterdir()] == [
        Path(layout.override).name
    ]


def test_data_directories_get_owner_and_mode_and_keep_their_content(host, layout):
    step = data_step(host, layout, {"db/data": "700 999:999", "web/files": "750 1000:1000"})
    assert not step.check()
    assert do(step)
    found = (Path(layout.data_dir) / "db" / "data").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (999, 999, 0o700)
    kept = Path(layout.data_dir) / "db" / "data" / "row"
    kept.write_text("x")
    os.chown(kept.parent, 0, 0)
    assert not step.check()
    assert do(step)
    assert kept.read_text() == "x"


@pytest.fixture
def mounted(host, layout):
    yield
    subprocess.run(["umount", layout.secrets], stderr=subprocess.DEVNULL, check=False)


SECRETS = {
    "db/password": SecretFile(b"one", "999:999"),
    "web/password": SecretFile(b"one", "1000:1000"),
    "web/token": SecretFile(b"two", "1000:1000"),
}


def deliver(host, layout, files):
    step = secrets_step(host, layout, files)
    assert do(step)
    return step


def test_secrets_lie_on_a_tmpfs_for_their_consumer_alone(host, layout, mounted):
    """HH-13, SE-08, SE-27."""
    step = secrets_step(host, layout, SECRETS)
    assert not step.check()
    deliver(host, layout, SECRETS)
    root = Path(layout.secrets)
    kind = subprocess.check_output(["stat", "-f", "-c", "%T", root], text=True)
    assert kind.strip() == "tmpfs"
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    found = (root / "web" / "token").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o400, 1000, 1000)
    assert step.check()


def test_only_a_changed_secret_is_replaced_and_a_dropped_one_goes(host, layout, mounted):
    deliver(host, layout, SECRETS)
    root = Path(layout.secrets)
    before = {p: (root / p).stat().st_ino for p in SECRETS}
    changed = {**SECRETS, "web/token": SecretFile(b"three", "1000:1000")}
    del changed["web/password"]
    deliver(host, layout, changed)
    assert (root / "db" / "password").stat().st_ino == before["db/password"]
    assert (root / "web" / "token").read_bytes() == b"three"
    assert not (root / "web" / "password").exists()


@pytest.mark.parametrize("damage", ["content", "mode", "owner", "missing"])
def test_a_secret_that_is_not_as_delivered_is_noticed_and_mended(host, layout, mounted, damage):
    step = deliver(host, layout, SECRETS)
    path = Path(layout.secrets) / "web" / "token"
    match damage:
        case "content":
            path.write_bytes(b"other")
        case "mode":
            path.chmod(0o444)
        case "owner":
            os.chown(path, 0, 0)
        case "missing":
            path.unlink()
    assert not step.check()
    assert do(step)


def test_pieces_are_small_and_complete():
    data = os.urandom(600_000)
    parts = list(pieces(data))
    assert b"".join(parts) == data
    assert max(map(len, parts)) <= 256 * 1024


class Cutting:
    """A host whose commands get only the first bytes of their input."""

    name = "cut"

    def __init__(self, host, kept):
        self._host = host
        self._kept = kept

    def run(self, command):
        return self._host.run(self._cut(command))

    def stream(self, command):
        return self._host.stream(self._cut(command))

    def _cut(self, command):
        given = b"".join(command.stdin)
        return replace(command, stdin=(given[: self._kept],) if given else ())


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        pytest.param(SQUEEZED_BYTES, 512 + SQUEEZED_BYTES, id="after the first entry"),
        pytest.param(SQUEEZED_BYTES, 700_000, id="within an entry"),
        pytest.param(10, -1, id="compressed"),
    ],
)
def test_an_archive_that_ends_early_does_not_become_a_release(host, layout, size, kept):
    """Between two entries tar itself notices nothing."""
    step = release_step(Cutting(host, kept), layout, bundle(a_big=bytes(size)))
    with pytest.raises(RemoteIoError):
        list(step.do())
    assert not Path(layout.release("aaaaaaaaaaaa")).exists()
