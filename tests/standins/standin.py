"""What all stand-ins share: a small HTTP server that says it is a stand-in, refusals in plain
words, values as Go programs parse them, connections to PostgreSQL.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DURATION = re.compile(
    r"[-+]?(0|(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*)"
)
TRUE = {"1", "t", "T", "true", "TRUE", "True"}
FALSE = {"0", "f", "F", "false", "FALSE", "False"}


class Refused(Exception):
    """The program does not start with what it was given; the message says what it refuses."""


@dataclass(frozen=True)
class Request:
    """One HTTP request; header names are lower-case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    client: str = "127.0.0.1"

    def json(self) -> Any:
        """The body as JSON; an empty mapping when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; a body that is no bytes is sent as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)


EXPOSITION = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
"""Without it Prometheus 3 does not take metrics."""


def exposition(text: bytes) -> Answer:
    """Metrics, as Prometheus is shown them."""
    return Answer(200, text, EXPOSITION)


Handler = Callable[[Request], Answer]


class App:
    """Routes of one product: (method, path pattern) → handler, the first match serving."""

    def __init__(self, product: str, version: str) -> None:
        self.product = product
        self.version = version
        self.routes: list[tuple[str, re.Pattern[str], Handler]] = []
        self.add("GET", "/version", lambda _: Answer(body=self.about()))

    def about(self) -> dict[str, Any]:
        """What it is, in so many words."""
        return {
            "stand-in": True,
            "for": self.product,
            "version": self.version,
            "note": f"a stand-in of the test-bed, not {self.product}",
        }

    def add(self, method: str, pattern: str, handler: Handler) -> None:
        """Serve `pattern` (a regular expression for the whole path); later routes go first."""
        self.routes.insert(0, (method, re.compile(pattern), handler))

    def answer(self, request: Request) -> Answer:
        """The answer to a request; HEAD is GET without the body."""
        method = "GET" if request.method == "HEAD" else request.method
        known = False
        for wanted, pattern, handler in self.routes:
            if pattern.fullmatch(request.path):
                known = True
                if wanted in (request.method, method, "*"):
                    return handler(request)
        return Answer(405 if known else 404, {"message": "Route not found."})


def serve(app: App, address: str, log: Callable[[str], None] | None = None) -> ThreadingHTTPServer:
    """Serve an app at `host:port` (an empty host is all) on a thread of its own.

    Raises:
        Refused: when the address cannot be bound.
    """
    host, port = split_address(address)

    class _Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = f"stand-in-for-{app.product}/{app.version}"
        sys_version = ""

        def do(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            url = urllib.parse.urlsplit(self.path)
            request = Request(
                method=self.command,
                path=urllib.parse.unquote(url.path),
                query=dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(size),
                client=self.client_address[0],
            )
            self.send(request, app.answer(request))

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do

        def send(self, request: Request, answer: Answer) -> None:
            body, headers = answer.body, dict(answer.headers)
            if not isinstance(body, bytes):
                body = json.dumps(body).encode()
                headers.setdefault("Content-Type", "application/json")
            self.send_response(answer.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if request.method != "HEAD":
                self.wfile.write(body)

        def log_message(self, form: str, *values: Any) -> None:
            if log:
                log(form % values)

    class _Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    try:
        server = _Server((host, port), _Handler)
    except OSError as error:
        raise Refused(f"listen tcp {address}: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    return server


def split_address(address: str) -> tuple[str, int]:
    """`host:port`, `[v6]:port` or `:port`.

    Raises:
        Refused: for anything else.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise Refused(f"address {address!r}: want host:port")
    host = host.strip("[]")
    return ("0.0.0.0" if host in ("", "::") else host), int(port)


def run_program(product: str, body: Callable[[], int | None]) -> int:
    """Run a stand-in's main part: a refusal is one line on standard error, and status 1."""
    try:
        return body() or 0
    except Refused as refusal:
        say(f"{product} (stand-in): {refusal}", error=True)
        return 1
    except PermissionError as error:
        say(f"{product} (stand-in): {error.filename}: {error.strerror}", error=True)
        return 1


def wait_for_signal() -> int:
    """Sleep until the program is told to end."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    while not ended.wait(3600):
        pass
    return 0


def say(text: str, *, error: bool = False) -> None:
    """One line of the program's own output."""
    print(text, file=sys.stderr if error else sys.stdout, flush=True)


def parse_bool(name: str, value: str) -> bool:
    """A boolean as Go's ParseBool takes it."""
    if value not in TRUE | FALSE:
        raise Refused(f'{name}: strconv.ParseBool: parsing "{value}": invalid syntax')
    return value in TRUE


def check_duration(name: str, value: str) -> None:
    """Refuse what Go's ParseDuration refuses."""
    if not DURATION.fullmatch(value):
        raise Refused(f'{name}: time: invalid duration "{value}"')


def read_secret(path: str, name: str) -> str:
    """The content of a secret file without the final line end.

    Raises:
        Refused: when it cannot be read.
    """
    try:
        return Path(path).read_text().rstrip("\r\n")
    except OSError as error:
        raise Refused(f"{name}: {path}: {error.strerror}") from error


def require_writable(folder: str, what: str) -> None:
    """Refuse to run where the real program could not write.

    Raises:
        Refused: with the reason the system gives.
    """
    probe = Path(folder, f".stand-in-{os.getpid()}")
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Refused(f"{what}: {folder}: {error.strerror}") from error


class Postgres:
    """A connection as drivers with a pool give it: one that was lost is opened anew.

    Attributes:
        lost: The driver's errors that say so.
    """

    def __init__(self, open_one: Callable[[], Any], lost: tuple[type[Exception], ...]) -> None:
        self._open_one = open_one
        self._connection = open_one()
        self.lost = lost

    def run(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """The rows of a statement; none for one that gives no rows."""
        try:
            return self._run(sql, values)
        except self.lost:
            self._connection = self._open_one()
            return self._run(sql, values)

    def _run(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description else []


def connect_postgres(patience_s: float, dsn: str = "", **fields: Any) -> Postgres:
    """An autocommitting psycopg2 connection, tried again for `patience_s` seconds.

    Raises:
        Refused: with the server's or the library's reason.
    """
    import psycopg2  # Debian's, in the image

    def open_one() -> Any:
        connection = psycopg2.connect(dsn, connect_timeout=5, **fields)
        connection.autocommit = True
        return connection

    deadline = time.monotonic() + patience_s
    while True:
        try:
            return Postgres(open_one, (psycopg2.OperationalError, psycopg2.InterfaceError))
        except psycopg2.Error as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
            if time.monotonic() > deadline:
                raise Refused(f"connect to postgres: {reason}") from error
            time.sleep(0.5)


def query(connection: Postgres, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of a statement; none for one that gives no rows."""
    return connection.run(sql, values)
