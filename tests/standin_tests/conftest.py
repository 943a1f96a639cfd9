"""What the tests of the stand-ins share: their modules on the path, a database that speaks enough
of PostgreSQL's dialect, and a served app.
"""

from __future__ import annotations

import http.client
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "standins"))

import standin


class _Cursor:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.cursor = connection.cursor()

    def __enter__(self) -> _Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        self.cursor.close()

    def execute(self, sql: str, values: tuple[Any, ...]) -> None:
        text = sql.replace("serial PRIMARY KEY", "integer PRIMARY KEY").replace("%s", "?")
        if ";" in text:
            self.cursor.executescript(text)
        else:
            self.cursor.execute(text, values)

    @property
    def description(self) -> Any:
        return self.cursor.description

    def fetchall(self) -> list[Any]:
        return self.cursor.fetchall()


class Database:
    """An in-memory database with the part of psycopg2's interface that the stand-ins use."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        for name in ("pg_advisory_lock", "pg_advisory_unlock"):
            self.connection.create_function(name, 1, lambda _: None)

    def cursor(self) -> _Cursor:
        return _Cursor(self.connection)


@pytest.fixture
def database() -> Iterator[standin.Postgres]:
    made = Database()
    yield standin.Postgres(lambda: made, (ConnectionError,))
    made.connection.close()


@pytest.fixture
def ask() -> Callable[..., standin.Answer]:
    """The answer of an app to a request, without a socket."""

    def ask(app: standin.App, method: str, url: str, **given: Any) -> standin.Answer:
        path, _, query = url.partition("?")
        pairs = dict(part.partition("=")[::2] for part in query.split("&") if part)
        headers = {name.lower(): value for name, value in given.get("headers", {}).items()}
        body = given.get("body", b"")
        return app.answer(standin.Request(method, path, pairs, headers, body))

    return ask


@pytest.fixture
def serve() -> Iterator[Callable[[standin.App], str]]:
    """Serve an app on loopback; gives `host:port`."""
    servers = []

    def start(app: standin.App) -> str:
        server = standin.serve(app, "127.0.0.1:0")
        servers.append(server)
        return f"127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def fetch() -> Callable[..., http.client.HTTPResponse]:
    """One request over a socket; the connection is closed."""

    def fetch(address: str, path: str, method: str = "GET", **headers: str) -> Any:
        connection = http.client.HTTPConnection(address, timeout=5)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    return fetch
