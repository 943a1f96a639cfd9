"""Which engine is mounted at a path of a Vault-compatible server, as far as a token may know.

Asks only; a token that may not read the table of mounts is no obstacle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from hvac.exceptions import InvalidPath, InvalidRequest

from installer.adapters.vault_client import Call
from installer.adapters.vault_problems import no_mount, no_vault, old_kv
from installer.adapters.vault_session import VaultSession
from installer.core.errors import SecretStoreError

_KV = frozenset({"kv", "generic"})
"""Types of key/value engines; `generic` is an old name of version 1."""


@dataclass(frozen=True, slots=True)
class Mount:
    """An engine: its path without slashes at the ends, its type, its version if it has any."""

    path: str
    kind: str
    version: str


def require_kv2(session: VaultSession, mount: str, below: str) -> None:
    """Make sure that there is a KV version 2 engine at `mount`; `below` is a path to be used in it.

    Raises:
        SecretStoreError: `vault.no_mount`; `vault.kv_version`; `vault.permission`, for a token that
            may do nothing there.
    """
    found = find_mount(session, mount)
    if found is not None:
        check_kv2(found, mount)
    else:
        _probe(session, mount, below)


def is_kv(found: Mount) -> bool:
    """Whether it is a key/value engine, of any version."""
    return found.kind in _KV


def check_kv2(found: Mount, mount: str) -> None:
    """Judge what is at `mount`.

    Raises:
        SecretStoreError: `vault.no_mount` or `vault.kv_version`.
    """
    if found.path != mount:
        why = f"the path belongs to the mount {found.path}"
        raise SecretStoreError(no_mount(mount, why))
    if not is_kv(found):
        raise SecretStoreError(no_mount(mount, f"it holds an engine of type {found.kind}"))
    if found.version != "2":
        raise SecretStoreError(old_kv(mount, found.version))


def find_mount(session: VaultSession, mount: str) -> Mount | None:
    """What is at that path or serves it; None when the token is not told (or nothing is there).

    Raises:
        SecretStoreError: `vault.unexpected`, a server of another kind answers.
    """
    call = Call("GET", f"sys/internal/ui/mounts/{quote(mount)}")
    try:
        data = session.ask(call).get("data")
    except InvalidPath as error:
        raise SecretStoreError(no_mount(mount, _no_namespace(error) or "not found")) from error
    except SecretStoreError as error:
        if error.problems[0].code == "vault.permission":
            return None
        raise
    if not isinstance(data, Mapping) or "type" not in data:
        raise SecretStoreError(no_vault(session.server, f"{call.path} describes no mount"))
    options = data.get("options")
    version = options.get("version") if isinstance(options, Mapping) else None
    return Mount(
        str(data.get("path") or mount).strip("/"), str(data.get("type")), str(version or "1")
    )


def _probe(session: VaultSession, mount: str, below: str) -> None:
    """Read something that need not be there: only a path without engine is an error in words."""
    call = Call("GET", below.rpartition("/")[0] + "/probe")
    try:
        session.ask(call)
    except InvalidPath as error:
        if error.errors:
            raise SecretStoreError(no_mount(mount, "nothing is mounted there")) from error
    except InvalidRequest as error:
        raise session.client.rejected(error, call) from error
    except SecretStoreError as error:
        if error.problems[0].code != "vault.permission":
            raise
        problem = error.problems[0]
        summary = f"{problem.summary}; perhaps nothing is mounted at {mount} at all"
        raise SecretStoreError(replace(problem, summary=summary)) from error


def _no_namespace(error: InvalidPath) -> str | None:
    return "; ".join(error.errors) if error.errors else None
