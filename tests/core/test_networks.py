"""One network per pair that talks; subnets that stay put."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.core.catalog import read_catalog
from installer.core.errors import AnswersError
from installer.core.networks import allocate_subnets, make_networks

POOL = "172.30.0.0/16"


def manifest(name, **extra):
    return {
        "name": name,
        "title": name,
        "summary": "x",
        "group": "application",
        "licence": "MIT",
        "image": {"repository": f"docker.io/x/{name}", "tag": "1"},
        "user": "1000:1000",
        "resources": {"cpus": [1, 2], "memory_mib": [64, 128]},
        **extra,
    }


def services(*documents):
    return read_catalog({d["name"]: d for d in documents}).services


EDGE = manifest("door", publish=[443])
WEB = manifest(
    "web",
    ingress=[{"host": "web", "port": 80, "health": "/"}],
    connects=[{"to": "store", "port": 1, "why": "rows"}],
)
OTHER = manifest("other", connects=[{"to": "store", "port": 1, "why": "rows"}])
STORE = manifest("store", group="data")


def test_two_consumers_of_a_service_share_no_network():
    networks = make_networks(services(EDGE, WEB, OTHER, STORE), ("web.example.org",), POOL)
    members = {n.name: set(n.members) for n in networks}
    assert members["web-to-store"] == {"web", "store"}
    assert members["other-to-store"] == {"other", "store"}
    assert not [m for m in members.values() if {"web", "other"} <= m]


def test_only_the_way_out_is_not_internal():
    networks = make_networks(services(EDGE, WEB, STORE), (), POOL)
    assert {n.name for n in networks if not n.internal} == {"door-egress"}


def test_a_service_that_calls_the_edge_finds_it_by_the_public_names():
    caller = manifest("caller", connects=[{"to": "door", "port": 443, "why": "login"}])
    networks = {n.name: n for n in make_networks(services(EDGE, caller), ("a.b.c",), POOL)}
    assert networks["caller-to-door"].aliases == {"door": ("a.b.c",)}


def test_a_pool_that_is_too_small_is_refused_with_the_number_needed():
    with pytest.raises(AnswersError) as caught:
        allocate_subnets([f"n{i}" for i in range(5)], "10.0.0.0/27")
    assert caught.value.problems[0].code == "cidr.too_small"
    assert "5" in caught.value.problems[0].summary


@given(st.sets(st.text(min_size=1, max_size=12), max_size=40))
def test_subnets_lie_in_the_pool_and_do_not_overlap(names):
    subnets = [ipaddress.ip_network(s) for s in allocate_subnets(names, POOL).values()]
    pool = ipaddress.ip_network(POOL)
    assert all(s.subnet_of(pool) for s in subnets)
    assert len(set(subnets)) == len(names)


def test_adding_a_network_leaves_the_others_where_they_are():
    before = allocate_subnets(["a-to-b", "c-to-b"], POOL)
    after = allocate_subnets(["a-to-b", "b-to-d", "c-to-b"], POOL)
    assert before.items() <= after.items()
