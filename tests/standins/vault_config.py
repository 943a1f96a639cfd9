"""The server's configuration: one HCL file, or the files `*.hcl` and `*.json` of a folder.

What the real program would only warn about, or read past in silence, is refused: a key that does
nothing is a mistake in what rendered the file.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from standin import Refused, parse_bool, split_address
from vault_hcl import Body, HclError, Item, parse
from vault_wire import parse_seconds

TOP = {
    "ui", "api_addr", "cluster_addr", "cluster_name", "log_format", "log_level", "log_file",
    "default_lease_ttl", "max_lease_ttl", "pid_file", "disable_cache", "storage", "listener",
    "telemetry", "seal", "raw_storage_endpoint", "disable_clustering",
    "enable_response_header_hostname",
}  # fmt: skip
ONLY = {
    "openbao": {"audit", "unsafe_allow_api_audit_creation", "allow_audit_log_prefixing"},
    "vault": {"disable_mlock"},
}
STORAGE = {
    "path", "node_id", "performance_multiplier", "retry_join", "trailing_logs", "max_entry_size",
    "snapshot_threshold", "autopilot_reconcile_interval",
}  # fmt: skip
LISTENER = {
    "address", "cluster_address", "tls_cert_file", "tls_key_file", "tls_min_version",
    "tls_max_version", "tls_cipher_suites", "tls_client_ca_file", "tls_disable",
    "tls_require_and_verify_client_cert", "tls_disable_client_certs", "telemetry", "profiling",
    "http_read_timeout", "http_write_timeout", "http_idle_timeout", "max_request_size",
    "max_request_duration", "x_forwarded_for_authorized_addrs", "custom_response_headers",
    "disable_unauthed_rekey_endpoints", "disable_unauthed_generate_root_endpoints",
}  # fmt: skip
TELEMETRY = {
    "prometheus_retention_time", "disable_hostname", "usage_gauge_period", "metrics_prefix",
    "maximum_gauge_cardinality", "enable_hostname_label", "unauthenticated_metrics_access",
}  # fmt: skip
VERSIONS = {
    "tls10": ssl.TLSVersion.TLSv1, "tls11": ssl.TLSVersion.TLSv1_1,
    "tls12": ssl.TLSVersion.TLSv1_2, "tls13": ssl.TLSVersion.TLSv1_3,
}  # fmt: skip
DAY_S = 86400


@dataclass(frozen=True)
class Listener:
    """Where the server listens. TLS is never off: the platform has no use for it."""

    address: str
    certificate: str
    key: str
    lowest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    client_ca: str = ""
    open_metrics: bool = False
    root_by_shares: bool = False


@dataclass(frozen=True)
class Config:
    """What a server is told. Audit devices: path with a slash → type, options, description."""

    flavour: str
    storage: Path
    listener: Listener
    api_addr: str
    cluster_addr: str
    default_ttl: int = 32 * DAY_S
    max_ttl: int = 32 * DAY_S
    log_format: str = "standard"
    node: str = "node"
    prometheus: bool = False
    api_audit: bool = False
    audit: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_config(path: str, flavour: str) -> Config:
    """The configuration of a server.

    Raises:
        Refused: with the reason.
    """
    body = Body(tuple(item for file in _files(path) for item in _parse(file).items))
    _check_keys(path, body, TOP | ONLY[flavour])
    for name in ("storage", "telemetry"):
        if len(body.all(name)) > 1:
            text = f"error parsing '{name}': only one \"{name}\" block is permitted"
            raise Refused(f"error loading configuration from {path}: {text}")
    storage = _storage(path, body)
    telemetry = _block(body, "telemetry")
    _check_keys(path, telemetry, TELEMETRY)
    _check_booleans(path, body)
    form = str(body.get("log_format", "standard"))
    if form not in ("standard", "json"):
        raise Refused(f"unknown log format: {form}")
    if body.all("seal"):
        kind = body.all("seal")[0].keys[-1]
        raise Refused(f'Error configuring seal "{kind}": the stand-in has only Shamir shares')
    made = Config(
        flavour, Path(str(storage.get("path"))), _listener(path, body),
        *(_address(body, name) for name in ("api_addr", "cluster_addr")),
        _duration(path, body, "default_lease_ttl"), _duration(path, body, "max_lease_ttl"),
        form, str(storage.get("node_id", "node")),
        _seconds(path, telemetry.get("prometheus_retention_time", 0)) > 0,
        flavour == "vault" or body.get("unsafe_allow_api_audit_creation", False) is True,
        _audit(path, body),
    )  # fmt: skip
    if made.default_ttl > made.max_ttl:
        raise Refused("default_lease_ttl is greater than max_lease_ttl")
    return made


def _files(path: str) -> Iterable[Path]:
    place = Path(path)
    if not place.exists():
        raise Refused(f"error loading configuration from {path}: no such file or directory")
    if place.is_dir():
        return sorted(f for f in place.iterdir() if f.suffix in (".hcl", ".json"))
    return [place]


def _parse(file: Path) -> Body:
    try:
        return parse(file.read_text())
    except (HclError, OSError) as error:
        raise Refused(f"error loading configuration from {file}: {error}") from error


def _check_keys(path: str, body: Body, known: set[str]) -> None:
    for item in body.unknown(known):
        where = f"{path}:{item.line}:{item.column}"
        raise Refused(
            f"unknown or unsupported field {item.keys[0]} found in configuration at {where}"
        )


def _check_booleans(path: str, body: Body) -> None:
    for name in ("ui", "disable_mlock", "disable_cache", "disable_clustering"):
        try:
            parse_bool(name, str(body.get(name, False)).lower())
        except Refused as refusal:
            raise Refused(f"error loading configuration from {path}: {refusal}") from refusal


def _block(body: Body, name: str) -> Body:
    value = body.get(name, Body())
    if not isinstance(value, Body):
        raise Refused(f"error parsing '{name}': expected an object")
    return value


def _storage(path: str, body: Body) -> Body:
    if not body.all("storage"):
        raise Refused("a storage backend must be specified")
    item: Item = body.all("storage")[0]
    kind = item.keys[-1]
    if len(item.keys) != 2 or kind != "raft":
        raise Refused(f"unknown storage type {kind}: the stand-in has raft only")
    _check_keys(path, item.value, STORAGE)
    if not item.value.get("path"):
        raise Refused("error initializing storage of type raft: 'path' must be set")
    if body.get("cluster_addr") is None:
        raise Refused("cluster address must be set when using raft storage")
    return item.value


def _listener(path: str, body: Body) -> Listener:
    listeners = body.all("listener")
    if len(listeners) != 1 or listeners[0].keys[1:] != ("tcp",):
        raise Refused('one listener "tcp" must be configured for the stand-in')
    found: Body = listeners[0].value
    _check_keys(path, found, LISTENER)
    telemetry = _block(found, "telemetry")
    _check_keys(path, telemetry, TELEMETRY)
    where = "Error initializing listener of type tcp"
    if found.get("tls_disable") in (True, "true", 1, "1"):
        raise Refused(f"{where}: tls_disable: the stand-in speaks TLS only")
    for name in ("tls_cert_file", "tls_key_file"):
        if not found.get(name):
            raise Refused(f"{where}: '{name}' must be set")
    lowest = str(found.get("tls_min_version", "tls12"))
    if lowest not in VERSIONS:
        known = ",".join(VERSIONS)
        text = (
            f"'tls_min_version' value \"{lowest}\" not supported, please specify one of [{known}]"
        )
        raise Refused(f"{where}: {text}")
    address = str(found.get("address", "127.0.0.1:8200"))
    split_address(address)
    closed = str(found.get("disable_unauthed_generate_root_endpoints", "true")).lower()
    return Listener(
        address, str(found.get("tls_cert_file")), str(found.get("tls_key_file")), VERSIONS[lowest],
        str(found.get("tls_client_ca_file", "")),
        telemetry.get("unauthenticated_metrics_access", False) is True, closed == "false",
    )  # fmt: skip


def _address(body: Body, name: str) -> str:
    value = body.get(name)
    if not value:
        raise Refused("missing API address, please set in configuration or via environment")
    if not str(value).startswith("https://"):
        raise Refused(f"{name} must be an https address, got {value!r}")
    return str(value)


def _duration(path: str, body: Body, name: str) -> int:
    return _seconds(path, body.get(name, 0)) or Config.default_ttl


def _seconds(path: str, value: Any) -> int:
    try:
        return parse_seconds(value)
    except ValueError as error:
        raise Refused(f"error loading configuration from {path}: {error}") from error


def _audit(path: str, body: Body) -> dict[str, dict[str, Any]]:
    made = {}
    for item in body.all("audit"):
        if len(item.keys) != 3:
            text = "error parsing 'audit': audit type and path must be specified"
            raise Refused(f"error loading configuration from {path}: {text}")
        _, kind, name = item.keys
        _check_keys(path, item.value, {"description", "options"})
        options = _block(item.value, "options").plain()
        made[name.rstrip("/") + "/"] = {
            "type": kind, "description": item.value.get("description", ""), "local": False,
            "options": {key: str(value) for key, value in options.items()},
        }  # fmt: skip
    return made
