"""Ports tried from elsewhere, with real sockets: the script that knocks, the listener that greets.

Issue 4: the port is reached from outside where a vantage point is given.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from installer.adapters.local import LocalHost
from installer.core.checks import WAIVABLE, judge_host
from installer.core.errors import VerifyError
from installer.core.events import CheckResult, Outcome
from installer.core.facts_network import parse_listeners
from installer.core.fields import FieldError
from installer.core.fields_hosts import check_vantage
from installer.core.outside import Came, Knock, Rehearsal
from installer.core.probe import Section
from installer.phases.outside import knock, rehearse
from installer.phases.verify_outside import OutsideAudit, check_exposure, find_addresses
from installer.ports import Command, Completed
from tests.preflight.builders import sound_facts, sound_needs
from tests.reach.test_exposure import RULES

ROOT = Path(__file__).parents[2]
KNOCK = (ROOT / "assets/knock.sh").read_bytes()
GREET = (ROOT / "assets/greet.py").read_bytes()
HERE = LocalHost("none")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def held(greeting: bytes = b"") -> Iterator[int]:
    """A port on which somebody else listens, and what that one says."""
    with socket.create_server(("0.0.0.0", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    stream, _ = listener.accept()
                except OSError:
                    return
                with stream:
                    stream.sendall(greeting)

        threading.Thread(target=answer, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def test_a_knock_tells_open_from_refused_and_hears_the_greeting() -> None:
    closed = free_port()
    with held(b"hello there\n") as port:
        found = knock(KNOCK, HERE, [("127.0.0.1", port), ("127.0.0.1", closed)], greet=True)
    assert set(found) == {
        Knock("127.0.0.1", port, Came.OPEN, "hello there"),
        Knock("127.0.0.1", closed, Came.REFUSED),
    }


def test_a_view_without_bash_is_an_error_that_says_so() -> None:
    class Bare(LocalHost):
        def run(self, command: Command) -> Completed:
            return Completed(127, b"", b"sh: exec: bash: not found\n")

    with pytest.raises(VerifyError, match="bash: not found"):
        knock(KNOCK, Bare("none"), [("127.0.0.1", 1)])


@pytest.mark.slow
def test_a_listener_of_our_own_is_seen_from_outside_and_ends_by_itself() -> None:
    ports = [free_port(), free_port()]
    began = time.monotonic()
    found = rehearse((GREET, KNOCK), HERE, HERE, "here", [("127.0.0.1", p) for p in ports], "n0nce")
    assert {(k.port, k.came, k.greeting) for k in found.knocks} == {
        (p, Came.OPEN, "n0nce") for p in ports
    }
    assert (found.busy, found.why) == ({}, "")
    assert time.monotonic() - began < 15
    assert {k.came for k in knock(KNOCK, HERE, [("127.0.0.1", ports[0])])} == {Came.REFUSED}


@pytest.mark.slow
def test_a_port_that_somebody_holds_is_left_to_them_and_told() -> None:
    with held() as port:
        found = rehearse((GREET, KNOCK), HERE, HERE, "here", [("127.0.0.1", port)], "n0nce")
    assert list(found.busy) == [port]
    assert [(k.came, k.greeting) for k in found.knocks] == [(Came.OPEN, "")]


def test_a_target_that_cannot_listen_is_not_taken_for_a_firewall() -> None:
    broken = b"import sys; sys.exit(3)\n"
    found = rehearse((broken, KNOCK), HERE, HERE, "here", [("127.0.0.1", 1)], "n0nce")
    assert found.why == "the listener on the target ended with status 3"


def judge(rehearsal: Rehearsal, **waivers: str) -> list[CheckResult]:
    facts = replace(sound_facts(), rehearsal=rehearsal)
    needs = sound_needs(
        ports=(80, 443), waivers={k.replace("_", "."): v for k, v in waivers.items()}
    )
    return [r for r in judge_host(facts, needs) if r.id == "PF-OUTSIDE"]


def seen(came_80: Came, greeting_80: str, busy: dict[int, str] | None = None) -> Rehearsal:
    knocks = (
        Knock("203.0.113.7", 80, came_80, greeting_80),
        Knock("203.0.113.7", 443, Came.OPEN, "n0nce"),
    )
    return Rehearsal("probe@out", knocks, "n0nce", busy or {})


def test_an_unreached_port_may_be_waived() -> None:
    assert {"ports.unreached", "ports.elsewhere"} <= WAIVABLE
    found = judge(seen(Came.SILENT, ""), ports_unreached="opened on Monday")
    assert [r.outcome for r in found] == [Outcome.WAIVED, Outcome.PASS]


class Names:
    def addresses(self, name: str) -> tuple[str, ...]:
        return {"host.test": ("203.0.113.7", "2001:db8::7", "127.0.1.1")}.get(name, ())


def test_names_become_addresses_and_loopback_is_nobodys() -> None:
    assert find_addresses("host.test", Names()) == ("203.0.113.7", "2001:db8::7")
    assert find_addresses("2001:DB8:0::7", Names()) == ("2001:db8::7",)
    assert find_addresses("127.0.0.1", Names()) == ()


class View(LocalHost):
    """A place from which these ports are open, whatever is tried."""

    def __init__(self, *opened: int, came: str = "refused") -> None:
        super().__init__("none")
        self.opened, self.came, self.scripts = opened, came, [""]

    def run(self, command: Command) -> Completed:
        self.scripts.append(command.script)
        doors = command.script.split(" -- ")[1].split()[1:]
        lines = [
            f"|{'open' if int(port) in self.opened else self.came} {address} {port}"
            for address, port in zip(doors[::2], doors[1::2], strict=True)
        ]
        text = "\n".join(
            ("@devplat begin 1", "|1", "@devplat section knocks 0", *lines, "@devplat end", "|2")
        )
        return Completed(0, text.encode(), b"")


def exposed(answer: str = "", **views: View) -> dict[str, CheckResult]:
    audit = OutsideAudit(RULES, KNOCK, GREET, ("host.test",), answer)
    return {r.id: r for r in check_exposure(audit, None, {}, views, Names())}


def test_the_bastion_always_looks_and_the_vantage_point_where_there_is_one() -> None:
    bastion, vantage = View(22, 80, 443), View(80, 443)
    assert set(exposed(bastion=bastion)) == {"host.published", "ports.bastion"}
    found = exposed("probe@out", bastion=bastion, vantage=vantage)
    assert {found[name].outcome for name in ("ports.bastion", "ports.outside")} == {Outcome.PASS}
    assert "2001:db8::7 5432" in vantage.scripts[-1]  # both families
    found = exposed("probe@out", bastion=bastion, vantage=View(80, 443, 6379))
    assert found["ports.outside"].outcome is Outcome.FAIL


def test_a_bastion_that_is_outside_is_judged_as_such() -> None:
    found = exposed("bastion", bastion=View(80, 443, 5432))
    assert found["ports.outside"].outcome is Outcome.FAIL
    assert "ports.bastion" not in found


def test_a_bastion_that_hears_nothing_claims_nothing() -> None:
    assert exposed(bastion=View(came="silent"))["ports.bastion"].outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("bastion", "bastion"), (" Bastion ", "bastion"),
        ("p@out.example.com", "p@out.example.com"),
        ("ops@[2001:db8::1]:2222", "ops@[2001:db8::1]:2222"), ("198.51.100.9", "198.51.100.9"),
    ],
)  # fmt: skip
def test_a_vantage_point_is_a_host_or_the_bastion(text: str, stored: str) -> None:
    assert check_vantage(text).value == stored


@pytest.mark.parametrize("text", ["", "a b", "x@y@z", "host:99999", "ssh://host", "a,b"])
def test_what_is_no_vantage_point_is_refused(text: str) -> None:
    with pytest.raises(FieldError):
        check_vantage(text)


def test_sockets_of_udp_are_read_as_listeners_of_their_own() -> None:
    from installer.core.segmentation.reach import parse_reach

    text = "\n".join(
        ("@devplat begin 1", "|1", "@devplat section place 0 host",
         "@devplat section listeners 0 udp",
         "|State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess",
         '|UNCONN 0      0      0.0.0.0:68 0.0.0.0:* users:(("dhclient",pid=5,fd=6))',
         "@devplat end", "|2", "")
    )  # fmt: skip
    reach = parse_reach(text, "target", "p")
    assert [(s.port, s.process) for s in reach.datagrams] == [(68, "dhclient (pid 5)")]
    assert reach.listeners is None
    assert parse_listeners(Section("", status=1), Section("", status=1)) is None
