"""Draws up a job from answers: sizing, plan, bundle, audits. Reads `stacks/` and `assets/` only.

Nothing is contacted, and the same answers give the same bundle.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from installer import __version__
from installer.auditing import (
    audit_bundle,
    container_audit,
    outside_audit,
    reach_audit,
    refuse_failed_audit,
)
from installer.core.answers import Answers
from installer.core.answers_choices import TlsAcme
from installer.core.buckets import bucket_places
from installer.core.catalog import Catalog, start_order
from installer.core.cost import estimate_host, estimate_profile, estimate_workspaces
from installer.core.cost_table import Pricing, parse_cost, parse_prices
from installer.core.errors import AnswersError, LocalIoError, Problem, Remedy
from installer.core.events import CheckResult, Outcome
from installer.core.host_settings import needed_sysctls
from installer.core.images import ImageLock, parse_lock
from installer.core.owner import Owner
from installer.core.plan import Plan, make_plan
from installer.core.rendering import render
from installer.core.requirements import Requirements
from installer.core.rules_workspaces import find_workspace_needs
from installer.core.selection import select_services
from installer.core.sizing import HostRequirements, Sizing, SizingRequest, make_sizing
from installer.core.sizing_table import parse_sizing
from installer.core.unmet import find_unmet
from installer.job import Job
from installer.stacks import Stacks, load_templates

SHIPPED_LOCK = "stacks/images.lock.yaml"
SEPARATE = "separate"
"""The `workspaces.mode` of workspaces that run on other hosts."""


def draw_up(
    answers: Answers,
    warnings: tuple[Problem, ...],
    stacks: Stacks,
    owner: Owner,
    is_gone: Callable[[str], bool],
    lock: ImageLock | None = None,
) -> Job:
    """Answers → sizing → plan → bundle → audits.

    Args:
        answers: Validated.
        warnings: Of the answers that a waiver accepts; the report shows them.
        stacks: What can be installed.
        owner: Who runs it.
        is_gone: Whether a process of this machine has ended.
        lock: Digests, where they are not those of the answers.

    Raises:
        AnswersError: an image has no digest, an address is missing, a size needs a waiver.
        StackError: a template or manifest is at fault.
    """
    answers = _with_address(answers)
    chosen = select_services(answers, stacks.catalog)
    sizing = _size(answers, stacks, chosen)
    plan = make_plan(answers, chosen, sizing, lock or _image_lock(answers, stacks.root))
    bundle = render(plan, load_templates(stacks.root, stacks.catalog))
    warned = (*warnings, *sizing.warnings)
    findings = audit_bundle(plan, bundle, stacks)
    refuse_failed_audit(findings, answers)
    return Job(
        plan=plan,
        bundle=bundle,
        requirements=_requirements(plan),
        probe=stacks.asset("probe.sh").decode(),
        audit_bundle=(
            *(_as_waived(w, answers) for w in {w.code: w for w in warned}.values()),
            *find_unmet(plan),
            *findings,
        ),
        audit_container=container_audit(plan, stacks),
        audit_reach=reach_audit(plan, stacks),
        outside=outside_audit(plan, stacks),
        owner=owner,
        is_gone=is_gone,
        facts={
            "product": __version__,
            "deployment": plan.deployment,
            "target": answers.ssh.host,
            "operator": f"{owner.user}@{owner.machine}",
            "run": owner.run,
            "started": owner.since,
            "sizing": describe_sizing(sizing),
            "cost": _describe_cost(answers, sizing, stacks),
        },
    )


def draw_sizes(answers: Answers, stacks: Stacks) -> tuple[Sizing, str]:
    """Limits of each service, and what they cost; needs no image lock.

    Raises:
        AnswersError: a size needs a waiver.
    """
    sizing = _size(answers, stacks, select_services(answers, stacks.catalog))
    return sizing, _describe_cost(answers, sizing, stacks)


def _with_address(answers: Answers) -> Answers:
    """The edge listens on the SSH host's address unless another one was given."""
    if answers.target.address:
        return answers
    try:
        address = str(ipaddress.ip_address(answers.ssh.host))
    except ValueError as error:
        raise AnswersError(
            Problem(
                "target.address_missing",
                f"ssh.host is a name ({answers.ssh.host}), so the address that the edge listens on"
                " is not known",
                Remedy("give the host's own address, or the word all", ("target: {address: all}",)),
                where="target.address",
            )
        ) from error
    target = answers.target.model_copy(update={"address": address})
    return answers.model_copy(update={"target": target})


def _size(answers: Answers, stacks: Stacks, chosen: Catalog) -> Sizing:
    services = chosen.services
    request = SizingRequest(
        profile=answers.sizing.profile,
        users=answers.sizing.users,
        workspaces=answers.sizing.concurrent_workspaces,
        workspaces_on_host=answers.at("workspaces.mode") != SEPARATE,
        memory_mib={
            name: memory
            for name, manifest in services.items()
            if (memory := answers.memory_of(manifest.folder)) is not None
        },
        cpus={
            name: cpus
            for name, manifest in services.items()
            if (cpus := answers.cpus_of(manifest.folder)) is not None
        },
    )
    manifests = [services[name] for name in start_order(chosen)]
    sizing = make_sizing(manifests, parse_sizing(stacks.asset("sizing.yaml")), request)
    refused = [w for w in sizing.warnings if w.code not in answers.waivers]
    if refused:
        raise AnswersError(*(_with_waiver_line(problem) for problem in refused))
    return sizing


