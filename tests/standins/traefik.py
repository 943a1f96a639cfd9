"""A stand-in for Traefik 3: reads traefik.yml and the file provider's directory as Traefik does,
ends TLS by its options, routes by host and path, and applies the middlewares. HTTP/1.1 only, no
ACME (an ACME router gets a self-signed certificate, as before the first issuance).
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standin import EXPOSITION, App, Refused, run_program, say, split_address, wait_for_signal
from traefik_config import Dynamic, Router, read_dynamic, read_static
from traefik_middleware import Exchange, Middleware, Reply, make_middleware, redirect
from traefik_proxy import access_line, forward, forwarded_headers
from traefik_tls import make_contexts

VERSION = "v3.7.14-stand-in"
SEARCH = [Path(f"/etc/traefik/traefik.{end}") for end in ("yml", "yaml")]
NOT_FOUND = Reply(404, b"404 page not found\n")


class Edge:
    """The routing table in force; a changed file replaces it as a whole, a broken one does not."""

    def __init__(self, static: Mapping[str, Any]) -> None:
        self.static = static
        self.reloads = 0
        self.loaded_at = 0.0
        self.dynamic: Dynamic
        self.middlewares: dict[str, Middleware]
        self.contexts: Mapping[str, ssl.SSLContext]
        self.load()

    def load(self) -> None:
        """Read the dynamic configuration; what is in force changes only when all of it is good."""
        dynamic = read_dynamic(self.static)
        contexts = make_contexts(dynamic)
        self.middlewares = {
            name: make_middleware(name, dynamic.middlewares) for name in dynamic.middlewares
        }
        self.dynamic, self.contexts = dynamic, contexts
        self.reloads += 1
        self.loaded_at = time.time()

    def watch(self) -> None:
        """Load again when a file of the provider changes."""
        folder = Path(self.static["providers"]["file"].get("directory") or "/nowhere")
        seen = _stamps(folder)
        while True:
            time.sleep(1)
            now = _stamps(folder)
            if now != seen:
                seen = now
                self.reload()

    def reload(self, *_: object) -> None:
        """Read every file again, as on SIGHUP; what is not good changes nothing."""
        try:
            self.load()
        except Refused as error:
            say(json.dumps({"level": "error", "error": str(error)}), error=True)

    def find(self, point: str, exchange: Exchange) -> Router | None:
        """The router of the highest priority that matches on this entry point."""
        for router in self.dynamic.routers:
            if point in router.entry_points and router.matches(exchange):
                return router
        return None

    def serve(self, point: str, exchange: Exchange, body: bytes) -> tuple[Reply, Router | None]:
        """The answer to a request on an entry point."""
        options = (self.static["entryPoints"][point] or {}).get("http") or {}
        if (target := (options.get("redirections") or {}).get("entryPoint")) is not None:
            return self._redirect(exchange, target), None
        if options.get("underscoreHeadersStrategy") == "delete":
            for name in [name for name in exchange.headers if "_" in name]:
                del exchange.headers[name]
        router = self.find(point, exchange)
        if router is None:
            return NOT_FOUND, None
        for name in router.middlewares:
            if (reply := self.middlewares[name](exchange)) is not None:
                return reply, router
        if router.service == "ping@internal":
            return Reply(200, b"OK"), router
        if router.service == "prometheus@internal":
            return Reply(200, self.metrics()), router
        if router.service == "noop@internal":
            return Reply(418, b"I'm a teapot\n"), router
        return forward(self.dynamic.services[router.service], exchange, body), router

    def _redirect(self, exchange: Exchange, target: Mapping[str, Any]) -> Reply:
        to = str(target.get("to", ""))
        scheme = str(target.get("scheme") or "https")
        if not to.startswith(":"):
            to = ":" + str(split_address(str(self.static["entryPoints"][to]["address"]))[1])
        port = "" if (scheme, to) in (("https", ":443"), ("http", ":80")) else to
        options = {"permanent": target.get("permanent", True)}
        return redirect(exchange, f"{scheme}://{exchange.host}{port}{exchange.target}", options)

    def internal(self, point: str, path: str) -> bytes | None:
        """What ping and metrics answer on their entry point; None for anything else."""
        ping = self.static.get("ping")
        prometheus = (self.static.get("metrics") or {}).get("prometheus")
        if ping is not None and ping.get("entryPoint") == point and path == "/ping":
            return b"OK"
        if prometheus and prometheus.get("entryPoint") == point and path == "/metrics":
            return self.metrics()
        return None

    def metrics(self) -> bytes:
        """A little of what Traefik shows Prometheus."""
        return (
            f"traefik_config_reloads_total {self.reloads}\n"
            f"traefik_config_last_reload_success {self.loaded_at:.0f}\n"
            "traefik_open_connections 0\n"
        ).encode()


class _Handler(BaseHTTPRequestHandler):
    """Requests of one entry point; a subclass says of which."""

    edge: Edge
    point: str
    trusted: Mapping[str, Any]
    protocol_version = "HTTP/1.1"
    timeout = 180

    def do(self) -> None:
        start = time.time()
        if self.internal():
            return
        secure = isinstance(self.connection, ssl.SSLSocket)
        client = self.client_address[0]
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length") or 0))
        host = headers.get("host", "").rpartition("]")[2].split(":")[0].lower()
        exchange = Exchange(
            self.command, host, urllib.parse.unquote(self.path.split("?")[0]), self.path,
            client, secure, forwarded_headers(headers, client, secure, self.trusted), len(body),
        )  # fmt: skip
        reply, router = self.edge.serve(self.point, exchange, body)
        for done in exchange.finish:
            done()
        self.send(exchange, reply)
        self.log(exchange, reply, router, start)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do

    def internal(self) -> bool:
        answer = self.edge.internal(self.point, self.path)
        if answer is not None:
            self.send_response_only(200)
            for name, value in EXPOSITION.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else answer)
        return answer is not None

    def send(self, exchange: Exchange, reply: Reply) -> None:
        self.send_response_only(reply.status)
        own = exchange.answer_headers
        replaced = {name.lower() for name in own} | exchange.removed
        kept = [pair for pair in reply.pairs() if pair[0].lower() not in replaced]
        for name, value in [*kept, *own.items()]:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def log(self, exchange: Exchange, reply: Reply, router: Router | None, start: float) -> None:
        settings = self.edge.static.get("accessLog")
        if settings is not None:
            line = access_line(settings.get("fields") or {}, exchange, reply, router)
            line |= {"Duration": int((time.time() - start) * 1e9), "entryPointName": self.point}
            say(json.dumps(line))

    def log_message(self, *_: object) -> None:
        pass


def make_handler(edge: Edge, point: str) -> type[BaseHTTPRequestHandler]:
    """The request handler of one entry point."""
    trusted = (edge.static["entryPoints"][point] or {}).get("forwardedHeaders") or {}
    return type("Handler", (_Handler,), {"edge": edge, "point": point, "trusted": trusted})


class Listener(ThreadingHTTPServer):
    """One entry point; the TLS handshake is made on the connection's own thread."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, edge: Edge, point: str) -> None:
        self.edge = edge
        body = edge.static["entryPoints"][point] or {}
        self.secure = (body.get("http") or {}).get("tls") is not None
        address = split_address(str(body["address"]).split("/")[0])
        try:
            super().__init__(address, make_handler(edge, point))
        except OSError as error:
            raise Refused(f"entry point {point}: {body['address']}: {error.strerror}") from error

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.secure:
            try:
                request.settimeout(10)
                request = self.edge.contexts["default"].wrap_socket(request, server_side=True)
            except (OSError, ssl.SSLError):
                return
        super().finish_request(request, client_address)
        if self.secure:
            self.shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        pass


