"""The edge with our files, by the stand-in and, where there is one, by the real program."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from installer.adapters.certificates import key_text
from installer.adapters.issued import Issued
from installer.adapters.private_authority import issue_certificate, make_private_ca
from installer.adapters.tls_scan import TlsScanner
from installer.core.certificate_rules import judge_chain
from installer.core.certificates import LEAF_DAYS
from installer.core.events import Outcome
from installer.core.tls_profile import judge_sight
from tests.tls.conftest import Backend
from tests.tls.edge_lab import Edge, make_edge, running

pytestmark = pytest.mark.slow
GIT, CODER = "git.company.com", "coder.company.com"
APP = "8080--main--ws--ada.coder.company.com"
NOW = datetime.now(UTC)
AUTHORITY = make_private_ca("lab", ["company.com"], NOW, os.urandom)
Start = Callable[..., Edge]


def put_certificate(edge: Edge, authority: Issued = AUTHORITY) -> x509.Certificate:
    """A new certificate of the private authority, where the edge reads it."""
    days = LEAF_DAYS[str(edge.plan.answers.tls.profile)]
    names = edge.plan.public_names
    issued = issue_certificate(authority, names, NOW, os.urandom, name="lab", days=days)
    pem = issued.certificate.public_bytes(Encoding.PEM)
    (edge.secrets / "tls_fullchain.pem").write_bytes(pem)
    (edge.secrets / "tls_key.pem").write_text(key_text(issued.key).reveal())
    return issued.certificate


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    """The root that clients have."""
    path = tmp_path / "root.pem"
    path.write_bytes(AUTHORITY.certificate.public_bytes(Encoding.PEM))
    return path


@pytest.fixture
def starter(tmp_path: Path, backend: Backend) -> Iterator[Callable[[list[str]], Start]]:
    """Gives a function that renders with answers and starts."""
    with ExitStack() as stack:

        def with_program(program: list[str]) -> Start:
            def start(
                tls: dict[str, Any] | None = None,
                change: Callable[[str, str], str] = lambda name, text: text,
                **more: Any,
            ) -> Edge:
                answers = {"mode": "private-ca", **(tls or {})}
                edge = make_edge(
                    tmp_path / "edge", program, tls=answers, backend=backend.port, more=more,
                    change=change,
                )  # fmt: skip
                served = put_certificate(edge).public_bytes(Encoding.DER)
                stack.enter_context(running(edge))
                # The program is healthy a moment before it has read the dynamic files.
                edge.wait(lambda: edge.certificate(GIT) == served, "has its certificate", 20)
                return edge

            return start

        yield with_program


@pytest.fixture
def start(program: list[str], starter: Callable[[list[str]], Start]) -> Start:
    """Starts each program."""
    return starter(program)


@pytest.fixture
def start_real(real: list[str], starter: Callable[[list[str]], Start]) -> Start:
    """Starts the real program only, for what the stand-in cannot do."""
    return starter(real)


@pytest.mark.parametrize("profile", ["intermediate", "modern"])
def test_the_products_own_look_has_no_finding(
    start: Start, roots: Path, profile: str, program: list[str]
) -> None:
    """TL-01..TL-08, TL-13, TL-25: every name, and one below the wildcard."""
    edge = start({"profile": profile})
    for name in (*(route.host for route in edge.plan.routes), APP):
        sight = TlsScanner().observe(
            name, "127.0.0.1", roots.read_bytes(), port=edge.ports["websecure"]
        )
        found = list(judge_sight(sight, profile, name))
        assert sight.chain is not None
        assert len(sight.chain.certificates) == 1, "the root is not sent"
        found += judge_chain(sight.chain, [name], NOW, profile=profile, where=name)
        assert [c for c in found if c.outcome is Outcome.FAIL] == []
        assert sight.hybrid or "traefik" in program[-1], "TL-05: only the stand-in lacks it"


CBC = (
    "        - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "        - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\n"
    "        - TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
)
OLD = ("minVersion: VersionTLS12", "minVersion: VersionTLS10")


@pytest.mark.parametrize(
    ("changes", "checks"),
    [
        ([("CurveP384]", "CurveP384, CurveP521]")], {"tls.groups"}),
        ([OLD, CBC], {"tls.versions", "tls.suites"}),  # the older ones have no suite but CBC
        ([CBC], {"tls.suites"}),
    ],
    ids=["P-521", "TLS 1.0", "CBC"],
)
def test_an_edge_that_was_loosened_is_found(
    start_real: Start, changes: list[tuple[str, str]], checks: set[str]
) -> None:
    """TL-25, on the real edge."""

    def loosen(name: str, text: str) -> str:
        for old, new in changes if name.endswith("tls.yml") else ():
            assert old in text
            text = text.replace(old, new, 1)
        return text

    edge = start_real({}, change=loosen)
    sight = TlsScanner().observe(GIT, "127.0.0.1", None, port=edge.ports["websecure"])
    failed = {c.id for c in judge_sight(sight, "intermediate", GIT) if c.outcome is Outcome.FAIL}
    assert failed == checks


def test_every_name_is_served_with_a_certificate_that_covers_it(start: Start, roots: Path) -> None:
    """TL-06, TL-08."""
    edge = start()
    for name in (*(route.host for route in edge.plan.routes), APP):
        with edge.connect(name, roots) as stream:
            assert stream.version() == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        edge.connect("a.b.coder.company.com", roots)


@pytest.mark.parametrize("name", ["evil.example.org", "company.com", None])
def test_a_foreign_name_gets_no_certificate(start: Start, name: str | None) -> None:
    """TL-09."""
    with pytest.raises(ssl.SSLError):
        start().connect(name)


def test_plain_http_only_leads_to_https_of_our_names(start: Start, backend: Backend) -> None:
    """TL-10."""
    edge = start()
    for host in (*(route.host for route in edge.plan.routes), APP):
        for path in ("/", "/a/b?c=d", "/.well-known/acme-challenge/x"):
            status, headers, body = edge.fetch("web", host, path)
            sent = dict(headers)
            assert (status, sent["Location"]) == (301, f"https://{host}{path}")
            assert "Set-Cookie" not in sent
            assert b"service" not in body
    for host in ("evil.example.org", "coder.company.com.evil.org", "company.com@evil.org", "127.1"):
        status, headers, _ = edge.fetch("web", host, "/")
        assert "Location" not in dict(headers)
        assert status in (400, 404)
    assert backend.requests == [] or {r[1] for r in backend.requests} <= {
        route.health for route in edge.plan.routes
    }


@pytest.mark.parametrize(("answers", "age"), [({}, 63_072_000), ({"hsts": "short"}, 300)])
def test_hsts_is_on_every_answer_once(
    start: Start, roots: Path, answers: dict[str, str], age: int
) -> None:
    """TL-11; TL-12: short where the answers say so."""
    edge = start(answers)
    refused = [(route.host, path) for route in edge.plan.routes for path in route.deny]
    for host, path in [(GIT, "/"), (CODER, "/x"), (APP, "/"), *refused]:
        status, headers, _ = edge.fetch("websecure", host, path, roots=roots)
        found = [v for name, v in headers if name.lower() == "strict-transport-security"]
        assert found == [f"max-age={age}; includeSubDomains"], (host, path)
        assert status == (403 if (host, path) in refused else 200)


@pytest.mark.parametrize("trusted", [[], ["127.0.0.1/32"]])
def test_forwarded_headers_are_believed_from_balancers_only(
    start: Start, roots: Path, backend: Backend, trusted: list[str]
) -> None:
    """TL-27, and the address in the log."""
    edge = start({}, network={"trusted_cidr": trusted})
    edge.fetch(
        "websecure", GIT, "/seen?token=abc", roots=roots, X_Forwarded_For="198.51.100.7",
        X_Forwarded_Proto="http", X_Forwarded_Host="evil.example.org", X_Real_Ip="198.51.100.8",
        Cookie="session=secret", Authorization="Bearer secret",
    )  # fmt: skip
    [headers] = [h for _, path, h, _ in backend.requests if path.startswith("/seen")]
    believed = bool(trusted)
    assert ("198.51.100.7" in headers["x-forwarded-for"]) == believed
    assert (headers["x-forwarded-host"] == "evil.example.org") == believed
    assert headers["x-forwarded-proto"] == ("http" if believed else "https")
    assert headers.get("x-real-ip") != "198.51.100.8" or believed
    lines = [json.loads(line) for line in edge.log.splitlines() if '"RequestPath"' in line]
    [line] = [line for line in lines if line["RequestPath"].startswith("/seen")]
    assert line["ClientHost"] == ("198.51.100.7" if believed else "127.0.0.1")
    assert "secret" not in json.dumps(line)
    assert "abc" not in json.dumps(line)


def test_headers_with_underscores_and_cookies_of_services(
    start: Start, roots: Path, backend: Backend
) -> None:
    """TL-26 as far as the edge goes: cookies are handed on as the service made them."""
    edge = start()
    _, headers, _ = edge.fetch("websecure", GIT, "/c", roots=roots, **{"X-Auth": "1"})
    assert dict(headers)["Set-Cookie"] == "session=1; Path=/; Secure; HttpOnly; SameSite=Lax"
    connection = http.client.HTTPConnection("127.0.0.1", edge.ports["websecure"], timeout=10)
    connection.sock = edge.connect(GIT, roots)
    connection.request("GET", "/under", headers={"Host": GIT, "X_Authentik_Username": "root"})
    assert connection.getresponse().status == 200
    connection.close()
    [seen] = [h for _, path, h, _ in backend.requests if path == "/under"]
    assert "x_authentik_username" not in seen


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed(start: Start, roots: Path, version: ssl.TLSVersion) -> None:
    """TL-15: without tickets there is no key that could be too old."""
    edge = start()
    context = ssl.create_default_context(cafile=roots)
    context.minimum_version = context.maximum_version = version
    session = None
    for _ in range(2):
        raw = socket.create_connection(("127.0.0.1", edge.ports["websecure"]), timeout=10)
        with context.wrap_socket(raw, server_hostname=GIT, session=session) as stream:
            stream.sendall(f"GET / HTTP/1.1\r\nHost: {GIT}\r\nConnection: close\r\n\r\n".encode())
            assert stream.recv(12) == b"HTTP/1.1 200"
            while stream.recv(4096):
                pass
            assert not stream.session_reused
            session = stream.session


def test_logins_are_slowed_down(start: Start, roots: Path) -> None:
    edge = start()
    route = next(route for route in edge.plan.routes if route.login_paths)
    path = route.login_paths[0]
    statuses = [
        edge.fetch("websecure", route.host, path, method="POST", roots=roots, body=b"x")[0]
        for _ in range(130)
    ]
    assert statuses[:30] == [200] * 30
    assert 429 in statuses
    assert edge.fetch("websecure", route.host, path, roots=roots)[0] == 200


def slow_upload(edge: Edge, roots: Path, seconds: float) -> int:
    """The status that a body gets which comes in pieces with pauses; 0 when it is cut off."""
    with edge.connect(GIT, roots) as stream:
        head = f"POST /push HTTP/1.1\r\nHost: {GIT}\r\nTransfer-Encoding: chunked\r\n\r\n"
        stream.sendall(head.encode())
        try:
            for _ in range(int(seconds * 4)):
                stream.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
                threading.Event().wait(0.25)
            stream.sendall(b"0\r\n\r\n")
            return int(stream.recv(12).split()[1])
        except (OSError, IndexError):
            return 0


def test_a_long_push_gets_through(start_real: Start, roots: Path, backend: Backend) -> None:
    """3 s where a limit of 1 s would cut it off, as the program's own 60 s would a push of 90 s."""
    edge = start_real()
    assert slow_upload(edge, roots, 3) == 200
    assert [length for _, path, _, length in backend.requests if path == "/push"] == [12 * 1024]


