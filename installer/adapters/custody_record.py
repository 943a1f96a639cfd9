"""The record of a handing over, and the files that custodians fetch their shares from.

The record says who got which share, by fingerprint; no share is in it. Files are written whole,
synced and renamed, and nothing that another handing over left is written over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from installer.adapters.private_files import (
    exclusive_lock,
    make_private_directory,
    private_directory,
    remove_leftovers,
    replace_private,
)
from installer.core.errors import IntegrityError, LocalIoError, Problem, Remedy
from installer.ports import HandedShare

PLAIN = "plain"
"""Stands for custodian and key of a share that is handed over as it is."""


@dataclass(frozen=True, slots=True)
class Record:
    """How far a handing over is.

    Attributes:
        shares: Who gets which share; `place` is a file name in the custody directory.
        complete: Every file is durable; before that all of them are written again.
        stale: Names of files of the same shares under an earlier custodian, to be removed.
    """

    shares: tuple[HandedShare, ...]
    complete: bool
    stale: tuple[str, ...] = ()

    @property
    def files(self) -> frozenset[str]:
        """Names of all files that may be there."""
        return frozenset((*(share.place for share in self.shares), *self.stale))

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of the shares in their order."""
        return tuple(share.fingerprint for share in self.shares)

    @property
    def recipients(self) -> tuple[tuple[str, str], ...]:
        """Name and key of the custodians in their order."""
        return tuple((share.custodian, share.recipient) for share in self.shares)

    def superseded_by(self, shares: tuple[HandedShare, ...]) -> Record:
        """The record at the begin of handing over the same shares to these custodians."""
        names = {share.place for share in shares}
        return Record(shares, complete=False, stale=tuple(sorted(self.files - names)))

    def finished(self) -> Record:
        """The record at the end."""
        return replace(self, complete=True, stale=())


def format_record(record: Record) -> str:
    """The record as JSON."""
    return json.dumps(asdict(record), sort_keys=True)


def parse_record(text: str) -> Record:
    """What `format_record` wrote.

    Raises:
        IntegrityError: it has another form.
    """
    try:
        fields: dict[str, Any] = json.loads(text)
        return Record(
            tuple(HandedShare(**share) for share in fields["shares"]),
            bool(fields["complete"]),
            tuple(fields["stale"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            Problem(
                code="store.damaged",
                summary="the record of the handed over shares has another form",
                remedy=Remedy("use the release of the installer that wrote it, or a newer one"),
            )
        ) from error


def present_files(directory: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that exist in the directory, sorted."""
    return tuple(sorted(name for name in names if os.path.lexists(directory / name)))


def write_files(directory: Path, files: Mapping[str, bytes], stale: Collection[str]) -> None:
    """Put every file in its place, then remove the stale ones; all durable when this returns.

    Raises:
        LocalIoError, IntegrityError, LockedError: as `private_files` says; call it again then.
    """
    make_private_directory(directory)
    with (
        private_directory(directory) as descriptor,
        exclusive_lock(directory / ".handing-over", descriptor),
    ):
        _sync(directory.parent)  # the directory's own name
        for name in (*files, *stale):
            remove_leftovers(directory / name, descriptor)
        for name, data in files.items():
            replace_private(directory / name, data, descriptor)
        _remove(directory, stale)


def _sync(directory: Path) -> None:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LocalIoError(_not_written(directory, error)) from error


def _remove(directory: Path, names: Collection[str]) -> None:
    for name in present_files(directory, names):
        try:
            (directory / name).unlink()
        except OSError as error:
            raise LocalIoError(_not_written(directory / name, error)) from error
    if names:
        _sync(directory)


def _not_written(path: Path, error: OSError) -> Problem:
    return Problem(
        code="store.io",
        summary=f"{path} cannot be written: {(error.strerror or 'input/output error').lower()}",
        where=str(path),
        remedy=Remedy("check the path and the rights of the user who runs this"),
    )
