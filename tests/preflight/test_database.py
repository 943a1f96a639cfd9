"""What a PostgreSQL server outside answers to a request for TLS, as the host sees it. TL-17."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.preflight.looking import environment, look, parameters

REQUEST = bytes.fromhex("0000000804d2162f")
"""SSLRequest of PostgreSQL's protocol (53.7)."""


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that says one thing to one client; what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def serve() -> None:
            stream, _ = server.accept()
            with stream:
                asked.append(stream.recv(64))
                stream.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], asked
        thread.join(20)


@pytest.mark.parametrize(("answer", "found"), [(b"S", "S"), (b"N", "N"), (b"", "")])
def test_the_host_asks_for_tls_and_says_nothing_else(probe_script, host_tree, answer, found):
    with answering(answer) as (port, asked):
        stdin = parameters(host_tree, ("database", f"127.0.0.1/{port}"))
        _, facts = look(probe_script, stdin, env=environment(host_tree))
    assert facts.network.database == found
    assert asked == [REQUEST]


def test_a_port_that_is_shut_is_told_from_not_having_asked(probe_script, host_tree):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    stdin = parameters(host_tree, ("database", f"127.0.0.1/{port}"))
    _, facts = look(probe_script, stdin, env=environment(host_tree))
    assert facts.network.database == ""
    _, facts = look(probe_script, parameters(host_tree), env=environment(host_tree))
    assert facts.network.database is None
