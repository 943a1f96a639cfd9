"""The engines of workspace hosts: rows of the table in `test_rules`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from installer.core.errors import Problem, Remedy
from tests.preflight.builders import WORKSPACE_HOST, sound_sight

NO_HOSTS = {"workspaces": ()}
LOST = Problem(
    "workspaces.untrusted", "a stranger", Remedy("find out who answers"), where=WORKSPACE_HOST
)


def sight(**changes: Any) -> dict[str, Any]:
    return {"workspaces": (sound_sight(**changes),)}


def host(count: int = 1, **changes: Any) -> dict[str, Any]:
    return {"workspaces": (sound_sight(of_host=changes),) * count}


UNSEEN = sight(problem=LOST, host=None)
SOON = sound_sight().at + timedelta(days=9)
ENGINE, OPEN, KIND = "PF-WORKSPACES", "PF-WORKSPACES-OPEN", "PF-WORKSPACES-KIND"
SIZE, UPKEEP = "PF-WORKSPACES-SIZE", "PF-WORKSPACES-UPKEEP"
ENDS = ("pass", "warn workspaces.certificate_ends")
LITTLE = ("pass", "fail workspaces.memory", "pass")
STOPS = ("pass", "warn workspaces.live_restore")
HALF = {"cpus": 8, "memory_mib": 30_000, "free_gib": 250.0}

ROWS: list[tuple[str, str, dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    (ENGINE, "no workspace hosts", NO_HOSTS, {"workspaces": None}, ()),
    (ENGINE, "sound", {}, {}, ("pass",)),
    (ENGINE, "cannot be asked", UNSEEN, {}, ("fail workspaces.untrusted",)),
    (ENGINE, "its certificate ends soon", sight(certificate_until=SOON), {}, ENDS),
    (ENGINE, "the client's ends soon", sight(client_until=SOON), {}, ENDS),
    (OPEN, "sound", {}, {}, ("pass",)),
    (OPEN, "to everybody", sight(open_to=("over TLS",)), {}, ("fail workspaces.open",)),
    (KIND, "sound", {}, {}, ("pass",)),
    (KIND, "cannot be asked", UNSEEN, {}, ()),
    (KIND, "old", sight(api="1.42"), {}, ("fail workspaces.api", "pass")),
    (KIND, "older than its description", sight(api="", host=None), {}, ("fail workspaces.api",)),
    (KIND, "other processor", host(architecture="arm64"), {}, ("fail workspaces.platform",)),
    (KIND, "other system", host(system="windows"), {}, ("fail workspaces.platform",)),
    (KIND, "no limits", host(lacks=("memory",)), {}, ("pass", "fail workspaces.limits")),
    (KIND, "slow storage", host(driver="vfs"), {}, ("pass", "fail workspaces.storage_driver")),
    (SIZE, "sound", {}, {}, ("pass", "pass", "pass")),
    (SIZE, "cannot be asked", UNSEEN, {}, ()),
    (SIZE, "few cores", host(cpus=8), {}, ("fail workspaces.cpus", "pass", "pass")),
    (SIZE, "little memory", host(memory_mib=32_000), {}, LITTLE),
    (SIZE, "little space", host(free_gib=400.0), {}, ("pass", "pass", "fail workspaces.disk")),
    (SIZE, "space is not told", host(free_gib=None), {}, ("pass", "pass", "unknown")),
    (SIZE, "two of half the size", host(2, **HALF), {}, ("pass", "pass", "pass")),
    (UPKEEP, "sound", {}, {}, ("pass", "pass")),
    (UPKEEP, "cannot be asked", UNSEEN, {}, ()),
    (UPKEEP, "root is root", host(security=()), {}, ("warn workspaces.userns", "pass")),
    (UPKEEP, "rootless", host(security=("name=rootless",)), {}, ("pass", "pass")),
    (UPKEEP, "an update stops all", host(live_restore=False), {}, STOPS),
]  # fmt: skip
