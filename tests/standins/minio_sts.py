"""Keys for a token of an identity provider, as MinIO gives them (AssumeRoleWithWebIdentity).

Until the provider's document was read MinIO serves root only, and so does this one. Like the real
one it takes a token that is signed with the client's secret for one of the provider's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from minio_iam import Accounts
from standin import Answer, Refused, Request

PREFIX = "MINIO_IDENTITY_OPENID_"
SETTINGS = frozenset(
    PREFIX + name
    for name in """
    ENABLE DISPLAY_NAME CONFIG_URL CLIENT_ID CLIENT_SECRET CLAIM_NAME CLAIM_USERINFO ROLE_POLICY
    CLAIM_PREFIX REDIRECT_URI REDIRECT_URI_DYNAMIC SCOPES VENDOR KEYCLOAK_REALM KEYCLOAK_ADMIN_URL
    USER_READABLE_CLAIM USER_ID_CLAIM COMMENT
    """.split()
)
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
"""DigestInfo of SHA-256 (RFC 8017, 9.2)."""


class WebIdentity:
    """Reads the provider's document as soon as it is there; without settings there is none."""

    def __init__(self, settings: Mapping[str, str], accounts: Accounts) -> None:
        self.url = settings.get(f"{PREFIX}CONFIG_URL", "")
        self.client = settings.get(f"{PREFIX}CLIENT_ID", "")
        self.secret = settings.get(f"{PREFIX}CLIENT_SECRET", "")
        self.claim = settings.get(f"{PREFIX}CLAIM_NAME", "policy")
        self.accounts = accounts
        self.keys: dict[str, Any] = {}
        self.ready = not self.url
        if self.url and not self.url.startswith(("http://", "https://")):
            raise Refused(f"{PREFIX}CONFIG_URL: invalid URL")

    def start(self) -> None:
        """Ask for the document until it comes."""
        if not self.ready:
            threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        while not self.ready:
            try:
                self.read_keys()
                self.ready = True
            except (OSError, KeyError, ValueError):
                time.sleep(0.3)

    def read_keys(self) -> None:
        """The provider's signing keys."""
        keys = _fetch(_fetch(self.url)["jwks_uri"])["keys"]
        self.keys = {key["kid"]: key for key in keys}

    def assume(self, request: Request) -> Answer:
        """Keys for the token in a form."""
        form = dict(urllib.parse.parse_qsl(request.body.decode()))
        if form.get("Version") != "2011-06-15":
            return _error(400, "MissingParameter")
        if form.get("Action") != "AssumeRoleWithWebIdentity":
            return _error(400, "InvalidParameterValue")
        if not self.ready or not self.url:
            return _error(503 if self.url else 400, "STSNotInitialized")
        claims = self.claims_of(form.get("WebIdentityToken", ""))
        if claims is None:
            return _error(400, "InvalidParameterValue")
        asked = claims.get(self.claim)
        names = asked.split(",") if isinstance(asked, str) else list(asked or ())
        known = [name for name in names if self.accounts.is_policy(name)]
        if not known:
            return _error(400, "InvalidParameterValue")
        access, secret, token = (secrets.token_hex(n) for n in (10, 20, 30))
        seconds = int(form.get("DurationSeconds") or 0)
        until = time.time() + seconds if seconds else float(claims["exp"])
        self.accounts.temporary[access] = {
            "secret": secret, "token": token, "policies": known, "until": until
        }  # fmt: skip
        fields = {"AccessKeyId": access, "SecretAccessKey": secret, "SessionToken": token}
        text = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
        body = (
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
            f"{text}</Credentials></AssumeRoleWithWebIdentityResult>"
            "</AssumeRoleWithWebIdentityResponse>"
        )
        return Answer(200, body.encode(), {"Content-Type": "application/xml"})

    def claims_of(self, token: str) -> dict[str, Any] | None:
        """What a token says, if it is good, of this client and not over."""
        try:
            signed, _, signature = token.rpartition(".")
            head, claims = (json.loads(_decode(part)) for part in signed.split("."))
            good = self._is_signed(head, signed.encode(), _decode(signature))
        except (ValueError, KeyError, TypeError):
            return None
        audience = claims.get("aud") or ()
        audience = [audience] if isinstance(audience, str) else audience
        if not good or self.client not in audience or float(claims.get("exp", 0)) < time.time():
            return None
        return dict(claims)

    def _is_signed(self, head: Mapping[str, str], text: bytes, signature: bytes) -> bool:
        if head["alg"] == "HS256" and head["kid"] == self.client:
            made = hmac.new(self.secret.encode(), text, hashlib.sha256).digest()
            return hmac.compare_digest(made, signature)
        key = self.keys[head["kid"]]
        if head["alg"] != "RS256":
            return False
        modulus = int.from_bytes(_decode(key["n"]), "big")
        size = (modulus.bit_length() + 7) // 8
        number = pow(
            int.from_bytes(signature, "big"), int.from_bytes(_decode(key["e"]), "big"), modulus
        )
        digest = _SHA256 + hashlib.sha256(text).digest()
        padding = b"\xff" * (size - len(digest) - 3)
        return number.to_bytes(size, "big") == b"\x00\x01" + padding + b"\x00" + digest


def _fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.loads(answer.read())


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _error(status: int, code: str) -> Answer:
    body = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>".encode()
    return Answer(status, body, {"Content-Type": "application/xml"})
