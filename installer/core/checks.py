"""Preflight: the rules as one table, judged over facts and requirements; pure.

A rule yields findings, none when it does not apply. Each rule names the class of the error that a
failure raises; `raise_for` raises the first class, in the order of `CLASSES`, with every problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from installer.core.errors import (
    ConflictError,
    ContainerRuntimeError,
    DnsError,
    ImageError,
    InstallError,
    PreflightError,
    PrivilegeError,
    RemoteIoError,
)
from installer.core.events import CheckResult, Outcome
from installer.core.facts import HostFacts
from installer.core.requirements import Requirements
from installer.core.rules import Finding, Judge
from installer.core.rules_buckets import judge_buckets
from installer.core.rules_caa import judge_issuers
from installer.core.rules_database import judge_database
from installer.core.rules_dns import judge_catch_all, judge_container_dns, judge_names
from installer.core.rules_engine import (
    judge_compose,
    judge_engine,
    judge_engine_mode,
    judge_engine_version,
    judge_images,
)
from installer.core.rules_hardening import HARDENING
from installer.core.rules_host import (
    judge_clock,
    judge_cpus,
    judge_memory,
    judge_platform,
    judge_privilege,
    judge_service_memory,
)
from installer.core.rules_network import judge_address, judge_ports, judge_subnets
from installer.core.rules_outside import judge_rehearsal
from installer.core.rules_storage import (
    judge_disk,
    judge_inodes,
    judge_installation,
    judge_paths,
    judge_read_only,
)
from installer.core.rules_upkeep import UPKEEP
from installer.core.rules_workspaces import (
    judge_workspace_doors,
    judge_workspace_engines,
    judge_workspace_kind,
    judge_workspace_size,
    judge_workspace_upkeep,
)

__all__ = [
    "CLASSES",
    "RULES",
    "WAIVABLE",
    "Requirements",
    "Rule",
    "judge_host",
    "judge_rule",
    "raise_for",
]


@dataclass(frozen=True, slots=True)
class Rule:
    """One check: a stable id, what it proves, the class of error it raises, and how it judges."""

    id: str
    title: str
    error: type[InstallError]
    judge: Judge


CLASSES: tuple[type[InstallError], ...] = (
    PrivilegeError,
    ContainerRuntimeError,
    ConflictError,
    RemoteIoError,
    PreflightError,
    DnsError,
    ImageError,
)
"""Who must act first: without rights or an engine nothing else can be believed."""

WAIVABLE = frozenset(
    {
        "caa.refused",
        "database.left_behind",
        "dns.missing",
        "dns.elsewhere",
        "dns.wildcard_missing",
        "dns.catch_all",
        "dns.container",
        "host.cpus",
        "host.memory",
        "host.memory_share",
        "disk.space",
        "engine.selinux",
        "engine.storage_driver",
        "disk.file_system",
        "disk.noexec",
        "disk.volatile",
        "host.cgroup",
        "host.confinement",
        "host.daemon",
        "host.engine_at_boot",
        "host.entropy",
        "host.firewall",
        "host.kernel",
        "host.sysctl",
        "host.updates",
        "image.unreachable",
        "image.limited",
        "ports.elsewhere",
        "ports.unreached",
        "workspaces.cpus",
        "workspaces.disk",
        "workspaces.live_restore",
        "workspaces.memory",
        "workspaces.storage_driver",
        "workspaces.userns",
        *(f"hardening.{rule_id.lower().replace('-', '_')}" for rule_id, *_ in HARDENING),
    }
)
"""Problems an operator may decide to live with. The clock, the engine, ports in use, subnets,
read-only or full file systems and missing images are not: the run could only end badly."""

RULES: tuple[Rule, ...] = (
    Rule("PF-PRIVILEGE", "the account may do what is needed", PrivilegeError, judge_privilege),
    Rule("PF-PLATFORM", "operating system and architecture", PreflightError, judge_platform),
    Rule("PF-ENGINE", "the container engine answers", ContainerRuntimeError, judge_engine),
    Rule("PF-ENGINE-VERSION", "engine version", ContainerRuntimeError, judge_engine_version),
    Rule("PF-COMPOSE", "compose version", ContainerRuntimeError, judge_compose),
    Rule(
        "PF-ENGINE-MODE", "the engine can enforce limits", ContainerRuntimeError, judge_engine_mode
    ),
    Rule("PF-INSTALLATION", "nothing foreign in our place", ConflictError, judge_installation),
    Rule("PF-READ-ONLY", "file systems are writable", RemoteIoError, judge_read_only),
    Rule("PF-PATHS", "directories can be made", PreflightError, judge_paths),
    Rule("PF-CPU", "processor cores", PreflightError, judge_cpus),
    Rule("PF-MEMORY", "memory", PreflightError, judge_memory),
    Rule(
        "PF-MEMORY-SHARE",
        "no service has over half the memory (HD-10)",
        PreflightError,
        judge_service_memory,
    ),
    Rule("PF-DISK", "free space", PreflightError, judge_disk),
    Rule("PF-INODES", "free inodes", PreflightError, judge_inodes),
    Rule("PF-CLOCK", "clock", PreflightError, judge_clock),
    *(Rule(rule_id, title, PreflightError, judge) for rule_id, title, judge in UPKEEP),
    Rule("PF-ADDRESS", "the public address is the host's", PreflightError, judge_address),
    Rule("PF-PORTS", "ports are free", PreflightError, judge_ports),
    Rule("PF-OUTSIDE", "ports are reached from outside", PreflightError, judge_rehearsal),
    Rule("PF-SUBNETS", "container networks overlap with nothing", PreflightError, judge_subnets),
    Rule("PF-DNS", "public names", DnsError, judge_names),
    Rule("PF-DNS-CATCH-ALL", "no wildcard record hides missing names", DnsError, judge_catch_all),
    Rule("PF-CAA", "the certificates' authority may issue", DnsError, judge_issuers),
    Rule("PF-BUCKET", "buckets of the object store", PreflightError, judge_buckets),
    Rule("PF-DNS-CONTAINER", "names inside a container", DnsError, judge_container_dns),
    Rule(
        "PF-WORKSPACES",
        "engines of workspace hosts answer over verified TLS",
        ContainerRuntimeError,
        judge_workspace_engines,
    ),
    Rule(
        "PF-WORKSPACES-OPEN",
        "engines of workspace hosts answer to nobody else",
        ContainerRuntimeError,
        judge_workspace_doors,
    ),
    Rule(
        "PF-WORKSPACES-KIND",
        "engines of workspace hosts can do what is asked of them",
        ContainerRuntimeError,
        judge_workspace_kind,
    ),
    Rule(
        "PF-WORKSPACES-SIZE",
        "workspace hosts are large enough",
        PreflightError,
        judge_workspace_size,
    ),
    Rule(
        "PF-WORKSPACES-UPKEEP", "upkeep of workspace hosts", PreflightError, judge_workspace_upkeep
    ),
    Rule("PF-DATABASE", "the database outside takes TLS", PreflightError, judge_database),
    Rule("PF-IMAGE", "image can be had", ImageError, judge_images),
    *(Rule(rule_id, title, PreflightError, judge) for rule_id, title, judge in HARDENING),
)


def judge_host(facts: HostFacts, requirements: Requirements) -> tuple[CheckResult, ...]:
    """Every rule's findings, in the order of `RULES`."""
    return tuple(result for rule in RULES for result in judge_rule(rule, facts, requirements))


