"""The key-value engine in both versions, and the cubbyhole, which is version 1 for one token.

What a mount holds is a plain mapping in the server's state; times are seconds since the epoch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vault_wire import (
    NOTHING,
    Call,
    Fault,
    Reply,
    go_duration,
    not_found,
    parse_seconds,
    stamp,
    unsupported_operation,
)

if TYPE_CHECKING:
    from vault_core import Core

KEPT_VERSIONS = 10
LARGEST = 1024 * 1024
"""Bytes that one entry of raft storage may have."""
INVALID = (
    "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API"
)
HINT = (
    " endpoints to use. If using the {product} CLI, use '{program} kv {verb}' for this operation."
)


def children(paths: Iterable[str], prefix: str) -> list[str]:
    """Names directly below a prefix, folders with a slash at their end."""
    prefix = prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""
    below = [path[len(prefix) :] for path in paths if path.startswith(prefix)]
    names = {name.partition("/")[0] + ("/" if "/" in name else "") for name in below}
    return sorted(names)


def listing(paths: Iterable[str], prefix: str) -> Reply:
    """The answer to a LIST; 404 when there is nothing."""
    names = children(paths, prefix)
    if not names:
        raise not_found()
    return Reply({"keys": names})


def check_size(data: Any) -> None:
    """Refuse what one entry of the storage cannot hold."""
    size = len(repr(data))
    if size > LARGEST:
        text = f"put failed due to value being too large; got {size} bytes, max {LARGEST} bytes"
        raise Fault(500, f"1 error occurred:\n\t* {text}\n\n")


class PlainKv:
    """Version 1: one value per path."""

    def __init__(self, store: dict[str, Any], core: Core, lease_s: int) -> None:
        self.store = store
        self.core = core
        self.lease_s = lease_s

    def exists(self, call: Call) -> bool:
        """Whether a write would be an update."""
        return call.rest in self.store

    def handle(self, call: Call) -> Reply:
        """Read, list, write or delete a value."""
        if call.operation == "list":
            return listing(self.store, call.rest)
        if call.operation == "read":
            if call.rest not in self.store:
                raise not_found()
            return Reply(self.store[call.rest], lease_s=self.lease_s)
        if call.operation == "delete":
            self.store.pop(call.rest, None)
        elif call.writes:
            if not call.data:
                raise Fault(400, "missing data fields")
            check_size(call.data)
            self.store[call.rest] = call.data
        else:
            raise unsupported_operation()
        self.core.changed()
        return NOTHING


class VersionedKv:
    """Version 2: values with versions and metadata."""

    def __init__(self, store: dict[str, Any], core: Core) -> None:
        self.config: dict[str, Any] = store.setdefault("config", {})
        self.keys: dict[str, dict[str, Any]] = store.setdefault("keys", {})
        self.core = core

    def exists(self, call: Call) -> bool:
        """Whether a write would be an update."""
        kind, _, key = call.rest.partition("/")
        return key in self.keys if kind in ("data", "metadata") else True

    def handle(self, call: Call) -> Reply:
        """One of the paths of the engine."""
        kind, slash, key = call.rest.partition("/")
        if kind == "config" and not key:
            return self._configure(call)
        if kind == "metadata" and call.operation == "list":
            return listing(self.keys, key)
        acts = {
            "data": self._data, "metadata": self._metadata, "delete": self._delete,
            "undelete": self._undelete, "destroy": self._destroy,
        }  # fmt: skip
        if kind in acts and slash:
            if not key and call.operation == "read":
                raise not_found()
            return acts[kind](call, key)
        if kind in acts:
            text = "Non-listing operations on the root of a K/V v2 mount are not supported."
            return Reply(status=404, warnings=[text])
        bao = self.core.flavour == "openbao"
        verb = {"read": "get", "list": "list", "delete": "delete"}.get(call.operation, "put")
        product, program = ("OpenBao", "bao") if bao else ("Vault", "vault")
        hint = HINT.format(product=product, program=program, verb=verb)
        return Reply(status=404, warnings=[INVALID + hint])

    def _configure(self, call: Call) -> Reply:
        if call.operation == "read":
            config = self.config
            return Reply({
                "cas_required": config.get("cas_required", False),
                "delete_version_after": go_duration(config.get("delete_version_after", 0)),
                "max_versions": config.get("max_versions", 0),
                "metadata_cas_required": False,
            })  # fmt: skip
        if not call.writes:
            raise unsupported_operation()
        self.config.update(_settings(call.data))
        self.core.changed()
        return NOTHING

    def _data(self, call: Call, key: str) -> Reply:
        if call.operation == "read":
            return self._read(call, key)
        if call.writes:
            return self._write(call, key)
        if call.operation != "delete":
            raise unsupported_operation()
        if meta := self.keys.get(key):
            _mark_deleted(meta, [meta["current"]])
            self.core.changed()
        return NOTHING

    def _read(self, call: Call, key: str) -> Reply:
        try:
            wanted = int(call.query.get("version", 0) or 0)
        except ValueError as error:
            text = "'' cannot parse value as 'int': strconv.ParseInt: invalid syntax"
            where = 'Field validation failed: error converting input for field "version": '
            raise Fault(400, where + text) from error
        meta = self.keys.get(key)
        number = wanted if wanted > 0 else meta["current"] if meta else 0
        version = meta["versions"].get(str(number)) if meta else None
        if meta is None or version is None:
            raise not_found()
        described = _describe(version, number, meta)
        if version["destroyed"] or 0 < version["deleted"] <= time.time():
            return Reply({"data": None, "metadata": described}, status=404)
        return Reply({"data": version["data"], "metadata": described})

    def _write(self, call: Call, key: str) -> Reply:
        data = call.data
        if "data" not in data:
            raise Fault(400, "no data provided")
        if not isinstance(data["data"], dict | None):
            kind = {str: "string", list: "[]interface {}"}.get(type(data["data"]), "json.Number")
            where = "error converting input for field \"data\": '' expected type "
            text = f"'map[string]interface {{}}', got unconvertible type '{kind}'"
            raise Fault(400, where + text)
        check_size(data["data"])
        meta = self.keys.get(key) or _new_meta()
        self._check_and_set(data.get("options") or {}, meta)
        now = time.time()
        after = meta["delete_after"] or self.config.get("delete_version_after", 0)
        number = meta["current"] + 1
        version = {
            "created": now, "deleted": now + after if after else 0, "destroyed": False,
            "data": data["data"],
        }  # fmt: skip
        meta["versions"][str(number)] = version
        kept = meta["max_versions"] or self.config.get("max_versions", 0) or KEPT_VERSIONS
        for old in [n for n in meta["versions"] if int(n) <= number - kept]:
            del meta["versions"][old]
        oldest = min(map(int, meta["versions"]))
        meta.update(current=number, updated=now, oldest=oldest if oldest > 1 else 0)
        self.keys[key] = meta
        self.core.changed()
        return Reply(_describe(version, number, meta))

    def _check_and_set(self, options: dict[str, Any], meta: dict[str, Any]) -> None:
        if "cas" in options:
            try:
                wanted = int(options["cas"])
            except (TypeError, ValueError) as error:
                raise Fault(400, "error parsing check-and-set parameter") from error
            if wanted != meta["current"]:
                text = "check-and-set parameter did not match the current version"
                raise Fault(400, text)
        elif meta["cas_required"] or self.config.get("cas_required"):
            raise Fault(400, "check-and-set parameter required for this call")

    def _versions(self, call: Call, key: str) -> tuple[dict[str, Any] | None, list[int]]:
        if not call.writes:
            raise unsupported_operation()
        given = call.data.get("versions") or []
        numbers = [int(number) for number in (given if isinstance(given, list) else [given])]
        if not numbers:
            raise Fault(400, "no version number provided")
        return self.keys.get(key), numbers

    def _delete(self, call: Call, key: str) -> Reply:
        meta, numbers = self._versions(call, key)
        if meta:
            _mark_deleted(meta, numbers)
            self.core.changed()
        return NOTHING

    def _undelete(self, call: Call, key: str) -> Reply:
        meta, numbers = self._versions(call, key)
        for number in numbers if meta else ():
            version = meta["versions"].get(str(number)) if meta else None
            if version and not version["destroyed"]:
                version["deleted"] = 0
        self.core.changed()
        return NOTHING

    def _destroy(self, call: Call, key: str) -> Reply:
        meta, numbers = self._versions(call, key)
        for number in numbers if meta else ():
            if version := meta["versions"].get(str(number)) if meta else None:
                version.update(destroyed=True, data=None)
        self.core.changed()
        return NOTHING

    def _metadata(self, call: Call, key: str) -> Reply:
        if call.operation == "read":
            if key not in self.keys:
                raise not_found()
            return Reply(_describe_key(self.keys[key]))
        if call.operation == "delete":
            self.keys.pop(key, None)
        elif call.writes:
            meta = self.keys.get(key) or _new_meta()
            settings = _settings(call.data)
            meta["max_versions"] = settings.get("max_versions", meta["max_versions"])
            meta["cas_required"] = settings.get("cas_required", meta["cas_required"])
            meta["delete_after"] = settings.get("delete_version_after", meta["delete_after"])
            meta["custom"] = _custom(call.data, meta["custom"])
            meta.update(updated=time.time(), changes=meta["changes"] + 1)
            self.keys[key] = meta
        else:
            raise unsupported_operation()
        self.core.changed()
        return NOTHING


def upgrade(store: dict[str, Any]) -> None:
    """Make what a mount of version 1 holds the first versions of one of version 2."""
    before = dict(store)
    store.clear()
    keys = store.setdefault("keys", {})
    for path, data in before.items():
        meta = _new_meta()
        first = {"created": meta["created"], "deleted": 0, "destroyed": False, "data": data}
        keys[path] = {**meta, "current": 1, "versions": {"1": first}}


def _new_meta() -> dict[str, Any]:
    now = time.time()
    return {
        "created": now, "updated": now, "current": 0, "oldest": 0, "versions": {},
        "max_versions": 0, "cas_required": False, "delete_after": 0, "custom": None, "changes": 0,
    }  # fmt: skip


def _settings(data: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    try:
        if data.get("max_versions") is not None:
            made["max_versions"] = int(data["max_versions"])
        if data.get("delete_version_after") is not None:
            made["delete_version_after"] = parse_seconds(data["delete_version_after"])
    except ValueError as error:
        raise Fault(400, str(error)) from error
    if data.get("cas_required") is not None:
        made["cas_required"] = bool(data["cas_required"])
    return made


def _custom(data: dict[str, Any], before: dict[str, str] | None) -> dict[str, str] | None:
    given = data.get("custom_metadata")
    if given is None:
        return before
    if any(isinstance(value, dict | list) for value in given.values()):
        text = "'' expected type 'string', got unconvertible type 'map[string]interface {}'"
        raise Fault(400, f"custom_metadata validation failed: {text}")
    return {name: str(value) for name, value in given.items()}


def _mark_deleted(meta: dict[str, Any], numbers: Iterable[int]) -> None:
    for number in numbers:
        version = meta["versions"].get(str(number))
        if version and not version["destroyed"] and not 0 < version["deleted"] <= time.time():
            version["deleted"] = time.time()


def _times(version: dict[str, Any]) -> dict[str, Any]:
    return {
        "created_time": stamp(version["created"]),
        "deletion_time": stamp(version["deleted"]) if version["deleted"] else "",
        "destroyed": version["destroyed"],
    }


def _describe(version: dict[str, Any], number: int, meta: dict[str, Any]) -> dict[str, Any]:
    return {**_times(version), "custom_metadata": meta["custom"], "version": number}


def _describe_key(meta: dict[str, Any]) -> dict[str, Any]:
    return {
        "cas_required": meta["cas_required"], "created_time": stamp(meta["created"]),
        "current_metadata_version": meta["changes"], "current_version": meta["current"],
        "custom_metadata": meta["custom"],
        "delete_version_after": go_duration(meta["delete_after"]),
        "max_versions": meta["max_versions"], "metadata_cas_required": False,
        "oldest_version": meta["oldest"], "updated_time": stamp(meta["updated"]),
        "versions": {number: _times(version) for number, version in meta["versions"].items()},
    }  # fmt: skip