def _stamps(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(f), f.stat().st_mtime_ns) for f in folder.rglob("*") if f.is_file())


def run(static: Mapping[str, Any]) -> int:
    """Serve every entry point."""
    edge = Edge(static)
    for resolver in (static.get("certificatesResolvers") or {}).values():
        folder = Path(resolver["acme"]["storage"]).parent
        if not os.access(folder, os.W_OK):
            raise Refused(f"unable to get ACME account: {folder}: not writable")
    signal.signal(signal.SIGHUP, edge.reload)
    for point in static["entryPoints"]:
        listener = Listener(edge, point)
        threading.Thread(target=listener.serve_forever, daemon=True).start()
    if static["providers"]["file"].get("watch", True):
        threading.Thread(target=edge.watch, daemon=True).start()
    about = App("traefik", VERSION).about()
    say(json.dumps({"level": "info", "message": "Traefik (stand-in) started", **about}))
    return wait_for_signal()


def healthcheck(static: Mapping[str, Any]) -> int:
    """`traefik healthcheck`: ask the ping of the static configuration."""
    if static.get("ping") is None:
        raise Refused("please enable `ping` to use health check")
    point = static["ping"].get("entryPoint", "traefik")
    _, port = split_address(str(static["entryPoints"][point]["address"]))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
            say(f"OK: http://127.0.0.1:{port}/ping")
    except OSError as error:
        raise Refused(f"error calling healthcheck: {error}") from error
    return 0


def find_static(words: list[str]) -> Path:
    """The configuration file: named by a flag, else where Traefik looks.

    Raises:
        Refused: for any other flag, and when there is none.
    """
    for word in words:
        name, _, value = word.lstrip("-").partition("=")
        if name.lower() != "configfile" or not value:
            raise Refused(f"the stand-in reads a file only, not {word}")
        return Path(value)
    if set_by_environment := sorted(n for n in os.environ if n.startswith("TRAEFIK_")):
        raise Refused(f"file and environment exclude each other: {set_by_environment[0]}")
    for path in SEARCH:
        if path.exists():
            return path
    raise Refused("no configuration file found")


def main(argv: list[str]) -> int:
    """`traefik`."""

    def body() -> int:
        words = argv[1:]
        if words == ["version"]:
            say(f"Version: {VERSION} (a stand-in)")
            return 0
        command = words.pop(0) if words[:1] == ["healthcheck"] else ""
        static = read_static(find_static(words))
        return healthcheck(static) if command else run(static)

    return run_program("traefik", body)
