"""The AppRole login: roles, their ids, secret ids with uses, an end and bound networks.

As in the real server, an expired secret id is gone when the housekeeping next comes by, which is
once a minute; until then a login with it works.
"""

from __future__ import annotations

import ipaddress
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from vault_wire import (
    NOTHING,
    Call,
    Fault,
    Reply,
    failed,
    not_found,
    seconds_of,
    stamp,
    strings_of,
    unsupported_operation,
    unsupported_path,
)

if TYPE_CHECKING:
    from vault_core import Core

HOUSEKEEPING_S = 60
INVALID = "invalid role or secret ID"
TIMES = (
    "secret_id_ttl", "token_ttl", "token_max_ttl", "token_period", "token_explicit_max_ttl",
)  # fmt: skip
COUNTS = ("secret_id_num_uses", "token_num_uses")
FLAGS = ("bind_secret_id", "token_no_default_policy", "local_secret_ids")
ALIASES = {"policies": "token_policies", "period": "token_period"}


def new_role() -> dict[str, Any]:
    """What a role has when nothing is said."""
    return {
        **dict.fromkeys((*TIMES, *COUNTS), 0), "bind_secret_id": True,
        "token_no_default_policy": False, "local_secret_ids": False, "token_policies": [],
        "secret_id_bound_cidrs": None, "token_bound_cidrs": [], "token_type": "default",
        "token_strictly_bind_ip": False,
    }  # fmt: skip


def update_role(role: dict[str, Any], data: dict[str, Any]) -> None:
    """Take over what a request says of a role.

    Raises:
        Fault: 400 for values that cannot be.
    """
    for old, new in ALIASES.items():
        if old in data and new not in data:
            data = {**data, new: data[old]}
    role.update({name: seconds_of(data, name) for name in TIMES if name in data})
    role.update({name: int(data[name] or 0) for name in COUNTS if name in data})
    role.update({name: bool(data[name]) for name in FLAGS if name in data})
    for name in ("token_policies", "secret_id_bound_cidrs", "token_bound_cidrs"):
        if (given := strings_of(data, name)) is not None:
            role[name] = given
    for network in [*(role["secret_id_bound_cidrs"] or ()), *role["token_bound_cidrs"]]:
        check_network(network)
    if role["token_max_ttl"] and role["token_ttl"] > role["token_max_ttl"]:
        raise Fault(400, "'token_ttl' cannot be greater than 'token_max_ttl'")
    if data.get("token_type", "default") not in ("", "default", "service"):
        raise Fault(400, f"'token_type' {data['token_type']!r} is not a part of this stand-in")
    if not role["bind_secret_id"] and not role["secret_id_bound_cidrs"]:
        raise failed(500, "at least one constraint should be enabled on the role")


