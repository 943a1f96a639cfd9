"""Preflight rules over how a host is kept, and its settings: what the run may change, and what not.

What would only turn bad later (a reboot, an upgrade, an old kernel) is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from installer.core.errors import Problem, Remedy
from installer.core.events import Outcome
from installer.core.facts import EngineState, HostFacts
from installer.core.host_settings import (
    DAEMON_JSON,
    describe_changes,
    engine_changes,
    format_sysctls,
    unmet_sysctls,
)
from installer.core.requirements import Requirements
from installer.core.rules import Finding, Judge, judged, passed, unknown, version_of

KERNEL_MINIMUM = (5, 10)
"""Oldest long-term kernel that kernel.org still maintained when this was written."""
ENTROPY_BITS = 200
"""From Linux 5.18 on the kernel says 256 once its generator is seeded; older ones count down."""
DRIVERS = frozenset({"overlay2", "overlayfs", "btrfs", "zfs"})
_LASTING = frozenset({"ext2/ext3", "ext3", "ext4", "xfs", "btrfs", "zfs"})
_VOLATILE = frozenset({"tmpfs", "ramfs"})


def judge_daemon(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """The engine's configuration file, and the exact change that is proposed."""
    if facts.engine.state is not EngineState.RUNNING:
        return
    agreed = "daemon" in needs.host_apply
    if fault := facts.upkeep.config.fault:
        problem = Problem(
            "host.daemon_json",
            f"{DAEMON_JSON}: {fault}; the engine will not start with it again",
            Remedy("correct it by hand", (f"dockerd --validate --config-file {DAEMON_JSON}",)),
            where=DAEMON_JSON,
        )
        outcome = Outcome.FAIL if agreed else Outcome.WARN
        yield judged(outcome, problem, expected="JSON", found=fault)
        return
    changes = engine_changes(facts, needs)
    keys = ", ".join(change.key for change in changes)
    is_pending = facts.upkeep.config.settings.get("live-restore") is True
    if not changes and is_pending and facts.engine.live_restore is False:
        yield _warning(
            DAEMON_JSON, "host.restart_pending",
            "the engine has not taken its settings over: they count from its next restart on",
            Remedy("restart it when it suits", ("sudo systemctl restart docker",)),
            expected="as proposed, in force", found="not in force",
        )  # fmt: skip
    elif not changes:
        yield passed(DAEMON_JSON, expected="as proposed", found="as proposed")
    elif agreed:
        yield passed(DAEMON_JSON, expected="as proposed", found=f"this run sets {keys}")
    else:
        problem = Problem(
            "host.daemon",
            f"{DAEMON_JSON} should set {keys}",
            Remedy(
                "set host.apply: [daemon] to have a run make this change and keep all else in the"
                " file, or make it by hand and restart the engine when it suits",
                (f"dockerd --validate --config-file {DAEMON_JSON}",),
            ),
            where=DAEMON_JSON,
            detail=describe_changes(changes),
        )
        yield judged(Outcome.WARN, problem, expected="as proposed", found=f"without {keys}")


