"""CAA records and name servers that are asked directly, by their bytes and on loopback."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from installer.adapters.dns_client import DnsClient
from installer.core.checks import RULES, judge_rule
from installer.core.dns_message import (
    CAA,
    A,
    CaaRecord,
    MessageError,
    make_query,
    parse_answer,
)
from installer.core.events import Outcome
from installer.core.facts import Dns
from tests.preflight.builders import NAMES, sound_facts, sound_needs

HOST = "acme-v02.api.letsencrypt.org"
RULE = next(rule for rule in RULES if rule.id == "PF-CAA")


def issue(value: str, tag: str = "issue", *, critical: bool = False) -> CaaRecord:
    return CaaRecord(critical, tag, value)


def outcome(
    *records: CaaRecord, name: str = NAMES[0], host: str = HOST, challenge: str = "dns-01"
) -> tuple[Outcome, str]:
    wildcards = (name,) if name.startswith("*.") else ()
    needs = replace(
        sound_needs(), names=() if wildcards else (name,), wildcards=wildcards,
        acme_host=host, acme_challenge=challenge,
    )  # fmt: skip
    facts = replace(sound_facts(), dns=Dns(issuers={name: records}))
    [result] = judge_rule(RULE, facts, needs)
    return result.outcome, result.problem.summary if result.problem else ""


@pytest.mark.parametrize(
    ("records", "name", "expected"),
    [
        ((), NAMES[0], Outcome.PASS),
        ((issue("letsencrypt.org"),), NAMES[0], Outcome.PASS),
        ((issue("LetsEncrypt.org ; accounturi=x"),), NAMES[0], Outcome.PASS),
        ((issue("digicert.com"), issue("letsencrypt.org")), NAMES[0], Outcome.PASS),
        ((issue("mailto:a@b", "iodef"),), NAMES[0], Outcome.PASS),
        ((issue("digicert.com", "issuewild"),), NAMES[0], Outcome.PASS),
        ((issue("digicert.com"),), NAMES[0], Outcome.FAIL),
        ((issue(";"),), NAMES[0], Outcome.FAIL),
        ((issue("encrypt.org"),), NAMES[0], Outcome.FAIL),
        ((issue("letsencrypt.org; validationmethods=http-01"),), NAMES[0], Outcome.FAIL),
        ((issue("letsencrypt.org; validationmethods=http-01,dns-01"),), NAMES[0], Outcome.PASS),
        ((issue("x", "future", critical=True),), NAMES[0], Outcome.FAIL),
        ((issue("letsencrypt.org"),), "*.coder.company.com", Outcome.PASS),
        ((issue("letsencrypt.org"), issue(";", "issuewild")), "*.coder.company.com", Outcome.FAIL),
        ((issue(";"), issue("letsencrypt.org", "issuewild")), "*.coder.company.com", Outcome.PASS),
    ],
)
def test_records_say_who_may_issue(
    records: tuple[CaaRecord, ...], name: str, expected: Outcome
) -> None:
    assert outcome(*records, name=name)[0] is expected


def test_an_authority_of_another_name_is_only_a_warning() -> None:
    """An authority's CAA domain need not be that of its directory."""
    found, summary = outcome(issue("sectigo.com"), host="acme.zerossl.com")
    assert found is Outcome.WARN
    assert "sectigo.com" in summary


def test_without_acme_no_authority_is_looked_for_and_silence_is_unknown() -> None:
    facts = replace(sound_facts(), dns=Dns(issuers={}))
    assert list(judge_rule(RULE, facts, sound_needs(acme_host=""))) == []
    needs = replace(sound_needs(), acme_host=HOST, acme_challenge="dns-01")
    assert {r.outcome for r in judge_rule(RULE, facts, needs)} == {Outcome.UNKNOWN}


def test_a_server_of_the_zone_that_knows_a_name_no_more_is_a_failure() -> None:
    """A cache here may still answer what the zone's own servers have dropped."""
    sound = sound_facts()
    needs = sound_needs(acme_host="")
    right = dict.fromkeys(needs.probed_names, needs.addresses)
    server = {"192.0.2.53:53": {**right, NAMES[0]: ()}}
    rule = next(rule for rule in RULES if rule.id == "PF-DNS")
    results = judge_rule(rule, replace(sound, dns=replace(sound.dns, resolvers=server)), needs)
    failed = [r for r in results if r.outcome is Outcome.FAIL]
    assert [r.where for r in failed] == [NAMES[0]]
    assert "name server 192.0.2.53:53: no address" in failed[0].found


