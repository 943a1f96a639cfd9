"""What manifests of monitoring need of the core: added users, roots of the edge, a conditional way
out, roles and flows of the product's own table.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from installer.core.errors import StackError
from installer.core.rendering import render
from installer.core.segmentation import parse_segmentation
from installer.stacks import load_catalog, load_templates
from tests.monitoring.bundles import OFF, bundle_of, rules_of
from tests.monitoring.test_rules import find_uncovered, read_cases
from tests.stacks.builders import ROOT, load, make_plan_for


def test_a_text_is_added_to_the_end_of_a_secret_file_that_is_there() -> None:
    plan, _ = bundle_of()
    own = load().services["redis"].secret_files["users.acl"]
    given = plan.manifest("redis").secret_files["users.acl"]
    assert given.startswith(own)
    added = given.removeprefix(own).splitlines()
    assert [line.split()[:4] for line in added] == [
        ["user", "gateway", "on", ">${ai-gateway-redis-password}"],
        ["user", "metrics", "on", ">${redis-exporter-password}"],
    ]
    off = {name: {"enabled": False} for name in ("monitoring", "ai_gateway")}
    alone = make_plan_for(load(), more={**OFF, **off})
    assert alone.manifest("redis").secret_files["users.acl"] == own


def test_a_client_of_the_edge_gets_its_roots_where_the_systems_are_not_enough() -> None:
    plan, bundle = bundle_of()
    client = plan.manifest("blackbox-exporter")
    assert client.secret_files == {"edge_roots.pem": "${edge.roots.pem}"}
    assert b"/run/secrets/edge_roots.pem" in bundle.files["blackbox-exporter/blackbox.yml"].data
    plan, bundle = bundle_of(variant="acme-behind-balancer")
    assert plan.manifest("blackbox-exporter").secret_files == {}
    assert b"ca_file" not in bundle.files["blackbox-exporter/blackbox.yml"].data


def test_no_other_service_is_given_the_roots_unasked() -> None:
    plan, _ = bundle_of()
    asked = {n for n in plan.services if plan.manifest(n).trusts_edge}
    having = {
        n
        for n in plan.services
        if "edge_roots.pem" in plan.manifest(n).secret_files and not plan.manifest(n).consumer
    }
    assert having == asked


def test_flows_and_roles_of_ours_stand_beside_those_of_the_catalogue() -> None:
    table = parse_segmentation((ROOT / "assets/segmentation.yaml").read_bytes())
    assert "blackbox-exporter" in table.tiers["monitoring"]
    ours = {flow.pair for flow in table.allow if flow.id.startswith("SO-")}
    assert ("blackbox-exporter", "traefik") in ours


def test_a_flow_of_ours_that_is_not_whole_is_refused() -> None:
    document = yaml.safe_load((ROOT / "assets/segmentation.yaml").read_bytes())
    document["own_allow"] = [{"id": "SO-01", "from": "a"}]
    with pytest.raises(StackError):
        parse_segmentation(yaml.safe_dump(document).encode())


def test_an_alert_of_a_new_folder_is_found_without_its_cases(tmp_path: Path) -> None:
    """The pairing is made from what is rendered: a new folder's rules are covered by no edit."""
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks")
    folder = tmp_path / "stacks/compose/traefik/to/prometheus/rules"
    rule = {"alert": "New", "expr": "up", "labels": {"severity": "warning"}}
    (folder / "new.yml").write_text(yaml.safe_dump({"groups": [{"name": "n", "rules": [rule]}]}))
    catalog = load_catalog(tmp_path)
    bundle = render(make_plan_for(catalog, more=OFF), load_templates(tmp_path, catalog))
    found = [line for line in find_uncovered(rules_of(bundle), read_cases()) if "New" in line]
    assert found == ["New/warning has no case that fires", "New/warning has no case that silent"]
