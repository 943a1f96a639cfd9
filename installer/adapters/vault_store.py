"""The secret store in a Vault-compatible server: one path of a KV version 2 engine for each secret.

Every write says which version it replaces, so that no value is ever overwritten unseen; a version
that was deleted is never taken for one that does not exist. Each write is read back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hvac.exceptions import InvalidPath, InvalidRequest

from installer.adapters.vault_client import Call
from installer.adapters.vault_mounts import require_kv2
from installer.adapters.vault_problems import (
    deleted,
    destroyed,
    foreign_form,
    lost_race,
    no_text,
    not_stored,
)
from installer.adapters.vault_session import VaultSession
from installer.core.errors import IntegrityError, SecretStoreError
from installer.core.secrets import Secret, SecretSpec

_SETUP_S, _SETUP_AT_MOST_S = 0.25, 10.0
"""Seconds between attempts while an engine sets up its storage, and after which it is no set-up."""
_NEW = 0
"""The version that a first write replaces (KV version 2, `cas`)."""


@dataclass(frozen=True, slots=True)
class _Version:
    number: int
    value: Secret


class VaultStore:
    """A `SecretStore` port over `<mount>/data/<prefix>/<name>`.

    What lies there: `{"value": …, "kind": …, "purpose": …}`. Nothing is asked before the first use.

    Args:
        session: Logged in as somebody who may read, create, update, delete and list there.
        mount: Path of the engine.
        prefix: Path below it.
    """

    def __init__(self, session: VaultSession, *, mount: str, prefix: str) -> None:
        self._session = session
        self._mount = mount.strip("/")
        self._prefix = prefix.strip("/")
        self._checked = False

    def get(self, name: str) -> Secret | None:
        """The current value, or None.

        Raises:
            SecretStoreError: `vault.deleted`, its current version was deleted; others.
            IntegrityError: `vault.form`, somebody else's data lies there.
        """
        found = self._read(name)
        return found.value if found else None

    def ensure(self, spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        """The stored value of `spec.name`; made, stored and read back when absent.

        Raises: as `get`.
        """
        present = self._read(spec.name)
        if present is not None:
            return present.value
        value = make()
        if self._write(spec, value, _NEW, "create"):
            return self._read_back(spec.name, value)
        winner = self._read(spec.name)
        if winner is None:
            raise SecretStoreError(lost_race(self._data(spec.name)))
        return winner.value

    def names(self) -> frozenset[str]:
        """The names that have a value; those whose current version was deleted are among them."""
        self._check()
        try:
            # With a slash at its end, as policies see the path of a list.
            answer = self._ask(Call("LIST", self._path("metadata", "")))
        except InvalidPath:
            return frozenset()
        keys = _data_of(answer).get("keys") or ()
        return frozenset(str(key) for key in keys if not str(key).endswith("/"))

    def replace(self, spec: SecretSpec, value: Secret) -> Secret:
        """Store a new version over the current one, or the first one; returns it as read back.

        Raises: as `get`; `vault.cas`, somebody else replaced it at the same time.
        """
        before = self._read(spec.name)
        number = before.number if before else _NEW
        if not self._write(spec, value, number, "update" if before else "create"):
            after = self._read(spec.name)
            # A request whose answer was lost is sent again and then meets its own value.
            if after is None or (after.number, after.value) != (number + 1, value):
                raise SecretStoreError(lost_race(self._data(spec.name)))
        return self._read_back(spec.name, value)

    def previous(self, name: str) -> Secret | None:
        """The value before the current one, or None when there was none or it is not kept."""
        current = self._read(name)
        if current is None or current.number < 2:
            return None
        try:
            before = self._read(name, current.number - 1)
        except SecretStoreError as error:
            if error.problems[0].code == "vault.deleted":
                return None
            raise
        return before.value if before else None

    def version(self, name: str) -> int | None:
        """How many values the name has had, 1 for the first; None when it has none."""
        found = self._read(name)
        return found.number if found else None

    def remove(self, name: str) -> None:
        """Remove a name with all its versions; no error when there is none."""
        self._check()
        self._ask(Call("DELETE", self._path("metadata", name)))

    def close(self) -> None:
        """Log out and close the connection."""
        self._session.close()

    def _check(self) -> None:
        if not self._checked:
            require_kv2(self._session, self._mount, self._data("*"))
            self._checked = True

    def _path(self, part: str, name: str) -> str:
        return f"{self._mount}/{part}/{self._prefix}/{quote(name, safe='')}"

    def _data(self, name: str) -> str:
        """The path as policies and people write it."""
        return f"{self._mount}/data/{self._prefix}/{name}"

    def _read(self, name: str, number: int | None = None) -> _Version | None:
        self._check()
        asked = f"?version={number}" if number else ""
        try:
            answer = self._ask(Call("GET", self._path("data", name) + asked))
        except InvalidPath as error:
            self._refuse_deleted(name, error)
            return None
        data = _data_of(answer)
        fields, about = data.get("data"), data.get("metadata")
        value = fields.get("value") if isinstance(fields, Mapping) else None
        found = about.get("version") if isinstance(about, Mapping) else None
        if not isinstance(value, str) or not isinstance(found, int):
            raise IntegrityError(foreign_form(self._data(name), 'it has no text called "value"'))
        return _Version(found, Secret(value))

    def _refuse_deleted(self, name: str, error: InvalidPath) -> None:
        """Raise when the 404 is of a version that exists and was deleted (or destroyed)."""
        about = _data_of(error.json).get("metadata")
        if not isinstance(about, Mapping):
            return
        explain = destroyed if about.get("destroyed") is True else deleted
        problem = explain(self._data(name), int(about.get("version") or 0), self._mount)
        raise SecretStoreError(problem) from error

    def _write(self, spec: SecretSpec, value: Secret, over: int, capability: str) -> bool:
        """Write over that version; False when it is not the current one."""
        try:
            value.reveal().encode()
        except UnicodeEncodeError as error:
            raise SecretStoreError(no_text(spec.name, "it is not UTF-8")) from error
        data = {"value": value.reveal(), "kind": spec.kind.value, "purpose": spec.purpose}
        call = Call("POST", self._path("data", spec.name), {"data": data, "options": {"cas": over}})
        try:
            self._session.ask(call, needs=(capability,))
        except InvalidRequest:
            found = self._read(spec.name)
            if (found.number if found else _NEW) != over:
                return False
            self._ask(call, (capability,))  # it was not ready; by now it reads
        return True

    def _ask(self, call: Call, needs: tuple[str, ...] = ()) -> dict[str, Any]:
        """Ask; again while the engine is being set up, for which it refuses everything with 400."""
        pace = self._session.pace
        end = pace.monotonic() + min(pace.patience_s, _SETUP_AT_MOST_S)
        while True:
            try:
                return self._session.ask(call, needs)
            except InvalidRequest as error:
                if pace.monotonic() + _SETUP_S > end:
                    raise self._session.client.rejected(error, call) from error
            pace.sleep(_SETUP_S)

    def _read_back(self, name: str, written: Secret) -> Secret:
        stored = self._read(name)
        if stored is None or stored.value != written:
            raise IntegrityError(not_stored(self._data(name)))
        return stored.value


def _data_of(answer: object) -> Mapping[str, Any]:
    data = answer.get("data") if isinstance(answer, Mapping) else None
    return data if isinstance(data, Mapping) else {}
