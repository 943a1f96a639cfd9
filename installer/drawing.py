"""Draws up a job from answers: sizing, plan, bundle, audits. Reads `stacks/` and `assets/` only.

Nothing is contacted, and the same answers give the same bundle.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from installer import __version__
from installer.core.answers import Answers, to_key
from installer.core.bundle import Bundle
from installer.core.catalog import Catalog
from installer.core.errors import AnswersError, LocalIoError, Problem, Remedy, StackError
from installer.core.events import CheckResult, Outcome
from installer.core.images import ImageLock, parse_lock
from installer.core.owner import Owner
from installer.core.plan import Plan, choose_services, make_plan
from installer.core.policy import (
    AuditContext,
    HardeningTable,
    audit_compose,
    audit_inspect,
    parse_hardening,
)
from installer.core.rendering import render
from installer.core.requirements import Requirements
from installer.core.secrets import Secret
from installer.core.segmentation import (
    FlowConditions,
    audit_networks,
    declared_flows,
    parse_segmentation,
)
from installer.core.sizing import Sizing, SizingRequest, make_sizing
from installer.core.sizing_table import parse_sizing
from installer.pipeline import Job
from installer.ports import Container, EngineInfo
from installer.resources import data_root
from installer.stacks import load_catalog, load_templates

SHIPPED_LOCK = "stacks/images.lock.yaml"
MEMORY_LIMITED = "HD-10"
"""The assertion about memory limits in `assets/hardening.yaml`."""
OUTSIDE = "internet"
"""How the segmentation table calls what is not the deployment."""


@dataclass(frozen=True, slots=True)
class Stacks:
    """What `stacks/` and `assets/` hold; the catalog is read, the rest is read when it is used."""

    root: Path
    catalog: Catalog

    def asset(self, name: str) -> bytes:
        """Bytes of a file below `assets/`."""
        return (self.root / "assets" / name).read_bytes()


def load_stacks() -> Stacks:
    """Find and read the catalog.

    Raises:
        StackError: a manifest is at fault.
    """
    root = data_root()
    return Stacks(root, load_catalog(root))


def draw_up(
    answers: Answers,
    warnings: tuple[Problem, ...],
    stacks: Stacks,
    owner: Owner,
    is_gone: Callable[[str], bool],
) -> Job:
    """Answers → sizing → plan → bundle → audits.

    Args:
        answers: Validated.
        warnings: Of the answers that a waiver accepts; the report shows them.
        stacks: What can be installed.
        owner: Who runs it.
        is_gone: Whether a process of this machine has ended.

    Raises:
        AnswersError: an image has no digest, an address is missing, a size needs a waiver.
        StackError: a template or manifest is at fault.
    """
    answers = _with_address(answers)
    services = choose_services(answers, stacks.catalog)
    sizing = _size(answers, stacks, services)
    plan = make_plan(answers, stacks.catalog, sizing, _image_lock(answers, stacks.root))
    bundle = render(plan, load_templates(stacks.root, stacks.catalog))
    warned = (*warnings, *sizing.warnings)
    findings = _audit_bundle(plan, bundle, stacks)
    _refuse_failed_audit(findings, answers)
    return Job(
        plan=plan,
        bundle=bundle,
        requirements=_requirements(plan),
        probe=stacks.asset("probe.sh").decode(),
        audit_bundle=(
            *(_as_waived(w, answers) for w in {w.code: w for w in warned}.values()),
            *findings,
        ),
        audit_container=_container_audit(plan, stacks),
        owner=owner,
        is_gone=is_gone,
        facts={
            "product": __version__,
            "deployment": plan.deployment,
            "target": answers.ssh.host,
            "operator": f"{owner.user}@{owner.machine}",
            "run": owner.run,
            "started": owner.since,
        },
    )


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


def _size(answers: Answers, stacks: Stacks, services: tuple[str, ...]) -> Sizing:
    request = SizingRequest(
        profile=answers.sizing.profile,
        users=answers.sizing.users,
        workspaces=answers.sizing.concurrent_workspaces,
        memory_mib={s: m for s in services if (m := answers.memory_of(s)) is not None},
        cpus={s: c for s in services if (c := answers.cpus_of(s)) is not None},
    )
    manifests = [stacks.catalog.services[name] for name in services]
    sizing = make_sizing(manifests, parse_sizing(stacks.asset("sizing.yaml")), request)
    refused = [w for w in sizing.warnings if w.code not in answers.waivers]
    if refused:
        raise AnswersError(*(_with_waiver_line(problem) for problem in refused))
    return sizing


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
    answers, host = plan.answers, plan.sizing.host
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
        wildcards=(plan.wildcard,),
        base_domain=plan.base_domain,
        addresses=() if answers.network.trusted_cidr or address == "all" else (address,),
        images=tuple(sorted(set(plan.images.values()))),
        registry_login=answers.registry.password is not None,
        markers=tuple(
            f"{name}/{data.name}/{data.marker}"
            for name in plan.services
            for data in plan.manifest(name).data
            if data.marker
        ),
        waivers=answers.waivers,
    )


def _as_waived(problem: Problem, answers: Answers) -> CheckResult:
    return CheckResult(
        id=f"answers.{problem.code}",
        title=problem.summary,
        outcome=Outcome.WAIVED,
        where=problem.where,
        found=answers.waivers.get(problem.code, ""),
    )


def _audit_bundle(plan: Plan, bundle: Bundle, stacks: Stacks) -> tuple[CheckResult, ...]:
    """The compose side of the hardening table, and who shares a network with whom."""
    hardening = _hardening(stacks)
    segmentation = parse_segmentation(stacks.asset("segmentation.yaml"))
    manifests = [plan.manifest(name) for name in plan.services]
    conditions = FlowConditions(
        declared=declared_flows(manifests, plan.edge, OUTSIDE), pool=plan.answers.network.pool
    )
    files = {path: file.data for path, file in bundle.files.items()}
    context = replace(_audit_context(plan), files=files)
    return (
        *audit_compose(bundle.document, hardening, context),
        *audit_networks(bundle.document, segmentation, conditions),
    )


def _refuse_failed_audit(findings: tuple[CheckResult, ...], answers: Answers) -> None:
    """A bundle that fails its own audit is not sent.

    Raises:
        AnswersError: a memory limit of the answers is below what the service needs (HD-10).
        StackError: the stack is at fault.
    """
    failed = [result for result in findings if result.outcome is Outcome.FAIL]
    too_small = [
        result
        for result in failed
        if result.id == MEMORY_LIMITED and answers.memory_of(result.where or "") is not None
    ]
    if too_small:
        raise AnswersError(
            *(
                Problem(
                    "size.range",
                    f"the memory limit of {result.where} is too small: {result.found}",
                    Remedy(f"allow at least {result.expected}, or leave it to the profile"),
                    where=f"sizing.{to_key(result.where or '')}_memory",
                )
                for result in too_small
            )
        )
    if failed:
        raise StackError(
            *(
                Problem(
                    "stack.audit",
                    f"{result.id} {result.title}: expected {result.expected}, found {result.found}",
                    Remedy("correct the service's folder in stacks/compose"),
                    where=result.where,
                )
                for result in failed
            )
        )


def _container_audit(
    plan: Plan, stacks: Stacks
) -> Callable[[Container, EngineInfo, Mapping[str, Secret]], tuple[CheckResult, ...]]:
    table = _hardening(stacks)
    base = _audit_context(plan)

    def audit(
        container: Container, info: EngineInfo, secrets: Mapping[str, Secret]
    ) -> tuple[CheckResult, ...]:
        context = replace(
            base,
            known_secrets=secrets,
            host_memory=info.memory,
            security_options=info.security_options,
            cgroup_version=info.cgroup_version,
        )
        return audit_inspect(container.inspect, None, table, context)

    return audit


def _hardening(stacks: Stacks) -> HardeningTable:
    return parse_hardening(stacks.asset("hardening.yaml"), stacks.asset("seccomp-default.json"))


def _audit_context(plan: Plan) -> AuditContext:
    address = plan.answers.target.address or "all"
    every = ("0.0.0.0", "::")  # noqa: S104 - only when the answers ask for all interfaces
    return AuditContext(
        install_dir=plan.install_dir,
        data_dir=plan.data_dir,
        bind_addresses=every if address == "all" else (address,),
        exceptions={name: plan.manifest(name).exceptions for name in plan.services},
        images=plan.images,
    )
