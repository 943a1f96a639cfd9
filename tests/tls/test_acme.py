"""Certificates by ACME: the real edge with our files against a test authority.

TL-20 to TL-23 and the ways to prove a name. Needs a Traefik and a pebble; each test says so.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.tls.conftest import Backend
from tests.tls.edge_lab import Edge, make_edge, running
from tests.tls.pebble_lab import MAC_KEY, Authority, authority, parse

pytestmark = pytest.mark.slow
SIX_DAYS = 6 * 86_400


@contextmanager
def issued(
    tmp_path: Path,
    program: list[str],
    pebble: Path,
    backend: Backend,
    *,
    seconds: int = SIX_DAYS,
    bound: bool = False,
    wildcard: bool = False,
    shorten: bool = False,
    **acme: Any,
) -> Iterator[tuple[Edge, Authority]]:
    """An edge that has not started yet, and the authority that validates at its ports."""
    answers = {"email": "ops@company.com", "certificate_days": 6, **acme}
    made: dict[str, Any] = {}

    def change(name: str, text: str) -> str:
        for old, new in made.items():
            text = text.replace(old, new)
        if shorten:  # the shortest time that the program has: 20 minutes, looked at each minute
            text = text.replace("certificatesDuration: 144", "certificatesDuration: 1")
        return text

    placeholder = "https://acme.company.com/dir"
    answers |= {"directory_url": placeholder, "ca_file": str(tmp_path / "authority/ca.pem")}
    (tmp_path / "authority").mkdir()
    (tmp_path / "authority/ca.pem").write_text("")
    if answers.get("dns_resolvers"):
        answers["dns_resolvers"] = ["192.0.2.53:53"]
    edge = make_edge(
        tmp_path / "edge",
        program,
        tls={"mode": "acme", "acme": answers},
        backend=backend.port,
        more={} if wildcard else {"domain": {"base": "company.com", "wildcard": "none"}},
    )
    ports = {name: edge.ports[name] for name in ("web", "websecure")}
    with authority(tmp_path / "authority", pebble, seconds=seconds, bound=bound, **ports) as ca:
        made |= {placeholder: ca.directory, "192.0.2.53:53": f"127.0.0.1:{ca.dns}"}
        for path in (edge.folder / "traefik").rglob("*.yml"):
            path.write_text(change(path.name, path.read_text()))
        (edge.secrets / "acme_ca.pem").write_bytes(ca.ca_file.read_bytes())
        (edge.secrets / "HTTPREQ_ENDPOINT").write_text(ca.provider)
        yield edge, ca


def is_issued(edge: Edge, ca: Authority, host: str) -> bool:
    """Whether a client that trusts the authority can connect under this name."""
    try:
        with edge.connect(host, ca.roots()):
            return True
    except ssl.SSLError:
        return False


def storage(edge: Edge) -> Mapping[str, Any]:
    [path] = (edge.folder / "acme").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    return json.loads(path.read_text())["acme"]


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_every_name_is_proven_at_the_edge_itself(
    tmp_path: Path, real: list[str], pebble: Path, backend: Backend, challenge: str
) -> None:
    """TL-06, TL-07, TL-10: the redirect of port 80 leaves the challenge alone."""
    with issued(tmp_path, real, pebble, backend, challenge=challenge) as (edge, ca), running(edge):
        for route in edge.plan.routes:
            edge.wait(lambda host=route.host: is_issued(edge, ca, host), f"issued {route.host}")
        status, headers, _ = edge.fetch("web", "git.company.com", "/a")
        assert (status, dict(headers)["Location"]) == (301, "https://git.company.com/a")
        with edge.connect("git.company.com") as stream:
            chain = stream._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
        assert len(chain) == 2, "the leaf and its issuer, no root"
        assert ca.count("/sign-me-up") == 1


@pytest.mark.parametrize("check", ["none", "resolvers"])
def test_a_wildcard_is_proven_by_a_record(
    tmp_path: Path, real: list[str], pebble: Path, backend: Backend, check: str
) -> None:
    """TL-06, TL-23: one certificate for the host and everything directly below it."""
    acme = {
        "challenge": "dns-01",
        "dns_provider": "httpreq",
        "dns_check": check,
        "dns_resolvers": ["own"],
        "credentials": {"HTTPREQ_ENDPOINT": "env:ENDPOINT"},
    }
    with (
        issued(tmp_path, real, pebble, backend, wildcard=True, **acme) as (edge, ca),
        running(edge),
    ):
        for host in ("8080--main--ws--ada.coder.company.com", "coder.company.com"):
            edge.wait(lambda host=host: is_issued(edge, ca, host), f"issued {host}")
        names = {"coder.company.com", "*.coder.company.com"}
        found = {
            frozenset([c["domain"]["main"], *c["domain"].get("sans", ())])
            for c in storage(edge)["Certificates"]
        }
        assert names in found


def test_a_restart_makes_no_account_and_no_order(
    tmp_path: Path, real: list[str], pebble: Path, backend: Backend
) -> None:
    """TL-21."""
    with issued(tmp_path, real, pebble, backend, challenge="http-01") as (edge, ca):
        hosts = [route.host for route in edge.plan.routes]
        with running(edge):
            for host in hosts:
                edge.wait(lambda host=host: is_issued(edge, ca, host), f"issued {host}")
        before, orders = storage(edge), ca.count("/order-plz")
        served = {}
        with running(edge):
            for host in hosts:
                edge.wait(lambda host=host: is_issued(edge, ca, host), f"issued {host}")
                served[host] = parse(edge.certificate(host)).serial_number
        assert storage(edge)["Account"] == before["Account"]
        assert storage(edge)["Certificates"] == before["Certificates"]
        assert (ca.count("/sign-me-up"), ca.count("/order-plz")) == (1, orders)


def test_a_certificate_is_renewed_while_connections_stay_open(
    tmp_path: Path, real: list[str], pebble: Path, backend: Backend
) -> None:
    """TL-20: certificates of ten minutes, with the program's shortest interval, one minute."""
    host = "git.company.com"
    with (
        issued(tmp_path, real, pebble, backend, challenge="http-01", seconds=600, shorten=True) as (
            edge,
            ca,
        ),
        running(edge),
    ):
        edge.wait(lambda: is_issued(edge, ca, host), "issued")
        first = parse(edge.certificate(host)).serial_number
        with edge.connect(host, ca.roots()) as opened:
            edge.wait(
                lambda: parse(edge.certificate(host)).serial_number != first, "renewed", seconds=100
            )
            request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            opened.sendall(request.encode())
            assert opened.recv(15).startswith(b"HTTP/1.1 200")
        assert is_issued(edge, ca, host)


def test_an_account_is_bound_to_one_that_exists(
    tmp_path: Path, real: list[str], pebble: Path, backend: Backend
) -> None:
    """External account binding; the MAC key is put in as start.sh does."""
    acme = {"challenge": "http-01", "eab_kid": "kid-1", "eab_hmac": "env:MAC"}
    with issued(tmp_path, real, pebble, backend, bound=True, **acme) as (edge, ca):
        path = edge.folder / "traefik/traefik.yml"
        assert MAC_KEY not in path.read_text()
        path.write_text(path.read_text().replace("@acme_eab_hmac@", MAC_KEY))
        with running(edge):
            edge.wait(lambda: is_issued(edge, ca, "git.company.com"), "issued")


def test_without_the_binding_nothing_is_issued(
    tmp_path: Path, real: list[str], pebble: Path, backend: Backend
) -> None:
    with (
        issued(tmp_path, real, pebble, backend, bound=True, challenge="http-01") as (edge, ca),
        running(edge),
    ):
        edge.wait(lambda: "externalAccountRequired" in edge.log, "refused")
        assert not is_issued(edge, ca, "git.company.com")
