"""Administration below `sys/`: mounts, login methods, audit devices, policies, capabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vault_acl import parse_policy, read_policy_text
from vault_core import new_mount
from vault_kv import upgrade
from vault_wire import (
    NOTHING,
    Call,
    Fault,
    Reply,
    failed,
    not_found,
    parse_seconds,
    stamp,
    unsupported_operation,
    unsupported_path,
)

if TYPE_CHECKING:
    from vault_core import Core

ENGINES = {"kv": None, "kv-v1": "1", "kv-v2": "2", "generic": "1"}
METHODS = ("approle", "jwt", "oidc")
RESERVED = ("sys/", "cubbyhole/", "identity/", "auth/")
API_AUDIT = (
    "cannot enable audit device via API; use declarative, config-based audit device management"
    " instead"
)


class System:
    """The endpoints that tell or change what the server has."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.parts = {
            "mounts": self._mounts, "auth": self._auth, "audit": self._audit,
            "audit-hash": self._audit_hash, "policy": self._policy, "policies": self._policies,
            "capabilities": self._capabilities, "capabilities-self": self._capabilities,
            "key-status": self._key_status, "rotate": self._rotate, "internal": self._internal,
        }  # fmt: skip

    def handle(self, call: Call) -> Reply:
        """One endpoint."""
        part, _, rest = call.rest.partition("/")
        if part not in self.parts:
            raise unsupported_path()
        return self.parts[part](call, rest)

    def _mounts(self, call: Call, rest: str) -> Reply:
        return self._table(call, rest, "mounts")

    def _auth(self, call: Call, rest: str) -> Reply:
        return self._table(call, rest, "auth")

    def _table(self, call: Call, rest: str, kind: str) -> Reply:
        table = self.core.state[kind]
        if not rest:
            if call.operation != "read":
                raise unsupported_operation()
            return Reply({path: _shown(entry) for path, entry in table.items()}, flat=True)
        if rest.endswith("/tune"):
            return self._tune(call, rest.removesuffix("tune"), table)
        path = rest.rstrip("/") + "/"
        if call.operation == "read":
            if path not in table:
                kinds = {"mounts": "secret engine mount", "auth": "auth engine"}
                raise Fault(400, f"No {kinds[kind]} at {path}")
            return Reply(_shown(table[path]), flat=True)
        if call.writes:
            table[path] = self._new(call.data, path, kind)
        elif call.operation == "delete":
            self._remove(path, kind)
        self.core.changed()
        return NOTHING

    def _new(self, data: dict[str, Any], path: str, kind: str) -> dict[str, Any]:
        wanted = str(data.get("type") or "")
        if not wanted:
            raise Fault(400, "backend type must be specified as a string")
        if wanted not in (ENGINES if kind == "mounts" else METHODS):
            raise Fault(400, f"plugin not found in the catalog: {wanted}")
        if kind == "mounts" and path.startswith(RESERVED):
            raise Fault(400, f'cannot mount "{path}"')
        for other in self.core.state[kind]:
            if other.startswith(path) or path.startswith(other):
                raise Fault(400, f"path is already in use at {other}")
        options = {key: str(value) for key, value in (data.get("options") or {}).items()}
        if kind == "mounts":
            if ENGINES[wanted]:
                options["version"] = str(ENGINES[wanted])
            if options.get("version", "1") not in ("1", "2"):
                raise Fault(400, 'nil backend of type "kv" returned from factory')
        made = new_mount("kv" if kind == "mounts" else wanted, options, data.get("description", ""))
        if kind == "auth":
            made["accessor"] = f"auth_{made['accessor']}"
            made["config"]["token_type"] = "default-service"
        made["config"].update(_times(data.get("config") or {}, made["config"]))
        self.core.state["stores"][made["uuid"]] = {}
        return made

    def _remove(self, path: str, kind: str) -> None:
        if kind == "mounts" and path in RESERVED:
            raise Fault(400, f'cannot unmount "{path}"')
        if path == "token/" and kind == "auth":
            raise Fault(400, "token credential backend cannot be disabled")
        gone = self.core.state[kind].pop(path, None)
        if gone is None:
            return
        self.core.state["stores"].pop(gone["uuid"], None)
        if kind == "auth":
            tokens = [e for e in self.core.tokens.entries.values()
                      if e["path"].startswith(f"auth/{path}")]  # fmt: skip
            for entry in tokens:
                self.core.tokens.revoke(entry)

    def _tune(self, call: Call, path: str, table: dict[str, Any]) -> Reply:
        entry = table.get(path)
        if call.operation == "read":
            if entry is None:
                raise Fault(400, f'cannot fetch sysview for path "{path}"')
            config = entry["config"]
            shown = {
                "default_lease_ttl": config["default_lease_ttl"] or self.core.default_ttl,
                "description": entry["description"], "force_no_cache": False,
                "max_lease_ttl": config["max_lease_ttl"] or self.core.max_ttl,
            }  # fmt: skip
            options = {"options": entry["options"]} if entry["options"] else {}
            return Reply({**shown, **options}, flat=True)
        if entry is None:
            raise Fault(400, f'tune of path "{path}" failed: no mount entry found')
        entry["config"].update(_times(call.data, entry["config"]))
        if "description" in call.data:
            entry["description"] = str(call.data["description"])
        self.core.changed()
        return self._upgrade(call.data.get("options") or {}, entry)

    def _upgrade(self, options: dict[str, Any], entry: dict[str, Any]) -> Reply:
        wanted = str(options.get("version", ""))
        had = (entry["options"] or {}).get("version", "1")
        if not wanted or wanted == had:
            return NOTHING
        if had == "2":
            raise Fault(400, "cannot downgrade mount from version 2")
        if wanted != "2":
            raise Fault(400, f"invalid KV version {wanted}")
        upgrade(self.core.state["stores"][entry["uuid"]])
        entry["options"] = {**(entry["options"] or {}), "version": "2"}
        where = "This mount will be unavailable for a brief period and will resume service shortly."
        return Reply(warnings=[f"Upgrading mount from version 1 to version 2. {where}"])

    def _audit(self, call: Call, rest: str) -> Reply:
        core = self.core
        if not rest:
            shown = {
                path: {"path": path, "local": False, **device}
                for path, device in core.audit_devices().items()
            }
            return Reply(shown, flat=bool(shown))
        path = rest.rstrip("/") + "/"
        if call.writes:
            if not core.config.api_audit:
                raise Fault(400, API_AUDIT)
            if path in core.audit_devices():
                raise Fault(400, "path already in use")
            device = {
                "type": str(call.data.get("type") or ""), "local": False,
                "description": str(call.data.get("description") or ""),
                "options": {k: str(v) for k, v in (call.data.get("options") or {}).items()},
            }  # fmt: skip
            core.open_device(path, device)
            core.state["audit"][path] = device
        elif call.operation == "delete":
            if path in core.config.audit:
                raise Fault(400, "cannot disable configuration-managed audit device")
            core.state["audit"].pop(path, None)
            if gone := core.audit.devices.pop(path, None):
                gone.close()
        else:
            raise unsupported_operation()
        core.changed()
        return NOTHING

    def _audit_hash(self, call: Call, rest: str) -> Reply:
        device = self.core.audit.devices.get(rest.rstrip("/") + "/")
        if device is None:
            raise Fault(400, f"unknown audit backend: {rest}/")
        return Reply({"hash": device.hash(str(call.data.get("input", "")))}, flat=True)

    def _policies(self, call: Call, rest: str) -> Reply:
        kind, _, name = rest.partition("/")
        if kind != "acl":
            raise unsupported_path()
        if call.operation == "list" and not name:
            return Reply({"keys": self._policy_names()})
        return self._one_policy(call, name, "policy")

    def _policy(self, call: Call, rest: str) -> Reply:
        if not rest:
            names = self._policy_names()
            return Reply({"keys": names, "policies": names}, flat=True)
        return self._one_policy(call, rest, "rules")

    def _policy_names(self) -> list[str]:
        return [*sorted(self.core.state["policies"]), "root"]

    def _one_policy(self, call: Call, given: str, part: str) -> Reply:
        policies, name = self.core.state["policies"], given.lower()
        if call.operation == "read":
            entry = policies.get(name, {"policy": "", "version": 0})
            if name not in (*policies, "root"):
                raise not_found()
            shown = {"name": name, part: entry["policy"], "cas_required": False}
            modified = {"modified": entry["modified"]} if "modified" in entry else {}
            more = {**modified, "version": entry["version"]}
            return Reply({**shown, **more}, flat=part == "rules")
        if name == "root":
            verb = "delete" if call.operation == "delete" else "update"
            raise Fault(400, f'cannot {verb} "root" policy')
        if call.operation == "delete":
            if name == "default":
                raise Fault(400, "cannot delete default policy")
            policies.pop(name, None)
            self.core.changed()
            return NOTHING
        if not call.writes:
            raise unsupported_operation()
        text = read_policy_text(str(call.data.get("policy") or call.data.get("rules") or ""))
        if not text:
            raise Fault(400, "'policy' parameter not supplied or empty")
        parse_policy(text)
        version = policies.get(name, {}).get("version", 0) + 1
        policies[name] = {"policy": text, "version": version, "modified": stamp()}
        self.core.changed()
        renamed = [f"policy name was converted to {name}"] if name != given else None
        return Reply(warnings=renamed)

    def _capabilities(self, call: Call, rest: str) -> Reply:
        if rest or not call.writes:
            raise unsupported_operation() if not rest else unsupported_path()
        paths = call.data.get("paths") or call.data.get("path") or []
        paths = paths if isinstance(paths, list) else [paths]
        if not paths:
            raise Fault(400, "paths must be supplied")
        entry = call.login
        if call.rest == "capabilities":
            found = self.core.tokens.find(str(call.data.get("token") or ""))
            if found is None:
                raise failed(400, "invalid token")
            entry = found
        if "root" in entry["policies"]:
            shown = {path: ["root"] for path in paths}
        else:
            acl = self.core.acl(entry)
            shown = {path: acl.capabilities(path.removeprefix("/")) for path in paths}
        single = {"capabilities": shown[paths[0]]} if len(paths) == 1 else {}
        return Reply({**shown, **single}, flat=True)

    def _key_status(self, call: Call, rest: str) -> Reply:
        del call, rest
        shown = {"term": 1, "install_time": self.core.state["installed"], "encryptions": 1}
        return Reply(shown, flat=True)

    def _rotate(self, call: Call, rest: str) -> Reply:
        if rest not in ("", "keyring") or not call.writes:
            raise unsupported_path() if rest not in ("", "keyring") else unsupported_operation()
        return NOTHING

    def _internal(self, call: Call, rest: str) -> Reply:
        wanted = rest.removeprefix("ui/mounts/").rstrip("/") + "/"
        denied = (
            "preflight capability check returned 403, please ensure client's policies grant access"
            f' to path "{wanted}"'
        )
        if rest in ("ui/mounts", "ui/mounts/"):
            if call.token is None:
                raise Fault(403, "permission denied")
            return Reply({"secret": {}, "auth": {}})  # what no policy shows; the least there is
        if not rest.startswith("ui/mounts/"):
            raise unsupported_path()
        for path, entry in self.core.state["mounts"].items():
            if wanted.startswith(path) and call.token is not None:
                shown = {**_shown(entry), "path": path}
                root = "root" in call.token["policies"]
                if root or _any_below(self.core.acl(call.token), path):
                    return Reply(shown)
        raise Fault(403, denied)


def _any_below(acl: Any, mount: str) -> bool:
    rules = [*acl.exact.values(), *acl.patterns]
    return any(
        rule.path.startswith(mount) and rule.capabilities - {"deny"} for rule in rules
    )  # fmt: skip


def _shown(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "external_entropy_access": False, "seal_wrap": False, "plugin_version": ""}


def _times(data: dict[str, Any], before: dict[str, int]) -> dict[str, int]:
    made = {}
    for name in ("default_lease_ttl", "max_lease_ttl"):
        if data.get(name) is not None:
            try:
                made[name] = parse_seconds(data[name])
            except ValueError as error:
                raise Fault(400, str(error)) from error
    default, most = ({**before, **made}[k] for k in ("default_lease_ttl", "max_lease_ttl"))
    if most and default > most:
        text = f"backend max lease TTL of {most} would be less than backend default lease TTL"
        raise Fault(400, f"{text} of {default}")
    return made
