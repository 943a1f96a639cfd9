"""The login method of people at the platform's own secret server: compared, made, taken away.

A method that somebody else made is never touched: ours is known by its description, which also has
an id of the client's secret that was set last, as the server gives that secret back to nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from hvac.exceptions import InvalidPath, InvalidRequest

from installer.adapters.vault_client import Call
from installer.adapters.vault_problems import ServerName
from installer.adapters.vault_session import VaultSession
from installer.core.errors import Problem, Remedy, SecretStoreError
from installer.core.secrets import Secret
from installer.core.sign_in import SignIn


class VaultSignIn:
    """Compares and configures under the login of the session."""

    def __init__(self, session: VaultSession) -> None:
        self._session = session

    def lacks(self, wanted: SignIn, client: Secret, roots: str) -> tuple[str, ...]:
        """What of it is not there, in words.

        Raises:
            SecretStoreError: `vault.sign_in_taken`, the method is somebody else's.
        """
        return tuple(self._differences(wanted, client, roots))

    def configure(self, wanted: SignIn, client: Secret, roots: str) -> None:
        """Make what is not there; the client's secret and the authority are written each time.

        Raises:
            SecretStoreError: `vault.sign_in_taken`; `vault.sign_in_refused`, the server does not
                reach the provider or does not take what it says.
        """
        path = f"auth/{wanted.method}"
        if self._description(wanted.method, wanted.mark) is None:
            body = {"type": wanted.type, "description": wanted.mark}
            self._ask(Call("POST", f"sys/{path}", body))
        for name, text in wanted.policies.items():
            self._ask(Call("POST", f"sys/policies/acl/{name}", {"policy": text}))
        body = {**_config(wanted, roots), "oidc_client_secret": client.reveal()}
        call = Call("POST", f"{path}/config", body)
        try:
            self._session.ask(call)
        except InvalidRequest as error:
            said = self._session.client.words_of(error, {"oidc_client_secret": client.reveal()})
            raise SecretStoreError(_refused(self._session.server, said)) from error
        except InvalidPath as error:
            raise self._session.client.rejected(error, call) from error
        for name, role in wanted.roles.items():
            self._ask(Call("POST", f"{path}/role/{name}", dict(role)))
        # the last one: it says that all of the above was done with this secret
        body = {"description": _described(wanted, client)}
        self._ask(Call("POST", f"sys/{path}/tune", body))

    def is_there(self, method: str, mark: str) -> bool:
        """Whether a method of ours is."""
        found = self._find(method)
        return found is not None and found.startswith(mark)

    def remove(self, method: str, mark: str, prefix: str) -> None:
        """Take our method away; who is logged in by it is no more. Its policies go with it.

        Args:
            method: Path below `auth/`.
            mark: Begins its description.
            prefix: Begins the names of policies that are ours.
        """
        if not self.is_there(method, mark):
            return
        roles = self._data(Call("LIST", f"auth/{method}/role")).get("keys") or []
        policies: set[str] = set()
        for role in roles:
            found = self._data(Call("GET", f"auth/{method}/role/{role}")).get("token_policies")
            policies |= {str(name) for name in found or []}
        self._ask(Call("DELETE", f"sys/auth/{method}"))
        for name in sorted(policies):
            if name.startswith(prefix):
                self._ask(Call("DELETE", f"sys/policies/acl/{name}"))

    def _differences(self, wanted: SignIn, client: Secret, roots: str) -> Iterator[str]:
        path = f"auth/{wanted.method}"
        description = self._description(wanted.method, wanted.mark)
        if description is None:
            yield f"login method {path}"
            return
        if description != _described(wanted, client):
            yield f"secret of the client of {path}"
        for name, text in wanted.policies.items():
            found = self._data(Call("GET", f"sys/policies/acl/{name}")).get("policy")
            if not isinstance(found, str) or found.strip() != text.strip():
                yield f"policy {name}"
        if not _holds(self._data(Call("GET", f"{path}/config")), _config(wanted, roots)):
            yield f"configuration of {path}"
        for name, role in wanted.roles.items():
            if not _holds(self._data(Call("GET", f"{path}/role/{name}")), role):
                yield f"role {name} of {path}"
        if not self._address(wanted):
            yield f"an address to log in at by {path}"

    def _address(self, wanted: SignIn) -> object:
        """Where the server sends somebody who wants to log in; empty when it does not know."""
        path, body = wanted.probe
        call = Call("POST", f"auth/{wanted.method}/{path}", dict(body))
        try:
            return self._data(call).get("auth_url")
        except SecretStoreError:
            return None

    def _description(self, method: str, mark: str) -> str | None:
        found = self._find(method)
        if found is not None and not found.startswith(mark):
            raise SecretStoreError(_taken(self._session.server, f"auth/{method}"))
        return found

    def _find(self, method: str) -> str | None:
        found = self._data(Call("GET", "sys/auth")).get(f"{method}/")
        return str(found.get("description") or "") if isinstance(found, Mapping) else None

    def _ask(self, call: Call) -> dict[str, Any]:
        try:
            return self._session.ask(call)
        except (InvalidPath, InvalidRequest) as error:
            raise self._session.client.rejected(error, call) from error

    def _data(self, call: Call) -> Mapping[str, Any]:
        """The data of an answer; empty when there is nothing at the path."""
        try:
            data = self._session.ask(call).get("data")
        except InvalidPath:
            return {}
        except InvalidRequest as error:
            raise self._session.client.rejected(error, call) from error
        return data if isinstance(data, Mapping) else {}


def _config(wanted: SignIn, roots: str) -> dict[str, Any]:
    return {**wanted.config, "oidc_discovery_ca_pem": roots}


def _described(wanted: SignIn, client: Secret) -> str:
    """Eight digits of a hash give nothing of a long random value away."""
    made = hashlib.sha256(f"{wanted.mark}\n{client.reveal()}".encode()).hexdigest()[:8]
    return f"{wanted.mark}; client secret {made}"


def _holds(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(found.get(name) == value for name, value in wanted.items())


def _refused(name: ServerName, said: str) -> Problem:
    """It does not take the identity provider; `said` is redacted by the caller."""
    return Problem(
        "vault.sign_in_refused",
        f"the secret server {name.text} does not take the identity provider for logins: {said}",
        Remedy(
            "look whether the identity provider answers at its public name, and what the server's"
            " log says, then run again",
            (f"docker compose logs --tail 20 {name.text}",),
        ),
        where="vault.single_sign_on",
    )


def _taken(name: ServerName, path: str) -> Problem:
    """Somebody else made it."""
    return Problem(
        "vault.sign_in_taken",
        f"the secret server {name.text} has a login method at {path} that is not ours;"
        " it was left untouched",
        Remedy("remove it with a root token, or write vault.single_sign_on: false"),
        where="vault.single_sign_on",
    )
