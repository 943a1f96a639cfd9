"""What listens on a host, is published on it and is open from elsewhere: each defect is found.

Covers SD-01..SD-13 as seen from outside and SM-02; issue 6, "listening ports from outside".
"""

from __future__ import annotations

from typing import Any

import pytest

from installer.core.events import CheckResult, Outcome
from installer.core.exposure import (
    exposure_rules,
    judge_knocks,
    judge_listeners,
    judge_published,
)
from installer.core.facts import Listener
from installer.core.outside import Came, Knock
from tests.reach.world import TABLE

RULES = exposure_rules(TABLE, {"traefik": (80, 443), "gitea": (), "postgres": ()}, 22)
TARGET = "203.0.113.7"
SOUND = (
    Listener("*", 22, "sshd (pid 1)"),
    Listener("192.0.2.1", 80, "docker-proxy (pid 7)"),
    Listener("192.0.2.1", 443, "docker-proxy (pid 8)"),
    Listener("127.0.0.1", 5432, "postgres (pid 3)"),
    Listener("127.0.0.53", 53, "systemd-resolve (pid 4)"),
    Listener("::1", 631),
)


def listeners(*more: Listener, udp: tuple[Listener, ...] = ()) -> dict[str, CheckResult]:
    return {r.id: r for r in judge_listeners((*SOUND, *more), udp, RULES)}


def test_the_ports_of_the_table_are_tried_and_what_is_declared_may_be_open() -> None:
    assert {5432, 6379, 9000, 8200, 7080, 3000, 9090, 3100, 8080, 2375, 2376} <= set(RULES.tried)
    assert {22, 80, 443} == RULES.declared
    assert not RULES.declared & set(RULES.refused)
    assert RULES.engine == {2375, 2376}


def test_a_host_that_listens_on_what_is_declared_passes() -> None:
    found = listeners(udp=(Listener("127.0.0.1", 323, "chronyd (pid 5)"),))
    assert {r.outcome for r in found.values()} == {Outcome.PASS}


@pytest.mark.parametrize(
    ("listener", "check", "outcome"),
    [
        (Listener("*", 9100, "node_exporter (pid 9)"), "host.listeners", Outcome.WARN),
        (Listener("192.0.2.1", 5432), "host.listeners", Outcome.WARN),
        (Listener("::", 8443, "java (pid 1)"), "host.listeners", Outcome.WARN),
        (Listener("*", 2375, "dockerd (pid 2)"), "host.engine", Outcome.FAIL),
        (Listener("192.0.2.1", 2376, "dockerd (pid 2)"), "host.engine", Outcome.FAIL),
    ],
    ids=lambda value: str(getattr(value, "port", value)),
)
def test_a_listener_that_nobody_declared_is_named_sd_12(
    listener: Listener, check: str, outcome: Outcome
) -> None:
    found = listeners(listener)
    wrong = {name: r.outcome for name, r in found.items() if r.outcome is not Outcome.PASS}
    assert wrong == {check: outcome}
    assert str(listener.port) in found[check].found
    assert (listener.process or "").split(" ")[0] in found[check].found
    assert found[check].problem is not None


def test_a_datagram_socket_is_listed_too() -> None:
    found = listeners(udp=(Listener("*", 68, "dhclient (pid 5)"),))["host.listeners"]
    assert (found.outcome, found.found) == (
        Outcome.WARN,
        "foreign: udp 68 on every address by dhclient (pid 5)",
    )


def test_without_ss_nothing_is_claimed() -> None:
    [only] = judge_listeners(None, (), RULES)
    assert only.outcome is Outcome.UNKNOWN


def test_ssh_on_another_port_is_declared_by_the_answers() -> None:
    rules = exposure_rules(TABLE, {"traefik": (80, 443)}, 2222)
    found = list(judge_listeners((Listener("*", 2222),), (), rules))
    assert {r.outcome for r in found} == {Outcome.PASS}


def container(bindings: dict[str, Any], seen: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"HostConfig": {"PortBindings": bindings}, "NetworkSettings": {"Ports": seen or {}}}


