"""The resolver and the HTTP probe against loopback servers with a test authority."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from installer.adapters.clock import SystemClock
from installer.adapters.network import BODY_LIMIT, SystemResolver, TlsHttpProbe
from installer.core.errors import TlsError, VerifyError
from installer.ports import HttpRequest
from tests.preflight.servers import DAY, Authority, answer, serve

NAME = "coder.company.test"
OK = answer("HTTP/1.1 200 OK\nContent-Length: 2\nX-One: 1", b"ok")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def ask(port, *, scheme="https", path="/", name=NAME, address="127.0.0.1", roots=None, timeout=5.0):
    url = f"{scheme}://{name}:{port}{path}"
    return TlsHttpProbe().get(HttpRequest(url, address=address, roots_pem=roots, timeout_s=timeout))


def problem_of(error):
    [problem] = error.value.problems
    assert problem.remedy.summary and problem.where == NAME
    return problem


def test_a_verified_answer_comes_with_its_parts(authority):
    with serve(OK, authority.issue(NAME)) as (port, requests):
        response = ask(port, path="/api/v2?x=1", roots=authority.pem)
    assert (response.status, response.body, response.tls_version) == (200, b"ok", "TLSv1.3")
    assert response.headers["x-one"] == "1"
    [head] = requests
    assert head.startswith(b"GET /api/v2?x=1 HTTP/1.1\r\n")
    assert f"Host: {NAME}:{port}\r\n".encode() in head


def test_the_public_name_is_sent_as_sni(authority):
    seen = []
    certificate = authority.issue(NAME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: seen.append(name)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def once():
            raw, _ = listener.accept()
            with raw, context.wrap_socket(raw, server_side=True) as stream:
                stream.recv(4096)
                stream.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=once)
        thread.start()
        response = ask(listener.getsockname()[1], roots=authority.pem)
        thread.join()
    assert (response.status, seen) == (204, [NAME])


def test_a_wildcard_certificate_covers_names_directly_below(authority):
    with serve(OK, authority.issue("*.coder.company.test")) as (port, _):
        assert ask(port, name="x.coder.company.test", roots=authority.pem).status == 200
        with pytest.raises(TlsError) as error:
            ask(port, roots=authority.pem)
    assert problem_of(error).code == "tls.name"


def test_an_unknown_authority_is_refused(authority):
    with serve(OK, authority.issue(NAME)) as (port, requests), pytest.raises(TlsError) as error:
        ask(port)
    assert problem_of(error).code == "tls.untrusted"
    assert requests == []


def test_another_authority_is_refused(authority, tmp_path):
    with serve(OK, authority.issue(NAME)) as (port, _), pytest.raises(TlsError) as error:
        ask(port, roots=Authority(tmp_path).pem)
    assert problem_of(error).code in ("tls.untrusted", "tls.invalid")


@pytest.mark.parametrize(
    ("names", "starts", "ends", "code"),
    [
        (("git.company.test",), -DAY, DAY / 2, "tls.name"),
        ((NAME,), -2 * DAY, -DAY, "tls.expired"),
        ((NAME,), DAY / 4, DAY / 2, "tls.not_yet_valid"),
    ],
)
def test_a_certificate_that_does_not_fit_is_refused_by_its_reason(
    authority, names, starts, ends, code
):
    certificate = authority.issue(*names, starts=starts, ends=ends)
    with serve(OK, certificate) as (port, requests), pytest.raises(TlsError) as error:
        ask(port, roots=authority.pem)
    problem = problem_of(error)
    assert (problem.code, requests) == (code, [])
    assert NAME in problem.summary


@pytest.mark.parametrize("location", [f"https://{NAME}/", "http://127.0.0.1:1/"])
def test_a_redirect_is_an_answer_and_is_not_followed(location):
    handler = answer(f"HTTP/1.1 308 Permanent Redirect\nLocation: {location}\nContent-Length: 0")
    with serve(handler) as (port, requests):
        response = ask(port, scheme="http")
    assert (response.status, response.headers["location"]) == (308, location)
    assert (response.tls_version, len(requests)) == (None, 1)


def test_headers_that_come_twice_are_kept():
    handler = answer(
        "HTTP/1.1 200 OK\nVary: a\nVARY: b\nSet-Cookie: a=1; Expires=Wed, 21 Oct\n"
        "Set-Cookie: b=2; Secure\nContent-Length: 0"
    )
    with serve(handler) as (port, _):
        headers = ask(port, scheme="http").headers
    assert headers["vary"] == "a, b"
    assert headers["set-cookie"].splitlines() == ["a=1; Expires=Wed, 21 Oct", "b=2; Secure"]


@pytest.mark.parametrize("framing", ["Content-Length: {size}", "Connection: close"])
def test_a_large_body_is_cut_at_the_limit(framing):
    size = BODY_LIMIT + 300_000
    handler = answer("HTTP/1.1 200 OK\n" + framing.format(size=size), b"x" * size)
    with serve(handler) as (port, _):
        assert len(ask(port, scheme="http").body) == BODY_LIMIT


def test_a_chunked_body_is_put_together():
    body = b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    with serve(answer("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", body)) as (port, _):
        assert ask(port, scheme="http").body == b"abcdefg"


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_nobody_there_is_a_refusal():
    with pytest.raises(VerifyError) as error:
        ask(closed_port())
    assert problem_of(error).code == "http.refused"


def test_silence_ends_at_the_time_limit():
    release = threading.Event()
    with serve(lambda *_: release.wait(10) and None) as (port, _):
        started = time.monotonic()
        with pytest.raises(VerifyError) as error:
            ask(port, scheme="http", timeout=0.3)
        assert time.monotonic() - started < 3
        release.set()
    assert problem_of(error).code == "http.timeout"


def test_a_server_that_never_greets_ends_at_the_time_limit():
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(VerifyError) as error:
        ask(listener.getsockname()[1], timeout=0.3)
    assert problem_of(error).code == "http.timeout"


def test_a_trickle_ends_at_the_time_limit():
    """The limit counts for the whole answer, not for each piece of it."""
    stop = threading.Event()

    def trickle(stream, _request):
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not stop.wait(0.05):
            stream.sendall(b"x")

    with serve(trickle) as (port, _):
        started = time.monotonic()
        with pytest.raises(VerifyError) as error:
            ask(port, scheme="http", timeout=0.5)
        assert time.monotonic() - started < 3
        stop.set()
    assert problem_of(error).code == "http.timeout"


def test_a_name_without_an_address_is_told():
    with pytest.raises(VerifyError) as error:
        TlsHttpProbe().get(HttpRequest(f"https://{NAME}/", address="nowhere.invalid"))
    assert problem_of(error).code == "http.unresolved"


@pytest.mark.parametrize("said", [b"220 mail ready\r\n", b"\x00\x01\x02\r\n\r\n", b""])
def test_another_protocol_is_told(said):
    def speak(stream, _request):
        stream.sendall(said)

    with serve(speak) as (port, _), pytest.raises(VerifyError) as error:
        ask(port, scheme="http")
    assert problem_of(error).code in ("http.unreadable", "http.unreachable")


def test_a_body_shorter_than_announced_is_told():
    handler = answer("HTTP/1.1 200 OK\nContent-Length: 50", b"short")
    with serve(handler) as (port, _), pytest.raises(VerifyError) as error:
        ask(port, scheme="http")
    assert problem_of(error).code == "http.unreadable"


def test_plain_text_where_tls_is_expected_is_a_tls_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def once():
            raw, _ = listener.accept()
            with raw:
                raw.recv(4096)
                raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=once)
        thread.start()
        with pytest.raises(TlsError) as error:
            ask(listener.getsockname()[1])
        thread.join()
    assert problem_of(error).code == "tls.handshake"


def test_tls_1_2_is_spoken_and_told(authority):
    version = ssl.TLSVersion.TLSv1_2
    with serve(OK, authority.issue(NAME), version=version) as (port, _):
        assert ask(port, roots=authority.pem).tls_version == "TLSv1.2"


def test_an_address_of_the_other_family_is_reached(authority):
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 on this machine")
    with serve(OK, authority.issue(NAME), family=socket.AF_INET6) as (port, requests):
        assert ask(port, address="::1", roots=authority.pem).status == 200
    assert f"Host: {NAME}:{port}".encode() in requests[0]


def test_the_environments_proxy_is_not_used(monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    with serve(OK) as (port, _):
        assert ask(port, scheme="http").status == 200


@pytest.mark.parametrize("url", ["ftp://x/", "https:///", "coder.company.com"])
def test_what_is_no_url_is_a_defect_of_the_caller(url):
    with pytest.raises(ValueError, match="not an http or https URL"):
        TlsHttpProbe().get(HttpRequest(url))


def test_names_of_this_machine_resolve():
    assert {"127.0.0.1", "::1"} & set(SystemResolver().addresses("localhost"))


@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 64 + ".example", "", "x..y"])
def test_a_name_nobody_knows_has_no_addresses(name):
    if name:
        assert SystemResolver().addresses(name) == ()
    else:
        assert isinstance(SystemResolver().addresses(name), tuple)


def test_addresses_come_once_each_and_without_a_zone(monkeypatch):
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%eth0", 0, 0, 2)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert SystemResolver().addresses("x") == ("192.0.2.1", "fe80::1")


def test_the_clock_tells_utc_and_goes_on():
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    before = clock.monotonic()
    clock.sleep(0.001)
    assert clock.monotonic() > before
