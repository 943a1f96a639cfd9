"""Names and HTTP as this machine sees them: `SystemResolver` and `TlsHttpProbe`.

Certificates are always verified, by the system's roots and those given; no redirect is followed and
no proxy used, because a probe has to see what the address itself answers.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import idna

from installer.core.errors import Problem, Remedy, TlsError, VerifyError
from installer.ports import HttpRequest, HttpResponse

BODY_LIMIT = 1024 * 1024
"""Bytes of a body that are kept; what comes after them is not read."""

_PIECE = 64 * 1024
# Numbers of X509_verify_cert_error, from OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED = 9, 10
_NAME_MISMATCHES = frozenset({62, 64})
_UNTRUSTED = frozenset({18, 19, 20, 21, 27})


class SystemResolver:
    """The resolver of this machine (hosts file, DNS, whatever it is set up for)."""

    def addresses(self, name: str) -> tuple[str, ...]:
        """IPv4 and IPv6 addresses of a name; empty when nobody knows it."""
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            return ()
        return tuple(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a request goes, and under which name."""

    url: str
    name: str
    address: str
    port: int
    encrypted: bool
    path: str

    @property
    def host_header(self) -> str:
        """Authority without the scheme's default port (RFC 9110, section 7.2)."""
        default = self.port == (443 if self.encrypted else 80)
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if default else f"{name}:{self.port}"


class TlsHttpProbe:
    """One GET per call; the port `HttpProbe`."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Ask once, within `timeout_s` altogether.

        Raises:
            TlsError: the certificate does not verify for the name, or no TLS can be agreed on.
            VerifyError: nothing answers there, in time, or in HTTP.
        """
        target = _target(request)
        deadline = time.monotonic() + request.timeout_s
        with _translated(target), closing(_connect(target, request, deadline)) as stream:
            version = stream.version() if isinstance(stream, ssl.SSLSocket) else None
            return _exchange(target, stream, deadline, version)


def _target(request: HttpRequest) -> _Target:
    parts = urlsplit(request.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an http or https URL: {request.url!r}")
    encrypted = parts.scheme == "https"
    name = parts.hostname
    if not name.isascii():
        name = idna.encode(name, uts46=True).decode()
    return _Target(
        url=request.url,
        name=name,
        address=request.address or name,
        port=parts.port or (443 if encrypted else 80),
        encrypted=encrypted,
        path=_path(parts),
    )


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _connect(target: _Target, request: HttpRequest, deadline: float) -> socket.socket:
    raw = socket.create_connection((target.address, target.port), timeout=_left(deadline))
    if not target.encrypted:
        return raw
    try:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if request.roots_pem is not None:
            context.load_verify_locations(cadata=request.roots_pem.decode("ascii"))
            # What was given may be an authority below a root, and is trusted all the same.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        raw.settimeout(_left(deadline))
        return context.wrap_socket(raw, server_hostname=target.name)
    except BaseException:
        raw.close()
        raise


def _exchange(
    target: _Target, stream: socket.socket, deadline: float, version: str | None
) -> HttpResponse:
    connection = http.client.HTTPConnection(target.name, target.port)
    connection.sock = stream
    stream.settimeout(_left(deadline))
    connection.putrequest("GET", target.path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", target.host_header)
    connection.putheader("Accept", "*/*")
    connection.putheader("User-Agent", "devplat-install")
    connection.putheader("Connection", "close")
    connection.endheaders()
    with closing(connection.getresponse()) as response:
        headers: dict[str, str] = {}
        for key, value in response.getheaders():
            name = key.lower()
            # Cookies hold commas of their own, so that theirs are kept apart by lines.
            glue = "\n" if name == "set-cookie" else ", "
            headers[name] = f"{headers[name]}{glue}{value}" if name in headers else value
        body = _read_body(response, stream, deadline)
        return HttpResponse(response.status, headers, body, version)


def _read_body(response: http.client.HTTPResponse, stream: socket.socket, deadline: float) -> bytes:
    body = bytearray()
    while len(body) < BODY_LIMIT:
        stream.settimeout(_left(deadline))
        piece = response.read1(min(_PIECE, BODY_LIMIT - len(body)))
        if not piece:
            if response.length:  # what was announced and did not come
                raise http.client.IncompleteRead(bytes(body), response.length)
            break
        body += piece
    return bytes(body)


def _left(deadline: float) -> float:
    """Seconds until the deadline. Raises `TimeoutError` when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time limit is reached")
    return left


@contextmanager
def _translated(target: _Target) -> Iterator[None]:
    """Turn the library's errors into ours, by type."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise TlsError(_unverified(target, error)) from error
    except ssl.SSLError as error:
        raise TlsError(_no_handshake(target, error)) from error
    except TimeoutError as error:
        raise VerifyError(_silent(target, "http.timeout", "does not answer in time")) from error
    except socket.gaierror as error:
        raise VerifyError(_silent(target, "http.unresolved", "has no address")) from error
    except ConnectionRefusedError as error:
        raise VerifyError(_silent(target, "http.refused", "refuses the connection")) from error
    except OSError as error:
        said = f"cannot be reached: {error.strerror or type(error).__name__}"
        raise VerifyError(_silent(target, "http.unreachable", said)) from error
    except http.client.HTTPException as error:
        said = f"answers, but not in HTTP: {type(error).__name__}"
        raise VerifyError(_silent(target, "http.unreadable", said)) from error


def _unverified(target: _Target, error: ssl.SSLCertVerificationError) -> Problem:
    code = error.verify_code
    if code in _NAME_MISMATCHES:
        kind, said = "name", f"is not valid for {target.name}"
        advice = f"use a certificate whose names cover {target.name}"
    elif code == _EXPIRED:
        kind, said, advice = "expired", "has expired", "renew the certificate"
    elif code == _NOT_YET_VALID:
        kind, said = "not_yet_valid", "is not valid yet"
        advice = "check the clocks of both machines, or wait until it is valid"
    elif code in _UNTRUSTED:
        kind, said = "untrusted", "is signed by nobody this machine trusts"
        advice = "serve the whole chain, and trust the root that it ends in"
    else:
        kind, said, advice = "invalid", "cannot be verified", "replace the certificate"
    return Problem(
        code=f"tls.{kind}",
        summary=f"the certificate of {target.name} at {target.address} port {target.port} {said}",
        where=target.name,
        detail=error.verify_message,
        remedy=Remedy(advice, (_show_certificate(target),)),
    )


def _no_handshake(target: _Target, error: ssl.SSLError) -> Problem:
    return Problem(
        code="tls.handshake",
        summary=f"no TLS connection to {target.name} at {target.address} port {target.port}",
        where=target.name,
        detail=error.reason or type(error).__name__,
        remedy=Remedy(
            "see what the server offers; TLS 1.2 or later is needed", (_show_certificate(target),)
        ),
    )


def _silent(target: _Target, code: str, said: str) -> Problem:
    return Problem(
        code=code,
        summary=f"{target.url}: {target.address} port {target.port} {said}",
        where=target.name,
        remedy=Remedy(
            "check that the edge runs, and the firewalls on the way",
            (
                "docker compose ps",
                f"curl -v --resolve {target.name}:{target.port}:{target.address} {target.url}",
            ),
        ),
    )


def _show_certificate(target: _Target) -> str:
    address = f"[{target.address}]" if ":" in target.address else target.address
    return f"openssl s_client -connect {address}:{target.port} -servername {target.name}"
