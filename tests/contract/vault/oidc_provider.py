"""An OpenID Connect provider on loopback for tests: one client, people who are logged in already.

What it says in a token can be bent, so that a client that believes too much is found out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import ssl
import threading
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.contract.vault.authority import Authority

CLIENT, SECRET = "vault", "a-client-secret-of-the-test-0123456789"


@dataclass
class Provider:
    """One provider.

    Attributes:
        path: Of the issuer, as authentik has one for each application.
        claims: Added to every token; a value of None takes a claim away.
        groups: Of whoever logs in.
        stranger: Signs with a key that it does not publish.
    """

    authority: Authority
    path: str = "/application/o/vault/"
    secret: str = SECRET
    groups: tuple[str, ...] = ("platform-admins",)
    claims: dict[str, Any] = field(default_factory=dict)
    stranger: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self._other = rsa.generate_private_key(65537, 2048)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self, {})

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                outer._answer(self, dict(urllib.parse.parse_qsl(self.rfile.read(length).decode())))

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority.certificate, self.authority.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.base = f"https://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def issuer(self) -> str:
        return f"{self.base}{self.path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def log_in(self, url: str) -> dict[str, str]:
        """What a browser brings back to the client's own address."""
        answer = requests.get(
            url, verify=str(self.authority.root), allow_redirects=False, timeout=10
        )
        assert answer.status_code == 302, answer.text
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(answer.headers["Location"]).query))

    def _answer(self, handler: BaseHTTPRequestHandler, form: Mapping[str, str]) -> None:
        url = urllib.parse.urlsplit(handler.path)
        self.asked.append(url.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == f"{self.path}.well-known/openid-configuration":
            return _send(handler, 200, self._discovery())
        if url.path == f"{self.path}jwks/":
            return _send(handler, 200, {"keys": [self._jwk()]})
        if url.path == "/authorize/":
            return self._authorize(handler, query)
        if url.path == "/token/":
            return self._token(handler, form)
        return _send(handler, 404, {})

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.base}/authorize/",
            "token_endpoint": f"{self.base}/token/",
            "jwks_uri": f"{self.issuer}jwks/",
            "userinfo_endpoint": f"{self.base}/userinfo/",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def _authorize(self, handler: BaseHTTPRequestHandler, query: Mapping[str, str]) -> None:
        if query.get("client_id") != CLIENT or "openid" not in query.get("scope", "").split():
            _send(handler, 400, {"error": "invalid_request"})
            return
        code = secrets.token_urlsafe(16)
        self.codes[code] = dict(query)
        back = urllib.parse.urlencode({"code": code, "state": query.get("state", "")})
        handler.send_response(302)
        handler.send_header("Location", f"{query['redirect_uri']}?{back}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def _token(self, handler: BaseHTTPRequestHandler, form: Mapping[str, str]) -> None:
        scheme, _, value = handler.headers.get("Authorization", "").partition(" ")
        client = (form.get("client_id", ""), form.get("client_secret", ""))
        if scheme.lower() == "basic":
            name, _, secret = base64.b64decode(value).decode().partition(":")
            client = (urllib.parse.unquote(name), urllib.parse.unquote(secret))
        if client != (CLIENT, self.secret):
            return _send(handler, 401, {"error": "invalid_client"})
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or asked["redirect_uri"] != form.get("redirect_uri"):
            return _send(handler, 400, {"error": "invalid_grant"})
        if challenge := asked.get("code_challenge"):
            made = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            if _b64(made) != challenge:
                return _send(handler, 400, {"error": "invalid_grant"})
        token = self._sign(asked.get("nonce", ""))
        return _send(
            handler, 200, {"access_token": "x", "token_type": "Bearer", "expires_in": 600,
                           "id_token": token},
        )  # fmt: skip

    def _sign(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "sub": "f00d", "iat": now, "exp": now + 600,
            "nonce": nonce, "groups": list(self.groups), "preferred_username": "ada", **self.claims,
        }  # fmt: skip
        kept = {name: value for name, value in claims.items() if value is not None}
        head = {"alg": "RS256", "typ": "JWT", "kid": "one"}
        text = f"{_b64(json.dumps(head).encode())}.{_b64(json.dumps(kept).encode())}"
        key = self._other if self.stranger else self.key
        return f"{text}.{_b64(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def _jwk(self) -> dict[str, str]:
        numbers = self.key.public_key().public_numbers()
        modulus = numbers.n.to_bytes(256, "big")
        return {
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "one",
            "n": _b64(modulus), "e": "AQAB",
        }  # fmt: skip


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _send(handler: BaseHTTPRequestHandler, status: int, body: Mapping[str, Any]) -> None:
    data = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)
