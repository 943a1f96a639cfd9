"""The secret store in one encrypted file on the machine that runs the installer.

A value, once stored, is never replaced but by `replace`, which is rotation. The file is rewritten
whole, under a lock, keeping the generation before it; a kill at any instant leaves one of the two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote

from installer.adapters.private_files import (
    exclusive_lock,
    make_private_directory,
    private_directory,
    read_private,
    remove_leftovers,
    replace_private,
)
from installer.adapters.sealed import StoreKey, damaged, new_key, open_key, seal, unseal
from installer.core.errors import ConflictError, IntegrityError, Problem, Remedy
from installer.core.secrets import Secret, SecretKind, SecretSpec

LARGEST = 16 * 1024 * 1024
"""Bytes above which a file is not taken for a store."""


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """What may be told of a stored secret: everything but its value."""

    name: str
    kind: SecretKind
    purpose: str
    version: int
    created: datetime


@dataclass(frozen=True, slots=True)
class _Entry:
    record: SecretRecord
    value: Secret
    previous: Secret | None = None


class FileStore:
    """A `SecretStore` port over an open store; made by `open_store` or `create_store`."""

    def __init__(self, path: Path, key: StoreKey, now: Callable[[], datetime]) -> None:
        self._path = path
        self._key = key
        self._now = now

    def get(self, name: str) -> Secret | None:
        """The current value, or None.

        Raises:
            IntegrityError: the file was altered, is a link, or belongs to someone else.
            LocalIoError: it cannot be read, or others may read it.
        """
        entry = self._read().get(name)
        return entry.value if entry else None

    def record(self, name: str) -> SecretRecord | None:
        """Kind, purpose, version and time of a secret, or None. Raises as `get`."""
        entry = self._read().get(name)
        return entry.record if entry else None

    def names(self) -> frozenset[str]:
        """The names that have a value. Raises as `get`."""
        return frozenset(self._read())

    def ensure(self, spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        """The stored value of `spec.name`; made, stored durably and read back when absent.

        Raises:
            LockedError: another process keeps the store locked.
            LocalIoError, IntegrityError: as `get`, or it cannot be written; nothing changed then.
        """
        present = self.get(spec.name)
        if present is not None:
            return present
        # Made before the lock is taken, so that a maker may use the store itself.
        value = make()
        with self._locked() as directory:
            entries = self._read_in(directory)
            if spec.name in entries:
                return entries[spec.name].value
            return self._store(directory, entries, spec, value)

    def replace(self, spec: SecretSpec, value: Secret) -> Secret:
        """Store a new version of a secret, for rotation; returns it as read back.

        The value it replaces is `previous` from then on; the one before that is gone.

        Raises: as `ensure`.
        """
        with self._locked() as directory:
            return self._store(directory, self._read_in(directory), spec, value)

    def previous(self, name: str) -> Secret | None:
        """The value before the current one, or None when there was none. Raises as `get`."""
        entry = self._read().get(name)
        return entry.previous if entry else None

    def version(self, name: str) -> int | None:
        """How many values the name has had; None when it has none. Raises as `get`."""
        record = self.record(name)
        return record.version if record else None

    def remove(self, name: str) -> None:
        """Remove a name with all its versions, from the generation before as well.

        Raises: as `ensure`.
        """
        with self._locked() as directory:
            entries = dict(self._read_in(directory))
            if entries.pop(name, None) is None and not self._is_kept_before(name, directory):
                return
            # Twice: the first one makes what still has the name the generation before.
            self._rewrite(directory, entries)
            self._rewrite(directory, entries)
            if name in self._read_in(directory):
                raise IntegrityError(damaged(str(self._path), f"{name} is still there"))

    @contextmanager
    def _locked(self) -> Iterator[int]:
        with (
            private_directory(self._path.parent) as directory,
            exclusive_lock(self._path, directory),
        ):
            yield directory

    def _read(self) -> Mapping[str, _Entry]:
        with private_directory(self._path.parent) as directory:
            return self._read_in(directory)

    def _read_in(self, directory: int) -> Mapping[str, _Entry]:
        sealed = read_private(self._path, directory, limit=LARGEST)
        return _parse(unseal(sealed, self._key, str(self._path)), str(self._path))

    def _store(
        self, directory: int, entries: Mapping[str, _Entry], spec: SecretSpec, value: Secret
    ) -> Secret:
        before = entries.get(spec.name)
        version = before.record.version + 1 if before else 1
        record = SecretRecord(spec.name, spec.kind, spec.purpose, version, self._now())
        entry = _Entry(record, value, before.value if before else None)
        self._rewrite(directory, {**entries, spec.name: entry})
        stored = self._read_in(directory).get(spec.name)
        if stored is None or stored.value != value:
            raise IntegrityError(damaged(str(self._path), f"{spec.name} is not what was written"))
        return stored.value

    def _rewrite(self, directory: int, entries: Mapping[str, _Entry]) -> None:
        """The whole file anew; what it was is the generation before."""
        remove_leftovers(self._path, directory)
        current = read_private(self._path, directory, limit=LARGEST)
        replace_private(_previous(self._path), current, directory)
        replace_private(self._path, seal(_serialise(entries), self._key), directory)

    def _is_kept_before(self, name: str, directory: int) -> bool:
        """Whether a removal was cut off between its two halves."""
        path = _previous(self._path)
        if not path.exists():
            return False
        sealed = read_private(path, directory, limit=LARGEST)
        return name in _parse(unseal(sealed, self._key, str(path)), str(path))


def create_store(
    path: Path, passphrase: Secret, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> FileStore:
    """Make an empty store; its directory is made too, with mode 0700.

    Raises:
        ConflictError: there is a store already, or the generation before a lost one.
        SecretStoreError: an empty passphrase.
        LocalIoError, IntegrityError, LockedError: the directory or file cannot be used.
    """
    make_private_directory(path.parent)
    with private_directory(path.parent) as directory, exclusive_lock(path, directory):
        for taken in (path, _previous(path)):
            if taken.is_symlink() or taken.exists():
                raise ConflictError(_already_there(path, taken))
        key = new_key(passphrase)
        remove_leftovers(path, directory)
        replace_private(path, seal(_serialise({}), key), directory)
    return FileStore(path, key, now)


def open_store(
    path: Path, passphrase: Secret, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> FileStore:
    """Open an existing store and make sure that all of it can be read.

    Raises:
        SecretStoreError: `vault.passphrase`, the passphrase is not the store's.
        IntegrityError: `store.damaged`, or the file is a link or someone else's.
        LocalIoError: it is missing, unreadable, or others may read it.
    """
    with private_directory(path.parent) as directory:
        sealed = read_private(path, directory, limit=LARGEST)
    store = FileStore(path, open_key(sealed, passphrase, str(path)), now)
    store.names()
    return store


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


def _serialise(entries: Mapping[str, _Entry]) -> bytes:
    document = {
        name: {
            "value": entry.value.reveal(),
            "previous": None if entry.previous is None else entry.previous.reveal(),
            "kind": entry.record.kind.value,
            "purpose": entry.record.purpose,
            "version": entry.record.version,
            "created": entry.record.created.isoformat(),
        }
        for name, entry in entries.items()
    }
    return json.dumps({"secrets": document}, sort_keys=True).encode("ascii")


def _parse(content: bytes, where: str) -> Mapping[str, _Entry]:
    try:
        return {
            name: _Entry(
                SecretRecord(
                    name,
                    SecretKind(fields["kind"]),
                    fields["purpose"],
                    int(fields["version"]),
                    datetime.fromisoformat(fields["created"]),
                ),
                Secret(fields["value"]),
                # Stores from before rotation have none.
                None if fields.get("previous") is None else Secret(fields["previous"]),
            )
            for name, fields in json.loads(content)["secrets"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(damaged(where, "its content has another form")) from error


def _already_there(path: Path, taken: Path) -> Problem:
    if taken == path:
        remedy = Remedy("open it with its passphrase; a new one would make secrets over old data")
    else:
        remedy = Remedy(
            "put the generation before it back in place, or move it away",
            (f"cp -p {quote(str(taken))} {quote(str(path))}",),
        )
    return Problem(
        code="store.exists",
        summary=f"{taken} exists, so there is a secret store already",
        where=str(path),
        remedy=remedy,
    )
