"""The AI gateway from workspaces (SA-42): by a public name behind the edge, where it is wanted."""

from __future__ import annotations

import pytest
import yaml

from installer.auditing import audit_bundle, reach_rules
from installer.core.events import Outcome
from installer.core.segmentation import parse_segmentation
from installer.core.unmet import find_unmet
from installer.stacks import load_stacks
from tests.workspaces.conftest import IMAGE, SEPARATE, Render

PUBLIC = {"enabled": True, "public": True}
SAME = {"image": IMAGE}


@pytest.mark.parametrize("workspaces", [SAME, SEPARATE])
def test_with_a_public_name_workspaces_reach_the_gateway_behind_the_edge(
    make_bundle: Render, workspaces: dict[str, object]
) -> None:
    """SA-42 by way of SA-43, for workspaces of either kind: they share no network with it."""
    plan, bundle = make_bundle(workspaces, ai_gateway=PUBLIC)
    routes = yaml.safe_load(bundle.files["traefik/dynamic/routes.yml"].data)["http"]["routers"]
    assert routes["ai"]["rule"] == "Host(`ai.company.com`)"
    assert "ai.company.com" in plan.public_names
    environment = bundle.files["coder/templates/production/variables.tf"].data.decode()
    assert '"AI_GATEWAY_URL=https://ai.company.com"' in environment
    stacks = load_stacks()
    results = audit_bundle(plan, bundle, stacks)
    assert [r for r in results if r.outcome is Outcome.FAIL] == []
    assert {r.outcome for r in results if r.id == "SO-51"} == {Outcome.PASS}
    rules = reach_rules(plan, parse_segmentation(stacks.asset("segmentation.yaml")))
    assert ("traefik", "ai-gateway") in {(flow.source, flow.destination) for flow in rules.expected}
    assert not [r for r in find_unmet(plan) if "AI gateway" in r.title]


def test_the_edge_refuses_what_is_no_call_of_a_model(make_bundle: Render) -> None:
    plan, bundle = make_bundle(SAME, ai_gateway=PUBLIC)
    (route,) = [route for route in plan.routes if route.host_key == "ai"]
    assert {"/key", "/team", "/user", "/config", "/metrics", "/spend", "/model/"} <= set(route.deny)
    refused = [path for path in ("/v1/models", "/v1/chat/completions", "/models", route.health)
               for deny in route.deny if path.startswith(deny)]  # fmt: skip
    assert refused == []
    text = bundle.files["traefik/dynamic/routes.yml"].data.decode()
    assert "PathPrefix(`/key`)" in text


def test_without_the_answer_it_has_no_name_and_the_report_says_how_to_give_it_one(
    make_bundle: Render,
) -> None:
    plan, bundle = make_bundle(SAME, ai_gateway={"enabled": True})
    assert "ai" not in plan.hosts
    assert not [n for n in bundle.document["networks"] if n == "traefik-to-ai-gateway"]
    assert "AI_GATEWAY_URL" not in str(bundle.files["coder/templates/production/variables.tf"].data)
    (told,) = [r for r in find_unmet(plan) if "AI gateway" in r.title]
    assert told.problem is not None
    assert "ai_gateway.public" in told.problem.remedy.summary