def test_a_push_is_cut_off_by_a_limit(start_real: Start, roots: Path) -> None:
    """The seeded defect of the test above: the guide's setting, scaled down."""

    def limit(name: str, text: str) -> str:
        return text.replace("readTimeout: 0s", "readTimeout: 1s")

    assert slow_upload(start_real({}, change=limit), roots, 3) != 200


def test_a_renewed_certificate_is_picked_up_while_connections_stay(
    start: Start, roots: Path
) -> None:
    """TL-20: by the health check, which runs every ten seconds; nothing is restarted."""
    edge = start()
    first = x509.load_der_x509_certificate(edge.certificate(GIT))
    assert edge.process is not None
    marker = edge.folder / "tmp/certificate"
    script = (edge.folder / "traefik/health.sh").read_text()
    for old, new in {
        "/tmp/certificate": str(marker), "kill -HUP 1": f"kill -HUP {edge.process.pid}",
        "exec traefik healthcheck": "exec true",
    }.items():  # fmt: skip
        assert old in script
        script = script.replace(old, new)

    def check_health() -> None:
        subprocess.run(["sh", "-c", script], check=True, timeout=10)

    digests = subprocess.run(
        ["sha256sum", edge.secrets / "tls_fullchain.pem", edge.secrets / "tls_key.pem"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    marker.write_bytes(digests)
    check_health()
    assert x509.load_der_x509_certificate(edge.certificate(GIT)) == first
    with edge.connect(GIT, roots) as opened:
        renewed = put_certificate(edge)
        check_health()
        edge.wait(
            lambda: x509.load_der_x509_certificate(edge.certificate(GIT)) == renewed, "renewed", 20
        )
        opened.sendall(f"GET / HTTP/1.1\r\nHost: {GIT}\r\nConnection: close\r\n\r\n".encode())
        assert opened.recv(12) == b"HTTP/1.1 200"
    assert marker.read_text() != digests.decode()


def test_health_and_metrics_are_inside_only(start: Start, roots: Path) -> None:
    edge = start()
    assert edge.fetch("internal", "x", "/metrics")[0] == 200
    for path in ("/ping", "/metrics", "/api/overview", "/dashboard/"):
        _, _, body = edge.fetch("websecure", GIT, path, roots=roots)
        assert b"traefik" not in body.lower(), path