def check_network(text: str) -> None:
    """Refuse what is no network in CIDR form."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        why = f"failed to validate CIDR blocks: invalid CIDR address: {text}"
        raise failed(500, why) from error


def within(client: str, networks: list[str]) -> bool:
    """Whether an address lies in one of the networks."""
    address = ipaddress.ip_address(client)
    return any(address in ipaddress.ip_network(text, strict=False) for text in networks)


class AppRole:
    """One mount of the method; its roles and secret ids lie in `store`."""

    def __init__(self, store: dict[str, Any], core: Core) -> None:
        self.roles: dict[str, dict[str, Any]] = store.setdefault("roles", {})
        self.core = core

    def exists(self, call: Call) -> bool:
        """Whether a write would be an update; only roles themselves can be created."""
        kind, _, name = call.rest.partition("/")
        return kind != "role" or "/" in name or name.lower() in self.roles

    def handle(self, call: Call) -> Reply:
        """One of the paths of the method."""
        kind, _, rest = call.rest.rstrip("/").partition("/")
        if kind == "login" and not rest:
            if not call.writes:
                raise unsupported_operation()
            return self._log_in(call)
        if kind != "role":
            raise unsupported_path()
        if not rest:
            if call.operation != "list":
                raise unsupported_operation()
            return self._names()
        name, _, part = rest.partition("/")
        return self._role(call, name.lower()) if not part else self._part(call, name.lower(), part)

    def _names(self) -> Reply:
        if not self.roles:
            raise not_found()
        return Reply({"keys": sorted(self.roles)})

    def _role(self, call: Call, name: str) -> Reply:
        if call.operation == "read":
            if name not in self.roles:
                raise not_found()
            hidden = ("role_id", "secret_ids")
            return Reply({k: v for k, v in self.roles[name].items() if k not in hidden})
        if call.operation == "delete":
            self.roles.pop(name, None)
        elif call.writes:
            role = self.roles.get(name) or {
                **new_role(), "role_id": str(uuid.uuid4()), "secret_ids": {}
            }  # fmt: skip
            changed = {**role}
            update_role(changed, call.data)
            if "role_id" in call.data:
                changed["role_id"] = str(call.data["role_id"])
            self.roles[name] = changed
        else:
            raise unsupported_operation()
        self.core.changed()
        return NOTHING

    def _part(self, call: Call, name: str, part: str) -> Reply:
        acts = {
            ("role-id", "read"): self._read_role_id,
            ("role-id", "update"): self._set_role_id,
            ("secret-id", "update"): self._new_secret_id,
            ("secret-id", "list"): self._accessors,
            ("custom-secret-id", "update"): self._new_secret_id,
            ("secret-id/lookup", "update"): self._look_up,
            ("secret-id/destroy", "update"): self._destroy,
            ("secret-id-accessor/lookup", "update"): self._look_up_accessor,
            ("secret-id-accessor/destroy", "update"): self._destroy_accessor,
        }
        if (part, call.operation) in acts:
            role = self.roles.get(name)
            if role is None:
                if part == "role-id" and call.operation == "read":
                    raise not_found()
                status, text = (404, f'role "{name}" does not exist')
                raise Fault(status, text)
            return acts[part, call.operation](call, role)
        if part in {known for known, _ in acts}:
            raise unsupported_operation()
        raise unsupported_path()

    def _read_role_id(self, call: Call, role: dict[str, Any]) -> Reply:
        del call
        return Reply({"role_id": role["role_id"]})

    def _set_role_id(self, call: Call, role: dict[str, Any]) -> Reply:
        wanted = str(call.data.get("role_id") or "")
        if not wanted:
            raise Fault(400, "missing role_id")
        role["role_id"] = wanted
        self.core.changed()
        return NOTHING

    def _new_secret_id(self, call: Call, role: dict[str, Any]) -> Reply:
        data = call.data
        if not role["bind_secret_id"]:
            raise Fault(400, "bind_secret_id is not set on the role")
        ttl = seconds_of(data, "ttl", role["secret_id_ttl"])
        uses = int(data.get("num_uses", role["secret_id_num_uses"]) or 0)
        if role["secret_id_num_uses"] and not 0 < uses <= role["secret_id_num_uses"]:
            raise Fault(400, "num_uses cannot be higher than the role's secret_id_num_uses")
        if role["secret_id_ttl"] and not 0 < ttl <= role["secret_id_ttl"]:
            raise Fault(400, "ttl cannot be longer than the role's secret_id_ttl")
        networks = strings_of(data, "cidr_list") or []
        bound = strings_of(data, "token_bound_cidrs") or []
        for network in [*networks, *bound]:
            check_network(network)
        now = time.time()
        given = str(data.get("secret_id") or "") or str(uuid.uuid4())
        if given in role["secret_ids"]:
            raise Fault(400, "SecretID is already registered")
        entry = {
            "accessor": str(uuid.uuid4()), "created": now, "updated": now, "ttl": ttl,
            "expires": now + ttl if ttl else 0, "uses": uses, "networks": networks,
            "token_networks": bound, "metadata": _metadata(data),
        }  # fmt: skip
        role["secret_ids"][given] = entry
        self.core.changed()
        made = {
            "secret_id": given, "secret_id_accessor": entry["accessor"],
            "secret_id_num_uses": uses, "secret_id_ttl": ttl,
        }  # fmt: skip
        return Reply(made, wrapped_accessor=entry["accessor"])

    def _accessors(self, call: Call, role: dict[str, Any]) -> Reply:
        del call
        if not role["secret_ids"]:
            raise not_found()
        return Reply({"keys": [entry["accessor"] for entry in role["secret_ids"].values()]})

    def _look_up(self, call: Call, role: dict[str, Any]) -> Reply:
        entry = self._alive(role, str(call.data.get("secret_id") or ""))
        return Reply(_describe(entry)) if entry else NOTHING

    def _destroy(self, call: Call, role: dict[str, Any]) -> Reply:
        role["secret_ids"].pop(str(call.data.get("secret_id") or ""), None)
        self.core.changed()
        return NOTHING

    def _by_accessor(self, call: Call, role: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
        wanted = str(call.data.get("secret_id_accessor") or "")
        for name, entry in role["secret_ids"].items():
            if entry["accessor"] == wanted:
                return name, entry
        return f'failed to find accessor entry for secret_id_accessor: "{wanted}"', None

    def _look_up_accessor(self, call: Call, role: dict[str, Any]) -> Reply:
        text, entry = self._by_accessor(call, role)
        if entry is None:
            return Reply({"error": text}, status=404)
        return Reply(_describe(entry))

    def _destroy_accessor(self, call: Call, role: dict[str, Any]) -> Reply:
        name, entry = self._by_accessor(call, role)
        if entry is None:
            raise failed(500, name)
        del role["secret_ids"][name]
        self.core.changed()
        return NOTHING

    def _alive(self, role: dict[str, Any], secret_id: str) -> dict[str, Any] | None:
        entry = role["secret_ids"].get(secret_id)
        if entry and entry["expires"] and time.time() > entry["expires"] + HOUSEKEEPING_S:
            del role["secret_ids"][secret_id]
            return None
        return entry

    def _log_in(self, call: Call) -> Reply:
        role_id = str(call.data.get("role_id") or "").strip()
        secret_id = str(call.data.get("secret_id") or "").strip()
        if not role_id:
            raise Fault(500, "missing role_id")
        found = [(n, r) for n, r in self.roles.items() if r["role_id"] == role_id]
        if not found:
            raise Fault(400, INVALID)
        name, role = found[0]
        metadata, bound = {}, role["token_bound_cidrs"]
        if role["bind_secret_id"]:
            if not secret_id:
                raise Fault(400, "missing secret_id")
            entry = self._spend(call, role, secret_id)
            metadata, bound = entry["metadata"], entry["token_networks"] or bound
        networks = role["secret_id_bound_cidrs"] or []
        if networks and not within(call.client, networks):
            raise Fault(400, f'source address "{call.client}" unauthorized by CIDR restrictions')
        return self.core.tokens.grant(
            call, role, display_name=call.mount.split("/")[1], meta={"role_name": name, **metadata},
            entity_id=str(uuid.uuid5(uuid.NAMESPACE_OID, role_id)), bound=bound,
        )  # fmt: skip

    def _spend(self, call: Call, role: dict[str, Any], secret_id: str) -> dict[str, Any]:
        entry = self._alive(role, secret_id)
        if entry is None:
            raise Fault(400, INVALID)
        if entry["uses"] == 1:
            del role["secret_ids"][secret_id]
        elif entry["uses"]:
            entry.update(uses=entry["uses"] - 1, updated=time.time())
        self.core.changed()
        if entry["networks"] and not within(call.client, entry["networks"]):
            text = "unauthorized by CIDR restrictions on the secret ID"
            raise Fault(400, f'source address "{call.client}" {text}: %!w(<nil>)')
        return entry


def _metadata(data: dict[str, Any]) -> dict[str, str]:
    given = data.get("metadata") or {}
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError as error:
            text = "failed to parse the input: invalid <key,value> format"
            raise Fault(400, f"failed to parse metadata: {text}") from error
    return {str(name): str(value) for name, value in given.items()}


def _describe(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "cidr_list": entry["networks"], "creation_time": stamp(entry["created"]),
        "expiration_time": stamp(entry["expires"]) if entry["expires"] else "0001-01-01T00:00:00Z",
        "last_updated_time": stamp(entry["updated"]), "metadata": entry["metadata"],
        "secret_id_accessor": entry["accessor"], "secret_id_num_uses": entry["uses"],
        "secret_id_ttl": entry["ttl"], "token_bound_cidrs": entry["token_networks"],
    }  # fmt: skip
