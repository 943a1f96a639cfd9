"""The audits of a job by our tables: of its bundle before anything is sent, of containers after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from installer.core.answers import Answers, to_key
from installer.core.bundle import Bundle
from installer.core.errors import AnswersError, Problem, Remedy, StackError
from installer.core.events import CheckResult, Outcome
from installer.core.exposure import exposure_rules
from installer.core.plan import Plan
from installer.core.policy import (
    AuditContext,
    HardeningTable,
    audit_compose,
    audit_inspect,
    parse_hardening,
)
from installer.core.secrets import Secret
from installer.core.segmentation import (
    FlowConditions,
    SegmentationTable,
    audit_networks,
    declared_flows,
    parse_segmentation,
)
from installer.core.segmentation.probed import judge_reach
from installer.core.segmentation.probing import Expected, ReachRules
from installer.phases.verify_outside import OutsideAudit
from installer.phases.verify_reach import ReachAudit
from installer.ports import Container, EngineInfo
from installer.stacks import Stacks

MEMORY_LIMITED = "HD-10"
"""The assertion about memory limits in `assets/hardening.yaml`."""
OUTSIDE = "internet"
"""How the segmentation table calls what is not the deployment."""


def audit_bundle(plan: Plan, bundle: Bundle, stacks: Stacks) -> tuple[CheckResult, ...]:
    """The compose side of the hardening table, and who shares a network with whom."""
    hardening = _hardening(stacks)
    segmentation = parse_segmentation(stacks.asset("segmentation.yaml"))
    conditions = _conditions(plan)
    files = {path: file.data for path, file in bundle.files.items()}
    context = replace(_audit_context(plan), files=files)
    return (
        *audit_compose(bundle.document, hardening, context),
        *audit_networks(bundle.document, segmentation, conditions),
    )


def refuse_failed_audit(findings: tuple[CheckResult, ...], answers: Answers) -> None:
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


def container_audit(
    plan: Plan, stacks: Stacks
) -> Callable[[Container, EngineInfo, Mapping[str, Secret]], tuple[CheckResult, ...]]:
    """The audit of one running container: what its host offers, the secrets it must hide."""
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


def reach_audit(plan: Plan, stacks: Stacks) -> ReachAudit:
    """What is tried from inside the containers of a plan, and how it is judged."""
    rules = reach_rules(plan, parse_segmentation(stacks.asset("segmentation.yaml")))
    return ReachAudit(
        script=stacks.asset("reach.sh"),
        judge=lambda seen: tuple(judge_reach(seen, rules, plan.services)),
    )


def outside_audit(plan: Plan, stacks: Stacks) -> OutsideAudit:
    """What is tried from the bastion and the vantage point, and what may be open there."""
    answers, table = plan.answers, parse_segmentation(stacks.asset("segmentation.yaml"))
    publishes = {name: plan.manifest(name).publish for name in plan.services}
    address = answers.target.address
    return OutsideAudit(
        rules=exposure_rules(table, publishes, answers.ssh.port),
        knock=stacks.asset("knock.sh"),
        greet=stacks.asset("greet.py"),
        addresses=tuple({a: 1 for a in (address, answers.ssh.host) if a and a != "all"}),
        vantage=answers.network.vantage or "",
        direct=not answers.ssh.jump,
    )


def reach_rules(plan: Plan, table: SegmentationTable) -> ReachRules:
    """The flows that the services of a plan declare, those of the edge included."""
    conditions = _conditions(plan)
    manifests = [plan.manifest(name) for name in plan.services]
    flows = [
        Expected(m.name, c.to, c.port, c.why)
        for m in manifests
        for c in m.connects
        if c.to in plan.services
    ]
    routed = [
        Expected(plan.edge, route.service, route.port, route.host)
        for route in plan.routes
        if plan.edge and route.service != plan.edge
    ]
    return ReachRules(
        table=table.settle(conditions.declared),
        conditions=conditions,
        expected=tuple(dict.fromkeys((*flows, *routed))),
        roles={m.name: m.audited_as for m in manifests},
        outgoing={m.name: m.egress or "users reach it" for m in manifests if m.egress or m.publish},
        published=frozenset(port for m in manifests for port in m.publish),
    )


def _conditions(plan: Plan) -> FlowConditions:
    manifests = [plan.manifest(name) for name in plan.services]
    return FlowConditions(
        declared=declared_flows(manifests, plan.edge, OUTSIDE), pool=plan.answers.network.pool
    )


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
