"""One form for what Compose and the engine let people write in several.

A compose service may come from `docker compose config` or from our own dict before it is written; a
container comes as the engine describes it. What an assertion's note calls equal is made equal here,
so that the operators stay plain. Nothing is judged here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from installer.core.policy.context import AuditContext
from installer.core.policy.paths import CONFIG_MARK, Json
from installer.core.policy.quantities import parse_duration, parse_number, parse_size

BIND_ADDRESS = "<bind address>"
"""How the table writes an address that the answers allow to publish on."""

_SECRET_PLACES = ("/run/secrets/", "/vault/secrets/")
_SOCKET = re.compile(r".*(docker|containerd|podman)\.sock")
_NO_NEW_PRIVILEGES = re.compile(r"no-new-privileges([:=]true)?")
_ALL_INTERFACES = ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound


def normalise_service(body: Mapping[str, Any], context: AuditContext) -> dict[str, Any]:
    """The body of a compose service in the one form."""
    return {
        **body,
        "cap_add": _capabilities(body.get("cap_add")),
        "cap_drop": _capabilities(body.get("cap_drop")),
        "security_opt": _security_options(body.get("security_opt")),
        "labels": as_mapping(body.get("labels")),
        "environment": as_mapping(body.get("environment")),
        "env_file": _env_files(body.get("env_file"), context),
        "command": _words(body.get("command")),
        "entrypoint": _words(body.get("entrypoint")),
        "memswap_limit": parse_size(body.get("memswap_limit")),
        "stop_grace_period": parse_duration(body.get("stop_grace_period")),
        "deploy": _deploy(body.get("deploy")),
        "ulimits": _ulimits(body.get("ulimits")),
        "tmpfs": _tmpfs(body.get("tmpfs")),
        "volumes": [_volume(item, context) for item in body.get("volumes") or ()],
        "ports": [_port(item, context) for item in body.get("ports") or ()],
        "healthcheck": _health_check(body.get("healthcheck")),
    }


def normalise_container(inspect: Mapping[str, Any], context: AuditContext) -> dict[str, Any]:
    """The engine's description of a container in the one form."""
    host = inspect.get("HostConfig") or {}
    return {
        **inspect,
        "HostConfig": {
            **host,
            "CapAdd": _capabilities(host.get("CapAdd")),
            "CapDrop": _capabilities(host.get("CapDrop")),
            "SecurityOpt": _security_options(host.get("SecurityOpt")),
            "PortBindings": _bindings(host.get("PortBindings"), context),
        },
        "Mounts": [_mount(mount, context) for mount in inspect.get("Mounts") or ()],
    }


def as_mapping(value: Json) -> dict[str, Any]:
    """A mapping, or the mapping that a list of `key=value` texts stands for."""
    if isinstance(value, Mapping):
        return dict(value)
    pairs = (str(item).partition("=") for item in value or ())
    return {key: text for key, _, text in pairs}


def _capabilities(value: Json) -> list[str]:
    return [str(name).upper().removeprefix("CAP_") for name in value or ()]


def _security_options(value: Json) -> list[str]:
    """`no-new-privileges`, also with `=true`, is `no-new-privileges:true` (note of HD-05)."""
    options = [str(option).strip() for option in value or ()]
    return [
        "no-new-privileges:true" if _NO_NEW_PRIVILEGES.fullmatch(option) else option
        for option in options
    ]


def _words(value: Json) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(word) for word in value]


def _env_files(value: Json, context: AuditContext) -> list[str]:
    entries = [value] if isinstance(value, str | Mapping) else value or ()
    paths = (entry["path"] if isinstance(entry, Mapping) else str(entry) for entry in entries)
    return [_source(path, context) for path in paths]


def _deploy(value: Json) -> dict[str, Any]:
    deploy = dict(value or {})
    resources = dict(deploy.get("resources") or {})
    limits = dict(resources.get("limits") or {})
    if "memory" in limits:
        limits["memory"] = parse_size(limits["memory"])
    if "cpus" in limits:
        limits["cpus"] = parse_number(limits["cpus"])
    return {**deploy, "resources": {**resources, "limits": limits}}


def _ulimits(value: Json) -> dict[str, Any]:
    """`docker compose config` prints a limit of 0 as an empty mapping."""
    zero = {"soft": 0, "hard": 0}
    return {name: zero if limit == {} else limit for name, limit in (value or {}).items()}


def _tmpfs(value: Json) -> dict[str, str]:
    """Path → options."""
    entries = (str(entry).partition(":") for entry in _words(value))
    return {path: options for path, _, options in entries}


