"""Parsers for what the container engine says of itself, its networks, containers and images.

Only named fields are taken over: the engine's documents also hold proxy credentials and labels
that are nobody's business here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from installer.core.facts import (
    Engine,
    EngineContainer,
    EngineNetwork,
    EngineState,
    ImageFacts,
    ImageState,
    Socket,
)
from installer.core.probe import ProbeOutput, Section

PROJECT_LABEL = "com.docker.compose.project"
DIRECTORY_LABEL = "com.docker.compose.project.working_dir"
_VERSION = re.compile(r"v?(\d+\.\d+(?:\.\d+)?\S*)")
_LIMITS = {
    "MemoryLimit": "memory",
    "PidsLimit": "pids",
    "CpuCfsQuota": "cpu quota",
    "SwapLimit": "swap",
}
# What registries and the engine say; the engine gives status 500 for most of it.
_IMAGE_STATES = (
    (ImageState.LIMITED, re.compile(r"toomanyrequests|rate limit|\b429\b", re.I)),
    (
        ImageState.DENIED,
        re.compile(r"unauthorized|denied|authentication required|no basic auth|\b40[13]\b", re.I),
    ),
    (
        ImageState.ABSENT,
        re.compile(r"manifest unknown|no such manifest|name unknown|not found|\b404\b", re.I),
    ),
    (
        ImageState.UNREACHABLE,
        re.compile(
            r"no such host|lookup |timeout|timed out|deadline exceeded|refused|unreachable|x509|"
            r"certificate|handshake|reset by peer|EOF|proxyconnect|server gave HTTP",
            re.I,
        ),
    ),
)
_STATE_BY_STATUS = {
    "401": ImageState.DENIED,
    "403": ImageState.DENIED,
    "404": ImageState.ABSENT,
    "429": ImageState.LIMITED,
}


def parse_engine(output: ProbeOutput) -> Engine:
    """The engine as the probe found it."""
    client = output.get("client")
    info = _document(output.get("info").text)
    state, detail = _state(output, client, info)
    compose, legacy = output.get("compose"), output.get("legacy")
    engine = Engine(
        state=state,
        detail=detail,
        compose=_version(compose.text) if compose.status == 0 else None,
        legacy_compose=_version(legacy.text) if legacy.status == 0 else None,
        socket=_socket(client),
        members=_members(client),
        config_mode=_octal((client.words().get("config", "").split() or [""])[0]),
    )
    if state is not EngineState.RUNNING:
        return engine
    return _running(engine, output, info)


def _running(engine: Engine, output: ProbeOutput, info: Mapping[str, Any]) -> Engine:
    config = _document(output.get("config").text)
    arguments = output.get("client").all("argument")
    registries = _mapping(info.get("RegistryConfig"))
    driver = str(info.get("LoggingDriver") or "")
    return Engine(
        state=engine.state,
        version=_version(str(info.get("ServerVersion"))),
        compose=engine.compose,
        legacy_compose=engine.legacy_compose,
        root_dir=str(info.get("DockerRootDir") or "") or None,
        socket=engine.socket,
        members=engine.members,
        config_mode=engine.config_mode,
        networks=_networks(output.get("networks")),
        containers=_containers(output.get("containers")),
        security=tuple(str(option) for option in info.get("SecurityOptions") or ()),
        missing_limits=tuple(title for key, title in _LIMITS.items() if info.get(key) is False),
        logging_driver=driver or None,
        log_bounded=_log_bounded(driver, config, arguments),
        live_restore=_boolean(info.get("LiveRestoreEnabled")),
        experimental=_boolean(info.get("ExperimentalBuild")),
        swarm=_mapping(info.get("Swarm")).get("LocalNodeState"),
        insecure_registries=_insecure(registries),
        mirrors=tuple(str(mirror) for mirror in registries.get("Mirrors") or ()),
        proxied=bool(info.get("HttpProxy") or info.get("HttpsProxy")),
        userland_proxy=_userland_proxy(config, arguments),
        tls_verify=config.get("tlsverify") is True or "--tlsverify" in arguments,
        storage_driver=str(info.get("Driver") or "") or None,
    )


def parse_images(sections: Iterable[Section]) -> dict[str, ImageFacts]:
    """Reference → what is known of it."""
    return {section.argument: _image(section) for section in sections}


def _state(
    output: ProbeOutput, client: Section, info: Mapping[str, Any]
) -> tuple[EngineState, str]:
    here = client.words()
    info_section = output.get("info")
    components = _mapping(_document(output.get("version").text).get("Server")).get("Components")
    names = [str(_mapping(c).get("Name")) for c in components or ()]
    if "host" in info or any("podman" in name.lower() for name in names):
        return EngineState.FOREIGN, "podman answers to the docker command"
    if info.get("ServerVersion"):
        return EngineState.RUNNING, ""
    if "docker" not in here:
        return EngineState.ABSENT, "there is no docker command"
    errors = info.get("ServerErrors") or [info_section.complaint]
    detail = str(errors[0])
    if here.get("reach") == "no":
        return EngineState.DENIED, detail
    if info_section.status is None:
        return EngineState.SILENT, "docker info does not answer"
    if "socket" not in here and not {"dockerd", "process"} & here.keys():
        return EngineState.ABSENT, "there is a docker command and no engine"
    return EngineState.STOPPED, detail


def _socket(client: Section) -> Socket | None:
    words = client.words().get("socket", "").split()
    mode = _octal(words[0]) if words else None
    if len(words) != 4 or mode is None or not words[3].isdigit():
        return None
    return Socket(mode, words[1], words[2], int(words[3]))


def _members(client: Section) -> tuple[str, ...]:
    """The accounts of a line of group(5)."""
    members = client.words().get("group", "").rpartition(":")[2]
    return tuple(member for member in members.split(",") if member)


def _networks(section: Section) -> tuple[EngineNetwork, ...]:
    found = []
    for document in _documents(section):
        subnets = (str(_mapping(c).get("Subnet") or "") for c in document.get("ipam") or ())
        options = {str(k): str(v) for k, v in _mapping(document.get("options")).items()}
        project = _mapping(document.get("labels")).get(PROJECT_LABEL)
        found.append(
            EngineNetwork(
                str(document.get("name")),
                tuple(subnet for subnet in subnets if _is_range(subnet)),
                project,
                options,
            )
        )
    return tuple(found)


def _containers(section: Section) -> tuple[EngineContainer, ...]:
    found = []
    for document in _documents(section):
        labels = _mapping(document.get("labels"))
        bindings = _mapping(document.get("ports"))
        ports = (
            (str(binding.get("HostIp") or ""), int(binding["HostPort"]))
            for key, listed in bindings.items()
            if str(key).endswith("/tcp")
            for binding in listed or ()
            if str(binding.get("HostPort")).isdigit()
        )
        found.append(
            EngineContainer(
                name=str(document.get("name")).lstrip("/"),
                status=str(document.get("status")),
                project=labels.get(PROJECT_LABEL),
                directory=labels.get(DIRECTORY_LABEL),
                ports=tuple(ports),
            )
        )
    return tuple(found)


def _image(section: Section) -> ImageFacts:
    first, *rest = section.lines or ("",)
    way, _, platform = first.partition(" ")
    if way == "present":
        return ImageFacts(ImageState.PRESENT, (platform.replace(" ", "/"),))
    if section.status is None:
        return ImageFacts(ImageState.UNKNOWN, detail="no answer within the time limit")
    if way == "client":
        if section.status == 0:
            return ImageFacts(ImageState.AVAILABLE)
        return ImageFacts(_image_state(section.complaint), detail=section.complaint)
    status = section.words().get("status", "")
    body = _document("\n".join(line for line in rest if not line.startswith("status ")))
    if way == "engine" and status == "200":
        platforms = (_mapping(p) for p in body.get("Platforms") or ())
        return ImageFacts(
            ImageState.AVAILABLE,
            tuple(f"{p['os']}/{p['architecture']}" for p in platforms if p.get("architecture")),
        )
    detail = str(body.get("message") or section.complaint)
    return ImageFacts(_STATE_BY_STATUS.get(status) or _image_state(detail), detail=detail)


def _image_state(detail: str) -> ImageState:
    return next((s for s, pattern in _IMAGE_STATES if pattern.search(detail)), ImageState.UNKNOWN)


def _log_bounded(driver: str, config: Mapping[str, Any], arguments: Sequence[str]) -> bool | None:
    if not driver:
        return None
    if driver != "json-file":
        return True
    return "max-size" in _mapping(config.get("log-opts")) or any(
        "max-size=" in argument for argument in arguments
    )


def _userland_proxy(config: Mapping[str, Any], arguments: Sequence[str]) -> bool:
    """On unless switched off in the engine's configuration or command line."""
    return config.get("userland-proxy") is not False and "--userland-proxy=false" not in arguments


def _insecure(registries: Mapping[str, Any]) -> tuple[str, ...]:
    ranges = (str(cidr) for cidr in registries.get("InsecureRegistryCIDRs") or ())
    indexes = _mapping(registries.get("IndexConfigs"))
    return (
        *(cidr for cidr in ranges if not (_is_range(cidr) and ip_network(cidr).is_loopback)),
        *(name for name, index in indexes.items() if _mapping(index).get("Secure") is False),
    )


def _document(text: str) -> Mapping[str, Any]:
    """The first JSON object in a text that may start with warnings; empty when there is none."""
    start = text.find("{")
    if start < 0:
        return {}
    try:
        value, _ = json.JSONDecoder().raw_decode(text[start:])
    except ValueError:
        return {}
    return _mapping(value)


def _documents(section: Section) -> list[Mapping[str, Any]]:
    """One JSON object a line; other lines are dropped."""
    found = (_document(line) for line in section.lines if line.startswith("{"))
    return [document for document in found if document]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _version(text: str) -> str | None:
    match = _VERSION.search(text)
    return match[1] if match else None


def _octal(text: str) -> int | None:
    return int(text, 8) if re.fullmatch(r"[0-7]{1,5}", text) else None


def _is_range(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
