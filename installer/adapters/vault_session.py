"""A login to a Vault-compatible server, and requests that say what they lack when refused.

A token that can be renewed is renewed, one that has ended is got anew where the login allows it,
and one that was made here is revoked on closing. No message ever holds a token or a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, VaultError

from installer.adapters.vault_client import Call, VaultClient
from installer.adapters.vault_problems import (
    ServerName,
    no_vault,
    permission,
    token_expired,
    token_refused,
)
from installer.adapters.vault_transport import Link, Pace
from installer.core.errors import SecretStoreError
from installer.core.secrets import Secret

_CAPABILITIES: Mapping[str, tuple[str, ...]] = {
    "GET": ("read",),
    "LIST": ("list",),
    "PUT": ("create", "update"),
    "POST": ("create", "update"),
    "DELETE": ("delete",),
}


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """A token that was given. `again` reads its reference once more when it has ended."""

    token: Secret
    again: Callable[[], Secret] | None = None


@dataclass(frozen=True, slots=True)
class RoleLogin:
    """A machine's login (AppRole)."""

    role_id: str
    secret_id: Secret
    mount: str = "approle"


@dataclass(frozen=True, slots=True)
class JwtLogin:
    """A token of an identity provider. `again` reads its reference once more for a new login."""

    role: str
    jwt: Secret
    mount: str = "jwt"
    again: Callable[[], Secret] | None = None


Login = TokenLogin | RoleLogin | JwtLogin


@dataclass(slots=True)
class _Grant:
    """A token in use; `ends` and `renew_at` are readings of the monotonic clock, None for never."""

    token: Secret
    ours: bool
    renewable: bool = False
    ends: float | None = None
    renew_at: float | None = None


