"""The static side of segmentation: who could reach whom, by the networks they share.

Compared with the table in both directions: what is not allowed must not be possible, and what is
allowed must be, so that a stack with nothing connected does not pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from installer.core.events import CheckResult, Outcome
from installer.core.segmentation.findings import Finding, fail, judge_rule
from installer.core.segmentation.networks import (
    check_consumers,
    check_declared,
    check_internal,
    check_subnets,
)
from installer.core.segmentation.table import (
    Flow,
    FlowConditions,
    SegmentationTable,
    name_pair,
)
from installer.core.segmentation.topology import Topology, read_topology

_APART = "services without an allowed flow share no network"


@dataclass(frozen=True, slots=True)
class _Reach:
    """What is possible (by networks and published ports) and what is allowed, as pairs of roles."""

    topology: Topology
    table: SegmentationTable
    allowed: tuple[Flow, ...]
    shared: Mapping[frozenset[str], list[str]]
    ways_out: Mapping[str, list[str]]
    ways_in: Mapping[str, set[str]]
    present: frozenset[str]

    def knows(self, flow: Flow) -> bool:
        """Whether both ends are of this deployment, or one of them is outside."""
        return all(role in self.present or role == self.table.outside for role in flow.pair)

    def ways(self, flow: Flow) -> list[str]:
        """By what a flow is possible: networks, or its published port when from outside."""
        if flow.source == self.table.outside:
            is_published = str(flow.port) in self.ways_in.get(flow.destination, ())
            return [f"published port {flow.port}"] if is_published else []
        if flow.destination == self.table.outside:
            return self.ways_out.get(flow.source, [])
        return self.shared.get(frozenset(flow.pair), [])

    def allows(self, first: str, second: str) -> bool:
        """Whether a flow is allowed in either direction; a shared network serves both."""
        return any({first, second} == set(flow.pair) for flow in self.allowed)


def audit_networks(
    document: Mapping[str, Any], table: SegmentationTable, conditions: FlowConditions
) -> tuple[CheckResult, ...]:
    """Every rule about networks and every flow between roles that are present.

    Args:
        document: A fully resolved compose model, or our own before `$` is escaped.
        table: Allowed and refused flows.
        conditions: Decide about conditional flows and address ranges.

    Results have the ids of the table for its flows (`SA-…` connected, `SD-…` apart), and
    `segmentation.…` for the rules; `where` of a failure is a pair `source -> destination` or a
    network.
    """
    topology = read_topology(document)
    table = table.settle(conditions.declared)
    reach = _Reach(
        topology,
        table,
        tuple(flow for flow in table.allow if conditions.allow(flow)),
        topology.shared(),
        topology.ways_out(),
        topology.ways_in(),
        frozenset(topology.roles.values()),
    )
    rules = [
        ("declared", "every network is declared, none is the default", check_declared(topology)),
        ("internal", "closed tiers have no way out", check_internal(topology, table, conditions)),
        ("consumers", "one consumer for each control network", check_consumers(topology, table)),
        ("subnets", "address ranges are chosen and apart", check_subnets(topology, conditions)),
    ]
    results: list[CheckResult] = []
    for name, title, findings in rules:
        results += judge_rule(f"segmentation.{name}", title, findings)
    results += judge_rule("segmentation.pair", _APART, _find_unlisted(reach))
    return (*results, *_check_allowed(reach), *_check_refused(reach))


def _check_allowed(reach: _Reach) -> Iterator[CheckResult]:
    for flow in filter(reach.knows, reach.allowed):
        title = f"{flow} is connected: {flow.why}"
        by = reach.ways(flow)
        if by:
            yield CheckResult(flow.id, title, Outcome.PASS, str(flow), found=", ".join(by))
        else:
            finding = Finding(str(flow), f"no network for the allowed flow ({flow.why})")
            yield fail(flow.id, title, finding, "a shared network, or a published port")


def _check_refused(reach: _Reach) -> Iterator[CheckResult]:
    for flow in filter(reach.knows, reach.table.deny_probes):
        title = f"{flow} port {flow.port} is refused: {flow.why}"
        by = reach.ways(flow)
        if flow.source != reach.table.outside and reach.allows(*flow.pair):
            by = []  # they meet for another flow; that this port is shut only probing can show
        if by:
            yield fail(flow.id, title, Finding(str(flow), f"connected by {', '.join(by)}"), "apart")
        else:
            yield CheckResult(flow.id, title, Outcome.PASS, str(flow))


def _find_unlisted(reach: _Reach) -> Iterator[Finding]:
    """What is possible although nothing allows it, except what the table refuses by name."""
    outside = reach.table.outside
    named = {frozenset(flow.pair) for flow in reach.table.deny_probes}
    for pair, networks in sorted(reach.shared.items(), key=lambda item: sorted(item[0])):
        first, second = sorted(pair) if len(pair) == 2 else (*pair, *pair)
        if pair not in named and not reach.allows(first, second):
            yield Finding(name_pair((first, second)), f"share {', '.join(networks)}")
    closed = {flow.source for flow in reach.table.deny_probes if flow.destination == outside}
    for role, networks in sorted(reach.ways_out.items()):
        if role not in closed and not reach.allows(role, outside):
            yield Finding(name_pair((role, outside)), f"a way out by {', '.join(networks)}")
    for role, ports in sorted(reach.ways_in.items()):
        rows = (*reach.allowed, *reach.table.deny_probes)
        listed = {str(flow.port) for flow in rows if flow.pair == (outside, role)}
        for port in sorted(ports - listed):
            yield Finding(name_pair((outside, role)), f"published port {port}")
