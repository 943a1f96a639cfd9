"""The static segmentation audit: what is not allowed is found by pair, what is allowed is there."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from installer.core.errors import StackError
from installer.core.events import Outcome
from installer.core.manifest import ServiceManifest
from installer.core.segmentation import (
    FlowConditions,
    declared_flows,
    parse_segmentation,
)
from tests.policy.builders import NETWORKS, ROOT, sound_document
from tests.policy.networks import (
    CONDITIONS,
    DECLARED,
    TABLE,
    Change,
    audit,
    failures,
    join,
    leave,
    subnet,
)


def test_the_products_table_repeats_the_acceptance_table_word_for_word() -> None:
    ours = yaml.safe_load((ROOT / "assets/segmentation.yaml").read_bytes())
    theirs = yaml.safe_load((ROOT / "tests/acceptance/segmentation.yaml").read_bytes())
    for part in ("version", "tiers", "allow", "deny_probes"):
        assert ours[part] == theirs[part]


def test_a_sound_document_passes_every_check() -> None:
    results = audit()
    assert failures(results) == set()
    ids = [r.id for r in results]
    assert {"SA-01", "SA-04", "SA-12", "SA-16", "SA-74", "SD-39", "SD-56", "SD-04"} <= set(ids)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("service", "network", "wanted"),
    [
        ("traefik", "gitea-to-postgres", {("SD-39", "traefik -> postgres")}),
        ("traefik", "gitea-to-redis", {("SD-40", "traefik -> redis")}),
        (
            "coder",
            "gitea-to-redis",
            {
                ("segmentation.pair", "coder -> gitea"),
                ("segmentation.pair", "coder -> redis"),
            },
        ),
        (
            "gitea",
            "backup-to-vault",
            {("segmentation.pair", "backup -> gitea"), ("SD-45", "gitea -> vault")},
        ),
        ("redis", "coder-egress", {
            ("segmentation.internal", "coder-egress"),
            ("segmentation.pair", "coder -> redis"),
            ("SD-57", "redis -> internet"),
        }),
        ("gitea", "traefik-egress", {("segmentation.pair", "gitea -> internet")}),
        ("traefik", "coder-to-socket-proxy-coder", {
            ("segmentation.consumers", "coder-to-socket-proxy-coder"),
            ("SD-44", "traefik -> socket-proxy-coder"),
        }),
    ],
)  # fmt: skip
def test_one_wrong_network_of_one_service_is_found_by_pair_sm_01(
    service: str, network: str, wanted: set[tuple[str, str]]
) -> None:
    results = audit(join(service, network))
    assert failures(results) == wanted
    for result in results:
        if result.outcome is Outcome.FAIL and "->" in str(result.where):
            assert network in result.found
            assert result.problem is not None


@settings(max_examples=60, deadline=None)
@given(
    service=st.sampled_from(sorted(sound_document()["services"])),
    network=st.sampled_from(sorted(NETWORKS)),
)
def test_whoever_joins_a_network_without_a_flow_to_all_of_it_is_found(
    service: str, network: str
) -> None:
    members = set(NETWORKS[network])
    found = failures(audit(join(service, network)))
    allowed = {frozenset(flow.pair) for flow in TABLE.allow if CONDITIONS.allow(flow)}
    others = members - {service}
    strangers = {other for other in others if frozenset((service, other)) not in allowed}
    named = {where for _, where in found}
    for stranger in strangers:
        assert {f"{service} -> {stranger}", f"{stranger} -> {service}"} & named
    if service in members:
        assert found == set()


@pytest.mark.parametrize(
    ("network", "flow"),
    [
        ("coder-to-postgres", ("SA-12", "coder -> postgres")),
        ("gitea-to-redis", ("SA-18", "gitea -> redis")),
        ("traefik-to-coder", ("SA-04", "traefik -> coder")),
        ("coder-to-socket-proxy-coder", ("SA-14", "coder -> socket-proxy-coder")),
        ("coder-egress", ("SA-16", "coder -> internet")),
    ],
)
def test_an_allowed_flow_without_a_network_is_found_sm_04(
    network: str, flow: tuple[str, str]
) -> None:
    first = NETWORKS[network][0]
    assert flow in failures(audit(leave(first, network)))


def test_nothing_connected_does_not_pass_sm_04() -> None:
    def cut(document: dict[str, Any]) -> None:
        for body in document["services"].values():
            body["networks"] = {}
            body["network_mode"] = "none"

    found = failures(audit(cut))
    assert {("SA-12", "coder -> postgres"), ("SA-17", "gitea -> postgres")} <= found


def test_the_edge_that_publishes_nothing_is_found() -> None:
    found = failures(audit(lambda document: document["services"]["traefik"].pop("ports")))
    assert found == {("SA-01", "internet -> traefik"), ("SA-02", "internet -> traefik")}


@pytest.mark.parametrize(
    ("service", "ports", "wanted"),
    [
        ("postgres", ["127.0.0.1:5432:5432"], ("SD-01", "internet -> postgres")),
        ("postgres", ["5433:5433"], ("segmentation.pair", "internet -> postgres")),
        ("gitea", [{"target": 3000, "published": "80"}], ("SD-06", "internet -> gitea")),
        ("traefik", ["80:80", "443:443/tcp", "8080:8080"], ("SD-11", "internet -> traefik")),
        ("traefik", ["80:80", "443:443", "1:8082"], ("segmentation.pair", "internet -> traefik")),
    ],
)
def test_a_port_published_by_mistake_is_found_sm_02(
    service: str, ports: list[Any], wanted: tuple[str, str]
) -> None:
    found = failures(audit(lambda document: document["services"][service].update(ports=ports)))
    assert found == {wanted}


def test_the_default_network_is_nobodys() -> None:
    implicit = failures(audit(lambda document: document["services"]["redis"].pop("networks")))
    assert ("segmentation.declared", "default") in implicit
    named = failures(audit(join("redis", "default")))
    assert ("segmentation.declared", "default") in named

    def both(document: dict[str, Any]) -> None:
        for name in ("gitea", "vault"):
            document["services"][name]["networks"] = None

    found = failures(audit(both))
    assert ("SD-45", "gitea -> vault") in found


def test_a_network_that_is_not_declared_or_not_ours_is_found() -> None:
    assert ("segmentation.declared", "other") in failures(audit(join("redis", "other")))

    def external(document: dict[str, Any]) -> None:
        document["networks"]["gitea-to-redis"]["external"] = True

    assert failures(audit(external)) == {("segmentation.declared", "gitea-to-redis")}

    def on_the_wire(document: dict[str, Any]) -> None:
        document["networks"]["gitea-to-redis"]["driver"] = "macvlan"

    assert failures(audit(on_the_wire)) == {("segmentation.declared", "gitea-to-redis")}


@pytest.mark.parametrize(
    ("network", "wanted"),
    [
        ("coder-to-postgres", {
            ("segmentation.internal", "coder-to-postgres"), ("SD-56", "postgres -> internet"),
        }),
        ("backup-to-vault", {
            ("segmentation.internal", "backup-to-vault"), ("SD-58", "vault -> internet"),
            ("segmentation.pair", "backup -> internet"),
        }),
        ("coder-to-socket-proxy-coder", {
            ("segmentation.internal", "coder-to-socket-proxy-coder"),
            ("segmentation.pair", "socket-proxy-coder -> internet"),
        }),
    ],
)  # fmt: skip
def test_a_closed_tier_with_a_way_out_is_found(network: str, wanted: set[tuple[str, str]]) -> None:
    assert failures(audit(lambda d: d["networks"][network].pop("internal"))) == wanted


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (subnet("gitea-to-redis", "172.30.0.0/24"), "backup-to-postgres"),
        (subnet("gitea-to-redis", "172.30.0.1/29"), "gitea-to-redis"),
        (subnet("gitea-to-redis", "10.1.2.0/29"), "gitea-to-redis"),
        (subnet("gitea-to-redis", "172.31.0.0/29"), "gitea-to-redis"),
        (subnet("gitea-to-redis"), "gitea-to-redis"),
        (subnet("gitea-to-redis", "not a range"), "gitea-to-redis"),
        (lambda d: d["networks"]["gitea-to-redis"].pop("ipam"), "gitea-to-redis"),
        (lambda d: d["networks"]["gitea-to-redis"].update(enable_ipv6=True), "gitea-to-redis"),
    ],
)
def test_address_ranges_are_chosen_and_overlap_nothing(change: Change, wanted: str) -> None:
    found = failures(audit(change))
    assert ("segmentation.subnets", wanted) in found
    assert {check for check, _ in found} == {"segmentation.subnets"}


def test_both_address_families_are_compared() -> None:
    def six(document: dict[str, Any]) -> None:
        for network in ("gitea-to-redis", "gitea-to-postgres"):
            definition = document["networks"][network]
            definition["enable_ipv6"] = True
            definition["ipam"]["config"].append({"subnet": "fd00:1::/64"})

    assert failures(audit(six)) == {("segmentation.subnets", "gitea-to-postgres")}


def test_a_shared_name_space_shares_its_networks() -> None:
    def move_in(document: dict[str, Any]) -> None:
        document["services"]["redis"].pop("networks")
        document["services"]["redis"]["network_mode"] = "service:gitea"

    found = failures(audit(move_in))
    assert ("SD-53", "redis -> postgres") in found
    assert ("SD-40", "traefik -> redis") in found


def test_a_role_that_the_table_does_not_know_may_reach_nobody() -> None:
    def rename(document: dict[str, Any]) -> None:
        document["services"]["redis"]["labels"]["devplat.role"] = "mystery"

    found = failures(audit(rename))
    assert ("segmentation.pair", "gitea -> mystery") in found


def test_a_conditional_flow_counts_when_it_is_declared_or_known_to_hold() -> None:
    undeclared = FlowConditions(DECLARED - {("backup", "vault")}, pool=CONDITIONS.pool)
    assert failures(audit(conditions=undeclared)) == {("segmentation.pair", "backup -> vault")}
    text = "snapshot token with that right only"
    known = FlowConditions(undeclared.declared, known={text: True})
    assert failures(audit(conditions=known)) == set()
    refused = FlowConditions(DECLARED, known={text: False})
    assert failures(audit(conditions=refused)) == {("segmentation.pair", "backup -> vault")}


def test_the_flows_of_the_manifests_are_read() -> None:
    def manifest(name: str, **more: Any) -> ServiceManifest:
        image = {"repository": f"registry.example/{name}", "tag": "1"}
        resources = {"cpus": (1, 1), "memory_mib": (64, 64)}
        return ServiceManifest.model_validate(
            {
                "name": name, "title": name, "summary": name, "group": "application",
                "licence": "MIT", "image": image, "user": "1:1", "resources": resources, **more,
            }
        )  # fmt: skip

    edge = manifest("front", publish=(443,))
    app = manifest(
        "app",
        ingress=[{"host": "app", "port": 1, "health": "/"}],
        connects=[{"to": "store", "port": 2, "why": "its data"}],
        egress="modules",
    )
    assert declared_flows((edge, app), "front", "internet") == {
        ("internet", "front"),
        ("front", "app"),
        ("app", "store"),
        ("app", "internet"),
    }


@pytest.mark.parametrize(
    "table",
    [b"allow: [", b"[]", b"version: 1\nallow: []\ndeny_probes: []", b"allow: [{}]"],
)
def test_a_table_that_cannot_be_read_is_a_fault_of_the_product(table: bytes) -> None:
    with pytest.raises(StackError):
        parse_segmentation(table)


def test_the_hosts_own_network_is_one_that_nobody_declared() -> None:
    def expose(document: dict[str, Any]) -> None:
        document["services"]["redis"]["network_mode"] = "host"

    found = failures(audit(expose))
    assert ("segmentation.declared", "network mode host") in found
    assert ("SD-57", "redis -> internet") in found


def test_a_name_space_shared_in_a_circle_ends() -> None:
    def circle(document: dict[str, Any]) -> None:
        document["services"]["redis"]["network_mode"] = "service:gitea"
        document["services"]["gitea"]["network_mode"] = "service:redis"

    assert ("SD-53", "redis -> postgres") in failures(audit(circle))


def test_a_pair_that_is_refused_by_name_may_meet_when_its_condition_holds() -> None:
    def rename(document: dict[str, Any]) -> None:
        document["services"]["gitea"]["labels"]["devplat.role"] = "workspace"

    asked_for = next(flow for flow in TABLE.allow if flow.id == "SA-44")
    assert asked_for.only_if is not None
    refused = failures(audit(rename))
    assert ("SD-15", "workspace -> postgres") in refused
    allowed = FlowConditions(DECLARED, known={asked_for.only_if: True}, pool=CONDITIONS.pool)
    assert ("SD-15", "workspace -> postgres") not in failures(audit(rename, allowed))


def test_two_services_that_share_two_networks_are_named_once_with_both() -> None:
    def twice(document: dict[str, Any]) -> None:
        for network in ("gitea-to-redis", "gitea-to-postgres"):
            document["services"]["traefik"]["networks"][network] = {}
            document["services"]["redis"]["networks"][network] = {}

    (found,) = [r for r in audit(twice) if r.where == "traefik -> redis" and r.problem]
    assert "gitea-to-postgres" in found.found
    assert "gitea-to-redis" in found.found


def test_services_of_one_role_meet_only_when_a_flow_allows_it() -> None:
    def second(document: dict[str, Any]) -> None:
        document["services"]["redis-two"] = document["services"]["redis"]

    assert ("segmentation.pair", "redis -> redis") in failures(audit(second))
