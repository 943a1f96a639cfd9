"""Files that only their owner may read: opened, replaced and locked without a moment of weakness.

A file is created exclusively with mode 0600 under a temporary name in a 0700 directory, synced and
renamed, so that a kill leaves the old file or the new one. Nothing here follows a link in a name it
was given, or widens a mode.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote

from installer.core.errors import IntegrityError, LocalIoError, LockedError, Problem, Remedy

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS = 0o077


def make_private_directory(path: Path) -> None:
    """Make the directory and its missing parents with mode 0700; one that exists stays as it is.

    Raises:
        LocalIoError: it cannot be made.
    """
    with _translating("made", path):
        for directory in (*reversed(path.parents), path):
            if directory.exists():
                continue
            with suppress(FileExistsError):
                directory.mkdir(0o700)
                if stat.S_IMODE(directory.stat().st_mode) != 0o700:  # the umask took bits away
                    directory.chmod(0o700)


@contextmanager
def private_directory(path: Path) -> Iterator[int]:
    """A descriptor of the directory, after checking that it is ours alone.

    Raises:
        LocalIoError: it is missing, or others may enter it.
        IntegrityError: it belongs to someone else.
    """
    with _translating("opened", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _translating("opened", path):
            _check(path, os.fstat(descriptor), "0700")
        yield descriptor
    finally:
        os.close(descriptor)


def read_private(path: Path, directory: int, *, limit: int) -> bytes:
    """The file's bytes, at most `limit`, after checking that it is a plain file and ours alone.

    Raises:
        LocalIoError: it is missing, unreadable, too big, or others may read or write it.
        IntegrityError: it is a link, no plain file, or belongs to someone else.
    """
    with _translating("read", path):
        try:
            descriptor = os.open(path.name, _READ, dir_fd=directory)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK):
                raise IntegrityError(_not_plain(path, "a symbolic link")) from error
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise IntegrityError(_not_plain(path, "not a regular file"))
            _check(path, status, "0600")
            data = read_up_to(descriptor, limit + 1)
        finally:
            os.close(descriptor)
    if len(data) > limit:
        raise LocalIoError(_too_big(path, limit))
    return data


def read_up_to(descriptor: int, size: int) -> bytes:
    """At most `size` bytes from an open file, fewer only at its end. Raises `OSError`."""
    pieces: list[bytes] = []
    while size > 0 and (piece := os.read(descriptor, min(size, 1 << 20))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def replace_private(path: Path, data: bytes, directory: int) -> None:
    """Put `data` in the file's place in one step; durable when this returns.

    Raises:
        LocalIoError: it cannot be written; the old file is untouched and no partial one is left.
    """
    temporary = f"{_temporary_prefix(path)}{secrets.token_hex(8)}.tmp"
    with _translating("written", path):
        descriptor = os.open(temporary, _CREATE, 0o600, dir_fd=directory)
        try:
            _write_durably(descriptor, data)
            os.replace(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        os.fsync(directory)


def remove_leftovers(path: Path, directory: int) -> None:
    """Remove temporary files that a killed writer of this file left; call it with the lock held.

    Raises:
        LocalIoError: the directory cannot be read or changed.
    """
    prefix = _temporary_prefix(path)
    with _translating("cleaned up", path.parent):
        for name in os.listdir(directory):
            if name.startswith(prefix) and name.endswith(".tmp"):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=directory)


@contextmanager
def exclusive_lock(path: Path, directory: int, *, timeout_s: float = 30.0) -> Iterator[None]:
    """Hold the lock file beside `path`; the kernel frees it when the holder ends, however it ends.

    Raises:
        LockedError: someone else held it for all of `timeout_s` seconds.
        LocalIoError: the lock file cannot be opened.
    """
    lock = path.with_name(path.name + ".lock")
    with _translating("opened", lock):
        descriptor = os.open(lock.name, _LOCK, 0o600, dir_fd=directory)
    try:
        with _translating("locked", lock):
            _restore_mode(descriptor)
            deadline = time.monotonic() + timeout_s
            while not _try_lock(descriptor):
                if time.monotonic() >= deadline:
                    raise LockedError(_held(lock, timeout_s))
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _translating(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _cannot(what, path, error) from error


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _temporary_prefix(path: Path) -> str:
    return f".{path.name}."


def _write_durably(descriptor: int, data: bytes) -> None:
    try:
        _restore_mode(descriptor)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _restore_mode(descriptor: int) -> None:
    """Give the owner back what a strict umask took from 0600; never more than that."""
    if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o600 != 0o600:
        os.fchmod(descriptor, 0o600)


def _check(path: Path, status: os.stat_result, allowed: str) -> None:
    if status.st_uid != os.geteuid():
        raise IntegrityError(
            Problem(
                code="store.owner",
                summary=f"{path} belongs to user {status.st_uid}, not to {os.geteuid()}",
                where=str(path),
                remedy=Remedy(
                    "run as its owner, or make sure of its origin and take it over",
                    (f"chown {os.geteuid()} {quote(str(path))}",),
                ),
            )
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & _OTHERS:
        raise LocalIoError(
            Problem(
                code="store.mode",
                summary=f"{path} has mode {mode:04o}; others may use it, allowed is {allowed}",
                where=str(path),
                remedy=Remedy(
                    f"give it mode {allowed}; if others could have read it, rotate its secrets",
                    (f"chmod {allowed} {quote(str(path))}",),
                ),
            )
        )


def _not_plain(path: Path, what: str) -> Problem:
    return Problem(
        code="store.not_plain",
        summary=f"{path} is {what}; a secret store is a regular file",
        where=str(path),
        remedy=Remedy("find out who put it there, and name the file itself"),
    )


def _too_big(path: Path, limit: int) -> Problem:
    return Problem(
        code="store.too_big",
        summary=f"{path} has more than {limit} bytes",
        where=str(path),
        remedy=Remedy("name the right file"),
    )


def _held(lock: Path, timeout_s: float) -> Problem:
    return Problem(
        code="store.locked",
        summary=f"another process held {lock} for {timeout_s:g} s",
        where=str(lock),
        remedy=Remedy("wait until it ends, or end it", (f"fuser -v {quote(str(lock))}",)),
    )


def _cannot(what: str, path: Path, error: OSError) -> LocalIoError:
    missing = isinstance(error, FileNotFoundError)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "check the path and the rights of the user who runs this"
    if full:
        remedy = "free some space on its file system and run again"
    return LocalIoError(
        Problem(
            code="store.missing" if missing else "store.io",
            summary=f"{path} cannot be {what}: {(error.strerror or 'input/output error').lower()}",
            where=str(path),
            remedy=Remedy(remedy, (f"ls -ld {quote(str(path.parent))}",)),
        )
    )