def describe_sizing(sizing: Sizing) -> str:
    """What a host needs, in a line."""
    text = (
        f"{sizing.users} users, {sizing.workspaces} running workspaces: a host of"
        f" {_describe_host(sizing.host)}"
    )
    if sizing.workspace_hosts:
        text += f"; workspace hosts with {_describe_host(sizing.workspace_hosts)} together"
    return text


def _describe_host(host: HostRequirements) -> str:
    memory = round(host.memory_mib / 1024)
    return f"{host.cpus} CPUs, {memory} GiB memory, {host.disk_gib} GiB disk"


def _describe_cost(answers: Answers, sizing: Sizing, stacks: Stacks) -> str:
    """One machine on AWS, and beside it the guide's table when a profile was chosen."""
    prices, table = stacks.asset("aws-prices.yaml"), stacks.asset("cost.yaml")
    pricing = Pricing(parse_prices(prices), parse_cost(table), given={})
    one = estimate_host(pricing, sizing.host, sizing.users)
    text = f"{one.total:,.0f} USD a month for one machine ({one.heading})"
    if sizing.workspace_hosts:
        disk = sizing.workspace_hosts.engine_gib
        nodes = estimate_workspaces(pricing, sizing.scale, disk)
        text += (
            f" and {nodes.total:,.0f} USD for {sizing.scale.workspace_nodes} workspace hosts, one"
            " of them to spare"
        )
    if answers.sizing.profile in pricing.table.profiles:
        guide = estimate_profile(pricing, answers.sizing.profile)
        text += f"; the guide's {answers.sizing.profile} setup {guide.total:,.0f} USD"
    return text


def _with_waiver_line(problem: Problem) -> Problem:
    line = f"waivers: {{{problem.code}: <why it is acceptable here>}}"
    remedy = Remedy(
        f"{problem.remedy.summary}; or accept it by a waiver in the answers",
        (*problem.remedy.commands, line),
    )
    return replace(problem, remedy=remedy)


def _image_lock(answers: Answers, root: Path) -> ImageLock:
    """The lock that the answers name, else the shipped one, else an empty one."""
    path = Path(answers.images.lock_file or root / SHIPPED_LOCK).expanduser()
    if not answers.images.lock_file and not path.exists():
        return ImageLock({})
    try:
        return parse_lock(yaml.safe_load(path.read_bytes()), str(path))
    except OSError as error:
        raise LocalIoError(
            Problem("local.unreadable", f"{path}: {error.strerror}", Remedy("name a readable file"))
        ) from error
    except yaml.YAMLError as error:
        raise AnswersError(
            Problem(
                "image.lock_form",
                f"{path} is not YAML",
                Remedy("make it anew", (f"devplat-install images lock --output {path}",)),
                where="images.lock_file",
            )
        ) from error


def _requirements(plan: Plan) -> Requirements:
    answers, host, tls = plan.answers, plan.sizing.host, plan.answers.tls
    address = answers.target.address or "all"
    return Requirements(
        deployment=plan.deployment,
        install_dir=plan.install_dir,
        data_dir=plan.data_dir,
        cpus=host.cpus,
        memory_mib=host.memory_mib,
        disk_gib_data=host.data_gib,
        disk_gib_images=host.engine_gib,
        service_memory_mib={name: r.memory_mib for name, r in plan.resources.items()},
        ports=tuple(p for name in plan.services for p in plan.manifest(name).publish),
        address=address,
        pool=answers.network.pool,
        names=tuple(route.host for route in plan.routes),
        wildcards=(plan.wildcard,) if plan.wildcard else (),
        base_domain=plan.base_domain,
        resolvers=answers.network.resolvers,
        acme_host=urlsplit(tls.acme.directory).hostname or "" if isinstance(tls, TlsAcme) else "",
        acme_challenge=tls.acme.challenge if isinstance(tls, TlsAcme) else "",
        buckets=bucket_places(plan),
        workspaces=find_workspace_needs(plan),
        addresses=() if answers.network.trusted_cidr or address == "all" else (address,),
        images=tuple(sorted(set(plan.images.values()))),
        registry_login=answers.registry.password is not None,
        markers=tuple(
            f"{name}/{data.name}/{data.marker}"
            for name in plan.services
            for data in plan.manifest(name).data
            if data.marker
        ),
        sysctls=needed_sysctls(plan),
        host_apply=answers.host.apply,
        database=_outside_database(plan),
        replaced=tuple(m.stands_in_for for m in plan.catalog.services.values() if m.stands_in_for),
        vantage=answers.network.vantage or "",
        waivers=answers.waivers,
    )


def _outside_database(plan: Plan) -> str:
    access = plan.database
    return f"{access.host}/{access.port}" if access and access.is_outside else ""


def _as_waived(problem: Problem, answers: Answers) -> CheckResult:
    return CheckResult(
        id=f"answers.{problem.code}",
        title=problem.summary,
        outcome=Outcome.WAIVED,
        where=problem.where,
        found=answers.waivers.get(problem.code, ""),
    )
