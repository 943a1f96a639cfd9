"""authentik's OpenID Connect provider, as far as a client needs it for a login: discovery, keys,
authorization by the session, code and PKCE, tokens signed by RS256, userinfo.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import subprocess
import tempfile
import types
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from authentik_flow import Flows, names_of_groups
from authentik_store import Body, find_in
from standin import Answer, App, Request

PROVIDER = "authentik_providers_oauth2.oauth2provider"
APPLICATION = "authentik_core.application"
_MAPPING = "authentik_providers_oauth2.scopemapping"


class Oidc:
    """The endpoints below `/application/o/`; codes and tokens live in memory."""

    def __init__(self, flows: Flows) -> None:
        self.flows = flows
        self.codes: dict[str, Body] = {}
        self.tokens: dict[str, Body] = {}
        self.key = SigningKey()

    def add_routes(self, app: App) -> None:
        """Serve them."""
        base = "/application/o/"
        app.add("GET", f"{base}[^/]+/.well-known/openid-configuration", self.discovery)
        app.add("GET", f"{base}[^/]+/jwks/", lambda _: Answer(body={"keys": [self.key.jwk()]}))
        app.add("GET", f"{base}authorize/", self.authorize)
        app.add("POST", f"{base}token/", self.token)
        app.add("GET", f"{base}userinfo/", self.userinfo)

    def _application(self, slug: str) -> tuple[Body, Body] | None:
        objects = self.flows.store.read()
        found = next(find_in(objects, APPLICATION, {"slug": slug}), None)
        provider = objects.get((found or {}).get("provider") or "")
        return (found, provider) if found and provider else None

    def _by_client(self, client_id: str) -> tuple[Body, Body] | None:
        objects = self.flows.store.read()
        for application in find_in(objects, APPLICATION, {}):
            provider = objects.get(application.get("provider") or "")
            if provider and provider.get("client_id") == client_id:
                return application, provider
        return None

    def discovery(self, request: Request) -> Answer:
        slug = request.path.split("/")[3]
        if not self._application(slug):
            return Answer(404)
        base = base_url(request) + "/application/o"
        return Answer(body={
            "issuer": f"{base}/{slug}/",
            "authorization_endpoint": f"{base}/authorize/",
            "token_endpoint": f"{base}/token/",
            "userinfo_endpoint": f"{base}/userinfo/",
            "jwks_uri": f"{base}/{slug}/jwks/",
            "end_session_endpoint": f"{base}/{slug}/end-session/",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["plain", "S256"],
        })  # fmt: skip

    def authorize(self, request: Request) -> Answer:
        asked = request.query
        found = self._by_client(asked.get("client_id", ""))
        if found is None:
            return Answer(400, {"error": "Client ID Error"})
        application, provider = found
        wanted = asked.get("redirect_uri", "")
        if wanted not in [uri["url"] for uri in provider["redirect_uris"]]:
            return Answer(400, {"error": "Redirect URI Error"})
        user = self.flows.user_of(request)
        if user is None:
            back = request.path + "?" + urllib.parse.urlencode(asked)
            to = "/flows/-/default/authentication/?" + urllib.parse.urlencode({"next": back})
            return Answer(302, b"", {"Location": to})
        _, session = self.flows.session_of(request)
        if asked.get("response_type") != "code" or "authorization_code" not in (
            provider.get("grant_types") or []
        ):
            return _back(wanted, asked, error="unsupported_response_type")
        if not self.flows._allowed(application, session):
            self.flows.event(
                "authorize_denied", username=user["username"], client=provider["client_id"]
            )
            return Answer(403, {"error": "Permission denied"})
        code = secrets.token_urlsafe(24)
        self.codes[code] = {
            "provider": provider["pk"], "slug": application["slug"], "user": user["pk"],
            "redirect_uri": wanted, "nonce": asked.get("nonce"), "scope": asked.get("scope", ""),
            "challenge": asked.get("code_challenge"),
            "method": asked.get("code_challenge_method", "plain"), "base": base_url(request),
        }  # fmt: skip
        self.flows.event(
            "authorize_application", username=user["username"], client=provider["client_id"]
        )
        return _back(wanted, asked, code=code)

    def token(self, request: Request) -> Answer:
        form = dict(urllib.parse.parse_qsl(request.body.decode()))
        client, secret = client_of(request, form)
        found = self._by_client(client)
        if found is None or not is_client(found[1], secret):
            return Answer(401, {"error": "invalid_client"})
        kind = form.get("grant_type", "")
        if kind not in (found[1].get("grant_types") or []):
            return Answer(400, {"error": "unsupported_grant_type"})
        grant = self.codes.pop(form.get("code", ""), None)
        if kind == "refresh_token":
            grant = self.tokens.pop(form.get("refresh_token", ""), None)
        if grant is None or grant["provider"] != found[1]["pk"]:
            return Answer(400, {"error": "invalid_grant"})
        user = self.flows.store.first("authentik_core.user", pk=grant["user"])
        if not user or not user.get("is_active"):
            return Answer(400, {"error": "invalid_grant"})
        if kind == "authorization_code" and (
            form.get("redirect_uri") != grant["redirect_uri"]
            or not is_verifier(grant, form.get("code_verifier", ""))
        ):
            return Answer(400, {"error": "invalid_grant"})
        access = secrets.token_urlsafe(24)
        self.tokens[access] = grant
        now = int(self.flows.clock())
        issuer = f"{grant['base']}/application/o/{grant['slug']}/"
        claims = {
            **self.claims(grant), "iss": issuer, "aud": client, "iat": now, "exp": now + 600,
            **({"nonce": grant["nonce"]} if grant["nonce"] else {}),
        }  # fmt: skip
        answer = {
            "access_token": access, "token_type": "Bearer", "expires_in": 600,
            "id_token": self.key.sign(claims), "scope": grant["scope"],
        }  # fmt: skip
        if (
            "offline_access" in grant["scope"].split()
            and "refresh_token" in found[1]["grant_types"]
        ):
            answer["refresh_token"] = secrets.token_urlsafe(24)
            self.tokens[answer["refresh_token"]] = grant
        return Answer(body=answer)

    def claims(self, grant: Body) -> Body:
        """What the scopes that were asked for, and are mapped, say of the user."""
        objects = self.flows.store.read()
        user, provider = objects[grant["user"]], objects[grant["provider"]]
        view = types.SimpleNamespace(
            **{k: v for k, v in user.items() if k not in ("groups", "password")},
            groups=names_of_groups(objects, user),
        )
        claims: Body = {"sub": hashlib.sha256(user["pk"].encode()).hexdigest()}
        for pk in provider.get("property_mappings") or []:
            mapping = objects[pk]
            if mapping["scope_name"] not in grant["scope"].split():
                continue
            names: dict[str, Any] = {
                "request": types.SimpleNamespace(user=view),
                "ak_is_group_member": lambda user, name: name in user.groups,
            }
            exec(f"def handler():\n  {mapping['expression']}", names)  # noqa: S102 - as authentik does
            claims |= names["handler"]()
        return claims

    def userinfo(self, request: Request) -> Answer:
        grant = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if grant is None:
            return Answer(401, {"error": "invalid_token"})
        return Answer(body=self.claims(grant))


def _back(uri: str, asked: Mapping[str, str], **fields: str) -> Answer:
    query = urllib.parse.urlencode({**fields, "state": asked.get("state", "")})
    return Answer(302, b"", {"Location": f"{uri}?{query}"})


def base_url(request: Request) -> str:
    """Public address, as the edge says it."""
    host = request.headers.get("x-forwarded-host") or request.headers.get("host", "")
    return f"{request.headers.get('x-forwarded-proto', 'http')}://{host}"


def client_of(request: Request, form: Mapping[str, str]) -> tuple[str, str]:
    """Client id and secret, from the header or the form."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        name, _, secret = base64.b64decode(value).decode().partition(":")
        return urllib.parse.unquote(name), urllib.parse.unquote(secret)
    return form.get("client_id", ""), form.get("client_secret", "")


