"""What the tests of the store's adapters share: logins, limited tokens, a held clock, a server that
answers as a test scripts it, and a second node for a real one.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from installer.adapters.vault_server import VaultServer as Admin
from installer.adapters.vault_session import Login, TokenLogin, VaultSession
from installer.adapters.vault_store import VaultStore
from installer.adapters.vault_transport import Address, Pace
from installer.core.errors import ExitCode, InstallError, Problem
from installer.core.secrets import Secret, SecretKind, SecretSpec
from installer.core.store_rules import RoleRules, StoreRules
from tests.contract.vault.authority import Authority
from tests.contract.vault.servers import VaultServer

VALUE = Secret("Xq7canaryvalueXq7canaryvalue")
NEW = Secret("Qz9canaryrotatedQz9canaryrotated")


def never() -> Secret:
    """The maker of a secret that exists already."""
    raise AssertionError("a second value was made")


def spec(name: str = "db-password") -> SecretSpec:
    return SecretSpec(name, SecretKind.PASSWORD, "logs in to the database")


@dataclass
class HeldClock:
    """A clock that only sleeping moves."""

    at: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds

    def pace(self, patience_s: float = 30.0) -> Pace:
        return Pace(patience_s, self.sleep, lambda: self.at)


def problem_of(caught: pytest.ExceptionInfo[InstallError], *secrets: Secret) -> Problem:
    """The problem, after a look at what each has to have and must not hold."""
    problem = caught.value.problems[0]
    assert caught.value.exit_code is ExitCode.VAULT
    assert problem.remedy.summary
    for secret in (VALUE, NEW, *secrets):
        assert secret.reveal() not in f"{caught.value!r} {problem!r}"
    assert "disable verification" not in problem.remedy.summary
    return problem


def ensure_mount(server: VaultServer, path: str = "secret", version: str = "2") -> None:
    """A KV engine at the path, made unless it is there."""
    made = server.ask("POST", f"sys/mounts/{path}", {"type": "kv", "options": {"version": version}})
    assert made.status == 204 or "already in use" in str(made.errors), made


def link_to(server: VaultServer) -> Address:
    return Address(server.address, server.ca_file)


def open_session(
    server: VaultServer, login: Login | None = None, pace: Pace | None = None
) -> VaultSession:
    """A session as root unless another login is given."""
    return VaultSession(link_to(server), login or TokenLogin(Secret(server.token)), pace)


def open_store(
    server: VaultServer,
    prefix: str,
    login: Login | None = None,
    *,
    mount: str = "secret",
    pace: Pace | None = None,
) -> VaultStore:
    return VaultStore(open_session(server, login, pace), mount=mount, prefix=prefix)


def make_token(server: VaultServer, name: str, policy: str, **options: Any) -> Secret:
    """A token with that policy alone and the default one, of a day unless options say otherwise."""
    put = server.ask("PUT", f"sys/policies/acl/{name}", {"policy": policy})
    assert put.status == 204, put
    made = server.ask("POST", "auth/token/create", {"policies": [name], **options})
    assert made.status == 200, made
    return Secret(made.body["auth"]["client_token"])


def grant(path: str, *capabilities: str) -> str:
    words = ", ".join(f'"{each}"' for each in capabilities)
    return f'path "{path}" {{ capabilities = [{words}] }}\n'


@dataclass(frozen=True)
class Asked:
    """One request that a scripted server got."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What it answers; a body that is no bytes is sent as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ScriptedServer:
    address: str
    authority: Authority
    asked: list[Asked] = field(default_factory=list)

    def open(self, login: Login | None = None, pace: Pace | None = None) -> VaultSession:
        return VaultSession(Address(self.address, self.authority.root), login, pace)


@contextmanager
def scripted_server(
    authority: Authority, script: Callable[[Asked], Reply]
) -> Iterator[ScriptedServer]:
    """A TLS server on loopback that answers what `script` says."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:
                self.close_connection = True

        def answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, self.rfile.read(size))
            made.asked.append(asked)
            reply = script(asked)
            plain = isinstance(reply.body, bytes)
            body = reply.body if plain else json.dumps(reply.body).encode()
            kind = "text/html" if plain else "application/json"
            self.send_response(reply.status)
            for name, value in {"Content-Type": kind, **reply.headers}.items():
                self.send_header(name, value)
            if "Content-Length" not in reply.headers and "Connection" not in reply.headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_LIST = answer

        def log_message(self, *_: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self) -> tuple[socket.socket, Any]:
            plain, peer = super().get_request()
            return context.wrap_socket(plain, server_side=True), peer

        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    made = ScriptedServer(f"https://127.0.0.1:{server.server_port}", authority)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class SecondNode(VaultServer):
    """Another node for the cluster of a real server."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "BAO_RAFT_NODE_ID": "node2", "VAULT_RAFT_NODE_ID": "node2"}

    def join(self, leader: VaultServer) -> None:
        """Become a standby of the leader, unsealed by its shares."""
        root = leader.ca_file.read_text()
        body = {"leader_api_addr": leader.address, "leader_ca_cert": root}
        joined = self.ask("POST", "sys/storage/raft/join", body, token="")
        assert joined.status == 200, joined
        for share in leader.shares[: leader.threshold]:
            given = self.ask("PUT", "sys/unseal", {"key": share}, token="")
            assert given.status == 200, given
        self.token = leader.token


KV2 = {"data": {"type": "kv", "options": {"version": "2"}, "path": "secret/"}}
ABSENT = Reply(404, {"errors": []})
OWN = "plat-installer"
RULES = StoreRules(
    mount="secret",
    prefix="devplat/plat",
    policies={
        OWN: grant("secret/data/devplat/plat/*", "create", "read", "update", "delete", "list")
        + grant("secret/metadata/devplat/plat/*", "read", "delete", "list")
        + grant("auth/approle/role/plat-*", "create", "read", "update", "delete")
        + grant("sys/policies/acl/plat-*", "create", "read", "update", "delete")
        + grant("sys/storage/raft/snapshot", "read")
        + grant("sys/audit", "read", "sudo")
        + grant("sys/mounts", "read"),
        "plat-one": grant("secret/data/devplat/plat/a", "read"),
        "plat-two": grant("secret/data/devplat/plat/b", "read"),
    },
    roles={
        OWN: RoleRules(OWN, 3600, 0, 0),
        "plat-one": RoleRules("plat-one", 3600, 1, 600),
        "plat-two": RoleRules("plat-two", 3600, 1, 600),
    },
    audit={},
)


def admin_of(server: VaultServer, pace: Pace | None = None) -> Admin:
    return Admin(VaultSession(link_to(server), pace=pace))
