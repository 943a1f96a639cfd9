"""Preflight rules over the engines of workspace hosts; pure.

What is seen there is seen from this machine; that the platform's own host is let through is a check
of the service that uses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from installer.core.errors import Problem, Remedy
from installer.core.events import Outcome
from installer.core.facts import HostFacts
from installer.core.requirements import Requirements
from installer.core.rules import Finding, judged, passed, unknown, version_of
from installer.core.workspace_engines import EngineSight, WorkspaceHost, WorkspaceNeeds

if TYPE_CHECKING:
    from installer.core.plan import Plan

API_MINIMUM = (1, 43)
"""Of engine 24.0, the oldest that the platform is for."""
WARN_DAYS = 30
MEMORY_TOLERANCE = 0.05
"""What firmware and kernel keep of the memory that a machine was ordered with."""
GOOD_DRIVERS = ("overlay2", "overlayfs", "btrfs", "zfs")
_APART = ("name=userns", "name=rootless")
_HANDBOOK = "docs.docker.com/engine/security/protect-access"


def find_workspace_needs(plan: Plan) -> WorkspaceNeeds | None:
    """What is asked of workspace hosts, where the answers name any."""
    urls = plan.answers.at("workspaces.hosts")
    if not isinstance(urls, tuple):
        return None
    names = {spec.answer: spec.name for spec in plan.secrets if spec.answer}
    wanted = plan.sizing.workspace_hosts
    return WorkspaceNeeds(
        urls=urls,
        secrets=(
            names["workspaces.ca_file"],
            names["workspaces.certificate"],
            names["workspaces.key"],
        ),
        architecture=str(plan.answers.at("workspaces.arch") or ""),
        cpus=wanted.cpus if wanted else 0,
        memory_mib=wanted.memory_mib if wanted else 0,
        disk_gib=wanted.engine_gib if wanted else 0,
    )


def judge_workspace_engines(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Each answers with TLS to the client's certificate, and both certificates live on."""
    del needs
    for sight in facts.workspaces:
        if sight.problem is not None:
            yield judged(Outcome.FAIL, sight.problem)
            continue
        version = sight.host.version if sight.host else "?"
        found = f"engine {version}, API {sight.api}, {sight.tls}"
        yield passed(sight.url, expected="an answer over verified TLS", found=found)
        yield from _judge_lives(sight)


