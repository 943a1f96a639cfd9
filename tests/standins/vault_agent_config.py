"""The agent's configuration. Keys that this stand-in does not know are refused: what they are meant
to do would not happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from standin import Refused, parse_bool
from vault_client import setting
from vault_hcl import Body, HclError, Item, parse
from vault_template import Template
from vault_wire import parse_seconds

TOP = {"vault", "auto_auth", "template", "template_config", "pid_file", "log_format", "log_level"}
VAULT = {"address", "ca_cert", "tls_server_name", "retry"}
METHOD = {"type", "mount_path", "min_backoff", "max_backoff", "config"}
METHOD_CONFIG = {
    "role_id_file_path", "secret_id_file_path", "secret_id_response_wrapping_path",
    "remove_secret_id_file_after_reading",
}  # fmt: skip
TEMPLATE = {
    "destination", "contents", "source", "perms", "backup", "error_on_missing_key",
    "create_dest_dirs",
}  # fmt: skip
DEFAULT_RETRIES = 12


@dataclass(frozen=True)
class MethodConfig:
    """Where the ids lie; `wrapping_path` is where a wrapped one must have been made."""

    mount: str
    role_id_file: str
    secret_id_file: str
    wrapping_path: str = ""
    removes: bool = True


@dataclass(frozen=True)
class TemplateConfig:
    """One file to render."""

    destination: str
    parsed: Template
    perms: int = 0o644
    makes_folder: bool = True


@dataclass(frozen=True)
class SinkConfig:
    """One file that the token is written to."""

    path: str
    mode: int


@dataclass(frozen=True)
class AgentConfig:
    """What an agent is told; times in seconds."""

    address: str
    ca_file: str
    server_name: str
    method: MethodConfig
    retries: int = DEFAULT_RETRIES
    min_backoff: float = 1.0
    max_backoff: float = 300.0
    interval: float = 300.0
    exits: bool = False
    sinks: Sequence[SinkConfig] = ()
    templates: Sequence[TemplateConfig] = ()
    pid_file: str = ""
    log_format: str = "standard"


def read_agent_config(path: str) -> AgentConfig:
    """The configuration of an agent.

    Raises:
        Refused: with the reason.
    """
    try:
        body = parse(Path(path).read_text())
    except (OSError, HclError) as error:
        raise Refused(f"error loading configuration from {path}: {error}") from error
    _check(path, body, TOP)
    server = _block(body, "vault")
    _check(path, server, VAULT)
    auth = _block(body, "auto_auth")
    _check(path, auth, {"method", "sink"})
    rendering = _block(body, "template_config")
    _check(path, rendering, {"exit_on_retry_failure", "static_secret_render_interval"})
    # the environment takes precedence over the file, as in the real agents
    ca_file = setting("CACERT") or str(server.get("ca_cert", ""))
    address = setting("ADDR") or str(server.get("address", "https://127.0.0.1:8200"))
    if ca_file and not Path(ca_file).is_file():
        raise Refused(f"Error loading CA File: open {ca_file}: no such file or directory")
    if len(auth.all("method")) != 1 or _kind(auth.all("method")[0]) != "approle":
        raise Refused("error parsing 'auto_auth': the stand-in needs one method of type approle")
    method: Body = auth.all("method")[0].value
    least = _seconds(method.get("min_backoff", "1s"))
    most = _seconds(method.get("max_backoff", "5m"))
    if least >= most:
        raise Refused("auth handler: min_backoff cannot be greater than max_backoff")
    return AgentConfig(
        address.rstrip("/"), ca_file,
        str(server.get("tls_server_name", "")), _method(path, method), _retries(path, server),
        least, most, _seconds(rendering.get("static_secret_render_interval", "5m")) or 300,
        _flag(rendering, "exit_on_retry_failure"),
        [_sink(path, item) for item in auth.all("sink")],
        [_template(path, item.value) for item in body.all("template")],
        str(body.get("pid_file", "")), str(body.get("log_format", "standard")),
    )  # fmt: skip


def _check(path: str, body: Body, known: set[str]) -> None:
    for item in body.unknown(known):
        where = f"{path}:{item.line}:{item.column}"
        raise Refused(
            f"unknown or unsupported field {item.keys[0]} found in configuration at {where}"
        )


def _block(body: Body, name: str) -> Body:
    found = body.all(name)
    if len(found) > 1:
        raise Refused(f"one and only one {name!r} block is required")
    value = found[0].value if found else Body()
    if not isinstance(value, Body):
        raise Refused(f"error parsing {name!r}: expected an object")
    return value


def _kind(item: Item) -> str:
    return item.keys[1] if len(item.keys) > 1 else str(item.value.get("type", ""))


def _method(path: str, method: Body) -> MethodConfig:
    _check(path, method, METHOD)
    config = method.get("config")
    if not isinstance(config, Body):
        raise Refused("empty config data")
    _check(path, config, METHOD_CONFIG)
    role_file = str(config.get("role_id_file_path", ""))
    if not role_file:
        raise Refused("error creating approle auth method: missing 'role_id_file_path' value")
    secret_file = str(config.get("secret_id_file_path", ""))
    if not secret_file:
        raise Refused("the stand-in needs 'secret_id_file_path'")
    return MethodConfig(
        str(method.get("mount_path", "auth/approle")).strip("/"), role_file, secret_file,
        str(config.get("secret_id_response_wrapping_path", "")),
        _flag(config, "remove_secret_id_file_after_reading", default=True),
    )  # fmt: skip


def _retries(path: str, server: Body) -> int:
    retry = _block(server, "retry")
    _check(path, retry, {"num_retries"})
    wanted = int(retry.get("num_retries", 0))
    return 0 if wanted < 0 else wanted or DEFAULT_RETRIES


def _sink(path: str, item: Item) -> SinkConfig:
    body = item.value
    if _kind(item) != "file":
        raise Refused(f"unknown sink type {_kind(item)!r}")
    _check(path, body, {"type", "config"})
    config = _block(body, "config")
    _check(path, config, {"path", "mode"})
    if not config.get("path"):
        raise Refused("'path' not specified for file sink")
    return SinkConfig(str(config.get("path")), int(config.get("mode", 0o640)))


def _template(path: str, body: Body) -> TemplateConfig:
    _check(path, body, TEMPLATE)
    if not body.get("destination"):
        raise Refused("template: missing 'destination'")
    contents, source = body.get("contents"), body.get("source")
    if (contents is None) == (source is None):
        raise Refused("template: specify exactly one of 'contents' and 'source'")
    if source is not None:
        try:
            contents = Path(str(source)).read_text()
        except OSError as error:
            raise Refused(f"template: open {source}: {error.strerror}") from error
    strict = _flag(body, "error_on_missing_key")
    parsed = Template(str(contents), strict=strict)
    return TemplateConfig(
        str(body.get("destination")), parsed, int(str(body.get("perms", "0644")), 8),
        _flag(body, "create_dest_dirs", default=True),
    )  # fmt: skip


def _flag(body: Body, name: str, *, default: bool = False) -> bool:
    value: Any = body.get(name, default)
    return parse_bool(name, str(value).lower())


def _seconds(value: Any) -> float:
    try:
        return float(parse_seconds(value))
    except ValueError as error:
        raise Refused(str(error)) from error
