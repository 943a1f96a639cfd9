"""Tokens: what they may do, how long they live, and the endpoints of `auth/token`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from vault_wire import (
    NOTHING,
    Call,
    Fault,
    Reply,
    failed,
    parse_seconds,
    random_text,
    stamp,
    strings_of,
    unsupported_operation,
    unsupported_path,
)

if TYPE_CHECKING:
    from vault_core import Core

CREATE_FIELDS = {
    "id", "policies", "meta", "no_parent", "no_default_policy", "renewable", "ttl", "lease",
    "explicit_max_ttl", "display_name", "num_uses", "period", "type", "entity_alias",
}  # fmt: skip


class Tokens:
    """The tokens of the server, by id, in its state."""

    def __init__(self, core: Core) -> None:
        self.core = core

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        return self.core.state["tokens"]

    def find(self, token_id: str) -> dict[str, Any] | None:
        """A token that is alive."""
        entry = self.entries.get(token_id)
        if entry is None:
            return None
        if entry["expires"] and time.time() >= entry["expires"]:
            self.revoke(entry)
            return None
        return entry

    def by_accessor(self, accessor: str) -> dict[str, Any] | None:
        """A token that is alive, by its accessor."""
        found = [e for e in self.entries.values() if e["accessor"] == accessor]
        return self.find(found[0]["id"]) if found else None

    def make(self, **given: Any) -> dict[str, Any]:
        """A new token; `ttl` in seconds, 0 for one that does not end."""
        now = time.time()
        entry = {
            "id": self.core.token_prefix + random_text(24), "accessor": random_text(24),
            "policies": ["root"], "path": "", "meta": None, "display_name": "token",
            "created": now, "ttl": 0, "explicit_max_ttl": 0, "period": 0, "num_uses": 0,
            "renewable": False, "orphan": True, "parent": "", "entity_id": "", "renewed": 0,
            "lease": 0, "max_ttl": 0, "wrapped": None, "bound": [], **given,
        }  # fmt: skip
        entry["expires"] = now + entry["ttl"] if entry["ttl"] else 0
        entry["lease"] = entry["ttl"]
        self.entries[entry["id"]] = entry
        return entry

    def use(self, entry: dict[str, Any]) -> None:
        """Count a use of a token that has only so many."""
        if entry["num_uses"] > 0:
            entry["num_uses"] -= 1
            if entry["num_uses"] == 0:
                entry["num_uses"] = -1
            self.core.changed()

    def revoke(self, entry: dict[str, Any]) -> None:
        """End a token and all that were made with it."""
        self.entries.pop(entry["id"], None)
        self.core.state["cubbyholes"].pop(entry["accessor"], None)
        for child in [e for e in self.entries.values() if e["parent"] == entry["id"]]:
            self.revoke(child)
        self.core.changed()

    def renew(self, entry: dict[str, Any], increment: int) -> None:
        """Give a token time again.

        Raises:
            Fault: 400 for one that has no end, or may not be renewed.
        """
        if not entry["expires"]:
            raise Fault(400, "invalid lease ID")
        if not entry["renewable"]:
            raise Fault(400, "lease is not renewable")
        now = time.time()
        lease = entry["period"] or increment or entry["lease"]
        limits = [] if entry["period"] else [self.core.max_ttl, entry["max_ttl"]]
        for limit in filter(None, [*limits, entry["explicit_max_ttl"]]):
            lease = min(lease, int(entry["created"] + limit - now))
        entry.update(lease=max(lease, 0), expires=now + max(lease, 0), renewed=now)
        self.core.changed()

    def auth(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The `auth` part of an answer that gives a token."""
        return {
            "client_token": entry["id"], "accessor": entry["accessor"],
            "policies": entry["policies"], "token_policies": entry["policies"],
            "metadata": entry["meta"], "lease_duration": entry["lease"],
            "renewable": entry["renewable"], "entity_id": entry["entity_id"],
            "token_type": "service", "orphan": entry["orphan"], "mfa_requirement": None,
            "num_uses": entry["num_uses"],
        }  # fmt: skip

    def describe(self, entry: dict[str, Any]) -> dict[str, Any]:
        """What a lookup tells."""
        expires = entry["expires"]
        made = {
            "accessor": entry["accessor"], "creation_time": int(entry["created"]),
            "creation_ttl": entry["ttl"], "display_name": entry["display_name"],
            "entity_id": entry["entity_id"], "expire_time": stamp(expires) if expires else None,
            "explicit_max_ttl": entry["explicit_max_ttl"], "id": entry["id"],
            "meta": entry["meta"], "num_uses": entry["num_uses"], "orphan": entry["orphan"],
            "path": entry["path"], "policies": entry["policies"],
            "ttl": max(int(expires - time.time()), 0) if expires else 0, "type": "service",
        }  # fmt: skip
        if expires:
            made |= {"issue_time": stamp(entry["created"]), "renewable": entry["renewable"]}
        if entry["renewed"]:
            made["last_renewal"] = stamp(entry["renewed"])
            made["last_renewal_time"] = int(entry["renewed"])
        if entry["period"]:
            made["period"] = entry["period"]
        return made

    def grant(self, call: Call, role: dict[str, Any], **given: Any) -> Reply:
        """The token of a login, as a role of an auth method has it."""
        policies = set(role["token_policies"])
        if not role.get("token_no_default_policy"):
            policies.add("default")
        period, ttl, most = role["token_period"], role["token_ttl"], role["token_max_ttl"]
        ttl = period or min(ttl or self.core.default_ttl, most or self.core.max_ttl)
        explicit = role.get("token_explicit_max_ttl", 0)
        entry = self.make(
            policies=sorted(policies), path=call.path, ttl=min(ttl, explicit or ttl),
            period=period, max_ttl=most, num_uses=role["token_num_uses"], renewable=True,
            explicit_max_ttl=explicit, **given,
        )  # fmt: skip
        self.core.changed()
        return Reply(auth=self.auth(entry))

    def handle(self, call: Call) -> Reply:
        """An endpoint of `auth/token`."""
        known = {
            "create": ("update", self._create),
            "create-orphan": ("update", self._create_orphan),
            "lookup": ("update", self._lookup),
            "lookup-self": ("any", self._lookup_self),
            "lookup-accessor": ("update", self._lookup_accessor),
            "renew": ("update", self._renew),
            "renew-self": ("update", self._renew_self),
            "renew-accessor": ("update", self._renew_accessor),
            "revoke": ("update", self._revoke),
            "revoke-self": ("update", self._revoke_self),
            "revoke-orphan": ("update", self._revoke_orphan),
            "revoke-accessor": ("update", self._revoke_accessor),
            "accessors": ("list", self._accessors),
        }
        if call.rest.rstrip("/") not in known:
            raise unsupported_path()
        operation, act = known[call.rest.rstrip("/")]
        if operation == "any" and call.operation in ("read", "update"):
            return act(call)
        if call.operation != operation:
            raise unsupported_operation()
        return act(call)

    def _create_orphan(self, call: Call) -> Reply:
        return self._create(call, orphan=True)

    def _create(self, call: Call, *, orphan: bool = False) -> Reply:
        data, parent = call.data, call.login
        root = "root" in parent["policies"]
        sudo = root or self.core.acl(parent).sudo(call.path)
        self._check_rights(data, root=root, sudo=sudo)
        policies = self._policies(data, parent, root=root, sudo=sudo)
        times = {name: _time(data, name) for name in ("ttl", "period", "explicit_max_ttl")}
        endless = policies == ["root"] and not times["ttl"] and not times["period"]
        limit = times["explicit_max_ttl"] or self.core.max_ttl
        wanted = times["period"] or times["ttl"] or self.core.default_ttl
        capped = wanted if times["period"] else min(wanted, limit)
        given = {"id": str(data["id"])} if data.get("id") else {}
        apart = orphan or bool(data.get("no_parent"))
        entry = self.make(
            **given, policies=policies, path=call.path, meta=data.get("meta"),
            display_name="-".join(filter(None, ["token", data.get("display_name")])),
            ttl=0 if endless else capped, num_uses=int(data.get("num_uses") or 0),
            explicit_max_ttl=times["explicit_max_ttl"], period=times["period"],
            renewable=not endless and data.get("renewable") is not False,
            orphan=apart, parent="" if apart else parent["id"],
        )  # fmt: skip
        self.core.changed()
        over = f"{wanted}s" if capped < wanted and not endless else ""
        return Reply(auth=self.auth(entry), warnings=self._warnings(data, policies, over))

    def _check_rights(self, data: dict[str, Any], *, root: bool, sudo: bool) -> None:
        if data.get("type") not in (None, "", "service"):
            known = data["type"] == "batch"
            text = "batch tokens are not a part of this stand-in" if known else ""
            raise Fault(400, text or "invalid 'token_type' value")
        for name, kind in (("no_parent", "orphan"), ("period", "periodic")):
            if data.get(name) and not sudo:
                raise Fault(400, f"root or sudo privileges required to create {kind} token")
        if data.get("id"):
            if not root:
                raise Fault(400, "root or sudo privileges required to specify token id")
            if data["id"] in self.entries:
                raise Fault(400, "cannot create a token with a duplicate ID")

    def _warnings(self, data: dict[str, Any], policies: list[str], over: str) -> list[str] | None:
        warnings = []
        if over:
            limit = f"{self.core.max_ttl}s"
            said = f'TTL of "{over}" exceeded the effective max_ttl of "{limit}"'
            warnings.append(f"{said}; TTL value is capped accordingly")
        if unknown := sorted(set(data) - CREATE_FIELDS):
            names = " ".join(unknown)
            warnings.append(f"Endpoint ignored these unrecognized parameters: [{names}]")
        missing = [p for p in policies if p != "root" and p not in self.core.state["policies"]]
        warnings += [f'Policy "{name}" does not exist' for name in missing]
        return warnings or None

    def _policies(
        self, data: dict[str, Any], parent: dict[str, Any], *, root: bool, sudo: bool
    ) -> list[str]:
        wanted = {name.lower() for name in strings_of(data, "policies") or ()}
        if not wanted:
            return list(parent["policies"])
        if not root and not sudo and not wanted <= {*parent["policies"], "default"}:
            raise Fault(400, "child policies must be subset of parent")
        if "root" in wanted and not root:
            raise Fault(400, "root tokens may not be created without parent token being root")
        if "root" in wanted and len(wanted) > 1:
            raise Fault(400, "root tokens may not have other policies")
        if not data.get("no_default_policy") and "root" not in wanted:
            wanted.add("default")
        return sorted(wanted)

    def _lookup(self, call: Call) -> Reply:
        wanted = str(call.data.get("token") or call.token_id)
        entry = self.find(wanted)
        if entry is None:
            raise Fault(403, "bad token")
        return Reply(self.describe(entry))

    def _lookup_self(self, call: Call) -> Reply:
        return Reply(self.describe(call.login))

    def _lookup_accessor(self, call: Call) -> Reply:
        return Reply({**self.describe(self._accessor(call)), "id": ""})

    def _accessor(self, call: Call) -> dict[str, Any]:
        entry = self.by_accessor(str(call.data.get("accessor") or ""))
        if entry is None:
            raise failed(400, "invalid accessor")
        return entry

    def _renew(self, call: Call) -> Reply:
        entry = self.find(str(call.data.get("token") or call.token_id))
        if entry is None:
            raise Fault(400, "token not found")
        return self._renewed(call, entry)

    def _renew_self(self, call: Call) -> Reply:
        return self._renewed(call, call.login)

    def _renew_accessor(self, call: Call) -> Reply:
        reply = self._renewed(call, self._accessor(call))
        return Reply(auth={**(reply.auth or {}), "client_token": ""})

    def _renewed(self, call: Call, entry: dict[str, Any]) -> Reply:
        self.renew(entry, _time(call.data, "increment"))
        return Reply(auth=self.auth(entry))

    def _revoke(self, call: Call) -> Reply:
        wanted = str(call.data.get("token") or "")
        if not wanted:
            raise Fault(400, "missing token ID")
        if entry := self.find(wanted):
            self.revoke(entry)
        return NOTHING

    def _revoke_orphan(self, call: Call) -> Reply:
        for child in self.entries.values():
            if child["parent"] and child["parent"] == call.data.get("token"):
                child.update(parent="", orphan=True)
        return self._revoke(call)

    def _revoke_self(self, call: Call) -> Reply:
        self.revoke(call.login)
        return NOTHING

    def _revoke_accessor(self, call: Call) -> Reply:
        entry = self.by_accessor(str(call.data.get("accessor") or ""))
        if entry is None:
            return Reply(warnings=["No token found with this accessor"])
        self.revoke(entry)
        return NOTHING

    def _accessors(self, call: Call) -> Reply:
        del call
        alive = [e for name in list(self.entries) if (e := self.find(name))]
        return Reply({"keys": [entry["accessor"] for entry in alive]})


def _time(data: dict[str, Any], name: str) -> int:
    try:
        seconds = parse_seconds(data.get(name) or 0)
    except ValueError as error:
        raise Fault(400, str(error)) from error
    if seconds < 0:
        raise Fault(400, f"{name} must be positive")
    return seconds
