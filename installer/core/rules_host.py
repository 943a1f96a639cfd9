"""Preflight rules over the machine itself: rights, platform, size, clock."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from installer.core.errors import Problem, Remedy
from installer.core.events import Outcome
from installer.core.facts import Account, EngineState, HostFacts
from installer.core.requirements import Requirements
from installer.core.rules import Finding, judged, passed, unknown

MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""Machine names of uname(1) → architecture names of image registries."""

MEMORY_TOLERANCE = 0.06
"""Firmware and kernel keep some of the memory a machine is sold with; /proc/meminfo shows the
rest."""

SKEW_LIMIT_S = 60.0
"""Beyond it one-time codes, tokens and certificates fail (acceptance case F-023)."""


def judge_privilege(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Root where the run needs it; else the engine's socket and writable directories."""
    account = facts.account
    if account.uid == 0:
        yield passed(account.login or account.user, expected="root", found="root")
    elif needs.privileged:
        yield judged(Outcome.FAIL, _no_root(account), expected="root", found=_rights(facts))
    else:
        yield from _judge_unprivileged(facts)


def _judge_unprivileged(facts: HostFacts) -> Iterator[Finding]:
    account = facts.account
    if facts.engine.state is EngineState.DENIED:
        yield judged(
            Outcome.FAIL, _no_socket(account), expected="group docker", found=_rights(facts)
        )
    closed = [p for p in facts.paths.values() if p.path.startswith("/") and not p.writable]
    for path in closed:
        if path is facts.paths.get("engine") or path.read_only:
            continue
        yield judged(
            Outcome.FAIL,
            Problem(
                code="privilege.not_writable",
                summary=f"{account.user} may not write to {path.existing}, needed for {path.path}",
                where=path.path,
                remedy=Remedy(
                    "create it for this account, or let the run use sudo",
                    (f"sudo install -d -m 0750 -o {account.user} {path.path}",),
                ),
            ),
            expected="writable",
            found=f"{path.existing} is not",
        )


def _no_root(account: Account) -> Problem:
    rule = f"{account.user} ALL=(root) NOPASSWD: /bin/sh"
    reasons = {
        "absent": "there is no sudo",
        "refused": "sudo asks for a password or does not allow it",
    }
    return Problem(
        code="privilege.no_root",
        summary=f"account {account.user} cannot become root: "
        + reasons.get(account.sudo, "sudo was not used"),
        where=account.user,
        detail=f"uid {account.uid}, groups {' '.join(account.groups) or 'none'}, "
        f"sudo {account.sudo}",
        remedy=Remedy(
            "let the account use sudo: give its password by reference (ssh.become_password), or "
            f"allow the one program that is run with the NOPASSWD rule {rule!r}",
            (f"echo '{rule}' | sudo EDITOR='tee' visudo -f /etc/sudoers.d/devplat",),
        ),
    )


def _no_socket(account: Account) -> Problem:
    return Problem(
        code="privilege.no_engine_access",
        summary=f"account {account.user} may not use the container engine",
        where=account.user,
        remedy=Remedy(
            "add it to the group docker and log in again, or let the run use sudo",
            (f"sudo usermod -aG docker {account.user}",),
        ),
    )


def _rights(facts: HostFacts) -> str:
    account = facts.account
    member = "docker" in account.groups
    return (
        f"uid {account.uid}, sudo {account.sudo}, {'in' if member else 'not in'} the docker group"
    )


def judge_platform(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """Linux on a 64-bit PC or ARM machine; images exist for nothing else."""
    found = f"{facts.kernel} {facts.machine}".strip()
    expected = "Linux on x86_64 or aarch64"
    if not found:
        yield unknown("platform", "host.platform_unknown", "uname does not answer")
    elif facts.kernel == "Linux" and facts.machine in MACHINES:
        yield passed("platform", expected=expected, found=f"{found}, {facts.os.title}")
    else:
        yield judged(
            Outcome.FAIL,
            Problem(
                code="host.platform",
                summary=f"the host is {found}, images exist for {expected}",
                where="platform",
                remedy=Remedy("choose a host with a supported architecture"),
            ),
            expected=expected,
            found=found,
        )


def judge_cpus(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Cores for the chosen size."""
    if not needs.cpus:
        return
    required = ceil(needs.cpus)
    if facts.cpus is None:
        yield unknown("cpus", "host.cpus_unknown", "number of processor cores")
    elif facts.cpus >= required:
        yield passed("cpus", expected=f"{required} CPUs", found=f"{facts.cpus} CPUs")
    else:
        yield judged(
            Outcome.FAIL,
            _too_small("cpus", "CPUs", required, facts.cpus, "", _size_table(facts, needs)),
            expected=f"{required} CPUs",
            found=f"{facts.cpus} CPUs",
        )


def judge_memory(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Memory for the chosen size."""
    if not needs.memory_mib:
        return
    if facts.memory is None:
        yield unknown("memory", "host.memory_unknown", "size of the memory")
        return
    expected, found = f"{needs.memory_mib} MiB", f"{facts.memory.total_mib} MiB"
    if facts.memory.total_mib >= needs.memory_mib * (1 - MEMORY_TOLERANCE):
        yield passed("memory", expected=expected, found=found)
    else:
        problem = _too_small(
            "memory",
            "of memory",
            needs.memory_mib,
            facts.memory.total_mib,
            " MiB",
            _size_table(facts, needs),
        )
        yield judged(Outcome.FAIL, problem, expected=expected, found=found)


def judge_service_memory(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """No service may take more than half of the memory: one leak must not stop all (HD-10)."""
    if facts.memory is None or not needs.service_memory_mib:
        return
    half = facts.memory.total_mib // 2
    greedy = {n: m for n, m in needs.service_memory_mib.items() if m > half}
    for name, limit in sorted(greedy.items()):
        yield judged(
            Outcome.WARN,
            Problem(
                code="host.memory_share",
                summary=f"{name} may take {limit} MiB, more than half of the host's memory",
                where=name,
                remedy=Remedy(f"lower its memory to {half} MiB, or choose a host with more"),
            ),
            expected=f"at most {half} MiB",
            found=f"{limit} MiB",
        )
    if not greedy:
        largest = max(needs.service_memory_mib.values())
        yield passed("memory", expected=f"at most {half} MiB", found=f"{largest} MiB")


def judge_clock(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """The host's clock against this machine's."""
    clock = facts.clock
    expected = f"within {SKEW_LIMIT_S:.0f} s of this machine"
    if clock is None:
        yield unknown("clock", "host.clock_unknown", "the host does not tell its time")
    elif abs(clock.skew_s) - clock.uncertainty_s <= SKEW_LIMIT_S:
        yield passed("clock", expected=expected, found=describe_skew(clock.skew_s))
    else:
        yield judged(
            Outcome.FAIL,
            Problem(
                code="host.clock",
                summary=f"the host's clock is {describe_skew(clock.skew_s)} of this machine's; "
                f"at most {SKEW_LIMIT_S:.0f} s are allowed",
                where="clock",
                detail="one-time codes, tokens and certificates would fail",
                remedy=Remedy(
                    "compare both clocks with a third; switch on NTP where it is wrong",
                    ("sudo timedatectl set-ntp true", "timedatectl status"),
                ),
            ),
            expected=expected,
            found=describe_skew(clock.skew_s),
        )


def describe_skew(seconds: float) -> str:
    """A difference of clocks for people: `12 min ahead`, `0.3 s behind`."""
    size, way = abs(seconds), "ahead" if seconds > 0 else "behind"
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if size >= 2 * length:
            return f"{size / length:.0f} {unit} {way}"
    return f"{size:.1f} s {way}"


def _too_small(what: str, noun: str, required: int, found: int, unit: str, table: str) -> Problem:
    return Problem(
        code=f"host.{what}",
        summary=f"the host has {found}{unit} {noun}, the chosen size needs {required}{unit}",
        where=what,
        detail=table,
        remedy=Remedy(
            "choose a host with enough memory and CPU, a smaller size (sizing), or record the "
            f"decision to go on with a reason in waivers: host.{what}"
        ),
    )


def _size_table(facts: HostFacts, needs: Requirements) -> str:
    memory = facts.memory.total_mib if facts.memory else "unknown"
    return (
        "            required  found\n"
        f"CPU         {ceil(needs.cpus):>8}  {facts.cpus if facts.cpus else 'unknown'}\n"
        f"memory MiB  {needs.memory_mib:>8}  {memory}"
    )
