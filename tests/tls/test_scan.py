"""The product's own look at TLS finds what must not be there and says what it is (TL-25).

Servers of this machine's OpenSSL stand in for a badly set edge; each fault is seeded.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from installer.adapters.tls_scan import TlsScanner
from installer.core.certificate_rules import judge_chain
from installer.core.errors import VerifyError
from installer.core.events import Outcome
from installer.core.tls_profile import TlsSight, judge_sight
from tests.tls.authority import Chain, make_chain
from tests.tls.edge_lab import free_port

HOST = "coder.company.com"
NOW = datetime.now(UTC)


@contextmanager
def serving(chain: Chain, folder: Path, *options: str) -> Iterator[int]:
    """`openssl s_server` with a chain and options; gives its port."""
    chain.write(folder)
    port = free_port()
    command = [
        "openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(folder / "leaf.pem"),
        "-key", str(folder / "key.pem"), "-cert_chain", str(folder / "rest.pem"), "-www", "-quiet",
        *options,
    ]  # fmt: skip
    if not chain.rest:
        del command[command.index("-cert_chain") : command.index("-cert_chain") + 2]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        for _ in range(400):
            assert process.poll() is None, process.stderr and process.stderr.read()
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            threading.Event().wait(0.02)
        yield port
    finally:
        process.kill()
        process.communicate()


GOOD = (
    "-min_protocol", "TLSv1.2", "-groups", "X25519:P-256:P-384",
    "-cipher", "ECDHE+AESGCM:ECDHE+CHACHA20",
    "-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
)  # fmt: skip


def with_option(name: str, value: str) -> tuple[str, ...]:
    at = GOOD.index(name)
    return (*GOOD[: at + 1], value, *GOOD[at + 2 :])


def look(port: int, chain: Chain, name: str = HOST) -> TlsSight:
    return TlsScanner().observe(name, "127.0.0.1", chain.root_pem, port=port)


def faults(sight: TlsSight, profile: str = "intermediate") -> dict[str, str]:
    """Check id → what was found, of those that failed."""
    found = judge_sight(sight, profile, HOST)
    return {check.id: check.found for check in found if check.outcome is Outcome.FAIL}


def chain_faults(sight: TlsSight, host: str = HOST, profile: str = "intermediate") -> set[str]:
    assert sight.chain is not None
    checks = judge_chain(sight.chain, [host], NOW, profile=profile, where=host)
    return {c.problem.code for c in checks if c.outcome is Outcome.FAIL and c.problem}


def test_a_server_that_keeps_to_the_profile_has_no_finding(tmp_path: Path) -> None:
    """TL-01..TL-04, TL-07, TL-13."""
    chain = make_chain(HOST)
    with serving(chain, tmp_path, *GOOD) as port:
        sight = look(port, chain)
    assert faults(sight) == {}
    assert chain_faults(sight) == set()
    assert faults(sight, "modern") == {"tls.versions": "accepts TLS 1.2"}


@pytest.mark.parametrize(
    ("options", "check", "found"),
    [
        pytest.param(
            (*with_option("-min_protocol", "TLSv1"), "-cipher", "ALL:@SECLEVEL=0"),
            "tls.versions", "accepts TLS 1.0, TLS 1.1", id="TL-01 old versions",
        ),
        pytest.param(
            (*with_option("-min_protocol", "TLSv1.1"), "-cipher", "ALL:@SECLEVEL=0"),
            "tls.versions", "accepts TLS 1.1", id="TL-01 TLS 1.1 alone",
        ),
        pytest.param((*GOOD, "-max_protocol", "TLSv1.2"), "tls.versions", "refuses TLS 1.3",
                     id="TL-01 no TLS 1.3"),
        pytest.param(
            with_option("-cipher", "ECDHE+AESGCM:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-CCM"),
            "tls.suites",
            "accepts TLS_ECDHE_ECDSA_WITH_AES_128_CCM, TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
            id="TL-02 CBC and CCM",
        ),
        pytest.param(
            with_option("-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256"),
            "tls.suites", "accepts TLS_AES_128_CCM_SHA256", id="TL-03 CCM",
        ),
        pytest.param(with_option("-groups", "X25519:P-256:P-521"), "tls.groups", "accepts P-521",
                     id="TL-04 P-521"),
        pytest.param(with_option("-groups", "X25519:X448"), "tls.groups", "accepts X448",
                     id="TL-04 X448"),
        pytest.param(
            (*with_option("-groups", "P-256:P-521"), "-max_protocol", "TLSv1.2"),
            "tls.groups", "accepts P-521", id="TL-04 P-521 in TLS 1.2",
        ),
    ],
)  # fmt: skip
def test_a_bad_setting_is_found_and_named(
    tmp_path: Path, options: tuple[str, ...], check: str, found: str
) -> None:
    """TL-25."""
    chain = make_chain(HOST, key="rsa" if "-max_protocol" in options else "ec")
    with serving(chain, tmp_path, *options) as port:
        seen = faults(look(port, chain))[check]
    assert set(seen.replace(",", "").split()) == set(found.replace(",", "").split())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"ends": NOW - timedelta(days=1)}, "tls.expired", id="expired"),
        pytest.param({"host": "other.company.com"}, "tls.not_covered", id="wrong name"),
        pytest.param({"send": "leaf"}, "tls.chain_incomplete", id="incomplete chain"),
        pytest.param({"send": "reversed"}, "tls.chain_order", id="wrong order"),
        pytest.param({"key": "P-521"}, "tls.weak_key", id="key on P-521"),
        pytest.param({"begins": NOW + timedelta(days=1)}, "tls.not_yet_valid", id="not yet valid"),
    ],
)
def test_a_bad_certificate_is_found_and_named(
    tmp_path: Path, change: dict[str, object], code: str
) -> None:
    """TL-25, TL-06, TL-07."""
    chain = make_chain(**{"host": HOST, **change})  # type: ignore[arg-type]
    with serving(chain, tmp_path, *GOOD) as port:
        assert chain_faults(look(port, chain)) == {code}


def test_an_unknown_root_is_an_incomplete_chain(tmp_path: Path) -> None:
    chain, other = make_chain(HOST), make_chain(HOST)
    with serving(chain, tmp_path, *GOOD) as port:
        assert chain_faults(look(port, other)) == {"tls.chain_incomplete"}


@dataclass
class Scripted:
    """A server that answers every connection with the same bytes."""

    answer: bytes
    heard: list[bytes] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[int]:
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    stream, _ = listener.accept()
                except OSError:
                    return
                with stream:
                    stream.settimeout(5)
                    try:
                        self.heard.append(stream.recv(4096))
                        stream.sendall(self.answer)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28", b"\x16\x03\x03",
     b"\x16\x03\x03\x00\x06\x02\x00\x00\x02\x03\x03", b"\x16\x03\x03\x00\x01\x02"],
    ids=["closed", "plain HTTP", "alert", "cut off", "short hello", "one byte"],
)  # fmt: skip
def test_what_is_no_tls_is_a_refusal_and_no_crash(answer: bytes) -> None:
    with Scripted(answer).listening() as port:
        sight = TlsScanner().observe(HOST, "127.0.0.1", None, port=port, timeout_s=3)
    assert (sight.versions, sight.chain) == (frozenset(), None)
    assert sight.refusal
    assert "refuses TLS 1.2, TLS 1.3" in faults(sight)["tls.versions"]


def test_ssl_2_is_recognised_by_its_answer() -> None:
    """TL-01: no library speaks it any more, so that the answer is made by hand."""
    hello = bytes.fromhex("800b04000100020000000000 00".replace(" ", ""))
    with Scripted(hello).listening() as port:
        sight = TlsScanner().observe(HOST, "127.0.0.1", None, port=port, timeout_s=3)
    assert faults(sight)["tls.versions"].startswith("accepts SSL 2")


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(VerifyError, match="cannot be reached"):
        TlsScanner().observe(HOST, "127.0.0.1", None, port=free_port())


def test_the_hybrid_group_is_only_a_recommendation() -> None:
    """TL-05."""
    results = {c.id: c.outcome for c in judge_sight(TlsSight(hybrid=False), "modern", HOST)}
    assert results["tls.hybrid"] is Outcome.WARN
