"""A small OpenID Connect provider at loopback: its document, its keys, tokens as it signs them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from http.server import ThreadingHTTPServer
from typing import Any

import standin
from authentik_oidc import SigningKey, b64

from tests.storage.world import free_port

CLIENT = "minio"


class Provider:
    """Answers once it is started."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        self.key = SigningKey()
        self.server: ThreadingHTTPServer | None = None

    @property
    def discovery(self) -> str:
        return f"{self.url}/.well-known/openid-configuration"

    def start(self) -> None:
        app = standin.App("provider", "1")
        document = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "scopes_supported": ["openid", "profile"],
        }
        app.add("GET", "/.well-known/.*", lambda _: standin.Answer(body=document))
        app.add("GET", "/keys", lambda _: standin.Answer(body={"keys": [self.key.jwk()]}))
        self.server = standin.serve(app, self.address)

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()

    def claims(self, **more: Any) -> dict[str, Any]:
        """Of a token; a claim of None is left out."""
        now = int(time.time())
        told = {
            "iss": self.url, "sub": "somebody", "aud": CLIENT, "iat": now, "exp": now + 600, **more
        }  # fmt: skip
        return {name: value for name, value in told.items() if value is not None}

    def token(self, **more: Any) -> str:
        return self.key.sign(self.claims(**more))

    def forged(self, secret: str, **more: Any) -> str:
        """One that somebody signs with what they take for the client's secret."""
        head = {"alg": "HS256", "typ": "JWT", "kid": CLIENT}
        text = ".".join(b64(json.dumps(part).encode()) for part in (head, self.claims(**more)))
        made = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
        return f"{text}.{b64(made)}"