def _health_check(value: Json) -> dict[str, Any]:
    check = dict(value or {})
    if "test" in check:
        check["test"] = _words(check["test"])
    return check


def _volume(item: Json, context: AuditContext) -> dict[str, Any]:
    volume = dict(item) if isinstance(item, Mapping) else _long_volume(str(item))
    source = str(volume.get("source") or "")
    if volume.get("type") == "bind":
        source = _source(source, context)
    volume["source"] = source
    volume[CONFIG_MARK] = _is_config(
        str(volume.get("type")), source, str(volume.get("target") or ""), context
    )
    return volume


def _long_volume(text: str) -> dict[str, Any]:
    """The long form of `source:target:options`; what begins like a path is a bind mount."""
    source, _, rest = text.partition(":")
    if not rest:
        return {"type": "volume", "source": "", "target": source}
    target, _, options = rest.partition(":")
    words = options.split(",")
    volume: dict[str, Any] = {"source": source, "target": target, "read_only": "ro" in words}
    volume["type"] = "bind" if source.startswith(("/", ".", "~")) else "volume"
    modes = [w for w in words if w.removeprefix("r") in ("private", "shared", "slave")]
    if modes:
        volume["bind"] = {"propagation": modes[0]}
    return volume


def _mount(mount: Mapping[str, Any], context: AuditContext) -> dict[str, Any]:
    source = str(mount.get("Source") or "")
    if mount.get("Type") == "bind":
        source = _source(context.real_paths.get(source, source), context)
    kind, destination = str(mount.get("Type")), str(mount.get("Destination") or "")
    return {**mount, "Source": source, CONFIG_MARK: _is_config(kind, source, destination, context)}


def _source(path: str, context: AuditContext) -> str:
    """A path without detours; below the project's directory it begins with `./`."""
    if not path:
        return path
    plain = posixpath.normpath(path)
    if plain.startswith("//"):  # POSIX lets two slashes at the beginning stand
        plain = plain[1:]
    if context.project_dir:
        project = posixpath.normpath(context.project_dir)
        if plain == project or plain.startswith(f"{project}/"):
            plain = posixpath.relpath(plain, project)
    if plain.startswith(("/", "../", "~")) or plain == "..":
        return plain
    return f"./{plain}"


def _is_config(kind: str, source: str, target: str, context: AuditContext) -> bool:
    """Whether a mount is configuration or a secret: a bind from elsewhere than the data directory.

    The engine's socket is left to the assertion about it.
    """
    if kind not in ("bind", "volume"):
        return False
    if f"{target}/".startswith(_SECRET_PLACES):
        return True
    if kind == "volume" or _SOCKET.fullmatch(source):
        return False
    in_data = f"{source}/".startswith(f"{context.data_dir}/")
    in_install = f"{source}/".startswith(f"{context.install_dir}/")
    if in_data and in_install:  # one lies in the other: the longer name is the nearer
        return len(context.install_dir) > len(context.data_dir)
    return not in_data


def _port(item: Json, context: AuditContext) -> str:
    """`address:port/protocol` of a published port."""
    if isinstance(item, Mapping):
        published = item.get("published") or item.get("target")
        return _port_text(str(item.get("host_ip") or ""), published, item.get("protocol"), context)
    text, _, protocol = str(item).partition("/")
    if text.startswith("["):
        address, _, rest = text[1:].partition("]:")
        return _port_text(address, rest.split(":")[0], protocol, context)
    parts = text.split(":")
    published = parts[-2] if len(parts) > 1 else parts[-1]
    return _port_text(":".join(parts[:-2]), published, protocol, context)


def _bindings(value: Json, context: AuditContext) -> list[str]:
    texts: list[str] = []
    for port, bindings in (value or {}).items():
        number, _, protocol = port.partition("/")
        for binding in _mappings(bindings):
            published = binding.get("HostPort") or number
            texts.append(_port_text(binding.get("HostIp") or "", published, protocol, context))
    return texts


def _port_text(address: str, port: Json, protocol: Json, context: AuditContext) -> str:
    """An allowed address reads `<bind address>`, so that it can be compared with the table."""
    allowed = context.bind_addresses
    if address in allowed if allowed else address and address not in _ALL_INTERFACES:
        address = BIND_ADDRESS
    return f"{address}:{port}/{protocol or 'tcp'}"


def _mappings(value: Json) -> Iterable[Mapping[str, Any]]:
    return (item for item in value or () if isinstance(item, Mapping))