EDGE = container({"443/tcp": [{"HostIp": "192.0.2.1", "HostPort": "443"}]})


def test_containers_that_publish_as_their_manifests_say_pass() -> None:
    exposed = container({}, {"5432/tcp": None})  # EXPOSE publishes nothing
    found = judge_published([("traefik", EDGE), ("postgres", exposed)], RULES)
    assert found.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("service", "inspect", "evidence"),
    [
        ("postgres", container({"5432/tcp": [{"HostIp": "", "HostPort": "5432"}]}),
         "postgres 5432/tcp at every address port 5432"),
        ("gitea", container({"3000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "13000"}]}),
         "gitea 3000/tcp at 127.0.0.1 port 13000"),
        ("traefik", container({"443/tcp": [{"HostIp": "192.0.2.1", "HostPort": "8443"}]}),
         "traefik 443/tcp at 192.0.2.1 port 8443"),
        ("traefik", container({"8080/tcp": [{"HostIp": "192.0.2.1", "HostPort": "8080"}]}),
         "traefik 8080/tcp"),
        ("redis", container({}, {"6379/tcp": [{"HostIp": "::", "HostPort": "32768"}]}),
         "redis 6379/tcp at :: port 32768"),
        ("stranger", container({"80/tcp": [{"HostIp": "192.0.2.1", "HostPort": "80"}]}),
         "stranger 80/tcp"),
    ],
)  # fmt: skip
def test_a_port_published_by_mistake_fails_sm_02(
    service: str, inspect: dict[str, Any], evidence: str
) -> None:
    found = judge_published([("traefik", EDGE), (service, inspect)], RULES)
    assert found.outcome is Outcome.FAIL
    assert evidence in found.found
    assert found.problem is not None


def knocks(*opened: int, silent: bool = False) -> list[Knock]:
    shut = Came.SILENT if silent else Came.REFUSED
    return [Knock(TARGET, p, Came.OPEN if p in opened else shut) for p in RULES.tried]


def test_from_outside_the_published_ports_are_open_and_nothing_else() -> None:
    found = judge_knocks(knocks(80, 443), RULES, "probe@out", is_outside=True)
    assert (found.outcome, found.id) == (Outcome.PASS, "ports.outside")
    assert found.where == "probe@out"


@pytest.mark.parametrize(
    ("opened", "outcome", "evidence"),
    [
        ((80, 443, 5432), Outcome.FAIL, f"must not be open: {TARGET} 5432 (SD-01)"),
        ((80, 443, 2375), Outcome.FAIL, f"{TARGET} 2375 (SD-12)"),
        ((80, 443, 9090), Outcome.FAIL, f"{TARGET} 9090 (SD-08)"),
        ((443,), Outcome.FAIL, f"not reached: {TARGET} 80"),
        ((), Outcome.FAIL, "not reached"),
        ((22, 80, 443), Outcome.WARN, "SSH is open to the world (SD-13)"),
    ],
)
def test_a_wrong_port_seen_from_outside_is_named(
    opened: tuple[int, ...], outcome: Outcome, evidence: str
) -> None:
    found = judge_knocks(knocks(*opened), RULES, "probe@out", is_outside=True)
    assert found.outcome is outcome
    assert evidence in found.found
    assert found.problem is not None


@pytest.mark.parametrize(
    ("opened", "outcome"),
    [
        ((22, 80, 443), Outcome.PASS),
        ((22, 80, 443, 9100), Outcome.WARN),
        ((22, 80, 443, 2376), Outcome.FAIL),
        ((22,), Outcome.PASS),
    ],
    ids=["as declared", "of the owner", "the engine", "behind another address"],
)
def test_from_the_bastion_only_what_gives_the_host_fails_and_it_says_why(
    opened: tuple[int, ...], outcome: Outcome
) -> None:
    found = judge_knocks(knocks(*opened), RULES, "the bastion", is_outside=False)
    assert (found.outcome, found.id) == (outcome, "ports.bastion")
    assert "may be inside the firewall" in found.found
