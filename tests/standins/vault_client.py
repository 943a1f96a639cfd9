"""A client of the server as the command line and the agent use it: HTTPS with an authority of one's
own, the address and the token from the environment (BAO_… before VAULT_…, as OpenBao reads them).
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from standin import Refused

TIMEOUT_S = 60.0
UNKNOWN_ISSUER = (18, 19, 20, 21)
"""OpenSSL's codes for a chain that ends with nobody one trusts."""


class ServerError(Exception):
    """The server refused: the status and its messages."""

    def __init__(self, method: str, url: str, status: int, content: bytes) -> None:
        self.status = status
        self.errors: list[str] = []
        try:
            self.errors = list(json.loads(content)["errors"])
            said = "\n".join(["Errors:", "", *(f"* {text}" for text in self.errors)])
        except (ValueError, KeyError, TypeError):
            said = f"Raw Message:\n\n{content.decode(errors='replace')}"
        super().__init__(
            f"Error making API request.\n\nURL: {method} {url}\nCode: {status}. {said}"
        )


class NotReachedError(Exception):
    """No answer came; the message says what stood in the way."""


def setting(name: str, environment: Mapping[str, str] | None = None) -> str:
    """A variable, with the prefix of either product; one that is set, though empty, counts."""
    found = os.environ if environment is None else environment
    return found.get(f"BAO_{name}", found.get(f"VAULT_{name}", ""))


@dataclass(frozen=True)
class Client:
    """Where the server is and how it is known."""

    address: str
    ca_file: str = ""
    token: str = ""
    server_name: str = ""
    skip_verify: bool = False
    timeout_s: float = field(default=TIMEOUT_S)

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The JSON of an answer, empty for none. Raises: as `fetch`."""
        data = self.fetch(method, path, body, headers)
        return dict(json.loads(data)) if data else {}

    def fetch(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """The content of an answer.

        Raises:
            ServerError: the server refused.
            NotReachedError: there was no answer.
        """
        url = urllib.parse.urlsplit(self.address)
        full = f"{self.address}/v1/{path}"
        connection = self._connect(url, f'{method.capitalize()} "{full}"')
        sent = {**({"X-Vault-Token": self.token} if self.token else {}), **(headers or {})}
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, "/v1/" + urllib.parse.quote(path, "/?=&"), content, sent)
            answer = connection.getresponse()
            data = answer.read()
        except ssl.SSLCertVerificationError as error:
            unknown = error.verify_code in UNKNOWN_ISSUER
            text = "certificate signed by unknown authority" if unknown else error.verify_message
            why = f"tls: failed to verify certificate: x509: {text}"
            raise NotReachedError(f'{method.capitalize()} "{full}": {why}') from error
        except ConnectionRefusedError as error:
            why = f"dial tcp {url.netloc}: connect: connection refused"
            raise NotReachedError(f'{method.capitalize()} "{full}": {why}') from error
        except (OSError, http.client.HTTPException) as error:
            raise NotReachedError(f'{method.capitalize()} "{full}": {error}') from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise ServerError(method, full, answer.status, data)
        return data

    def _connect(self, url: urllib.parse.SplitResult, what: str) -> http.client.HTTPConnection:
        if url.scheme not in ("http", "https") or not url.hostname:
            raise NotReachedError(f'{what}: unsupported protocol scheme "{url.scheme}"')
        port = url.port or (443 if url.scheme == "https" else 80)
        if url.scheme == "http":
            return http.client.HTTPConnection(url.hostname, port, timeout=self.timeout_s)
        return http.client.HTTPSConnection(
            url.hostname, port, timeout=self.timeout_s, context=self._context()
        )

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if self.skip_verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.server_name:
            context = _named(context, self.server_name)
        return context


def _named(context: ssl.SSLContext, name: str) -> ssl.SSLContext:
    """The same, checking certificates for another name than the one connected to."""

    class _Context(ssl.SSLContext):
        def wrap_socket(self, sock: Any, *_: Any, **__: Any) -> ssl.SSLSocket:
            return context.wrap_socket(sock, server_hostname=name)

    return _Context(ssl.PROTOCOL_TLS_CLIENT)


def client_from(options: Mapping[str, str]) -> Client:
    """The client of a command's options and the environment.

    Raises:
        Refused: when the authority's file cannot be read.
    """
    ca_file = options.get("ca-cert") or setting("CACERT")
    if ca_file and not Path(ca_file).is_file():
        why = f"open {ca_file}: no such file or directory"
        raise Refused(f"failed to read environment: Error loading CA File: {why}")
    skip = (options.get("tls-skip-verify") or setting("SKIP_VERIFY")).lower()
    return Client(
        (options.get("address") or setting("ADDR") or "https://127.0.0.1:8200").rstrip("/"),
        ca_file, setting("TOKEN"),
        options.get("tls-server-name") or setting("TLS_SERVER_NAME"), skip in ("1", "t", "true"),
    )  # fmt: skip
