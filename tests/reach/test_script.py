"""The probing script in network name spaces: real connections, real listeners, both families.

Covers what the catalogue says under `probe.dynamic` of segmentation.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from installer.core.outside import Came
from installer.core.segmentation.reach import Reach
from tests.reach.namespaces import Lab, require_namespaces

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two bridges: `app` and `data` meet on one with both families, `other` is alone on another."""
    require_namespaces()
    with ExitStack() as stack:
        made = Lab(tmp_path_factory.mktemp("lab"), stack)
        made.start()
        made.bridge("br1", "172.30.1.1/29", "fd00:1::1/64")
        made.bridge("br2", "172.30.2.1/29")
        made.do(
            "ip link add out0 type veth peer name out1; ip link set out0 up; ip link set out1 up"
        )
        made.do("ip addr add 192.0.2.5/24 dev out0; ip route add default via 192.0.2.1")
        made.listen(made.host, "0.0.0.0:22", "127.0.0.1:8200")
        made.box("app", "0.0.0.0:3000", "127.0.0.1:9999", role="gitea")
        made.box("data", "0.0.0.0:5432", ":::8008", role="postgres")
        made.box("other", "0.0.0.0:6379", role="redis")
        made.join("app", "br1", "172.30.1.2/29", "fd00:1::2/64")
        made.join("data", "br1", "172.30.1.3/29", "fd00:1::3/64")
        made.join("other", "br2", "172.30.2.2/29")
        made.do("ip route add default via 172.30.2.1", at=made.pids["other"])
        made.tell("hosted", made.host, service="hosted")
        made.tell("gone", 999_999_999, service="gone")
        yield made


@pytest.fixture(scope="module")
def seen(lab: Lab) -> Reach:
    return lab.reach()


def came(seen: Reach, source: str) -> dict[tuple[str, int], Came]:
    place = next(p for p in seen.places if p.service == source)
    return {(t.address, t.port): t.came for t in place.tries or ()}


def test_every_listener_of_the_others_is_tried_in_both_families(seen: Reach) -> None:
    app = came(seen, "app")
    assert app["172.30.1.3", 5432] is Came.OPEN
    assert app["fd00:1::3", 5432] is Came.REFUSED  # listens on IPv4 only
    assert app["fd00:1::3", 8008] is Came.OPEN
    assert app["172.30.2.2", 6379] is Came.UNREACHABLE


def test_what_listens_on_loopback_only_is_no_listener(seen: Reach) -> None:
    data = came(seen, "data")
    assert data["172.30.1.2", 3000] is Came.OPEN
    assert not [port for _, port in data if port in (9999, 8200)]


def test_services_of_the_host_are_tried_at_the_near_gateway_and_at_its_outer_address(
    seen: Reach,
) -> None:
    app, other = came(seen, "app"), came(seen, "other")
    assert app["172.30.1.1", 22] is Came.OPEN
    assert app["192.0.2.5", 22] is Came.UNREACHABLE  # it has no default route
    assert ("172.30.2.1", 22) not in app
    assert other["172.30.2.1", 22] is Came.OPEN
    assert other["192.0.2.5", 22] is Came.OPEN


def test_the_metadata_service_and_the_outside_are_tried(seen: Reach) -> None:
    """SD-28, SD-36, SD-56: without forwarding nothing answers."""
    app, other = came(seen, "app"), came(seen, "other")
    assert app["169.254.169.254", 80] is Came.UNREACHABLE
    assert app["fd00:ec2::254", 80] is Came.UNREACHABLE
    assert ("192.0.2.1", 443) in seen.outside
    assert app["192.0.2.1", 443] is Came.UNREACHABLE
    assert other["192.0.2.1", 443] is not Came.OPEN


def test_a_container_in_the_hosts_network_is_told_and_makes_no_tries(seen: Reach) -> None:
    hosted = next(p for p in seen.places if p.service == "hosted")
    assert hosted.shares_host
    assert hosted.tries is None


def test_a_container_that_has_gone_meanwhile_is_told_without_tries(seen: Reach) -> None:
    gone = next(p for p in seen.places if p.service == "gone")
    assert gone.tries is None
    assert not gone.shares_host


def test_a_metadata_service_that_answers_is_seen_open(lab: Lab) -> None:
    lab.do("ip addr add 169.254.169.254/32 dev br2")
    lab.listen(lab.host, "169.254.169.254:80")
    seen = lab.reach()
    assert came(seen, "other")["169.254.169.254", 80] is Came.OPEN
    assert came(seen, "app")["169.254.169.254", 80] is Came.UNREACHABLE


def test_a_packet_filter_that_drops_is_told_from_one_that_refuses(lab: Lab) -> None:
    pid = lab.pids["data"]
    lab.do("iptables -I INPUT -p tcp --dport 5432 -j DROP", at=pid)
    silent = came(lab.reach(), "app")["172.30.1.3", 5432]
    lab.do("iptables -R INPUT 1 -p tcp --dport 5432 -j REJECT --reject-with tcp-reset", at=pid)
    refused = came(lab.reach(), "app")["172.30.1.3", 5432]
    assert (silent, refused) == (Came.SILENT, Came.REFUSED)


def test_nothing_is_left_behind(lab: Lab) -> None:
    lab.look()
    assert list(Path("/dev/shm").glob("devplat-reach.*")) == []


def test_with_an_engine_that_does_not_answer_it_does_not_run_to_its_end(lab: Lab) -> None:
    done = lab.look("#!/bin/sh\necho 'Cannot connect' >&2\nexit 1\n")
    assert "@devplat end" not in done.stdout
    assert done.stderr.splitlines()[-1] == "the engine does not say which containers there are"
