"""Settings of the engine and of the kernel that a host should have: what differs, and the files.

Proposals only, each with its reason and source. A setting is left alone where somebody has decided
it on the engine's command line, since the engine refuses to start with both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from installer.core.facts import HostFacts
from installer.core.facts_host import EngineConfig
from installer.core.kernel import KernelSetting
from installer.core.requirements import Requirements
from installer.core.rules_network import propose_range, used_ranges

if TYPE_CHECKING:
    from installer.core.plan import Plan

DAEMON_JSON = "/etc/docker/daemon.json"
LOG_OPTS = {"max-size": "10m", "max-file": "5"}
NOFILE = {"Name": "nofile", "Soft": 65536, "Hard": 65536}
_POOL_PREFIX, _POOL_SIZE = 16, 24


@dataclass(frozen=True, slots=True)
class EngineSetting:
    """A key of the engine's configuration with the value it should have, and why."""

    key: str
    value: Any
    why: str
    source: str


def engine_changes(facts: HostFacts, needs: Requirements) -> tuple[EngineSetting, ...]:
    """What should be set in the engine's configuration and is not; nothing for one at fault."""
    config = facts.upkeep.config
    if config.fault:
        return ()
    return tuple(
        setting
        for setting, flags in _wanted(facts, needs)
        if not config.flags & flags and not _has(config.settings, setting)
    )


def merge_config(current: Mapping[str, Any], changes: Sequence[EngineSetting]) -> dict[str, Any]:
    """The configuration with the changes: nothing else in it is touched, also inside an object."""
    merged = dict(current)
    for change in changes:
        old = merged.get(change.key)
        both = isinstance(old, dict) and isinstance(change.value, dict)
        merged[change.key] = {**old, **change.value} if both and old else change.value
    return merged


def format_config(settings: Mapping[str, Any]) -> str:
    """A configuration as the engine's file has it."""
    return json.dumps(settings, indent=2) + "\n"


def describe_changes(changes: Sequence[EngineSetting]) -> str:
    """The exact change, and a reason for each key."""
    text = format_config({change.key: change.value for change in changes})
    return text + "\n".join(f"{c.key}: {c.why} ({c.source})" for c in changes)


def needed_sysctls(plan: Plan) -> tuple[KernelSetting, ...]:
    """What the chosen services need of the kernel, each setting once: the greatest value."""
    by_name: dict[str, KernelSetting] = {}
    for service in plan.services:
        for setting in plan.manifest(service).sysctls:
            known = by_name.get(setting.name)
            if known is None or setting.value > known.value:
                by_name[setting.name] = setting
    return tuple(by_name[name] for name in sorted(by_name))


def unmet_sysctls(found: Mapping[str, int], needed: Sequence[KernelSetting]) -> list[KernelSetting]:
    """Those that the host has with another value; one that it does not have needs nothing."""
    return [s for s in needed if s.name in found and not s.is_met(found[s.name])]


def format_sysctls(settings: Sequence[KernelSetting]) -> str:
    """A file for /etc/sysctl.d."""
    lines = ["# Made by devplat-install; its own changes overwrite yours here."]
    for setting in settings:
        lines += [f"# {setting.why} ({setting.source})", f"{setting.name} = {setting.value}"]
    return "\n".join(lines) + "\n"


def names_in(text: str) -> frozenset[str]:
    """The settings in a file of /etc/sysctl.d."""
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith(("#", ";")))
    return frozenset(name.strip() for name, equals, _ in pairs if equals)


def _has(settings: Mapping[str, Any], wanted: EngineSetting) -> bool:
    found = settings.get(wanted.key)
    if isinstance(wanted.value, dict) and isinstance(found, dict):
        return wanted.value.keys() <= found.keys()
    return bool(found == wanted.value)


def _wanted(
    facts: HostFacts, needs: Requirements
) -> Iterator[tuple[EngineSetting, frozenset[str]]]:
    """Every setting that should be there, with the flags that decide it elsewhere."""
    config = facts.upkeep.config
    if facts.engine.swarm in (None, "inactive"):
        yield (
            EngineSetting(
                "live-restore", True,
                "containers run on while the engine restarts or is upgraded",
                "CIS Docker 2.15",
            ),
            frozenset({"live-restore"}),
        )  # fmt: skip
    yield (
        EngineSetting(
            "userland-proxy", False,
            "the kernel forwards published ports, and the edge sees true client addresses",
            "CIS Docker 2.16",
        ),
        frozenset({"userland-proxy"}),
    )  # fmt: skip
    yield (
        EngineSetting(
            "icc", False,
            "containers on the default bridge do not reach each other",
            "CIS Docker 2.2",
        ),
        frozenset({"icc"}),
    )  # fmt: skip
    yield (
        EngineSetting(
            "no-new-privileges", True,
            "no program in any container gains rights; sudo in workspaces ends with it",
            "CIS Docker 2.14",
        ),
        frozenset({"no-new-privileges"}),
    )  # fmt: skip
    yield from _logs(config)
    yield (
        EngineSetting(
            "default-ulimits", {"nofile": NOFILE},
            "containers that set no limit of their own have a sane one for open files",
            "CIS Docker 2.8",
        ),
        frozenset({"default-ulimit"}),
    )  # fmt: skip
    if pools := _pools(facts, needs):
        yield pools, frozenset({"default-address-pool"})


def _logs(config: EngineConfig) -> Iterator[tuple[EngineSetting, frozenset[str]]]:
    """Bounded logs for the driver that bounds nothing by itself; another driver is a decision."""
    if config.settings.get("log-driver", "json-file") != "json-file":
        return
    flags = frozenset({"log-driver", "log-opt"})
    why = "logs of other containers cannot fill the disk; it counts for new containers"
    for key, value in (("log-driver", "json-file"), ("log-opts", LOG_OPTS)):
        given = config.settings.get(key)
        missing = (
            {k: v for k, v in LOG_OPTS.items() if k not in given}
            if key == "log-opts" and isinstance(given, dict)
            else value
        )
        if missing:
            yield EngineSetting(key, missing, why, "CIS Docker 2.13"), flags


def _pools(facts: HostFacts, needs: Requirements) -> EngineSetting | None:
    """Networks that the engine hands out by itself must not come from our own pool."""
    if needs.pool is None or facts.network.routes is None:
        return None
    pool = IPv4Network(needs.pool)
    given = facts.upkeep.config.settings.get("default-address-pools")
    found = [entry for entry in given if _is_apart(entry, pool)] if isinstance(given, list) else []
    if found:
        value: list[Any] = found
    else:
        used = [network for network, _ in used_ranges(facts, needs.deployment)]
        free = propose_range(_POOL_PREFIX, [*used, pool])
        if free is None:
            return None
        value = [{"base": str(free), "size": _POOL_SIZE}]
    return EngineSetting(
        "default-address-pools",
        value,
        f"networks that the engine makes for others stay out of network.pool, {pool}",
        "docs.docker.com, default address pools",
    )


def _is_apart(entry: Any, pool: IPv4Network) -> bool:
    try:
        base = IPv4Network(str(entry["base"]))
    except (TypeError, KeyError, ValueError):
        return True  # not ours to judge: an IPv6 pool, or one that the engine itself will refuse
    return not base.overlaps(pool)
