"""Single sign-on of the dashboards with a provider of the company, which cannot be asked for its
endpoints: they have to be answered, and arrive where they are used.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from installer.core.errors import AnswersError
from installer.core.rendering import render
from installer.core.segmentation import (
    FlowConditions,
    audit_networks,
    declared_flows,
    parse_segmentation,
)
from installer.stacks import load_templates
from tests.stacks.builders import BASE, ROOT, load, make_plan_for


class _Tagged(yaml.SafeLoader):
    """Takes authentik's own tags as text."""


_Tagged.add_multi_constructor("!", lambda loader, tag, node: tag)

ENDPOINTS = {
    "oidc_authorization_url": "https://login.company.com/authorize",
    "oidc_token_url": "https://login.company.com/token",
    "oidc_userinfo_url": "https://login.company.com/userinfo",
}


def external(**monitoring: Any) -> dict[str, Any]:
    """Answers with a provider of the company."""
    clients = ("coder", "gitea", "minio", "grafana")
    return {
        "identity": {
            "mode": "external",
            "issuer": "https://login.company.com/realms/platform",
            "admin_group": "operators",
            "client_ids": {name: name for name in clients},
            "client_secrets": {name: f"env:{name.upper()}_SECRET" for name in clients},
        },
        "monitoring": {"enabled": True, **monitoring},
        "backup": {"enabled": False},
        "waivers": {**BASE["waivers"], "mfa.unknown": "the provider asks for it"},
    }


def test_the_endpoints_arrive_in_the_settings() -> None:
    plan = make_plan_for(load(), more=external(**ENDPOINTS))
    bundle = render(plan, load_templates(ROOT, load()))
    service = bundle.document["services"]["grafana"]
    environment = service["environment"]
    assert environment["GF_AUTH_GENERIC_OAUTH_AUTH_URL"] == ENDPOINTS["oidc_authorization_url"]
    assert environment["GF_AUTH_GENERIC_OAUTH_API_URL"] == ENDPOINTS["oidc_userinfo_url"]
    assert service["command"][1].endswith(f"token_url={ENDPOINTS['oidc_token_url']}")
    roles = environment["GF_AUTH_GENERIC_OAUTH_ROLE_ATTRIBUTE_PATH"]
    assert roles.startswith("contains(groups[*], 'operators') && 'Admin'")
    assert "authentik" not in str(environment)
    secrets = {spec.name: spec.answer for spec in plan.secrets}
    assert secrets["grafana-oidc-secret"] == "identity.client_secrets.grafana"


def test_only_then_it_may_leave_the_platform() -> None:
    assert make_plan_for(load(), more=external(**ENDPOINTS)).manifest("grafana").egress
    bundled = {"monitoring": {"enabled": True}, "backup": {"enabled": False}}
    assert make_plan_for(load(), more=bundled).manifest("grafana").egress is None
    plan = make_plan_for(load(), more=external(**ENDPOINTS))
    bundle = render(plan, load_templates(ROOT, load()))
    table = parse_segmentation((ROOT / "assets/segmentation.yaml").read_bytes())
    manifests = [plan.manifest(name) for name in plan.services]
    flows = declared_flows(manifests, plan.edge, "internet")
    results = audit_networks(bundle.document, table, FlowConditions(flows, pool="172.30.0.0/16"))
    wrong = [r for r in results if r.outcome.value not in ("pass", "waived")]
    assert [(r.id, r.where, r.found) for r in wrong if "grafana" in str(r.where)] == []


@pytest.mark.parametrize("missing", sorted(ENDPOINTS))
@pytest.mark.parametrize("value", [None, "http://login.company.com/x"])
def test_an_endpoint_that_is_missing_or_not_encrypted_is_refused(missing: str, value: Any) -> None:
    given = {**ENDPOINTS, missing: value}
    with pytest.raises(AnswersError) as caught:
        make_plan_for(load(), more=external(**given))
    assert f"monitoring.{missing}" in str(caught.value) or "endpoint" in str(caught.value)


def test_nobody_asks_for_them_without_dashboards_or_with_our_own_provider() -> None:
    without = make_plan_for(load(), more={**external(), "monitoring": {"enabled": False}})
    assert "grafana" not in without.services
    own = make_plan_for(
        load(), more={"monitoring": {"enabled": True}, "backup": {"enabled": False}}
    )
    assert {"grafana", "authentik-server"} <= set(own.services)


def test_our_own_provider_gets_a_client_for_them() -> None:
    more = {"monitoring": {"enabled": True}, "backup": {"enabled": False}}
    plan = make_plan_for(load(), more=more)
    bundle = render(plan, load_templates(ROOT, load()))
    text = bundle.files["authentik-worker/blueprints/grafana.yaml"].data.decode()
    assert "https://grafana.company.com/login/generic_oauth" in text
    assert "client_id: grafana" in text
    entries = yaml.load(text, Loader=_Tagged)["entries"]  # noqa: S506 - a safe loader
    groups = [e["identifiers"]["name"] for e in entries if e["model"] == "authentik_core.group"]
    assert groups == ["grafana-editors", "grafana-viewers"]
    roles = bundle.document["services"]["grafana"]["environment"][
        "GF_AUTH_GENERIC_OAUTH_ROLE_ATTRIBUTE_PATH"
    ]
    assert [group for group in groups if f"'{group}'" not in roles] == []
    given = plan.manifest("authentik-worker").secret_files["oidc_grafana"]
    assert given == plan.manifest("grafana").secret_files["oidc_secret"]
