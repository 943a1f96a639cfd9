"""Snapshots of the secret server's storage as files of the run directory, the newest few of them.

A snapshot is judged before it is kept and again as it lies on the disk. It is encrypted by the
server's barrier; nothing here can read a secret in it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from installer.adapters.private_files import (
    exclusive_lock,
    make_private_directory,
    private_directory,
    read_private,
    remove_leftovers,
    replace_private,
)
from installer.core.errors import IntegrityError, LocalIoError, Problem, Remedy
from installer.ports import KeptSnapshot

KEPT = 7
"""Snapshots that stay; older ones are removed when a newer one is durable."""
LARGEST = 512 * 1024 * 1024
"""Bytes, packed and unpacked. The storage of a platform's secrets has a hundredth of it."""
_SUMS, _META, _STATE = "SHA256SUMS", "meta.json", "state.bin"
_NAME = re.compile(r"\d{8}T\d{6}Z\.snap")


class SnapshotFiles:
    """A `Snapshots` port over a directory of this machine, made with mode 0700 when first used."""

    def __init__(self, directory: Path) -> None:
        self.place = str(directory)
        self._directory = directory

    def keep(self, pieces: Iterable[bytes], taken: datetime) -> KeptSnapshot:
        """Judge a snapshot, keep it durably with mode 0600, remove all but the newest.

        Raises:
            IntegrityError: `backup.snapshot`, it is not whole, or not what its checksums say.
            LocalIoError: it cannot be written; those from before are untouched.
        """
        path = self._directory / f"{taken.astimezone(UTC):%Y%m%dT%H%M%SZ}.snap"
        data = _collect(pieces, path)
        _judge(data, path)
        make_private_directory(self._directory)
        with (
            private_directory(self._directory) as descriptor,
            exclusive_lock(self._directory / ".snapshots", descriptor),
        ):
            for name in (path.name, *self._names(descriptor)):
                remove_leftovers(self._directory / name, descriptor)
            replace_private(path, data, descriptor)
            _judge(read_private(path, descriptor, limit=LARGEST), path)
            self._remove_older(descriptor)
        return KeptSnapshot(str(path), len(data), hashlib.sha256(data).hexdigest())

    def is_intact(self, kept: KeptSnapshot) -> bool:
        """Whether it lies on the disk as it was kept.

        Raises:
            LocalIoError, IntegrityError: it cannot be read, or others can.
        """
        path = Path(kept.place)
        with private_directory(path.parent) as descriptor:
            data = read_private(path, descriptor, limit=LARGEST)
        return hashlib.sha256(data).hexdigest() == kept.digest

    def _names(self, descriptor: int) -> list[str]:
        return sorted(name for name in os.listdir(descriptor) if _NAME.fullmatch(name))

    def _remove_older(self, descriptor: int) -> None:
        for name in self._names(descriptor)[:-KEPT]:
            with suppress(OSError):  # one too many does no harm
                os.unlink(name, dir_fd=descriptor)


def _collect(pieces: Iterable[bytes], path: Path) -> bytes:
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > LARGEST:
            raise LocalIoError(
                Problem(
                    "backup.too_big",
                    f"the snapshot has more than {LARGEST} bytes",
                    Remedy("look at what else was written into the server's storage"),
                    where=str(path),
                )
            )
    return bytes(data)


def _judge(data: bytes, path: Path) -> None:
    """A complete gzip tar with state and meta data, each as its checksum says.

    The form is that of hashicorp/raft-snapshot, which both flavors of the server write; they add a
    second list of checksums that only they can read.
    """
    members = _unpack(data, path)
    sums = dict(_read_sums(members.get(_SUMS, b"")))
    for name in (_META, _STATE):
        if name not in members or name not in sums:
            raise _unusable(path, f"it lacks {name}, or the checksum of it")
    for name, digest in sums.items():
        if name not in members or hashlib.sha256(members[name]).hexdigest() != digest:
            raise _unusable(path, f"{name} is not as its checksum says")
    try:
        size = json.loads(members[_META])["Size"]
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(path, f"{_META} has another form") from error
    if size != len(members[_STATE]):
        raise _unusable(path, f"{_STATE} has {len(members[_STATE])} bytes, {_META} says {size!r}")


def _unpack(data: bytes, path: Path) -> Mapping[str, bytes]:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            plain = packed.read(LARGEST + 1)  # to the end, where the checksum of the whole is
            if len(plain) > LARGEST:
                raise _unusable(path, f"it has more than {LARGEST} bytes unpacked")
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            return {
                member.name: stream.read()
                for member in archive
                if (stream := archive.extractfile(member)) is not None
            }
    except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
        raise _unusable(path, f"it is no complete gzip tar: {error}") from error


def _read_sums(text: bytes) -> Iterable[tuple[str, str]]:
    for line in text.decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        yield name, digest


def _unusable(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        Problem(
            "backup.snapshot",
            f"the snapshot of the secret server is of no use: {why}",
            Remedy("run again; if it repeats, look at the server's log"),
            where=str(path),
        )
    )
