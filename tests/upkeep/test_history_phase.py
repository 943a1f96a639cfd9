"""What the target keeps of its releases, with the phases' own shell; F-085, F-086, F-087."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from installer.core.bundle import MANIFEST_PATH, Bundle, BundleFile, digest_files
from installer.core.errors import ConflictError, IntegrityError
from installer.core.history import hash_answers
from installer.phases.history import (
    _unpack,
    answers_path,
    history_path,
    note_path,
    note_step,
    read_answers,
    read_history,
    read_release,
    record_release,
)
from installer.phases.ship import release_step
from tests.upkeep.builders import record

ANSWERS = "version: 1\n"


def make_bundle(text: str = "services: {web: {command: '$$HOME'}}\n") -> Bundle:
    files = {"compose.yaml": BundleFile(text.encode()), "web/run.sh": BundleFile(b"#!\n", 0o755)}
    release = digest_files(files)[:12]
    manifest = json.dumps({"release": release, "images": {"web": "web:1@sha256:aa"}, "files": {}})
    files[MANIFEST_PATH] = BundleFile(manifest.encode())
    return Bundle(dict(sorted(files.items())), {}, release)


def ship(host: Any, layout: Any, bundle: Bundle) -> None:
    step = release_step(host, layout, bundle)
    list(step.do())
    assert step.verify()


def kept(name: str, **given: Any) -> Any:
    return record(name, answers=hash_answers(ANSWERS), **given)


def test_a_verified_release_is_recorded_with_its_answers_and_ends_a_rollback(
    host: Any, layout: Any
) -> None:
    list(note_step(host, layout, "aaaa").do())
    record_release(host, layout, kept("aaaa"), ANSWERS)
    record_release(host, layout, kept("bbbb", kind="rollback"), ANSWERS)
    found = read_history(host, layout)
    assert [(r.release, r.kind) for r in found.records] == [("aaaa", "apply"), ("bbbb", "rollback")]
    assert found.pending is None
    assert read_answers(host, layout, found.records[0]) == ANSWERS
    assert json.loads(Path(layout.verified).read_text())["release"] == "bbbb"
    modes = {Path(p).stat().st_mode & 0o777 for p in (history_path(layout), layout.verified)}
    assert modes == {0o600}
    assert not list(Path(layout.state).glob(".record*"))


def test_the_releases_of_the_target_and_the_active_one_are_read(host: Any, layout: Any) -> None:
    bundle = make_bundle()
    ship(host, layout, bundle)
    Path(layout.current).symlink_to(f"releases/{bundle.release}")
    found = read_history(host, layout)
    assert found.current == bundle.release
    assert found.present == {bundle.release: {"web": "web:1@sha256:aa"}}
    assert read_history(host, layout).records == ()


def test_a_rollback_under_way_is_noted_until_it_is_undone(host: Any, layout: Any) -> None:
    step = note_step(host, layout, "aaaa")
    assert not step.check()
    list(step.do())
    assert step.verify()
    assert read_history(host, layout).pending == "aaaa"
    assert not note_step(host, layout, "bbbb").check()
    assert step.undo is not None
    list(step.undo())
    assert not Path(note_path(layout)).exists()


def test_answers_that_are_gone_or_changed_are_refused(host: Any, layout: Any) -> None:
    record_release(host, layout, kept("aaaa"), ANSWERS)
    Path(answers_path(layout, "aaaa")).write_text("version: 1\n# by hand\n")
    with pytest.raises(IntegrityError) as changed:
        read_answers(host, layout, kept("aaaa"))
    assert changed.value.problems[0].code == "rollback.answers_changed"
    Path(answers_path(layout, "aaaa")).unlink()
    with pytest.raises(ConflictError) as gone:
        read_answers(host, layout, kept("aaaa"))
    assert gone.value.problems[0].code == "rollback.no_answers"


def test_a_release_reads_back_as_it_was_shipped(host: Any, layout: Any) -> None:
    bundle = make_bundle()
    ship(host, layout, bundle)
    read = read_release(host, layout, bundle.release)
    assert read.files == bundle.files
    assert read.document == {"services": {"web": {"command": "$HOME"}}}


def test_one_changed_byte_of_a_release_is_found(host: Any, layout: Any) -> None:
    """F-086."""
    bundle = make_bundle()
    ship(host, layout, bundle)
    path = Path(layout.release(bundle.release)) / "web/run.sh"
    path.write_bytes(b"#?\n")
    with pytest.raises(IntegrityError) as caught:
        read_release(host, layout, bundle.release)
    assert "hash" in caught.value.problems[0].summary
    with pytest.raises(IntegrityError) as missing:
        read_release(host, layout, "ffffffffffff")
    assert "not on the target any more" in missing.value.problems[0].summary


def hostile(**fields: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind in (("compose.yaml", tarfile.REGTYPE), *fields["entries"]):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry, io.BytesIO(b""))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "entries",
    [
        [("../out", tarfile.REGTYPE)],
        [("/etc/cron.d/x", tarfile.REGTYPE)],
        [("a/../../x", tarfile.REGTYPE)],
        [("link", tarfile.SYMTYPE)],
        [("hard", tarfile.LNKTYPE)],
        [("null", tarfile.CHRTYPE)],
        [("pipe", tarfile.FIFOTYPE)],
        [("./compose.yaml", tarfile.REGTYPE)],
    ],
    ids=lambda e: e[0][0],
)
def test_f_087_an_archive_with_hostile_entries_is_refused(entries: Any) -> None:
    with pytest.raises(IntegrityError) as caught:
        _unpack(hostile(entries=entries), "aaaa")
    assert caught.value.problems[0].code == "rollback.archive"
    assert list(_unpack(hostile(entries=[]), "aaaa")) == ["compose.yaml"]