class VaultSession:
    """Requests to one server under one login, which may be changed.

    Raises, on making it:
        SecretStoreError: `vault.addr.plain`, `vault.ca`.
    """

    def __init__(self, link: Link, login: Login | None = None, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self.client = VaultClient(link, self.pace)
        self._login = login
        self._grant: _Grant | None = None

    @property
    def server(self) -> ServerName:
        """How the server is called in messages."""
        return self.client.server

    def ask(self, call: Call, needs: tuple[str, ...] = ()) -> dict[str, Any]:
        """One request under the login; the document of the answer, or {}.

        `needs` are the capabilities on the path that it takes, when the method does not say.

        Raises:
            InvalidPath, InvalidRequest: 404, 400 of a Vault-compatible server.
            SecretStoreError: anything else that is not a success.
        """
        for last in (False, True):
            token = self._prepare()
            try:
                return self.client.send(call, token)
            except Forbidden as error:
                self._judge(error, call, needs, last=last)
        raise AssertionError("the second refusal is raised")

    def download(self, path: str) -> Iterator[bytes]:
        """A body that is no document, in pieces of at most 64 KiB.

        Raises:
            InvalidPath, InvalidRequest: 404, 400 of a Vault-compatible server.
            SecretStoreError: as `ask`; also while reading.
        """
        try:
            yield from self.client.download(path, self._prepare())
        except Forbidden as error:
            self._judge(error, Call("GET", path), (), last=True)

    def is_valid(self, token: Secret) -> bool:
        """Whether the server knows this token."""
        return _is_sendable(token) and self.client.is_known(token)

    def log_in(self, login: Login) -> None:
        """Use this login from now on; a token that was made by the one before is revoked.

        Raises:
            SecretStoreError: `vault.token_refused`.
        """
        self.log_out()
        self._login = login
        self._prepare()

    def log_out(self) -> None:
        """Revoke the token if it was made here, forget it otherwise."""
        grant, self._grant, self._login = self._grant, None, None
        if grant is not None and grant.ours:
            # It ends by itself soon; nothing is lost when the server is out of reach by now.
            with suppress(SecretStoreError, VaultError):
                self.client.send(Call("POST", "auth/token/revoke-self"), grant.token)

    def close(self) -> None:
        """Log out and close the connection."""
        self.log_out()
        self.client.close()

    def _prepare(self) -> Secret | None:
        """A token that is likely to be good: log in, renew, log in again. None without a login."""
        if self._login is None:
            return None
        now, grant = self.pace.monotonic(), self._grant
        if grant is None:
            grant = self._grant = self._make_grant(self._login)
        elif grant.ends is not None and now >= grant.ends:
            grant = self._replace(grant, self._login)
        elif grant.renewable and grant.renew_at is not None and now >= grant.renew_at:
            self._renew(grant)
        return grant.token

    def _judge(self, error: Forbidden, call: Call, needs: tuple[str, ...], *, last: bool) -> None:
        """Tell a token that has ended from one that lacks a capability; replace the first.

        Raises:
            SecretStoreError: `vault.permission`, `vault.token_expired`, `vault.token_refused`.
        """
        if self._login is None or self._grant is None:
            raise SecretStoreError(token_refused(self.server, "there is no login")) from error
        if last or self.client.is_known(self._grant.token):
            needs = needs or _CAPABILITIES[call.method]
            path = call.path.partition("?")[0]
            raise SecretStoreError(permission(self.server, path, needs)) from error
        self._replace(self._grant, self._login)

    def _replace(self, ended: _Grant, login: Login) -> _Grant:
        """Another token in place of one that has ended.

        Raises:
            SecretStoreError: `vault.token_expired`, there is none to be had.
        """
        again = _read_again(login, ended.token)
        if again is None:
            raise SecretStoreError(token_expired(self.server, "nothing gives another one"))
        try:
            self._grant, self._login = self._make_grant(again), again
        except SecretStoreError as refusal:
            if refusal.problems[0].code == "vault.token_refused":
                why = "the login that made it is not taken any more"
                raise SecretStoreError(token_expired(self.server, why)) from refusal
            raise
        return self._grant

    def _make_grant(self, login: Login) -> _Grant:
        if isinstance(login, TokenLogin):
            return self._look_up(login.token)
        if isinstance(login, RoleLogin):
            body = {"role_id": login.role_id, "secret_id": login.secret_id.reveal()}
        else:
            body = {"role": login.role, "jwt": login.jwt.reveal()}
        path = f"auth/{login.mount.strip('/')}/login"
        try:
            auth = self.client.send(Call("POST", path, body), None).get("auth")
        except (Forbidden, InvalidRequest, InvalidPath) as error:
            why = f"no login at {path}"
            if isinstance(error, InvalidRequest):
                why = self.client.words_of(error, body) or why
            raise SecretStoreError(token_refused(self.server, why)) from error
        if not isinstance(auth, Mapping) or not auth.get("client_token"):
            raise SecretStoreError(no_vault(self.server, f"{path} gives no token"))
        grant = _Grant(Secret(str(auth["client_token"])), ours=True)
        self._set_life(grant, auth.get("lease_duration"), auth.get("renewable"))
        return grant

    def _look_up(self, token: Secret) -> _Grant:
        if not _is_sendable(token):
            why = "the token has white space or characters that no token has"
            raise SecretStoreError(token_refused(self.server, why))
        grant = _Grant(token, ours=False)
        try:
            data = self.client.send(Call("GET", "auth/token/lookup-self"), token).get("data")
        except (Forbidden, InvalidPath) as error:
            # A token without the default policy may not even look at itself.
            if not self.client.is_known(token):
                why = "the token is not known; it is wrong, revoked or has expired"
                raise SecretStoreError(token_refused(self.server, why)) from error
        else:
            if not isinstance(data, Mapping):
                raise SecretStoreError(no_vault(self.server, "it describes no token"))
            self._set_life(grant, data.get("ttl"), data.get("renewable"))
        return grant

    def _set_life(self, grant: _Grant, ttl_s: object, renewable: object) -> None:
        """A `ttl_s` of 0 is without end. It is renewed after two thirds of its life."""
        grant.renewable = renewable is True
        grant.ends = grant.renew_at = None
        if isinstance(ttl_s, int) and ttl_s > 0:
            now = self.pace.monotonic()
            grant.ends, grant.renew_at = now + ttl_s, now + ttl_s * 2 / 3

    def _renew(self, grant: _Grant) -> None:
        call = Call("POST", "auth/token/renew-self", {})
        try:
            auth = self.client.send(call, grant.token).get("auth") or {}
        except (Forbidden, InvalidRequest, InvalidPath):
            grant.renewable = False  # it may not; it is used for as long as it lives
        except SecretStoreError as error:
            # A token at its longest life is refused with a status of 500.
            if error.problems[0].code != "vault.unexpected":
                raise
            grant.renewable = False
        else:
            self._set_life(grant, auth.get("lease_duration"), auth.get("renewable"))


def _read_again(login: Login, ended: Secret) -> Login | None:
    """The login to use after a token has ended; None when it would give the same token."""
    if isinstance(login, RoleLogin):
        return login
    if isinstance(login, JwtLogin):
        jwt = login.again() if login.again else login.jwt
        return JwtLogin(login.role, jwt, login.mount, login.again)
    token = login.again() if login.again else ended
    return None if token == ended else TokenLogin(token, login.again)


def _is_sendable(token: Secret) -> bool:
    """Whether it can be an HTTP header; the library would quote it in its complaint otherwise."""
    text = token.reveal()
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
