"""The JWT login: keys by configuration, roles with bound claims, tokens for signed statements.

Signatures (RS256, ES256) are verified by the program openssl; nothing is fetched from a network.
"""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vault_wire import (
    NOTHING,
    Call,
    Fault,
    Reply,
    not_found,
    seconds_of,
    strings_of,
    unsupported_operation,
    unsupported_path,
)

if TYPE_CHECKING:
    from vault_core import Core

LEEWAY_S = 150
"""What the real method allows a clock to be off."""
INVALID = "error validating token"
LISTS = ("bound_audiences", "token_policies", "token_bound_cidrs")
TIMES = ("token_ttl", "token_max_ttl", "token_period", "token_explicit_max_ttl")


class JwtLogin:
    """One mount of the method."""

    def __init__(self, store: dict[str, Any], core: Core) -> None:
        self.store = store
        self.roles: dict[str, dict[str, Any]] = store.setdefault("roles", {})
        self.core = core

    def exists(self, call: Call) -> bool:
        """Whether a write would be an update."""
        kind, _, name = call.rest.partition("/")
        return kind != "role" or name in self.roles

    def handle(self, call: Call) -> Reply:
        """`config`, `role/<name>` or `login`."""
        kind, _, name = call.rest.rstrip("/").partition("/")
        if kind == "login" and call.writes:
            return self._log_in(call)
        if kind == "config":
            return self._configure(call)
        if kind != "role":
            raise unsupported_path()
        if not name:
            return Reply({"keys": sorted(self.roles)})
        return self._role(call, name)

    def _configure(self, call: Call) -> Reply:
        if call.operation == "read":
            if "config" not in self.store:
                raise not_found()
            return Reply(self.store["config"])
        if not call.writes:
            raise unsupported_operation()
        keys = strings_of(call.data, "jwt_validation_pubkeys") or []
        for other in ("jwks_url", "jwks_pairs", "oidc_discovery_url", "provider_config"):
            if call.data.get(other):
                raise Fault(400, f"the stand-in fetches nothing: {other}")
        if not keys:
            text = "'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs', 'oidc_discovery_url'"
            raise Fault(400, f"exactly one of {text}, or 'provider_config' must be set")
        for key in keys:
            if "-----BEGIN PUBLIC KEY-----" not in key:
                text = "data does not contain any valid public keys"
                raise Fault(400, f"error parsing public key: {text}")
        self.store["config"] = {
            "jwt_validation_pubkeys": keys, "bound_issuer": call.data.get("bound_issuer", ""),
            "default_role": call.data.get("default_role", ""),
        }  # fmt: skip
        self.core.changed()
        return NOTHING

    def _role(self, call: Call, name: str) -> Reply:
        if call.operation == "read":
            if name not in self.roles:
                raise not_found()
            return Reply(self.roles[name])
        if call.operation == "delete":
            self.roles.pop(name, None)
        else:
            self.roles[name] = _read_role(call.data)
        self.core.changed()
        return NOTHING

    def _log_in(self, call: Call) -> Reply:
        name = call.data.get("role") or self.store.get("config", {}).get("default_role")
        if not name:
            raise Fault(400, "missing role")
        role = self.roles.get(name)
        if role is None:
            raise Fault(400, f'role "{name}" could not be found')
        if not call.data.get("jwt"):
            raise Fault(400, "missing token")
        claims = self._verify(str(call.data["jwt"]))
        self._check(claims, role)
        if role["user_claim"] not in claims:
            raise Fault(400, f'claim "{role["user_claim"]}" not found in token')
        who = str(claims[role["user_claim"]])
        return self.core.tokens.grant(
            call, role, display_name=f"{call.mount.split('/')[1]}-{who}", meta={"role": name},
            entity_id=str(uuid.uuid5(uuid.NAMESPACE_OID, who)),
        )  # fmt: skip

    def _verify(self, token: str) -> dict[str, Any]:
        where = f"{INVALID}: error verifying token signature"
        parts = token.split(".")
        if len(parts) != 3:
            raise Fault(400, f"{where}: go-jose/go-jose: compact JWS format must have three parts")
        try:
            header, claims = (json.loads(decode(part)) for part in parts[:2])
            signature = decode(parts[2])
        except ValueError as error:
            raise Fault(400, f"{where}: malformed token") from error
        signed = f"{parts[0]}.{parts[1]}".encode()
        keys = self.store.get("config", {}).get("jwt_validation_pubkeys", [])
        if not any(verified(key, header.get("alg"), signed, signature) for key in keys):
            text = "no known key successfully validated the token signature"
            raise Fault(400, f"{where}: {text}")
        return dict(claims)

    def _check(self, claims: dict[str, Any], role: dict[str, Any]) -> None:
        now = time.time()
        found = [claims.get(name) for name in ("exp", "nbf", "iat")]
        if not any(found):
            text = "no issued at (iat), not before (nbf), or expiration time (exp) claims in token"
            raise Fault(400, f"{INVALID}: {text}")
        issuer = self.store["config"]["bound_issuer"]
        audiences = claims.get("aud", [])
        audiences = audiences if isinstance(audiences, list) else [audiences]
        wanted = role["bound_audiences"]
        problems = {
            "invalid issuer (iss) claim": issuer and claims.get("iss") != issuer,
            "invalid subject (sub) claim": role["bound_subject"]
            and claims.get("sub") != role["bound_subject"],
            "invalid audience (aud) claim: audience claim does not match any expected audience": (
                (wanted or audiences) and not set(wanted) & set(audiences)
            ),
            "invalid expiration time (exp) claim: token is expired": found[0]
            and now > found[0] + LEEWAY_S,
            "invalid not before (nbf) claim: token not yet valid": found[1]
            and now < found[1] - LEEWAY_S,
        }
        for text, is_wrong in problems.items():
            if is_wrong:
                raise Fault(400, f"{INVALID}: {text}")
        self.check_bound_claims(claims, role)

    def check_bound_claims(self, claims: dict[str, Any], role: dict[str, Any]) -> None:
        """Refuse what has not every claim that the role is bound to, with one of its values."""
        for name, value in role["bound_claims"].items():
            if name not in claims:
                raise Fault(400, f'error validating claims: claim "{name}" is missing')
            allowed = value if isinstance(value, list) else [value]
            given = claims[name] if isinstance(claims[name], list) else [claims[name]]
            if not set(map(str, allowed)) & set(map(str, given)):
                text = f'claim "{name}" does not match any associated bound claim values'
                raise Fault(400, f"error validating claims: {text}")


