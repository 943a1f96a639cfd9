"""Requests to one Vault-compatible server: verified TLS, patience with rate limits, no redirects.

Failures of the connection leave here as `SecretStoreError`; HTTP statuses are for the caller. A
redirect is never followed: it would carry the token to another address.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NameResolutionError

from installer.adapters.vault_problems import (
    ServerName,
    plain_address,
    standby,
    unreachable,
    untrusted,
    unusable_ca_file,
)
from installer.adapters.vault_tunnel import TIMEOUT_S, TunnelAdapter
from installer.core.errors import SecretStoreError
from installer.core.fields_hosts import is_loopback
from installer.ports import ByteStream

_SECONDS = re.compile(r"\d{1,6}", re.ASCII)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LIMITED = 429


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the server is waited for, and by which clock.

    Attributes:
        patience_s: Seconds in which a rate limit or the election of an active node must pass.
    """

    patience_s: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Address:
    """A server that this machine connects to.

    Attributes:
        url: `https://host[:port]`.
        ca_file: PEM file with the only CA that is trusted; the system's CAs when None.
        namespace: Sent with every request (Vault Enterprise, OpenBao).
        plain_here: Take `http://` to a loopback address of this machine, which was confirmed.
    """

    url: str
    ca_file: Path | None = None
    namespace: str | None = None
    plain_here: bool = False


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A server that a byte stream leads to.

    Attributes:
        dial: Opens a stream to its TLS port.
        ca_pem: The only CA that is trusted.
        server_name: The name that its certificate must have; its service.
    """

    dial: Callable[[], ByteStream]
    ca_pem: str
    server_name: str = "vault"


Link = Address | Tunnel


def name_of(link: Link) -> ServerName:
    """The server as messages call it, without any credentials that were put into an address."""
    if isinstance(link, Tunnel):
        return ServerName(link.server_name, bundled=True)
    parts = urlsplit(link.url)
    host = parts.netloc.rpartition("@")[2]
    return ServerName(f"{parts.scheme}://{host}" if parts.scheme else host or "?", bundled=False)


class VaultHttp(requests.Session):
    """A `requests` session to one server.

    Raises, on making it:
        SecretStoreError: `vault.addr.plain`, `vault.ca` (the CA cannot be read).
    """

    def __init__(self, link: Link, pace: Pace) -> None:
        super().__init__()
        self.server = name_of(link)
        self.auth = _as_it_is  # keeps `requests` from looking into ~/.netrc
        self._pace = pace
        self._answered = False
        if isinstance(link, Tunnel):
            self.trust_env = False  # proxies are for the network
            self.base_url = f"https://{link.server_name}"
            context = _tunnel_context(link, self.server)
            self.mount("https://", TunnelAdapter(link.dial, context, link.server_name))
        else:
            self.base_url = link.url.rstrip("/")
            if link.plain_here and _is_plain_here(link.url):
                self.trust_env = False  # a proxy would carry the token off this machine
            elif urlsplit(link.url).scheme != "https":
                raise SecretStoreError(plain_address(self.server))
            if link.ca_file is not None:
                _check_ca_file(link.ca_file)
                self.verify = str(link.ca_file)

    def request(self, method: str | bytes, url: str | bytes, **named: Any) -> requests.Response:  # type: ignore[override]
        """One request; again while the server limits the rate, for as long as there is patience.

        Raises:
            SecretStoreError: `vault.unreachable`, `vault.ca`, `vault.standby` (a redirect).
        """
        named["allow_redirects"] = False
        end = self._pace.monotonic() + self._pace.patience_s
        while True:
            answer = self._exchange(method, url, named)
            if answer.status_code != _LIMITED:
                return answer
            wait_s = _wait_s(answer)
            if self._pace.monotonic() + wait_s > end:
                return answer
            answer.close()
            self._pace.sleep(wait_s)

    def _exchange(
        self, method: str | bytes, url: str | bytes, named: dict[str, Any]
    ) -> requests.Response:
        try:
            answer = self._send_twice(method, url, named)
        except requests.RequestException as error:
            raise self.explain(error) from error
        self._answered = True
        if answer.status_code in _REDIRECTS:
            answer.close()
            to = urlsplit(answer.headers.get("Location", ""))
            active = f"{to.scheme}://{to.hostname}:{to.port}" if to.hostname else None
            raise SecretStoreError(standby(self.server, active))
        return answer

    def _send_twice(
        self, method: str | bytes, url: str | bytes, named: dict[str, Any]
    ) -> requests.Response:
        """Once more over a new connection when one that worked before is dead or breaks off.

        Every request of ours may arrive twice: writes carry the version they replace, the rest
        states what is wanted.
        """
        try:
            return super().request(method, url, **named)
        except (requests.exceptions.SSLError, requests.Timeout):
            raise
        except requests.ConnectionError:
            if not self._answered:
                raise
        except requests.exceptions.ChunkedEncodingError:
            pass  # it began to answer
        self._answered = False
        return super().request(method, url, **named)

    def explain(self, error: requests.RequestException) -> SecretStoreError:
        """The same as an error of ours."""
        for cause in causes_of(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return SecretStoreError(untrusted(self.server, cause.verify_message))
        return SecretStoreError(unreachable(self.server, _reason(error)))


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """The error and every one that led to it, the nearest first."""
    waiting, seen = [error], set[int]()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        reason = getattr(current, "reason", None)
        causes = (current.__cause__, current.__context__, reason, *current.args)
        waiting += [cause for cause in causes if isinstance(cause, BaseException)]


def _reason(error: requests.RequestException) -> str:
    """Why, in words that hold nothing of the request."""
    causes = tuple(causes_of(error))
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT_S} s"
    if any(isinstance(cause, NameResolutionError) for cause in causes):
        return "its name does not resolve"
    spoken = [cause for cause in causes if isinstance(cause, ssl.SSLError)]
    if spoken:
        return f"it does not speak TLS as wanted ({spoken[0].reason or 'handshake failed'})"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy of this machine does not connect to it"
    said = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if said:
        return said[0].lower()
    return "its address is not one" if isinstance(error, ValueError) else "the connection ended"


def _wait_s(answer: requests.Response) -> float:
    """Seconds that a rate limit asks for (`Retry-After`, RFC 9110, 10.2.3); 1 when it does not."""
    asked = answer.headers.get("Retry-After", "").strip()
    return float(max(int(asked), 1)) if _SECONDS.fullmatch(asked) else 1.0


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _is_plain_here(url: str) -> bool:
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    return parts.scheme == "http" and (host == "localhost" or is_loopback(host))


def _tunnel_context(link: Tunnel, server: ServerName) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=link.ca_pem)
    except ssl.SSLError as error:
        raise SecretStoreError(untrusted(server, "its CA is no PEM certificate")) from error


def _check_ca_file(path: Path) -> None:
    try:
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError as error:
        raise SecretStoreError(unusable_ca_file(str(path), "it is no PEM certificate")) from error
    except OSError as error:
        why = (error.strerror or "it cannot be read").lower()
        raise SecretStoreError(unusable_ca_file(str(path), why)) from error
