"""The OIDC login: a provider found by its discovery document, roles that people log in to, an
address to begin at, and a callback that exchanges the code. TLS to the provider is verified.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any

from vault_jwt import LEEWAY_S, LISTS, TIMES, JwtLogin, decode, verified
from vault_wire import (
    NOTHING,
    Call,
    Fault,
    Reply,
    not_found,
    seconds_of,
    strings_of,
    unsupported_operation,
)

if TYPE_CHECKING:
    from vault_core import Core

CONFIG = ("oidc_discovery_url", "oidc_discovery_ca_pem", "oidc_client_id", "default_role")
ROLE_LISTS = (*LISTS, "allowed_redirect_uris", "oidc_scopes")
ROLE_TEXTS = ("user_claim", "groups_claim", "bound_subject")
KNOWN = {
    *ROLE_LISTS, *ROLE_TEXTS, *TIMES, "role_type", "bound_claims", "claim_mappings",
    "token_num_uses", "token_no_default_policy",
}  # fmt: skip
FAILED = "OpenBao login failed."
LIFE_S = 600
LOOPBACK = ("localhost", "127.0.0.1", "::1")
PENDING: dict[str, dict[str, Any]] = {}
"""Logins that were begun, by state; as the real one, only in memory."""


class OidcLogin(JwtLogin):
    """One mount of the method."""

    def __init__(self, store: dict[str, Any], core: Core) -> None:
        super().__init__(store, core)

    def handle(self, call: Call) -> Reply:
        """`config`, `role/<name>`, `oidc/auth_url` or `oidc/callback`."""
        kind = call.rest.rstrip("/")
        if kind == "oidc/auth_url":
            if not call.writes:
                raise unsupported_operation()
            return self._begin(call)
        if kind == "oidc/callback":
            if call.operation != "read":
                raise unsupported_operation()
            return self._finish(call)
        if kind == "login":
            raise Fault(400, "role with oidc role_type is not allowed")
        return super().handle(call)

    def _configure(self, call: Call) -> Reply:
        if call.operation == "read":
            if "config" not in self.store:
                raise not_found()
            return Reply({k: v for k, v in self.store["config"].items() if "secret" not in k})
        if not call.writes:
            raise unsupported_operation()
        known = {*CONFIG, "oidc_client_secret"}
        if unknown := sorted(call.data.keys() - known):
            raise Fault(400, f"the stand-in does not know {', '.join(unknown)}")
        made = {name: str(call.data.get(name) or "") for name in known}
        if not made["oidc_discovery_url"]:
            text = "'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs', 'oidc_discovery_url'"
            raise Fault(400, f"exactly one of {text}, or 'provider_config' must be set")
        if bool(made["oidc_client_id"]) != bool(made["oidc_client_secret"]):
            raise Fault(400, "both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC")
        if ".well-known/openid-configuration" in made["oidc_discovery_url"]:
            raise Fault(400, "'oidc_discovery_url' contains '.well-known' component")
        try:
            _discover(made)
        except (OSError, ValueError, KeyError) as error:
            raise Fault(400, "error checking oidc discovery URL") from error
        self.store["config"] = made
        self.core.changed()
        return NOTHING

    def _role(self, call: Call, name: str) -> Reply:
        if not call.writes:
            return super()._role(call, name)
        self.roles[name] = _read_role(call.data)
        self.core.changed()
        return NOTHING

    def _begin(self, call: Call) -> Reply:
        config = self.store.get("config")
        if config is None:
            raise Fault(400, "could not load configuration")
        name = str(call.data.get("role") or config["default_role"])
        if not name:
            raise Fault(400, "missing role")
        role = self.roles.get(name)
        if role is None:
            raise Fault(400, f'role "{name}" could not be found')
        wanted = str(call.data.get("redirect_uri") or "")
        if not wanted:
            raise Fault(400, "missing redirect_uri")
        if not any(_is_same(wanted, uri) for uri in role["allowed_redirect_uris"]):
            return Reply({"auth_url": ""})  # the real one tells only its log
        state, nonce, verifier = (secrets.token_urlsafe(24) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        asked = {
            "client_id": config["oidc_client_id"], "redirect_uri": wanted, "response_type": "code",
            "scope": " ".join(["openid", *role["oidc_scopes"]]), "state": state, "nonce": nonce,
            "code_challenge": challenge.rstrip(b"=").decode(), "code_challenge_method": "S256",
        }  # fmt: skip
        try:
            start = _discover(config)["authorization_endpoint"]
        except (OSError, ValueError, KeyError) as error:
            raise Fault(500, "internal error") from error
        PENDING[state] = {
            "role": name, "nonce": nonce, "verifier": verifier, "redirect_uri": wanted,
            "ends": time.monotonic() + LIFE_S,
        }  # fmt: skip
        return Reply({"auth_url": f"{start}?{urllib.parse.urlencode(asked)}"})

    def _finish(self, call: Call) -> Reply:
        begun = PENDING.pop(call.query.get("state", ""), None)
        if begun is None or begun["ends"] < time.monotonic():
            raise Fault(400, f"{FAILED} Expired or missing OAuth state.")
        role, config = self.roles.get(begun["role"]), self.store["config"]
        if role is None:
            raise Fault(400, f"{FAILED} Role could not be found")
        if call.query.get("error"):
            raise Fault(400, f"{FAILED} {call.query['error']}")
        if not call.query.get("code"):
            raise Fault(400, f"{FAILED} No code or id_token received.")
        try:
            provider = _discover(config)
            token = _exchange(config, provider, begun, call.query["code"])
            claims = _verify_token(config, provider, token)
        except (OSError, ValueError, KeyError) as error:
            raise Fault(400, f'{FAILED} Error exchanging oidc code: "{error}".') from error
        self._judge(config, role, claims, begun["nonce"])
        who = str(claims[role["user_claim"]])
        meta = {"role": begun["role"]}
        for claim, name in role["claim_mappings"].items():
            if claim in claims:
                meta[name] = str(claims[claim])
        return self.core.tokens.grant(
            call, role, display_name=f"{call.mount.split('/')[1]}-{who}", meta=meta,
            entity_id=str(uuid.uuid5(uuid.NAMESPACE_OID, who)),
        )  # fmt: skip

    def _judge(
        self, config: dict[str, Any], role: dict[str, Any], claims: dict[str, Any], nonce: str
    ) -> None:
        audiences = claims.get("aud", [])
        audiences = audiences if isinstance(audiences, list) else [audiences]
        problems = {
            "invalid issuer": claims.get("iss") != config["oidc_discovery_url"],
            "invalid audiences": config["oidc_client_id"] not in audiences,
            "invalid nonce": claims.get("nonce") != nonce,
            "token is expired": time.time() > float(claims.get("exp") or 0) + LEEWAY_S,
        }
        for text, is_wrong in problems.items():
            if is_wrong:
                raise Fault(400, f"{FAILED} Error exchanging oidc code: {text!r}.")
        if role["bound_audiences"] and not set(role["bound_audiences"]) & set(audiences):
            text = "audience claim does not match any bound audience"
            raise Fault(400, f"error validating claims: {text}")
        self.check_bound_claims(claims, role)
        if role["user_claim"] not in claims:
            raise Fault(400, f'claim "{role["user_claim"]}" not found in token')


def _read_role(data: dict[str, Any]) -> dict[str, Any]:
    if unknown := sorted(data.keys() - KNOWN):
        raise Fault(400, f"the stand-in does not know {', '.join(unknown)}")
    if data.get("role_type", "oidc") != "oidc":
        raise Fault(400, f"the stand-in has roles of type oidc here, not {data['role_type']}")
    if not data.get("user_claim"):
        raise Fault(400, "a user claim must be defined on the role")
    if not data.get("allowed_redirect_uris"):
        text = "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified."
        raise Fault(400, text)
    return {
        **{name: strings_of(data, name) or [] for name in ROLE_LISTS},
        **{name: seconds_of(data, name) for name in TIMES},
        **{name: str(data.get(name) or "") for name in ROLE_TEXTS},
        "role_type": "oidc", "bound_claims": data.get("bound_claims") or {},
        "claim_mappings": data.get("claim_mappings") or {},
        "token_num_uses": int(data.get("token_num_uses") or 0),
        "token_no_default_policy": bool(data.get("token_no_default_policy")),
    }  # fmt: skip


def _is_same(given: str, allowed: str) -> bool:
    """The port of a loopback address is left to the client (RFC 8252, section 7.3)."""
    if given == allowed:
        return True
    one, other = urllib.parse.urlsplit(given), urllib.parse.urlsplit(allowed)
    alike = (one.scheme, one.hostname, one.path) == (other.scheme, other.hostname, other.path)
    return alike and one.hostname in LOOPBACK


def _discover(config: dict[str, Any]) -> dict[str, Any]:
    issuer = config["oidc_discovery_url"]
    found = _ask(config, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if found.get("issuer") != issuer:
        raise ValueError(f"issuer did not match: {issuer!r} and {found.get('issuer')!r}")
    return found


def _exchange(
    config: dict[str, Any], provider: dict[str, Any], begun: dict[str, Any], code: str
) -> str:
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": begun["redirect_uri"],
        "code_verifier": begun["verifier"],
    }  # fmt: skip
    names = (config["oidc_client_id"], config["oidc_client_secret"])
    basic = base64.b64encode(":".join(map(urllib.parse.quote, names)).encode()).decode()
    answer = _ask(config, provider["token_endpoint"], form, {"Authorization": f"Basic {basic}"})
    return str(answer["id_token"])


def _verify_token(config: dict[str, Any], provider: dict[str, Any], token: str) -> dict[str, Any]:
    head, body, signature = token.split(".")
    keys = _ask(config, provider["jwks_uri"])["keys"]
    algorithm = json.loads(decode(head)).get("alg")
    signed = f"{head}.{body}".encode()
    if not any(verified(_pem(key), algorithm, signed, decode(signature)) for key in keys):
        raise ValueError("failed to verify signature")
    return dict(json.loads(decode(body)))


def _ask(
    config: dict[str, Any], url: str, form: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    if not url.startswith("https://"):
        raise ValueError(f"no https: {url}")
    pem = config["oidc_discovery_ca_pem"]
    context = ssl.create_default_context(cadata=pem or None)
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(url, data, headers or {})
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return dict(json.load(answer))


def _pem(key: dict[str, str]) -> str:
    """An RSA key of a key set (RFC 7518, section 6.3) as PEM, by openssl's own writer of ASN.1."""
    numbers = [int.from_bytes(decode(key[name])) for name in ("n", "e")]
    text = "\n".join([
        "asn1=SEQUENCE:key", "[key]", "algorithm=SEQUENCE:algorithm", "key=BITWRAP,SEQUENCE:rsa",
        "[algorithm]", "name=OID:rsaEncryption", "parameters=NULL", "[rsa]",
        *(f"{name}=INTEGER:{hex(number)}" for name, number in zip("ne", numbers, strict=True)), "",
    ])  # fmt: skip
    argv = ["openssl", "asn1parse", "-genconf", "/dev/stdin", "-noout", "-out", "/dev/stdout"]
    der = subprocess.run(argv, input=text.encode(), capture_output=True, check=True).stdout
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}-----END PUBLIC KEY-----\n"
