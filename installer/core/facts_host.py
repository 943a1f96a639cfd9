"""What preflight learned of a host's upkeep: kernel settings, confinement, firewall, updates, boot.

Values and the parsers that make them; None is unknown. Of the engine's configuration only the keys
that are named here are taken over: others may hold credentials.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from installer.core.probe import ProbeOutput, Section

CONFIG_KEYS = frozenset(
    "default-address-pools default-ulimits icc live-restore log-driver log-opts no-new-privileges"
    " storage-driver userland-proxy".split()
)
LOG_OPTIONS = frozenset({"max-size", "max-file"})


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """The engine's configuration file, and the flags that it was started with.

    `settings` are those of `CONFIG_KEYS`; `fault` says why the file cannot be read as what it
    should be; `flags` are names without dashes and values.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    fault: str | None = None
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Firewall:
    """What filters packets.

    Attributes:
        active: Firewalls that are switched on: `ufw`, `firewalld`, `nftables`.
        user_rules: Rules of the operator in the engine's chain DOCKER-USER; None is unknown.
    """

    active: tuple[str, ...] = ()
    user_rules: int | None = None


@dataclass(frozen=True, slots=True)
class Updates:
    """Whether packages are upgraded by themselves, and whether the engine is left out of that."""

    unattended: bool
    engine_held: bool


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How a host is kept.

    Attributes:
        sysctls: Those asked for that exist, whole numbers only.
        apparmor: Whether the kernel has it switched on.
        selinux: `enforcing`, `permissive` or `disabled`.
        entropy: Bits of randomness that the kernel says it has.
        engine_at_boot: Whether the engine's service starts with the machine.
    """

    sysctls: Mapping[str, int] = field(default_factory=dict)
    apparmor: bool | None = None
    selinux: str | None = None
    firewall: Firewall | None = None
    updates: Updates | None = None
    entropy: int | None = None
    engine_at_boot: bool | None = None
    config: EngineConfig = EngineConfig()


def parse_upkeep(output: ProbeOutput) -> Upkeep:
    """Read the sections of the probe that say how a host is kept."""
    security = output.get("confinement").words()
    entropy = output.get("entropy").text.strip()
    return Upkeep(
        sysctls={
            key: int(value)
            for key, value in output.get("sysctls").words().items()
            if value.lstrip("-").isdigit()
        },
        apparmor={"Y": True, "N": False}.get(security.get("apparmor", "")),
        selinux={"1": "enforcing", "0": "permissive", "off": "disabled"}.get(
            security.get("selinux", "")
        ),
        firewall=_firewall(output.get("firewall")),
        updates=_updates(output.get("updates")),
        entropy=int(entropy) if entropy.isdigit() else None,
        engine_at_boot=_at_boot(output.get("boot")),
        config=parse_config(output.get("config").text, output.get("client").all("argument")),
    )


def parse_config(text: str, arguments: tuple[str, ...]) -> EngineConfig:
    """The file's settings and the command line's flags."""
    flags = frozenset(
        a.removeprefix("--").partition("=")[0] for a in arguments if a.startswith("--")
    )
    if not text.strip():
        return EngineConfig(flags=flags)
    try:
        document = json.loads(text)
    except ValueError as error:
        at = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else "?"
        return EngineConfig(fault=f"it is not JSON, {at}", flags=flags)
    if not isinstance(document, dict):
        return EngineConfig(fault="it is not a JSON object", flags=flags)
    settings = {key: value for key, value in document.items() if key in CONFIG_KEYS}
    options = settings.get("log-opts")
    if isinstance(options, dict):
        settings["log-opts"] = {k: v for k, v in options.items() if k in LOG_OPTIONS}
    return EngineConfig(settings, flags=flags)


def _firewall(section: Section) -> Firewall | None:
    if section.status is None or not section.lines:
        return None
    rules = section.words().get("user_rules", "")
    return Firewall(section.all("active"), int(rules) if rules.isdigit() else None)


def _updates(section: Section) -> Updates | None:
    words = section.words()
    if "unattended" not in words:
        return None
    return Updates(words["unattended"] == "yes", words.get("held") == "yes")


def _at_boot(section: Section) -> bool | None:
    word = section.text.strip().split("\n")[0]
    if word in ("enabled", "enabled-runtime", "static", "alias", "linked"):
        return True
    return False if word in ("disabled", "indirect", "masked") else None