def is_client(provider: Body, secret: str) -> bool:
    """Whether a client is who it says; a public one has nothing to show (RFC 6749, 2.1)."""
    return provider.get("client_type") == "public" or provider.get("client_secret") == secret


def is_verifier(grant: Body, verifier: str) -> bool:
    """Whether a verifier belongs to the challenge (RFC 7636); none is needed without one."""
    if not grant["challenge"]:
        return True
    if grant["method"] == "plain":
        return bool(verifier == grant["challenge"])
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return bool(made.decode() == grant["challenge"])


class SigningKey:
    """An RSA key, by openssl; made when it is first needed."""

    def __init__(self) -> None:
        self._pem = b""

    def _key(self) -> bytes:
        if not self._pem:
            argv = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
            self._pem = subprocess.run(argv, check=True, capture_output=True).stdout
        return self._pem

    def jwk(self) -> Body:
        """The public part."""
        argv = ["openssl", "rsa", "-noout", "-modulus"]
        shown = subprocess.run(argv, input=self._key(), check=True, capture_output=True).stdout
        modulus = bytes.fromhex(shown.decode().strip().partition("=")[2])
        return {
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": "stand-in",
            "n": b64(modulus),
            "e": "AQAB",
        }

    def sign(self, claims: Body) -> str:
        """A JSON Web Token."""
        head = {"alg": "RS256", "typ": "JWT", "kid": "stand-in"}
        text = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "key.pem")
            path.touch(0o600)
            path.write_bytes(self._key())
            argv = ["openssl", "dgst", "-sha256", "-sign", str(path)]
            made = subprocess.run(argv, input=text.encode(), check=True, capture_output=True).stdout
        return f"{text}.{b64(made)}"


def b64(data: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
