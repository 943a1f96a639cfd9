"""References of the answers to a store: `vault:path#field` and `aws:name#field`.

What lies there belongs to somebody else: it is read, never written, and only out of engines whose
reading changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hvac.exceptions import InvalidPath, InvalidRequest

from installer.adapters.vault_client import Call
from installer.adapters.vault_mounts import Mount, find_mount, is_kv
from installer.adapters.vault_session import VaultSession
from installer.core.errors import Problem, Remedy, SecretStoreError
from installer.core.secrets import Secret

if TYPE_CHECKING:
    from installer.adapters.aws_store import AwsStore

_REMEDY = "correct the reference, or have the secret put there"


def read_vault_field(session: VaultSession, path: str, field: str) -> Secret:
    """A field of what lies at a path of a KV engine, version 1 or 2.

    The `data/` of version 2 may be written or left out.

    Raises:
        SecretStoreError: `vault.reference`, there is no such path or field, or another engine
            serves the path; others, as the session.
    """
    reference = f"vault:{path}#{field}"
    where = path.strip("/")
    mount = find_mount(session, where)
    if mount is not None:
        _refuse_other_engine(mount, reference)
        where = _interface_path(mount, where)
    try:
        found = _read(session, Call("GET", where), reference)
    except SecretStoreError as error:
        if mount is None and error.problems[0].code == "vault.permission":
            raise SecretStoreError(_for_both_versions(error.problems[0], where)) from error
        raise
    data = found.get("data")
    fields = data if isinstance(data, Mapping) else {}
    if mount is not None and mount.version == "2":
        inner = fields.get("data")
        fields = inner if isinstance(inner, Mapping) else {}
    return _field(fields, field, reference)


def read_aws_secret(store: AwsStore, name: str, field: str) -> Secret:
    """A secret of AWS Secrets Manager by its full name or ARN, or one field of its JSON.

    Raises:
        SecretStoreError: `vault.reference`, there is no such secret or field; others, as the store.
    """
    reference = f"aws:{name}#{field}" if field else f"aws:{name}"
    text = store.read_text(name)
    if text is None:
        raise SecretStoreError(_missing(reference, "there is no such secret with a text"))
    if not field:
        return Secret(text)
    try:
        fields = json.loads(text)
    except ValueError:
        # nothing of the text may come along in a cause
        raise SecretStoreError(
            _missing(reference, "what lies there is no JSON, so it has no fields")
        ) from None
    return _field(fields, field, reference)


def _refuse_other_engine(mount: Mount, reference: str) -> None:
    """Reading other engines makes something: a login, a certificate, a lease."""
    if not is_kv(mount):
        why = f"the mount {mount.path} holds an engine of type {mount.kind}, not of key and value"
        raise SecretStoreError(_missing(reference, why))


def _interface_path(mount: Mount, path: str) -> str:
    if mount.version != "2":
        return path
    below = path.removeprefix(mount.path).strip("/")
    return f"{mount.path}/data/{below.removeprefix('data/')}"


def _for_both_versions(problem: Problem, path: str) -> Problem:
    """A token that may do nothing at a mount is not told its version, which decides the path."""
    engine, _, below = path.partition("/")
    if not below or below.startswith("data/"):
        return problem
    other = str(problem.detail).replace(f'"{path}"', f'"{engine}/data/{below}"')
    return replace(
        problem,
        detail=f"# version 1 of the engine\n{problem.detail}\n# version 2\n{other}",
    )


def _read(session: VaultSession, call: Call, reference: str) -> dict[str, Any]:
    try:
        return session.ask(call)
    except InvalidPath as error:
        said = error.json if isinstance(error.json, Mapping) else {}
        # version 2 tells a deleted value from one that never was, by what it says of the version
        gone = bool((said.get("data") or {}).get("metadata"))
        why = "its current version was deleted" if gone else "nothing lies there"
        raise SecretStoreError(_missing(reference, why)) from error
    except InvalidRequest as error:
        raise session.client.rejected(error, call) from error


def _field(fields: object, field: str, reference: str) -> Secret:
    value = fields.get(field) if isinstance(fields, Mapping) else None
    if not isinstance(value, str):
        raise SecretStoreError(_missing(reference, f"there is no text called {field}"))
    return Secret(value)


def _missing(reference: str, why: str) -> Problem:
    return Problem("vault.reference", f"{reference}: {why}", Remedy(_REMEDY))
