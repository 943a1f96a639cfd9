"""Rows of the table of rules: how a host is kept, and its settings."""

from __future__ import annotations

from dataclasses import replace

from installer.core.facts_host import EngineConfig, Firewall, Updates
from tests.preflight.builders import sound_config, sound_path, sound_upkeep
from tests.preflight.changes import STOPPED, engine, paths

UNCONFINED = engine(security=("name=seccomp,profile=builtin",))
AGREED = {"host_apply": ("daemon", "sysctl", "systemd")}
AT_FAULT = EngineConfig(fault="it is not JSON, line 3: Expecting value")


def upkeep(**changes):
    return {"upkeep": sound_upkeep(**changes)}


def config(**changes):
    return upkeep(config=sound_config(**changes))


def data(**changes):
    return paths(data=sound_path("/var/lib/devplat", **changes))


ROWS = [
    ("PF-KERNEL", "new", {}, {}, ("pass",)),
    ("PF-KERNEL", "the minimum", {"release": "5.10.0-33-amd64"}, {}, ("pass",)),
    (
        "PF-KERNEL",
        "a distribution's old one",
        {"release": "4.18.0-553.el8.x86_64"},
        {},
        ("warn host.kernel",),
    ),
    ("PF-KERNEL", "5.9 is older than 5.10", {"release": "5.9.16"}, {}, ("warn host.kernel",)),
    ("PF-KERNEL", "not told", {"release": ""}, {}, ("unknown",)),
    ("PF-CGROUP", "v2", {}, {}, ("pass",)),
    ("PF-CGROUP", "v1", {"cgroup": 1}, {}, ("warn host.cgroup",)),
    ("PF-CGROUP", "not told", {"cgroup": None}, {}, ("unknown",)),
    ("PF-CONFINEMENT", "AppArmor", {}, {}, ("pass",)),
    ("PF-CONFINEMENT", "SELinux", engine(security=("name=selinux",)), {}, ("pass",)),
    ("PF-CONFINEMENT", "neither", UNCONFINED, {}, ("warn host.confinement",)),
    ("PF-CONFINEMENT", "stopped", STOPPED, {}, ()),
    ("PF-FILE-SYSTEM", "ext4", {}, {}, ("pass", "pass")),
    ("PF-FILE-SYSTEM", "xfs", data(fs_type="xfs"), {}, ("pass", "pass")),
    (
        "PF-FILE-SYSTEM",
        "nosuid and nodev do no harm",
        data(options=("rw", "nosuid", "nodev")),
        {},
        ("pass", "pass"),
    ),
    ("PF-FILE-SYSTEM", "NFS", data(fs_type="nfs4"), {}, ("warn disk.file_system", "pass")),
    ("PF-FILE-SYSTEM", "in memory", data(fs_type="tmpfs"), {}, ("fail disk.volatile", "pass")),
    (
        "PF-FILE-SYSTEM",
        "noexec below the engine",
        paths(engine=sound_path("/var/lib/docker", options=("rw", "noexec"))),
        {},
        ("pass", "fail disk.noexec"),
    ),
    ("PF-FILE-SYSTEM", "not told", {"paths": {}}, {}, ()),
    ("PF-STORAGE-DRIVER", "overlay2", {}, {}, ("pass",)),
    ("PF-STORAGE-DRIVER", "of containerd", engine(storage_driver="overlayfs"), {}, ("pass",)),
    (
        "PF-STORAGE-DRIVER",
        "aufs",
        engine(storage_driver="aufs"),
        {},
        ("warn engine.storage_driver",),
    ),
    ("PF-STORAGE-DRIVER", "not told", engine(storage_driver=None), {}, ("unknown",)),
    ("PF-STORAGE-DRIVER", "stopped", STOPPED, {}, ()),
    ("PF-ENTROPY", "seeded", {}, {}, ("pass",)),
    ("PF-ENTROPY", "starved", upkeep(entropy=40), {}, ("warn host.entropy",)),
    ("PF-ENTROPY", "not told", upkeep(entropy=None), {}, ("unknown",)),
    ("PF-SYSCTL", "as needed", {}, {}, ("pass",)),
    (
        "PF-SYSCTL",
        "too low",
        upkeep(sysctls={"vm.overcommit_memory": 1, "fs.inotify.max_user_instances": 128}),
        {},
        ("warn host.sysctl",),
    ),
    (
        "PF-SYSCTL",
        "more is not always as good",
        upkeep(sysctls={"vm.overcommit_memory": 2}),
        {},
        ("warn host.sysctl",),
    ),
    (
        "PF-SYSCTL",
        "too low, and the run may set it",
        upkeep(sysctls={"vm.overcommit_memory": 0}),
        AGREED,
        ("pass",),
    ),
    ("PF-SYSCTL", "not told", upkeep(sysctls={}), {}, ("unknown",)),
    ("PF-SYSCTL", "nothing needed", {}, {"sysctls": ()}, ()),
    ("PF-DAEMON", "as proposed", {}, {}, ("pass",)),
    ("PF-DAEMON", "no file", upkeep(config=EngineConfig()), {}, ("warn host.daemon",)),
    (
        "PF-DAEMON",
        "written and not in force",
        engine(live_restore=False),
        {},
        ("warn host.restart_pending",),
    ),
    ("PF-DAEMON", "one key", config(live_restore=None), {}, ("warn host.daemon",)),
    ("PF-DAEMON", "the other way", config(userland_proxy=True), {}, ("warn host.daemon",)),
    ("PF-DAEMON", "unbounded logs", config(log_opts={"labels": "x"}), {}, ("warn host.daemon",)),
    (
        "PF-DAEMON",
        "another log driver is a decision",
        config(log_driver="journald", log_opts=None),
        {},
        ("pass",),
    ),
    (
        "PF-DAEMON",
        "a pool that collides",
        config(default_address_pools=[{"base": "172.16.0.0/12", "size": 24}]),
        {},
        ("warn host.daemon",),
    ),
    (
        "PF-DAEMON",
        "decided on the command line",
        upkeep(config=replace(sound_config(icc=None), flags=frozenset({"icc"}))),
        {},
        ("pass",),
    ),
    ("PF-DAEMON", "the run may set it", upkeep(config=EngineConfig()), AGREED, ("pass",)),
    ("PF-DAEMON", "no JSON", upkeep(config=AT_FAULT), {}, ("warn host.daemon_json",)),
    (
        "PF-DAEMON",
        "no JSON, and the run may change it",
        upkeep(config=AT_FAULT),
        AGREED,
        ("fail host.daemon_json",),
    ),
    (
        "PF-DAEMON",
        "a member of a swarm cannot have live-restore",
        {**engine(swarm="active"), **config(live_restore=None)},
        {},
        ("pass",),
    ),
    ("PF-DAEMON", "stopped", STOPPED, {}, ()),
    ("PF-BOOT", "enabled", {}, {}, ("pass",)),
    ("PF-BOOT", "disabled", upkeep(engine_at_boot=False), {}, ("warn host.engine_at_boot",)),
    ("PF-BOOT", "no systemd", upkeep(engine_at_boot=None), {}, ()),
    (
        "PF-BOOT",
        "a unit is wanted and there is no systemd",
        {"systemd": False},
        AGREED,
        ("fail host.no_systemd",),
    ),
    ("PF-UPDATES", "with live-restore", upkeep(updates=Updates(True, False)), {}, ("pass",)),
    (
        "PF-UPDATES",
        "they stop everything",
        {**engine(live_restore=False), **upkeep(updates=Updates(True, False))},
        {},
        ("warn host.updates",),
    ),
    ("PF-UPDATES", "by hand", engine(live_restore=False), {}, ("pass",)),
    (
        "PF-UPDATES",
        "the engine held back",
        {**engine(live_restore=False), **upkeep(updates=Updates(True, True))},
        {},
        ("pass",),
    ),
    ("PF-UPDATES", "not told", upkeep(updates=None), {}, ()),
    ("PF-FIREWALL", "none", {}, {}, ("pass",)),
    (
        "PF-FIREWALL",
        "HH-14: one that published ports pass by",
        upkeep(firewall=Firewall(("ufw",), 0)),
        {},
        ("warn host.firewall",),
    ),
    (
        "PF-FIREWALL",
        "with rules where they pass",
        upkeep(firewall=Firewall(("ufw",), 3)),
        {},
        ("pass",),
    ),
    ("PF-FIREWALL", "not told", upkeep(firewall=None), {}, ("unknown",)),
    ("PF-FIREWALL", "nothing is published", {}, {"ports": ()}, ()),
]
