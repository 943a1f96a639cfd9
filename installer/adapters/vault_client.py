"""Requests to a Vault-compatible server with a token that is given, and what their failures mean.

400, 403 and 404 are for the caller, who knows what was asked; everything else leaves here as a
`SecretStoreError`. What the server says is passed on without anything that was sent to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests
from hvac.adapters import RawAdapter
from hvac.exceptions import (
    Forbidden,
    InternalServerError,
    InvalidPath,
    InvalidRequest,
    RateLimitExceeded,
    VaultDown,
    VaultError,
    VaultNotInitialized,
)

from installer.adapters.vault_problems import (
    ServerName,
    no_vault,
    not_initialised,
    rate_limited,
    sealed,
    standby,
    unexpected,
)
from installer.adapters.vault_transport import Address, Link, Pace, VaultHttp
from installer.adapters.vault_tunnel import TIMEOUT_S
from installer.core.errors import SecretStoreError
from installer.core.redaction import Redactor
from installer.core.secrets import Secret

_HEALTH = "sys/health?standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200"
_OWN_TOKEN = ("auth/token/lookup-self", "sys/internal/ui/mounts")
"""What answers a valid token and refuses any other: the first for tokens whose policies let them
look at themselves, as the default policy does; the second for all, on servers that have it."""
_ELECTION_S = 0.5
_PIECE = 64 * 1024
_STATUS_WORDS: Mapping[type[VaultError], str] = {
    InvalidRequest: "400 (bad request)",
    Forbidden: "403 (forbidden)",
    InvalidPath: "404 (not found)",
    InternalServerError: "500 (internal error)",
    VaultDown: "503 (out of service)",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request to `/v1/<path>`; `wrap_s` has its answer wrapped for that many seconds."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    wrap_s: int | None = None


class VaultClient:
    """One server.

    Raises, on making it:
        SecretStoreError: `vault.addr.plain`, `vault.ca`.
    """

    def __init__(self, link: Link, pace: Pace) -> None:
        self.pace = pace
        self._http = VaultHttp(link, pace)
        self._namespace = link.namespace if isinstance(link, Address) else None

    @property
    def server(self) -> ServerName:
        """How the server is called in messages."""
        return self._http.server

    def send(self, call: Call, token: Secret | None) -> dict[str, Any]:
        """The document of the answer, or {}; waits while the server elects its active node.

        Raises:
            Forbidden, InvalidPath, InvalidRequest: 403, 404, 400 of a Vault-compatible server.
            SecretStoreError: anything else that is not a success.
        """
        end = self.pace.monotonic() + self.pace.patience_s
        while True:
            try:
                return self._send_once(call, token)
            except (Forbidden, InvalidRequest, InvalidPath) as error:
                if error.json is None:
                    status = _STATUS_WORDS[type(error)]
                    raise SecretStoreError(no_vault(self.server, f"{status}, no JSON")) from error
                raise
            except VaultError as error:
                explained = self._explain(error, call)
                passing = explained.problems[0].code == "vault.standby"
                if not passing or self.pace.monotonic() + _ELECTION_S > end:
                    raise explained from error
            self.pace.sleep(_ELECTION_S)

    def is_known(self, token: Secret) -> bool:
        """Whether the server knows this token."""
        for path in _OWN_TOKEN:
            with suppress(Forbidden, InvalidPath, InvalidRequest):
                self.send(Call("GET", path), token)
                return True
        return False

    def download(self, path: str, token: Secret | None) -> Iterator[bytes]:
        """A body that is no document, in pieces of at most 64 KiB.

        Raises: as `send`; also while reading.
        """
        call = Call("GET", path)
        try:
            answer = self._adapter(token).get(f"/v1/{path}", stream=True)
            with answer:
                _check_status(answer, call)
                yield from answer.iter_content(_PIECE)
        except (Forbidden, InvalidPath, InvalidRequest):
            raise
        except VaultError as error:
            raise self._explain(error, call) from error
        except requests.RequestException as error:
            raise self._http.explain(error) from error

    def health(self) -> Mapping[str, Any]:
        """What the server says of itself to anybody; empty when it does not."""
        try:
            return self._send_once(Call("GET", _HEALTH), None)
        except (VaultError, SecretStoreError):
            return {}

    def rejected(self, error: VaultError, call: Call) -> SecretStoreError:
        """A refusal that the caller has no better words for."""
        status = _STATUS_WORDS.get(type(error), "a status of its own")
        said = self.words_of(error, call.body)
        return SecretStoreError(unexpected(self.server, status, call.path, said))

    def words_of(self, error: VaultError, body: Mapping[str, Any] | None) -> str:
        """The server's own words, without anything that it was sent; at most 500 characters."""
        sent = Redactor(Secret(text) for text in _texts_of(body))
        return sent.redact(" ".join(" ".join(error.errors or ()).split()))[:500]

    def close(self) -> None:
        """Close the connection; a further request opens another one."""
        self._http.close()

    def _send_once(self, call: Call, token: Secret | None) -> dict[str, Any]:
        wrap_ttl = f"{call.wrap_s}s" if call.wrap_s else None
        answer = self._adapter(token).request(
            call.method, f"/v1/{call.path}", json=call.body, wrap_ttl=wrap_ttl
        )
        _check_status(answer, call)
        if answer.status_code in (HTTPStatus.NO_CONTENT, HTTPStatus.ACCEPTED):
            return {}
        document = _document_of(answer)
        if document is None:
            raise SecretStoreError(no_vault(self.server, f"{answer.status_code} without JSON"))
        return document

    def _adapter(self, token: Secret | None) -> RawAdapter:
        return RawAdapter(
            base_uri=self._http.base_url,
            token=token.reveal() if token else "",
            timeout=TIMEOUT_S,
            session=self._http,
            namespace=self._namespace,
            allow_redirects=False,
            ignore_exceptions=True,  # statuses are read here: an answer may be anybody's
        )

    def _explain(self, error: VaultError, call: Call) -> SecretStoreError:
        """What a status means that is neither 400, 403 nor 404."""
        if isinstance(error, RateLimitExceeded):
            return SecretStoreError(rate_limited(self.server, self.pace.patience_s))
        if isinstance(error, VaultNotInitialized):
            return SecretStoreError(not_initialised(self.server))
        state = self.health()
        if state.get("initialized") is False:
            return SecretStoreError(not_initialised(self.server))
        if state.get("sealed") is True:
            return SecretStoreError(sealed(self.server))
        if state.get("standby") is True:
            return SecretStoreError(standby(self.server, None))
        return self.rejected(error, call)


def _check_status(answer: requests.Response, call: Call) -> None:
    """Raise what hvac calls this status, with the document that came with it as `json`."""
    if answer.ok:
        return
    document = _document_of(answer)
    said = document.get("errors") if document else None
    errors = [each for each in said if isinstance(each, str)] if isinstance(said, list) else None
    raise VaultError.from_status(
        answer.status_code, errors=errors, method=call.method, url=call.path, json=document
    )


def _document_of(answer: requests.Response) -> dict[str, Any] | None:
    try:
        document = answer.json()
    except requests.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _texts_of(body: object) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, Mapping):
        for value in body.values():
            yield from _texts_of(value)
    elif isinstance(body, list | tuple):
        for value in body:
            yield from _texts_of(value)
