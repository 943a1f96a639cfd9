"""Addresses, routes, listeners and names, from tools or from the kernel."""

from __future__ import annotations

import pytest

from installer.core.facts import Listener, RouteFacts
from installer.core.facts_network import parse_listeners, parse_names
from installer.core.probe import Section
from tests.preflight.reading import parse


@pytest.fixture
def ubuntu(recorded):
    return parse(recorded("ubuntu-24.04"))


def test_addresses_leave_out_loopback_and_link_local(ubuntu):
    assert ubuntu.network.addresses == ("192.0.2.10", "2001:db8::10", "10.8.0.2")


def test_routes_are_those_of_every_table_but_the_default(ubuntu):
    assert set(ubuntu.network.routes) == {
        RouteFacts("10.8.0.0/16", "wg0"),
        RouteFacts("172.18.0.0/16", "br-1a2b"),
        RouteFacts("192.0.2.0/24", "ens18"),
        RouteFacts("172.30.5.0/24", "wg0"),
        RouteFacts("10.66.0.0/24", ""),
    }


def test_listeners_of_both_families_come_with_their_process(ubuntu):
    assert ubuntu.network.listeners == (
        Listener("127.0.0.53", 53, "systemd-resolve (pid 711)"),
        Listener("*", 80, "docker-proxy (pid 2411)"),
        Listener("*", 8080, "nginx (pid 900), nginx (pid 901)"),
        Listener("*", 443, "caddy (pid 950)"),
    )


def test_listeners_are_read_from_the_kernel_where_ss_is_missing():
    proc = Section(
        "proc-listeners",
        lines=(
            "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 0 0 0 1 1 1",
            "  1: 0A0200C0:01BB 00000000:0000 0A 00000000:00000000 00:00000000 0 0 0 1 1 1",
            "  2: 0A0200C0:0016 0A0200C0:C000 01 00000000:00000000 00:00000000 0 0 0 1 1 1",
            "  0: 00000000000000000000000000000000:0050 " + "0" * 32 + ":0000 0A 0 0 0 0 0 1",
            "  1: B80D0120000000000000000010000000:01BB " + "0" * 32 + ":0000 0A 0 0 0 0 0 1",
        ),
    )
    assert parse_listeners(Section("listeners", status=127), proc) == (
        Listener("127.0.0.1", 8080),
        Listener("192.0.2.10", 443),
        Listener("*", 80),
        Listener("2001:db8::10", 443),
    )


def test_without_ss_and_proc_listeners_are_unknown():
    empty = Section("proc-listeners", status=1)
    assert parse_listeners(Section("listeners", status=127), empty) is None


def test_busybox_without_ss_or_ip_is_read_from_the_kernel(recorded):
    text = recorded("busybox")
    assert "fib_trie" not in text
    assert "Main:" in text  # the recording has the kernel's own table
    network = parse(text).network
    assert "192.0.2.2" in network.addresses
    assert RouteFacts("192.0.2.0/24", "eth0") in network.routes


def test_names_are_read_once_each(ubuntu):
    assert ubuntu.dns.host == {
        "coder.company.com": ("192.0.2.10", "2001:db8::10"),
        "git.company.com": (),
        "slow.company.com": None,
    }


@pytest.mark.parametrize(
    ("lines", "addresses"),
    [
        (
            (
                "Server:\t10.0.0.1",
                "Address:\t10.0.0.1:53",
                "",
                "Name:\tx",
                "Address: 192.0.2.1",
                "Name:\tx",
                "Address: 2001:db8::1",
            ),
            ("192.0.2.1", "2001:db8::1"),
        ),
        (
            (
                "Server:    10.0.0.1",
                "Address 1: 10.0.0.1 dns",
                "",
                "Name:      x",
                "Address 1: 192.0.2.1 x",
            ),
            ("192.0.2.1",),
        ),
        (("Server:\t10.0.0.1", "Address:\t10.0.0.1:53", "** server can't find x: NXDOMAIN"), ()),
        (("::ffff:192.0.2.9 STREAM x", "fe80::1%eth0 STREAM"), ("192.0.2.9", "fe80::1")),
    ],
)
def test_resolvers_of_all_kinds_are_read(lines, addresses):
    assert parse_names([Section("name", "x", 0, lines)]) == {"x": addresses}


@pytest.mark.parametrize("status", [None, 127])
def test_a_name_that_could_not_be_asked_for_is_unknown(status):
    assert parse_names([Section("name", "x", status)]) == {"x": None}


def test_names_inside_a_container_are_read_by_alias(ubuntu):
    assert ubuntu.dns.container["coder.company.com"] == ("192.0.2.10",)
    assert ubuntu.dns.container["git.company.com"] == ()
