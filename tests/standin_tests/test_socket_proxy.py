"""The stand-in for the socket proxy lets through what its flags name, and nothing else."""

from __future__ import annotations

import http.client
import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import socket_proxy
from standin import Refused


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-allowFETCH=/x"], "not defined"),
        (["-allowGET"], "needs an argument"),
        (["-loglevel=LOUD"], "log level"),
        (["server"], "unexpected argument"),
        (["-allowbindmountfrom=builds"], "must start with"),
    ],
)
def test_unknown_flags_are_refused(words, reason):
    with pytest.raises(Refused, match=reason):
        socket_proxy.parse_flags(words)


def test_flags_come_in_both_forms_and_switches_alone():
    flags = socket_proxy.parse_flags(["-allowGET=/a", "-listenip", "0.0.0.0", "-allowhealthcheck"])
    assert (flags["allowGET"], flags["listenip"]) == ("/a", "0.0.0.0")
    assert flags["allowhealthcheck"] == "true"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1.45/version", 200),
        ("GET", "/v1.45/version/x", 403),
        ("GET", "/x/v1.45/version", 403),
        ("POST", "/v1.45/version", 405),
    ],
)
def test_a_path_must_match_as_a_whole(method, path, status):
    rules = socket_proxy.compile_rules({"allowGET": r"/v1\..{1,2}/(version|events.*)"})
    assert socket_proxy.judge(method, path, rules) == status


def test_an_alternative_without_a_group_opens_more_than_it_says():
    rules = socket_proxy.compile_rules({"allowGET": "/version|/_ping"})
    assert socket_proxy.judge("GET", "/version/../secrets", rules) == 200


def test_an_expression_that_does_not_compile_is_refused():
    with pytest.raises(Refused, match="invalid regex"):
        socket_proxy.compile_rules({"allowGET": "("})


@pytest.mark.parametrize(
    ("allowed", "good"),
    [
        ("127.0.0.1/32", True),
        ("10.0.0.0/8,localhost", False),
        ("localhost", True),
        ("nowhere.invalid", False),
    ],
)
def test_clients_are_known_by_network_or_name(allowed, good):
    assert socket_proxy.is_allowed_client("127.0.0.1", allowed) is good


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        ({"Binds": ["/var/lib/devplat/builds/1:/w"]}, ""),
        ({"Binds": ["a-volume:/w"]}, ""),
        ({"Binds": ["/:/host:ro"]}, "/"),
        (
            {"Binds": ["/var/lib/devplat/builds/../secrets:/w"]},
            "/var/lib/devplat/builds/../secrets",
        ),
        ({"Binds": ["/var/lib/devplat/builds2:/w"]}, "/var/lib/devplat/builds2"),
        ({"Mounts": [{"Type": "bind", "Source": "/etc"}]}, "/etc"),
        ({"Mounts": [{"Type": "volume", "Source": "v"}]}, ""),
    ],
)
def test_host_directories_are_bound_below_the_allowed_ones_only(config, refused):
    body = json.dumps({"HostConfig": config}).encode()
    roots = "/var/lib/devplat/builds"
    call = ("POST", "/v1.45/containers/create")
    assert socket_proxy.refused_bind(roots, *call, body) == refused
    assert socket_proxy.refused_bind("", *call, body) == ""


@pytest.fixture
def proxied(tmp_path):
    """The proxy before an engine on a unix socket that tells what reached it."""
    seen = []

    class Engine(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"OK")

        def address_string(self):
            return "unix"

        def log_message(self, *_):
            pass

    class UnixServer(socketserver.ThreadingUnixStreamServer):
        def get_request(self):
            plug, _ = self.socket.accept()
            return plug, ("unix", 0)

    path = str(tmp_path / "docker.sock")
    flags = socket_proxy.parse_flags([f"-socketpath={path}", "-allowGET=/(_ping|version)"])
    servers = [
        UnixServer(path, Engine),
        ThreadingHTTPServer(("127.0.0.1", 0), socket_proxy.make_handler(flags)),
    ]
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,)) for server in servers]
    for thread in threads:
        thread.start()
    yield servers[1].server_address[1], seen
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        server.server_close()
        thread.join()


def test_allowed_requests_reach_the_engine_and_others_do_not(proxied):
    port, seen = proxied

    def status(method, path):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request(method, path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    assert status("GET", "/_ping") == 200
    assert status("GET", "/containers/json") == 403
    assert status("POST", "/_ping") == 405
    assert seen == ["/_ping"]
