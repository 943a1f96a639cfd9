"""Every variant, as the probing would see it if the engine does what the bundle says.

A stack whose own networks would fail the audit from inside is found here, without an engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from installer.auditing import reach_rules
from installer.core.bundle import Bundle
from installer.core.events import Outcome
from installer.core.outside import Came
from installer.core.plan import Plan
from installer.core.segmentation import parse_segmentation
from installer.core.segmentation.probed import judge_reach
from installer.core.segmentation.probing import ReachRules
from installer.core.segmentation.reach import METADATA, Place, Reach, Try
from tests.stacks.builders import ROOT

TABLE = parse_segmentation((ROOT / "assets/segmentation.yaml").read_bytes())


def look(plan: Plan, rules: ReachRules) -> Reach:
    """Everybody who is meant to be called listens, and a network joins all who are on it."""
    ports: dict[str, set[int]] = {name: set() for name in plan.services}
    for flow in rules.expected:
        ports[flow.destination].add(flow.port)
    addresses = {
        (name, network.name): f"10.{index // 200}.{index % 200}.{2 + network.members.index(name)}"
        for index, network in enumerate(plan.networks)
        for name in network.members
    }
    on = {name: set(plan.networks_of[name]) for name in plan.services}

    def tries(source: str) -> Iterator[Try]:
        for (name, network), address in addresses.items():
            for port in sorted(ports[name]):
                came = Came.OPEN if network in on[source] else Came.UNREACHABLE
                yield Try(address, port, came)
        for address in METADATA:
            yield Try(address, 80, Came.SILENT)

    places = tuple(
        Place(
            name=f"p-{name}-1",
            service=name,
            role=plan.manifest(name).audited_as,
            addresses=tuple(addresses[name, network] for network in plan.networks_of[name]),
            ports=tuple(sorted(ports[name])),
            tries=tuple(tries(name)),
        )
        for name in plan.services
    )
    return Reach(Place("target"), places)


def test_no_stack_fails_the_probing_of_its_own_networks(rendered: tuple[Plan, Bundle]) -> None:
    plan, _ = rendered
    rules = reach_rules(plan, TABLE)
    results = {r.id: r for r in judge_reach(look(plan, rules), rules, plan.services)}
    wrong = {i: r for i, r in results.items() if r.outcome is not Outcome.PASS}
    metered = {f"segmentation.reach.{plan.edge}"} if "prometheus" in plan.services else set()
    assert set(wrong) == metered
    for result in wrong.values():  # whose metrics are read shares a network with who reads them
        assert result.outcome is Outcome.WARN
        assert "prometheus:9090 (SD-42" in result.found
    assert len(results) == len(plan.services) + 2
    for flow in rules.expected:
        assert (
            f"{flow.destination}:{flow.port}" in results[f"segmentation.reach.{flow.source}"].found
        )


def test_one_more_network_of_any_service_is_found(everything: tuple[Plan, Bundle]) -> None:
    """SM-01: whoever joins the network of two others reaches one of them, and fails."""
    plan, _ = everything
    rules = reach_rules(plan, TABLE)
    database = next(n for n in plan.networks if "-to-" in n.name and n.internal)
    meets = {n for member in database.members for n in plan.networks_of[member]}
    others = [n for n in plan.services if not meets & set(plan.networks_of[n])]
    assert others
    for joined in others:
        members = (*database.members, joined)
        networks = tuple(
            replace(n, members=members) if n.name == database.name else n for n in plan.networks
        )
        wrong_plan = replace(plan, networks=networks)
        seen = look(wrong_plan, rules)
        results = {r.id: r for r in judge_reach(seen, rules, plan.services)}
        accused = {r.where for r in results.values() if r.outcome is Outcome.FAIL}
        assert accused, joined
        assert accused <= {joined, *database.members}
