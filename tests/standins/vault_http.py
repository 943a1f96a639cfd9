"""TLS around the server: one thread per connection, the certificate read again on SIGHUP, and clear
text answered as the real server does.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standin import Answer, Refused, Request, split_address
from vault_config import Listener

CLEAR = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
HANDSHAKE_S = 10.0
LARGEST = 32 * 1024 * 1024
"""Bytes of a request that the real server takes by default."""


def make_context(listener: Listener) -> ssl.SSLContext:
    """The TLS settings of a listener.

    Raises:
        Refused: when certificate or key cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = listener.lowest
    where = "Error initializing listener of type tcp: error loading TLS cert"
    try:
        context.load_cert_chain(listener.certificate, listener.key)
        if listener.client_ca:
            context.load_verify_locations(listener.client_ca)
    except OSError as error:  # ssl.SSLError is one
        path = f"open {error.filename}: " if error.filename else ""
        reason = getattr(error, "reason", None) or error.strerror
        file = path or f"open {listener.certificate}: "
        raise Refused(f"{where}: {file}{reason}") from error
    return context


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    context: ssl.SSLContext

    def get_request(self) -> tuple[socket.socket, Any]:
        plain, address = super().get_request()
        plain.settimeout(HANDSHAKE_S)
        return plain, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands on the connection's own thread, then serve it."""
        first = request.recv(1, socket.MSG_PEEK)
        if first != b"\x16":  # a TLS handshake record
            request.sendall(CLEAR if first else b"")
            return
        with self.context.wrap_socket(request, server_side=True) as secure:
            secure.settimeout(None)
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or trusts nobody, is no matter."""


def make_handler(answer: Callable[[Request], Answer]) -> type[BaseHTTPRequestHandler]:
    """A handler that gives requests to `answer`."""

    class _Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "stand-in-for-vault"
        sys_version = ""
        # the answers of OpenBao and Vault are small; waiting for more to send only delays them
        disable_nagle_algorithm = True

        def do(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            if size > LARGEST:
                self.send(Answer(413, {"errors": ["http: request body too large"]}))
                self.close_connection = True
                return
            url = urllib.parse.urlsplit(self.path)
            pairs = urllib.parse.parse_qsl(url.query, keep_blank_values=True)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body, client = self.rfile.read(size), self.client_address[0]
            path = urllib.parse.unquote(url.path)
            self.send(answer(Request(self.command, path, dict(pairs), headers, body, client)))

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_LIST = do

        def send(self, made: Answer) -> None:
            body, headers = made.body, dict(made.headers)
            if not isinstance(body, bytes):
                body = json.dumps(body).encode() + b"\n"
                headers.setdefault("Content-Type", "application/json")
            self.send_response(made.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Cache-Control", "no-store")
            if made.status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD" and made.status != 204:
                self.wfile.write(body)

        def send_error(self, code: int, *_: Any, **__: Any) -> None:
            self.send(Answer(405 if code == 501 else code, {"errors": []}))

        def log_message(self, format: str, *values: Any) -> None:
            """The audit devices say what was asked."""

    return _Handler


def serve(listener: Listener, answer: Callable[[Request], Answer]) -> _Server:
    """Serve on a thread of its own.

    Raises:
        Refused: when the address cannot be bound or the certificate not be used.
    """
    context = make_context(listener)
    host, port = split_address(listener.address)
    try:
        server = _Server((host, port), make_handler(answer))
    except OSError as error:
        raise Refused(
            "Error initializing listener of type tcp: "
            f"listen tcp {listener.address}: bind: {(error.strerror or '').lower()}"
        ) from error
    server.context = context
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    return server
