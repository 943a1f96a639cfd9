"""References of the answers to a store: `vault:path#field` and `aws:name#field`.

What lies there belongs to somebody else: it is read, never written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hvac.exceptions import InvalidPath

from installer.adapters.vault_client import Call
from installer.adapters.vault_mounts import find_mount
from installer.adapters.vault_session import VaultSession
from installer.core.errors import Problem, Remedy, SecretStoreError
from installer.core.secrets import Secret

if TYPE_CHECKING:
    from installer.adapters.aws_store import AwsStore


def read_vault_field(session: VaultSession, path: str, field: str) -> Secret:
    """A field of what lies at a path of a KV engine, version 1 or 2; `data/` may be left out.

    Raises:
        SecretStoreError: `vault.reference`, there is no such path or field; others.
    """
    mount = find_mount(session, path)
    where = path.strip("/")
    if mount is not None and mount.version == "2":
        below = where.removeprefix(mount.path).strip("/").removeprefix("data/")
        where = f"{mount.path}/data/{below}"
    try:
        found = session.ask(Call("GET", where)).get("data") or {}
    except InvalidPath as error:
        raise SecretStoreError(_missing(f"vault:{path}#{field}", "nothing lies there")) from error
    fields = found.get("data", found) if mount is not None and mount.version == "2" else found
    return _field(fields, field, f"vault:{path}#{field}")


def read_aws_secret(store: AwsStore, name: str, field: str) -> Secret:
    """A secret of AWS Secrets Manager by its full name, or one field of its JSON.

    Raises:
        SecretStoreError: `vault.reference`, there is no such secret or field; others.
    """
    reference = f"aws:{name}#{field}" if field else f"aws:{name}"
    text = store.read_text(name)
    if text is None:
        raise SecretStoreError(_missing(reference, "there is no such secret"))
    if not field:
        return Secret(text)
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise SecretStoreError(_missing(reference, "it is no JSON, so it has no fields")) from error
    return _field(fields, field, reference)


def _field(fields: object, field: str, reference: str) -> Secret:
    value = fields.get(field) if isinstance(fields, dict) else None
    if not isinstance(value, str):
        raise SecretStoreError(_missing(reference, "it has no text of that name"))
    return Secret(value)


def _missing(reference: str, why: str) -> Problem:
    return Problem(
        "vault.reference",
        f"{reference}: {why}",
        Remedy("correct the reference, or put the secret there"),
    )
