"""TLS and HTTP inside a dialled byte stream: verified, kept open, dialled anew when it is dead."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from installer.adapters.local import LocalHost
from installer.adapters.vault_server import VaultServer as Admin
from installer.adapters.vault_session import TokenLogin, VaultSession
from installer.adapters.vault_store import VaultStore
from installer.adapters.vault_transport import Tunnel
from installer.core.errors import DeployError, Problem, Remedy, SecretStoreError
from installer.core.secrets import Secret
from installer.ports import ByteStream
from tests.contract.vault.authority import Authority, make_authority
from tests.contract.vault.servers import VaultServer, free_port
from tests.contract.vault.store_lab import (
    NEW,
    VALUE,
    Asked,
    HeldClock,
    Reply,
    ensure_mount,
    problem_of,
    scripted_server,
    spec,
)


@dataclass
class Stream:
    """A socket with nothing but the three methods that the port asks for."""

    inner: socket.socket
    closed: int = 0

    def sendall(self, data: bytes) -> None:
        self.inner.sendall(data)

    def recv(self, size: int) -> bytes:
        return self.inner.recv(size)

    def close(self) -> None:
        self.closed += 1
        self.inner.close()


@dataclass
class Dialler:
    port: int
    streams: list[Stream] = field(default_factory=list)

    def __call__(self) -> ByteStream:
        stream = Stream(socket.create_connection(("127.0.0.1", self.port), 30))
        self.streams.append(stream)
        return stream

    def cut(self) -> None:
        self.streams[-1].inner.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server(vault_server: VaultServer) -> VaultServer:
    ensure_mount(vault_server)
    return vault_server


def tunnel_to(
    server: VaultServer, dial: Callable[[], ByteStream], name: str = "vault"
) -> VaultSession:
    link = Tunnel(dial, server.ca_file.read_text(), name)
    return VaultSession(link, TokenLogin(Secret(server.token)))


def test_many_requests_go_through_one_stream_which_is_closed_in_the_end(
    server: VaultServer,
) -> None:
    dial = Dialler(server.port)
    store = VaultStore(tunnel_to(server, dial), mount="secret", prefix="tunnel/many")
    for i in range(5):
        store.ensure(spec(f"s{i}"), lambda i=i: Secret(f"value {i}"))
    assert store.names() == {f"s{i}" for i in range(5)}
    assert len(dial.streams) == 1
    store.close()
    assert dial.streams[0].closed >= 1


def test_large_values_go_through_whole(server: VaultServer) -> None:
    store = VaultStore(tunnel_to(server, Dialler(server.port)), mount="secret", prefix="tunnel/big")
    big = Secret("äx" * 150_000)
    assert store.ensure(spec(), lambda: big) == big


def test_a_dead_stream_is_dialled_anew_once_and_nothing_is_lost(server: VaultServer) -> None:
    dial = Dialler(server.port)
    store = VaultStore(tunnel_to(server, dial), mount="secret", prefix="tunnel/dead")
    store.ensure(spec("a"), lambda: VALUE)
    dial.cut()
    assert store.get("a") == VALUE
    dial.cut()
    store.ensure(spec("b"), lambda: NEW)
    dial.cut()
    assert store.replace(spec("b"), VALUE) == VALUE
    assert store.version("b") == 2
    assert len(dial.streams) == 4


def test_a_stream_that_never_works_is_not_dialled_for_ever(server: VaultServer) -> None:
    dialled: list[int] = []

    def dial() -> ByteStream:
        dialled.append(1)
        ours, theirs = socket.socketpair()
        theirs.close()
        return Stream(ours)

    with pytest.raises(SecretStoreError) as caught:
        Admin(tunnel_to(server, dial)).status()
    problem = problem_of(caught)
    assert problem.code == "vault.unreachable"
    assert problem.where == "vault"
    assert len(dialled) == 1


def test_a_port_that_nobody_listens_on_is_unreachable(server: VaultServer) -> None:
    with pytest.raises(SecretStoreError) as caught:
        Admin(tunnel_to(server, Dialler(free_port()))).status()
    assert problem_of(caught).code == "vault.unreachable"


def test_why_a_stream_cannot_be_dialled_is_not_hidden(server: VaultServer) -> None:
    def dial() -> ByteStream:
        raise DeployError(Problem("engine.exec", "no such container", Remedy("start it")))

    with pytest.raises(DeployError) as caught:
        Admin(tunnel_to(server, dial)).status()
    assert caught.value.problems[0].code == "engine.exec"


def test_f_057_a_server_of_another_authority_gets_nothing(
    server: VaultServer, tmp_path: Path
) -> None:
    stranger = make_authority(tmp_path)
    session = VaultSession(
        Tunnel(Dialler(server.port), stranger.root.read_text()), TokenLogin(Secret(server.token))
    )
    with pytest.raises(SecretStoreError) as caught:
        VaultStore(session, mount="secret", prefix="p").get("x")
    problem = problem_of(caught, Secret(server.token))
    assert problem.code == "vault.ca"
    assert "CA" in problem.remedy.summary
    assert problem.where == "vault"


def test_f_057_a_server_with_another_name_gets_nothing(server: VaultServer) -> None:
    with pytest.raises(SecretStoreError) as caught:
        Admin(tunnel_to(server, Dialler(server.port), "another")).status()
    problem = problem_of(caught)
    assert problem.code == "vault.ca"
    assert "another" in problem.summary


def test_a_ca_that_is_no_certificate_is_said_before_dialling() -> None:
    with pytest.raises(SecretStoreError) as caught:
        VaultSession(Tunnel(Dialler(1), "no certificate"))
    assert problem_of(caught).code == "vault.ca"


def test_a_server_without_tls_gets_nothing_in_clear(vault_authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        port = plain.getsockname()[1]

        def dial() -> ByteStream:
            stream = Stream(socket.create_connection(("127.0.0.1", port), 30))
            peer, _ = plain.accept()
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            peers.append(peer)
            return stream

        peers: list[socket.socket] = []
        session = VaultSession(Tunnel(dial, vault_authority.root.read_text()))
        with pytest.raises(SecretStoreError) as caught:
            session.log_in(TokenLogin(Secret("s.canaryToken")))
        assert problem_of(caught).code == "vault.unreachable"
        peers[0].settimeout(10)
        assert b"canaryToken" not in peers[0].recv(65536)
        peers[0].close()


def test_a_stream_of_a_program_carries_it_too(server: VaultServer) -> None:
    relay = (
        "import os, socket, sys, threading\n"
        f"s = socket.create_connection(('127.0.0.1', {server.port}))\n"
        "def up():\n"
        "    while data := os.read(0, 65536): s.sendall(data)\n"
        "    os._exit(0)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while data := s.recv(65536): os.write(1, data)\n"
    )
    host = LocalHost()
    try:
        session = tunnel_to(server, lambda: host.dial([sys.executable, "-c", relay]))
        store = VaultStore(session, mount="secret", prefix="tunnel/program")
        assert store.ensure(spec(), lambda: VALUE) == VALUE
        assert store.get("db-password") == VALUE
        store.close()
    finally:
        host.close()


def test_an_answer_that_breaks_off_is_asked_for_again(vault_authority: Authority) -> None:
    broken = iter([True, False])

    def serve(asked: Asked) -> Reply:
        body = {"initialized": True, "sealed": True, "n": 5, "t": 3, "progress": 0, "type": "s"}
        if next(broken):
            return Reply(200, body, {"Content-Length": "5000", "Connection": "close"})
        return Reply(200, body)

    with scripted_server(vault_authority, serve) as server:
        dial = Dialler(int(server.address.rpartition(":")[2]))
        link = Tunnel(dial, vault_authority.root.read_text())
        assert Admin(VaultSession(link, pace=HeldClock().pace())).status().threshold == 3
    assert len(dial.streams) == 2
    assert server.asked[0].headers["host"] == "vault"