def judge_rule(rule: Rule, facts: HostFacts, requirements: Requirements) -> Iterator[CheckResult]:
    """The results of one rule, waivers applied."""
    for finding in rule.judge(facts, requirements):
        result = _as_result(rule, finding)
        reason = _waiver(finding, requirements)
        if reason is None:
            yield result
        else:
            yield replace(
                result, outcome=Outcome.WAIVED, found=f"{finding.found} (waived: {reason})"
            )


def raise_for(results: Sequence[CheckResult]) -> None:
    """Raise when a result is a failure.

    Raises:
        InstallError: of the first failing class in the order of `CLASSES`; it carries the problems
            of that class first, then those of all others.
    """
    classes = {rule.id: rule.error for rule in RULES}
    failed = [
        (classes[result.id], result.problem)
        for result in results
        if result.outcome is Outcome.FAIL and result.problem
    ]
    ordered = sorted(failed, key=lambda pair: CLASSES.index(pair[0]))
    if ordered:
        raise ordered[0][0](*(problem for _, problem in ordered))


def _as_result(rule: Rule, finding: Finding) -> CheckResult:
    return CheckResult(
        id=rule.id,
        title=rule.title,
        outcome=finding.outcome,
        where=finding.where,
        expected=finding.expected,
        found=finding.found,
        problem=finding.problem,
    )


def _waiver(finding: Finding, requirements: Requirements) -> str | None:
    if finding.problem is None or finding.outcome not in (Outcome.FAIL, Outcome.WARN):
        return None
    if finding.problem.code not in WAIVABLE:
        return None
    return requirements.waivers.get(finding.problem.code)