def judge_sysctls(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Kernel settings that services need of the host."""
    if not needs.sysctls:
        return
    found = facts.upkeep.sysctls
    if not found:
        yield unknown("sysctl", "host.sysctl_unknown", "kernel settings of the host")
        return
    unmet = unmet_sysctls(found, needs.sysctls)
    said = ", ".join(f"{s.name} = {found[s.name]}" for s in unmet)
    wanted = ", ".join(f"{s.name} {s.compare} {s.value}" for s in needs.sysctls)
    if not unmet:
        yield passed("sysctl", expected=wanted, found="as needed")
    elif "sysctl" in needs.host_apply:
        yield passed("sysctl", expected=wanted, found=f"{said}; this run sets it")
    else:
        path = f"/etc/sysctl.d/60-{needs.deployment}.conf"
        problem = Problem(
            "host.sysctl",
            f"kernel settings are too low: {said}",
            Remedy(
                "set host.apply: [sysctl] to have a run make this change, or write the file below"
                f" as {path} and load it",
                ("sudo sysctl --system",),
            ),
            where="sysctl",
            detail=format_sysctls(unmet),
        )
        yield judged(Outcome.WARN, problem, expected=wanted, found=said)


def judge_boot(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """The engine starts with the machine; a unit of ours needs a systemd to be one of."""
    if "systemd" in needs.host_apply and not facts.systemd:
        problem = Problem(
            "host.no_systemd",
            "host.apply names systemd, which does not run this host",
            Remedy("take systemd out of host.apply; see that the engine starts with the machine"),
            where="host.apply",
        )
        yield judged(Outcome.FAIL, problem, expected="systemd", found="none")
    elif facts.upkeep.engine_at_boot is False:
        yield _warning(
            "boot", "host.engine_at_boot",
            "the engine does not start with the machine: after a reboot nothing runs",
            Remedy("enable its service", ("sudo systemctl enable docker.service",)),
            expected="enabled", found="not enabled",
        )  # fmt: skip
    elif facts.upkeep.engine_at_boot:
        yield passed("boot", expected="enabled", found="enabled")


def judge_kernel(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """A kernel that is still maintained, by its makers or by a distribution."""
    version, least = version_of(facts.release), ".".join(map(str, KERNEL_MINIMUM))
    if version is None:
        yield unknown("kernel", "host.kernel_unknown", "version of the kernel")
    elif version >= KERNEL_MINIMUM:
        yield passed("kernel", expected=f"{least} or later", found=facts.release)
    else:
        yield _warning(
            "kernel", "host.kernel",
            f"kernel {facts.release} is older than {least}, the oldest that is maintained",
            Remedy("upgrade it, or see that the distribution maintains it", ("uname -r",)),
            expected=f"{least} or later", found=facts.release,
        )  # fmt: skip


def judge_cgroup(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """Limits by the unified hierarchy, which distributions and the engine are leaving behind v1."""
    if facts.cgroup is None:
        yield unknown("cgroup", "host.cgroup_unknown", "version of control groups")
    elif facts.cgroup == 2:
        yield passed("cgroup", expected="v2", found="v2")
    else:
        yield _warning(
            "cgroup", "host.cgroup",
            f"control groups are version {facts.cgroup}; the engine deprecates them",
            Remedy("boot with the unified hierarchy (systemd.unified_cgroup_hierarchy=1)"),
            expected="v2", found=f"v{facts.cgroup}",
        )  # fmt: skip


def judge_confinement(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """Containers are confined by AppArmor or SELinux as well (CIS Docker 5.2, 5.3)."""
    if facts.engine.state is not EngineState.RUNNING:
        return
    options = {o.removeprefix("name=").partition(",")[0] for o in facts.engine.security}
    confined = sorted(options & {"apparmor", "selinux"})
    if confined:
        yield passed("confinement", expected="AppArmor or SELinux", found=" ".join(confined))
        return
    kernel = "AppArmor is on" if facts.upkeep.apparmor else "AppArmor is off"
    found = f"{kernel}, SELinux is {facts.upkeep.selinux or 'unknown'}; the engine uses neither"
    yield _warning(
        "confinement", "host.confinement",
        f"containers are not confined: {found}",
        Remedy(
            "boot with one of them and restart the engine; where SELinux is on, start the engine"
            " with selinux-enabled",
            ("sudo aa-status", "getenforce"),
        ),
        expected="AppArmor or SELinux", found=found,
    )  # fmt: skip


def judge_file_systems(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """Data outlives a reboot, and programs may be run where they must be."""
    for key in ("data", "engine"):
        path = facts.paths.get(key)
        if path is None or not path.fs_type:
            continue
        expected, found = "ext4, xfs, btrfs or zfs, without noexec", path.fs_type
        found += ", noexec" if "noexec" in path.options else ""
        if path.fs_type in _VOLATILE:
            problem = Problem(
                "disk.volatile",
                f"{path.path} lies on {path.fs_type}: it is empty after a reboot",
                Remedy("choose a directory on a disk", (f"findmnt -T {path.existing}",)),
                where=path.path,
            )
            yield judged(Outcome.FAIL, problem, expected=expected, found=found)
        elif "noexec" in path.options:
            problem = Problem(
                "disk.noexec",
                f"{path.mount} is mounted noexec; programs are run from below {path.path}",
                Remedy("mount it without noexec", (f"sudo mount -o remount,exec {path.mount}",)),
                where=path.path,
            )
            yield judged(Outcome.FAIL, problem, expected=expected, found=found)
        elif path.fs_type in _LASTING:
            yield passed(path.path, expected=expected, found=found)
        else:
            yield _warning(
                path.path, "disk.file_system",
                f"{path.path} lies on {path.fs_type}, where databases may lose data or be slow",
                Remedy("choose a local disk with ext4 or xfs", (f"findmnt -T {path.existing}",)),
                expected=expected, found=found,
            )  # fmt: skip


def judge_storage_driver(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """A driver that is maintained. It is never changed: images and containers would be gone."""
    driver = facts.engine.storage_driver
    if facts.engine.state is not EngineState.RUNNING:
        return
    if driver is None:
        yield unknown("engine", "engine.storage_unknown", "storage driver of the engine")
    elif driver in DRIVERS:
        yield passed("engine", expected=" or ".join(sorted(DRIVERS)), found=driver)
    else:
        yield _warning(
            "engine", "engine.storage_driver",
            f"the engine keeps images with {driver}, which is slow or no longer maintained",
            Remedy(
                "move to overlay2 before anything is installed: images and containers of the old"
                " driver are not seen by the new one",
                ("docker info --format '{{.Driver}}'",),
            ),
            expected=" or ".join(sorted(DRIVERS)), found=driver,
        )  # fmt: skip


def judge_firewall(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Published ports pass a firewall of the host by: the engine's own chain decides first."""
    if not needs.ports:
        return
    firewall = facts.upkeep.firewall
    if firewall is None:
        yield unknown("firewall", "host.firewall_unknown", "what filters packets")
        return
    names = ", ".join(firewall.active)
    if not firewall.active:
        yield passed("firewall", expected="DOCKER-USER where one is", found="none on this host")
    elif firewall.user_rules:
        found = f"{names}, {firewall.user_rules} rules in DOCKER-USER"
        yield passed("firewall", expected="rules in DOCKER-USER", found=found)
    else:
        ports = ", ".join(map(str, needs.ports))
        yield _warning(
            "firewall", "host.firewall",
            f"{names} is on, and does not filter the published ports {ports}: the engine's rules"
            " come first",
            Remedy(
                "put rules for published ports into the chain DOCKER-USER, or filter in front of"
                " the host",
                ("sudo iptables -S DOCKER-USER",),
            ),
            expected="rules in DOCKER-USER", found=f"{names}, no rule in DOCKER-USER",
        )  # fmt: skip


def judge_updates(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """An upgrade of the engine by itself stops every container, unless they outlive a restart."""
    updates = facts.upkeep.updates
    if updates is None or facts.engine.state is not EngineState.RUNNING:
        return
    found = "by themselves" if updates.unattended else "by hand"
    found += ", the engine held back" if updates.engine_held else ""
    safe = not updates.unattended or updates.engine_held or facts.engine.live_restore is True
    expected = "live-restore, or the engine held back"
    if safe:
        yield passed("updates", expected=expected, found=found)
        return
    yield _warning(
        "updates", "host.updates",
        "packages are upgraded by themselves, the engine's among them: all containers stop then",
        Remedy(
            "switch live-restore on (host.apply: [daemon]), or hold the engine back and upgrade it"
            " when it suits",
            ("sudo apt-mark hold docker-ce containerd.io",),
        ),
        expected=expected, found=found,
    )  # fmt: skip


def judge_entropy(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """The kernel's generator is seeded: keys and passwords are made on the host too."""
    bits = facts.upkeep.entropy
    if bits is None:
        yield unknown("entropy", "host.entropy_unknown", "randomness of the kernel")
    elif bits >= ENTROPY_BITS:
        yield passed("entropy", expected=f"{ENTROPY_BITS} bits", found=f"{bits} bits")
    else:
        yield _warning(
            "entropy", "host.entropy",
            f"the kernel has {bits} bits of randomness; programs that need it will wait",
            Remedy("give the machine a hardware generator (virtio-rng), or run rngd"),
            expected=f"{ENTROPY_BITS} bits", found=f"{bits} bits",
        )  # fmt: skip


def _warning(
    where: str, code: str, summary: str, remedy: Remedy, *, expected: str, found: str
) -> Finding:
    problem = Problem(code, summary, remedy, where=where)
    return judged(Outcome.WARN, problem, expected=expected, found=found)


UPKEEP: tuple[tuple[str, str, Judge], ...] = (
    ("PF-KERNEL", "version of the kernel", judge_kernel),
    ("PF-CGROUP", "control groups", judge_cgroup),
    ("PF-CONFINEMENT", "containers are confined", judge_confinement),
    ("PF-FILE-SYSTEM", "kinds of file systems", judge_file_systems),
    ("PF-STORAGE-DRIVER", "storage driver of the engine", judge_storage_driver),
    ("PF-ENTROPY", "randomness", judge_entropy),
    ("PF-SYSCTL", "kernel settings that services need", judge_sysctls),
    ("PF-DAEMON", "settings of the engine", judge_daemon),
    ("PF-BOOT", "what starts with the machine", judge_boot),
    ("PF-UPDATES", "upgrades that restart the engine", judge_updates),
    ("PF-FIREWALL", "published ports and the firewall", judge_firewall),
)
