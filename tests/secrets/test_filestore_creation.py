"""How the encrypted store creates its files (SE-08)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.adapters.filestore import FileStore, create_store
from installer.core.secrets import Secret
from tests.secrets.stores import PASSPHRASE, VALUE, spec


@pytest.fixture(params=[0o000, 0o077, 0o277, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_se_08_every_file_is_created_private_whatever_the_umask(
    tmp_path: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    created: list[tuple[str, int, int]] = []
    widened: list[str] = []
    real_open, real_fchmod = os.open, os.fchmod

    def tracing_open(name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = real_open(name, flags, mode, dir_fd=dir_fd)
        if flags & os.O_CREAT:
            created.append((str(name), flags, stat.S_IMODE(os.fstat(descriptor).st_mode)))
        return descriptor

    def tracing_fchmod(descriptor: int, mode: int) -> None:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & ~mode:
            widened.append("narrowed later")
        real_fchmod(descriptor, mode)

    monkeypatch.setattr(os, "open", tracing_open)
    monkeypatch.setattr(os, "fchmod", tracing_fchmod)
    path = tmp_path / "a" / "b" / "store"
    store = create_store(path, PASSPHRASE)
    store.ensure(spec(), lambda: VALUE)
    assert created
    for name, flags, mode in created:
        assert flags & os.O_NOFOLLOW
        assert flags & os.O_EXCL or name.endswith(".lock"), name
        assert mode & ~0o600 == 0, name  # never wider, from the first moment
    assert widened == []
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for directory in (path.parent, path.parent.parent):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert store.get("db-password") == VALUE


def test_se_08_the_trace_sees_a_careless_creation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from installer.adapters import private_files

    monkeypatch.setattr(private_files, "_CREATE", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with pytest.raises(AssertionError):
        test_se_08_every_file_is_created_private_whatever_the_umask(tmp_path, 0, monkeypatch)


def test_se_08_a_file_is_synced_before_it_gets_its_name_and_the_directory_after(
    store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        steps.append("sync directory" if is_directory else "sync file")
        real_fsync(descriptor)

    def replace(old: str, new: str, **given: int) -> None:
        steps.append(f"rename to {new}")
        real_replace(old, new, src_dir_fd=given["src_dir_fd"], dst_dir_fd=given["dst_dir_fd"])

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    store.replace(spec(), Secret("new"))
    assert steps == [
        step
        for name in (f"{path.name}.previous", path.name)
        for step in ("sync file", f"rename to {name}", "sync directory")
    ]


def test_a_planted_temporary_file_is_not_written_through(store: FileStore, path: Path) -> None:
    victim = path.parent.parent / "victim"
    victim.write_text("untouched")
    (path.parent / f".{path.name}.planted.tmp").symlink_to(victim)
    store.replace(spec(), Secret("new"))
    assert victim.read_text() == "untouched"
    assert not (path.parent / f".{path.name}.planted.tmp").is_symlink()