Records = dict[tuple[str, int], list[bytes]]


def reply(query: bytes, records: Records, *, truncated: bool = False) -> bytes:
    at, labels = 12, []
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode())
        at += 1 + size
    kind = int.from_bytes(query[at + 1 : at + 3], "big")
    found = records.get((".".join(labels), kind), [])
    head = query[:2] + bytes([0x83 if truncated else 0x81, 0x80])
    head += struct.pack(">HHHH", 1, 0 if truncated else len(found), 0, 0)
    body = b"".join(
        b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(value)) + value for value in found
    )
    return head + query[12:] + (b"" if truncated else body)


@contextmanager
def name_server(records: Records, *, truncated: bool = False) -> Iterator[str]:
    """A name server on loopback, by datagram and stream."""
    stream = socket.create_server(("127.0.0.1", 0))
    port = stream.getsockname()[1]
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagram.bind(("127.0.0.1", port))

    def by_datagram() -> None:
        while True:
            query, client = datagram.recvfrom(2048)
            if query == b"end":
                return
            datagram.sendto(reply(query, records, truncated=truncated), client)

    def by_stream() -> None:
        while True:
            try:
                connection, _ = stream.accept()
            except OSError:
                return
            with connection:
                query = connection.recv(2048)[2:]
                answer = reply(query, records)
                connection.sendall(len(answer).to_bytes(2, "big") + answer)

    threads = [threading.Thread(target=by_datagram), threading.Thread(target=by_stream)]
    for thread in threads:
        thread.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
            ending.sendto(b"end", ("127.0.0.1", port))
        stream.shutdown(socket.SHUT_RDWR)
        stream.close()
        for thread in threads:
            thread.join()
        datagram.close()


V6 = bytes.fromhex("20010db8000000000000000000000001")
RECORDS: Records = {
    ("coder.company.com", 1): [bytes([192, 0, 2, 10])],
    ("coder.company.com", 28): [V6],
    ("company.com", 257): [b"\x00\x05issueletsencrypt.org", b"\x80\x09issuewild;"],
}


@pytest.mark.parametrize("truncated", [False, True])
def test_a_name_server_is_asked_for_both_families_and_up_the_tree(truncated: bool) -> None:
    with name_server(RECORDS, truncated=truncated) as server:
        client = DnsClient()
        assert client.addresses("coder.company.com", server) == ("192.0.2.10", "2001:db8::1")
        assert client.addresses("git.company.com", server) == ()
        found = client.issuers("a.b.company.com", server)
        assert found == (issue("letsencrypt.org"), issue(";", "issuewild", critical=True))
        assert client.issuers("other.org", server) == ()


def test_a_server_that_is_not_there_says_nothing() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{unused.getsockname()[1]}"
    client = DnsClient(timeout_s=0.2)
    assert client.addresses("coder.company.com", server) is None
    assert client.issuers("coder.company.com", server) is None


def test_the_machines_own_servers_are_read(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("# c\nsearch x\nnameserver 10.0.0.53\nnameserver\nnameserver 2001:db8::53\n")
    assert DnsClient(resolv_conf=conf).servers() == ("10.0.0.53:53", "[2001:db8::53]:53")
    assert DnsClient(resolv_conf=tmp_path / "none").servers() == ()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: b"",
        lambda answer: b"\x00\x00" + answer[2:],
        lambda answer: answer[:-2],
        lambda answer: answer[:13] + b"x" + answer[14:],
        lambda answer: answer[:2] + b"\x01" + answer[3:],
        lambda answer: answer[:33] + b"\x3f" * 200,
    ],
    ids=["empty", "other identity", "cut off", "other question", "a question", "endless name"],
)
def test_what_is_no_answer_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    query = make_query(7, "coder.company.com", A)
    good = reply(query, RECORDS)
    assert parse_answer(good, query).addresses == ("192.0.2.10",)
    with pytest.raises(MessageError):
        parse_answer(spoil(good), query)


@pytest.mark.parametrize("name", ["", "a..b", "a" * 64 + ".com"])
def test_what_is_no_name_is_not_asked(name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        make_query(1, name, CAA)