def judge_workspace_doors(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Nobody gets an answer without a certificate of the engines' authority."""
    del needs
    for sight in facts.workspaces:
        if not sight.open_to:
            yield passed(sight.url, expected="no answer to strangers", found="no answer")
            continue
        ways = "; ".join(sight.open_to)
        problem = Problem(
            "workspaces.open",
            f"the engine of {sight.url} answers {ways}: whoever reaches it is root on that host",
            Remedy(
                "close the host's firewall to everybody at once; then start the engine with"
                f" --tlsverify, --tlscacert, --tlscert and --tlskey ({_HANDBOOK}), and look for"
                " containers that nobody knows"
            ),
            where=sight.url,
        )
        yield judged(Outcome.FAIL, problem, expected="no answer to strangers", found=ways)


def judge_workspace_kind(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """The engine is new enough, of the right kind, and can enforce the limits of workspaces."""
    for sight in facts.workspaces:
        if sight.problem is not None:
            continue
        if (version_of(sight.api) or (0, 0)) < API_MINIMUM:
            yield _old(sight)
        if sight.host is not None and needs.workspaces is not None:
            yield from _judge_kind(sight.url, sight.host, needs.workspaces)


def judge_workspace_upkeep(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """What makes a break-out or an update of the engine harmless."""
    del needs
    for sight in facts.workspaces:
        if (host := sight.host) is None:
            continue
        apart = [s.removeprefix("name=") for s in host.security if s.startswith(_APART)]
        if apart:
            yield passed(sight.url, expected="rootless or userns", found=", ".join(apart))
        else:
            yield _warned(
                sight.url,
                "workspaces.userns",
                "root in a container is root on the host: the engine is neither rootless nor has it"
                " user namespaces",
                'set {"userns-remap": "default"} in /etc/docker/daemon.json of that host before the'
                " first workspace is made, or waive it with the reason",
            )
        if host.live_restore:
            yield passed(sight.url, expected="live-restore", found="live-restore")
        else:
            yield _warned(
                sight.url,
                "workspaces.live_restore",
                "an update of the engine stops every workspace: live-restore is off",
                'set {"live-restore": true} in /etc/docker/daemon.json of that host',
            )


def judge_workspace_size(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """All of them together carry the workspaces that run at the same time."""
    wanted = needs.workspaces
    hosts = [sight.host for sight in facts.workspaces if sight.host]
    if wanted is None or not hosts or len(hosts) < len(facts.workspaces):
        return
    cpus, memory = sum(h.cpus for h in hosts), sum(h.memory_mib for h in hosts)
    yield _size("cpus", cpus >= wanted.cpus, f"{wanted.cpus} CPUs", f"{cpus} CPUs")
    enough = memory >= wanted.memory_mib * (1 - MEMORY_TOLERANCE)
    yield _size("memory", enough, f"{wanted.memory_mib} MiB", f"{memory} MiB")
    free = [host.free_gib for host in hosts if host.free_gib is not None]
    if len(free) < len(hosts):
        drivers = ", ".join(sorted({host.driver for host in hosts if host.free_gib is None}))
        asked = f"free space of workspace hosts: the engine does not tell it with {drivers}"
        why = f"{asked}; {wanted.disk_gib} GiB are needed in all"
        yield unknown("workspaces.hosts", "workspaces.disk_unknown", why)
    else:
        enough = sum(free) >= wanted.disk_gib
        yield _size("disk", enough, f"{wanted.disk_gib} GiB free", f"{sum(free):.0f} GiB free")


def _judge_lives(sight: EngineSight) -> Iterator[Finding]:
    lives = {"the engine": sight.certificate_until, "the client": sight.client_until}
    for whose, until in lives.items():
        if until is None or until - sight.at > timedelta(days=WARN_DAYS):
            continue
        yield _warned(
            sight.url,
            "workspaces.certificate_ends",
            f"the certificate of {whose} ends on {until:%Y-%m-%d}",
            "have the engines' authority issue a new one before that day; no workspace starts or"
            " stops without it",
        )


def _old(sight: EngineSight) -> Finding:
    least = ".".join(map(str, API_MINIMUM))
    problem = Problem(
        "workspaces.api",
        f"the engine of {sight.url} speaks API {sight.api or 'of no version'}; {least} is the"
        " oldest that will do",
        Remedy("update the engine of that host to Docker 24.0 or newer"),
        where=sight.url,
    )
    return judged(Outcome.FAIL, problem, expected=f"API {least}", found=sight.api)


def _judge_kind(url: str, host: WorkspaceHost, wanted: WorkspaceNeeds) -> Iterator[Finding]:
    kind = f"{host.system}/{host.architecture}"
    expected = f"linux/{wanted.architecture}"
    if kind == expected:
        yield passed(url, expected=expected, found=kind)
    else:
        remedy = "name hosts of one kind, and their processor in workspaces.arch"
        yield _failed(url, "workspaces.platform", f"{url} is {kind}, not {expected}", remedy)
    if host.lacks:
        what = " and ".join(host.lacks)
        remedy = "boot that host with cgroups for them (cgroup_enable=memory swapaccount=1)"
        said = f"the kernel of {url} cannot limit {what}, so that one workspace starves the others"
        yield _failed(url, "workspaces.limits", said, remedy)
    if host.driver not in GOOD_DRIVERS:
        remedy = "use overlay2 on ext4, or on xfs with ftype=1, or waive it with the reason"
        said = f"the engine of {url} keeps images and homes with the storage driver {host.driver}"
        yield _failed(url, "workspaces.storage_driver", said, remedy)


def _size(what: str, enough: bool, expected: str, found: str) -> Finding:
    if enough:
        return passed("workspaces.hosts", expected=expected, found=found)
    problem = Problem(
        f"workspaces.{what}",
        f"the workspace hosts have {found} together, and {expected} are needed",
        Remedy(
            "name another host in workspaces.hosts, or a smaller sizing.concurrent_workspaces; or"
            " waive it with the reason"
        ),
        where="workspaces.hosts",
    )
    return judged(Outcome.FAIL, problem, expected=expected, found=found)


def _failed(url: str, code: str, said: str, remedy: str) -> Finding:
    return judged(Outcome.FAIL, Problem(code, said, Remedy(remedy), where=url))


def _warned(url: str, code: str, said: str, remedy: str) -> Finding:
    return judged(Outcome.WARN, Problem(code, f"{url}: {said}", Remedy(remedy), where=url))
