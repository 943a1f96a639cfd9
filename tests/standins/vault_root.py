"""A new root token by a quorum of shares: Vault's endpoint without a login, and OpenBao's with one.

The token is answered masked with a one-time pad, or encrypted to a key.
"""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Any

import vault_pgp
from vault_core import decode_share, make_root_token
from vault_shamir import ShareError, WrongKeyError, combine, open_box
from vault_wire import Fault, random_text

if TYPE_CHECKING:
    from vault_core import Core


class RootAttempt:
    """One attempt at a time, in memory only."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.nonce = ""
        self.pad = ""
        self.key = b""
        self.given: list[bytes] = []

    @property
    def pad_length(self) -> int:
        """That of a token."""
        return len(self.core.token_prefix) + 24

    def status(self, *, pad: str = "", token: str = "", complete: bool = False) -> dict[str, Any]:
        """How far it is."""
        threshold = self.core.header["threshold"]
        return {
            "nonce": self.nonce, "started": bool(self.nonce) or complete, "required": threshold,
            "progress": threshold if complete else len(self.given), "complete": complete,
            "encoded_token": token, "encoded_root_token": token, "pgp_fingerprint": "",
            "otp": pad, "otp_length": self.pad_length,
        }  # fmt: skip

    def start(self, data: dict[str, Any]) -> dict[str, Any]:
        """Begin; the answer has the pad, once."""
        pad, key = str(data.get("otp") or ""), b""
        if data.get("pgp_key"):
            try:
                key = vault_pgp.decode_key(data["pgp_key"])
            except Fault as fault:
                raise Fault(400, f"error parsing PGP key: {fault.messages[0]}") from fault
        elif pad and len(pad) != self.pad_length:
            raise Fault(400, "OTP string has incorrect length")
        if self.nonce:
            raise Fault(400, "root generation already in progress for this namespace")
        self.nonce, self.given, self.key = str(uuid.uuid4()), [], key
        self.pad = "" if key else pad or random_text(self.pad_length)
        return self.status(pad=self.pad)

    def cancel(self) -> None:
        """Forget it."""
        self.nonce, self.pad, self.key, self.given = "", "", b"", []

    def update(self, data: dict[str, Any]) -> dict[str, Any]:
        """Take a share; the last one that is needed brings the token."""
        if not data.get("key"):
            raise Fault(400, "'key' must be specified in request body as JSON")
        share = decode_share(str(data["key"]))
        if not self.nonce:
            raise Fault(400, "no root generation in progress")
        if data.get("nonce") != self.nonce:
            text = f'nonce for this root generation operation is "{self.nonce}"'
            raise Fault(400, f"incorrect nonce supplied; {text}")
        if share in self.given:
            raise Fault(400, "given key has already been provided during this generation operation")
        self.given.append(share)
        if len(self.given) < self.core.header["threshold"]:
            return self.status()
        self._check()
        token, nonce = make_root_token(self.core).encode(), self.nonce
        hidden = self._hide(token)
        self.cancel()
        return {**self.status(token=hidden, complete=True), "nonce": nonce}

    def _check(self) -> None:
        shares, self.given = self.given, []
        aborted = "root generation aborted: unable to authenticate: unable to retrieve stored keys"
        try:
            key = shares[0] if len(shares) == 1 else combine(shares)
            open_box(key, base64.b64decode(self.core.header["keys"]))
        except (ShareError, WrongKeyError) as error:
            text = f"invalid key: failed to decrypt keys from storage: {error}"
            raise Fault(400, f"{aborted}: {text}") from error

    def _hide(self, token: bytes) -> str:
        if self.key:
            return base64.b64encode(vault_pgp.encrypt(self.key, token)).decode()
        masked = bytes(a ^ b for a, b in zip(token, self.pad.encode(), strict=True))
        return base64.b64encode(masked).decode().rstrip("=")
