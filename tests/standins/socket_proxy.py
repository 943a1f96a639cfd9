"""A stand-in for wollomatic/socket-proxy: HTTP in front of the engine's unix socket, with a regular
expression per method (put between `^` and `$` as it is, without a group), a list of clients and one
of directories. 405 for a method that is not allowed, 403 for a path, client or directory.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import posixpath
import re
import socket
import threading
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standin import Answer, App, Refused, run_program, say, serve, wait_for_signal

VERSION = "1.13.1-stand-in"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE", "OPTIONS")
DEFAULTS = {
    "allowfrom": "127.0.0.1/32", "listenip": "127.0.0.1", "loglevel": "INFO", "proxyport": "2375",
    "shutdowngracetime": "10", "socketpath": "/var/run/docker.sock", "watchdoginterval": "0",
    "proxysocketendpoint": "", "proxysocketendpointfilemode": "0600", "allowbindmountfrom": "",
    "proxycontainername": "",
}  # fmt: skip
SWITCHES = ("allowhealthcheck", "logjson", "stoponwatchdog")
HEALTH = "127.0.0.1:55555"
SOCKET_S = 30


def parse_flags(words: list[str]) -> dict[str, str]:
    """Flags as Go's flag package takes them: `-name=value`, `-name value`, `-switch`.

    Raises:
        Refused: for an unknown flag or an impossible value.
    """
    flags = dict(DEFAULTS)
    rest = list(words)
    while rest:
        word = rest.pop(0)
        match = re.fullmatch(r"--?([A-Za-z]+)(?:=(.*))?", word, re.S)
        if not match:
            raise Refused(f"unexpected argument {word!r}")
        name, value = match[1], match[2]
        if name in SWITCHES:
            flags[name] = value or "true"
        elif name in DEFAULTS or name.removeprefix("allow") in METHODS:
            if value is None and not rest:
                raise Refused(f"flag needs an argument: -{name}")
            flags[name] = value if value is not None else rest.pop(0)
        else:
            raise Refused(f"flag provided but not defined: -{name}")
    for folder in filter(None, flags["allowbindmountfrom"].split(",")):
        if not folder.startswith("/"):
            raise Refused(f'bind mount directory must start with /: "{folder}"')
    if flags["loglevel"].upper() not in ("DEBUG", "INFO", "WARN", "ERROR"):
        raise Refused(f"invalid log level {flags['loglevel']}")
    return flags


def compile_rules(flags: Mapping[str, str]) -> dict[str, re.Pattern[str]]:
    """The allowed paths by method; nothing is allowed that no flag names.

    Raises:
        Refused: for an expression that does not compile.
    """
    rules = {}
    for method in METHODS:
        text = flags.get(f"allow{method}")
        if text:
            try:
                rules[method] = re.compile(f"^{text}$")
            except re.error as error:
                raise Refused(f'invalid regex "{text}" for method {method}: {error}') from error
    return rules


def is_allowed_client(address: str, allowed: str) -> bool:
    """Whether a client's address is in the list of networks and host names."""
    client = ipaddress.ip_address(address)
    for item in allowed.split(","):
        try:
            return client in ipaddress.ip_network(item)
        except ValueError:
            pass
        try:
            found = {info[4][0] for info in socket.getaddrinfo(item, None)}
        except OSError:
            continue
        if address in found:
            return True
    return False


def judge(method: str, path: str, rules: Mapping[str, re.Pattern[str]]) -> int:
    """The status of a request before it is passed on: 200, 403 or 405."""
    if method not in rules:
        return 405
    return 200 if rules[method].search(path) else 403


def refused_bind(allowed: str, method: str, path: str, body: bytes) -> str:
    """The first host directory that a container's creation binds outside the allowed ones, if any.

    Nothing is refused when no directory is named.
    """
    if not allowed or method != "POST" or not re.fullmatch(r"(/v[\d.]+)?/containers/create", path):
        return ""
    try:
        config = json.loads(body or b"{}").get("HostConfig") or {}
    except ValueError:
        return "a body that is no JSON"
    sources = [str(bind).split(":")[0] for bind in config.get("Binds") or []]
    sources += [m.get("Source", "") for m in config.get("Mounts") or [] if m.get("Type") == "bind"]
    roots = [posixpath.normpath(item) for item in allowed.split(",")]
    for source in sources:
        clean = posixpath.normpath(source)
        if source.startswith("/") and not any(
            clean == root or clean.startswith(root + "/") for root in roots
        ):
            return source
    return ""


class EngineConnection(http.client.HTTPConnection):
    """HTTP over the engine's unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SOCKET_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SOCKET_S)
        self.sock.connect(self.path)


def make_handler(flags: Mapping[str, str]) -> type[BaseHTTPRequestHandler]:
    """The proxy's request handler."""
    rules = compile_rules(flags)

    class Handler(BaseHTTPRequestHandler):
        server_version = f"stand-in-for-socket-proxy/{VERSION}"

        def do(self) -> None:
            path = self.path.split("?")[0]
            status = judge(self.command, path, rules)
            if not is_allowed_client(self.client_address[0], flags["allowfrom"]):
                status = 403
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if refused_bind(flags["allowbindmountfrom"], self.command, path, body):
                status = 403
            if status != 200:
                say(f"blocked request method={self.command} URL={path} response={status}")
                self.send_error(status)
                return
            try:
                self.forward(body)
            except OSError as error:
                self.send_error(502, str(error))

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do

        def forward(self, body: bytes) -> None:
            engine = EngineConnection(flags["socketpath"])
            engine.request(self.command, self.path, body, dict(self.headers))
            answer = engine.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            while piece := answer.read1(65536):
                self.wfile.write(piece)
                self.wfile.flush()
            engine.close()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def main(argv: list[str]) -> int:
    """`/socket-proxy`."""

    def body() -> int:
        flags = parse_flags(argv[1:])
        handler = make_handler(flags)
        probe = EngineConnection(flags["socketpath"])
        try:
            probe.connect()
        except OSError as error:
            raise Refused(f"socket not available: {flags['socketpath']}: {error}") from error
        probe.close()
        server = ThreadingHTTPServer((flags["listenip"], int(flags["proxyport"])), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        if flags.get("allowhealthcheck") == "true":
            app = App("socket-proxy", VERSION)
            app.add("GET", "/health", lambda _: Answer(200))
            serve(app, HEALTH)
        say(f"starting socket-proxy (stand-in) listen={flags['listenip']}:{flags['proxyport']}")
        return wait_for_signal()

    return run_program("socket-proxy", body)


def healthcheck_main(argv: list[str]) -> int:
    """`/healthcheck`."""

    def body() -> int:
        try:
            with urllib.request.urlopen(f"http://{HEALTH}/health", timeout=5):
                return 0
        except OSError as error:
            raise Refused(f"health check: {error}") from error

    return run_program("socket-proxy", body)
