"""The programs of this area: a real Traefik and pebble where they are, the stand-in always."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.tls.edge_lab import TRAEFIK, stand_in
from tests.tls.pebble_lab import PEBBLE


@pytest.fixture(params=["stand-in", "real"])
def program(request: pytest.FixtureRequest) -> list[str]:
    """How an edge is started."""
    return stand_in() if request.param == "stand-in" else real_program()


@pytest.fixture
def real() -> list[str]:
    """How the real program is started; what only it can do is skipped without it."""
    return real_program()


def real_program() -> list[str]:
    path = os.environ.get(TRAEFIK)
    if not path:
        pytest.skip(f"{TRAEFIK} names no Traefik; the stand-in runs the cases that it can")
    return [path]


@pytest.fixture
def pebble() -> Path:
    """The folder with pebble and pebble-challtestsrv."""
    path = os.environ.get(PEBBLE)
    if not path:
        pytest.skip(f"{PEBBLE} names no pebble (with pebble-challtestsrv beside it)")
    return Path(path).parent


class Backend(ThreadingHTTPServer):
    """Stands for every service behind the edge; keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str, dict[str, str], int]] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Backend

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                length += size
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.command, self.path, headers, length))
        body = b"from the service\n"
        self.send_response(200)
        self.send_header("Set-Cookie", "session=1; Path=/; Secure; HttpOnly; SameSite=Lax")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def backend() -> Iterator[Backend]:
    """A service behind the edge."""
    server = Backend()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