def _read_role(data: dict[str, Any]) -> dict[str, Any]:
    if data.get("role_type", "jwt") != "jwt":
        raise Fault(400, f"the stand-in has roles of type jwt only, not {data['role_type']}")
    if not data.get("user_claim"):
        raise Fault(400, "a user claim must be defined on the role")
    role = {
        **{name: strings_of(data, name) or [] for name in LISTS},
        **{name: seconds_of(data, name) for name in TIMES},
        "role_type": "jwt", "user_claim": str(data["user_claim"]),
        "bound_subject": str(data.get("bound_subject") or ""),
        "bound_claims": data.get("bound_claims") or {},
        "token_num_uses": int(data.get("token_num_uses") or 0),
        "token_no_default_policy": bool(data.get("token_no_default_policy")),
    }  # fmt: skip
    bounds = ("bound_audiences", "bound_subject", "bound_claims", "token_bound_cidrs")
    if not any(role[name] for name in bounds):
        raise Fault(400, "must have at least one bound constraint when creating/updating a role")
    return role


def decode(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def verified(key: str, algorithm: str, signed: bytes, signature: bytes) -> bool:
    if algorithm not in ("RS256", "ES256"):
        return False
    if algorithm == "ES256":
        signature = _to_der(signature)
    with tempfile.TemporaryDirectory(prefix="jwt-") as folder:
        Path(folder, "key").write_text(key)
        Path(folder, "signature").write_bytes(signature)
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", f"{folder}/key", "-signature",
             f"{folder}/signature"],
            input=signed, capture_output=True, check=False,
        )  # fmt: skip
    return done.returncode == 0


def _to_der(signature: bytes) -> bytes:
    """The two numbers of an ES256 signature (RFC 7518, section 3.4) as ASN.1 has them."""

    def number(part: bytes) -> bytes:
        value = part.lstrip(b"\0") or b"\0"
        value = b"\0" + value if value[0] & 0x80 else value
        return bytes([2, len(value)]) + value

    body = number(signature[:32]) + number(signature[32:])
    return bytes([0x30, len(body)]) + body
