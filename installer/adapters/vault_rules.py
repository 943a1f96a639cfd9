"""The wanted state of a Vault-compatible server: compared, and made where it differs.

Never removes what the rules do not name, and never changes a mount that holds another engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hvac.exceptions import InvalidPath, InvalidRequest

from installer.adapters.vault_client import Call
from installer.adapters.vault_mounts import Mount, check_kv2
from installer.adapters.vault_session import VaultSession
from installer.core.store_rules import RoleRules, StoreRules

_POLL_S = 0.25


class VaultRules:
    """Compares and configures under the login of the session."""

    def __init__(self, session: VaultSession) -> None:
        self._session = session

    def lacks(self, rules: StoreRules) -> tuple[str, ...]:
        """What of the rules is not there, in words.

        Raises:
            SecretStoreError: `vault.kv_version` or `vault.no_mount`, the mount is taken.
        """
        return tuple(self._differences(rules))

    def configure(self, rules: StoreRules) -> None:
        """Make what is not there.

        Raises: as `lacks`.
        """
        self._enable_audit(rules.audit)
        self._mount(rules.mount)
        for name, text in rules.policies.items():
            if self._policy(name) != text.strip():
                self._put(f"sys/policies/acl/{name}", {"policy": text})
        for name, role in rules.roles.items():
            self._make_role(name, role)

    def _differences(self, rules: StoreRules) -> Iterator[str]:
        devices = self._devices() if rules.audit else {}
        for name, file in rules.audit.items():
            if devices.get(name) != file:
                yield f"audit device {name} that writes to {file}"
        if self._find_kv2(rules.mount) is None:
            yield f"KV version 2 engine at {rules.mount}"
        for name, text in rules.policies.items():
            if self._policy(name) != text.strip():
                yield f"policy {name}"
        for name, role in rules.roles.items():
            if not _is_role(self._role(name), role):
                yield f"role {name}"

    def _devices(self) -> dict[str, str | None]:
        found = self._data(Call("GET", "sys/audit"), ("read", "sudo"))
        return {
            str(path).strip("/"): (device.get("options") or {}).get("file_path")
            for path, device in found.items()
            if isinstance(device, Mapping)
        }

    def _enable_audit(self, wanted: Mapping[str, str]) -> None:
        devices = self._devices() if wanted else {}
        for name, file in wanted.items():
            if devices.get(name) == file:
                continue
            if name in devices:
                self._ask(Call("DELETE", f"sys/audit/{name}"), ("delete", "sudo"))
            body = {"type": "file", "options": {"file_path": file, "mode": "0600"}}
            self._ask(Call("PUT", f"sys/audit/{name}", body), ("create", "sudo"))

    def _find_kv2(self, mount: str) -> Mount | None:
        engine = self._data(Call("GET", "sys/mounts")).get(f"{mount.strip('/')}/")
        if not isinstance(engine, Mapping):
            return None
        options = engine.get("options")
        version = options.get("version") if isinstance(options, Mapping) else None
        found = Mount(mount.strip("/"), str(engine.get("type")), str(version or "1"))
        check_kv2(found, found.path)
        return found

    def _mount(self, mount: str) -> None:
        if self._find_kv2(mount) is not None:
            return
        path = mount.strip("/")
        self._ask(Call("POST", f"sys/mounts/{path}", {"type": "kv", "options": {"version": "2"}}))
        # A new engine of version 2 refuses requests until it has set up its storage.
        pace, call = self._session.pace, Call("GET", f"{path}/config")
        end = pace.monotonic() + pace.patience_s
        while True:
            try:
                self._session.ask(call)
                return
            except InvalidRequest as error:
                if pace.monotonic() + _POLL_S > end:
                    raise self._session.client.rejected(error, call) from error
            pace.sleep(_POLL_S)

    def _policy(self, name: str) -> str | None:
        text = self._data(Call("GET", f"sys/policies/acl/{name}")).get("policy")
        return text.strip() if isinstance(text, str) else None

    def _role(self, name: str) -> Mapping[str, Any]:
        return self._data(Call("GET", f"auth/approle/role/{name}"))

    def _make_role(self, name: str, rules: RoleRules) -> None:
        call = Call("GET", f"auth/approle/role/{name}")
        try:
            if _is_role(_data_of(self._session.ask(call)), rules):
                return
        except InvalidPath as error:
            if error.errors:  # in words: the path has no login method, not only no role
                self._put("sys/auth/approle", {"type": "approle"})
        self._put(f"auth/approle/role/{name}", _role_body(rules))

    def _put(self, path: str, body: Mapping[str, Any]) -> None:
        self._ask(Call("POST", path, body))

    def _ask(self, call: Call, needs: tuple[str, ...] = ()) -> dict[str, Any]:
        try:
            return self._session.ask(call, needs)
        except (InvalidPath, InvalidRequest) as error:
            raise self._session.client.rejected(error, call) from error

    def _data(self, call: Call, needs: tuple[str, ...] = ()) -> Mapping[str, Any]:
        """The data of an answer; empty when there is nothing at the path."""
        try:
            return _data_of(self._session.ask(call, needs))
        except InvalidPath:
            return {}
        except InvalidRequest as error:
            raise self._session.client.rejected(error, call) from error


def _role_body(rules: RoleRules) -> dict[str, Any]:
    return {
        "bind_secret_id": True,
        "token_policies": [rules.policy],
        "token_period": rules.token_period_s,
        "token_num_uses": 0,
        "secret_id_num_uses": rules.secret_id_uses,
        "secret_id_ttl": rules.secret_id_ttl_s,
    }


def _is_role(found: Mapping[str, Any], rules: RoleRules) -> bool:
    return all(found.get(name) == value for name, value in _role_body(rules).items())


def _data_of(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    data = answer.get("data")
    return data if isinstance(data, Mapping) else {}
