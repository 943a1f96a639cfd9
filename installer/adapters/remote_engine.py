"""The engine of another host, over TLS with a client's certificate; `EngineProbe` of the ports.

Asks for its version and its description, and tries whether it answers strangers; changes nothing. A
key reaches the TLS library by a file in memory, and no message holds a part of it.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509

from installer.adapters.stranger import make_stranger
from installer.core.errors import ContainerRuntimeError, InstallError, Problem, Remedy
from installer.core.workspace_engines import (
    PLAIN_PORT,
    EngineAddress,
    EngineSight,
    EngineTrust,
    read_engine_info,
)
from installer.ports import ByteStream

TIMEOUT_S = 8.0
OLDEST_ASKED = (1, 41)
"""What `docker_api` speaks at least; an older engine is told by its version alone."""
# Numbers of X509_verify_cert_error, from OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED, _NAME_MISMATCHES = 9, 10, (62, 64)
_PING = b"GET /_ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class _Greeting:
    """The answer to the first question, and what the handshake showed."""

    status: int
    api: str
    tls: str
    until: datetime


class TlsEngineProbe:
    """Looks at engines from this machine."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def look(self, address: EngineAddress, trust: EngineTrust) -> EngineSight:
        """What the engine says, or why it says nothing, and how it treats strangers."""
        sight = EngineSight(address.url, self._now())
        try:
            _resolve(address)
        except InstallError as error:
            return replace(sight, problem=error.problems[0])
        sight = replace(sight, open_to=tuple(_find_open_ways(address, self._now())))
        try:
            client = _client_until(trust)
            sight = replace(sight, client_until=client)
            context = _make_context(trust)
            if client <= self._now():
                raise ContainerRuntimeError(_ended(address, client))
            said = _greet(address, context)
            sight = replace(sight, api=said.api, tls=said.tls, certificate_until=said.until)
            if _version(said.api) >= OLDEST_ASKED:
                sight = replace(sight, host=read_engine_info(_ask_info(address, context)))
        except InstallError as error:
            sight = replace(sight, problem=error.problems[0])
        return sight


def _resolve(address: EngineAddress) -> None:
    try:
        socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise ContainerRuntimeError(
            _problem(
                address,
                "unresolved",
                f"{address.host} has no address here",
                "enter the name in the DNS that this machine and the platform's host ask",
            )
        ) from error


def _connect(address: EngineAddress) -> socket.socket:
    return socket.create_connection((address.host, address.port), timeout=TIMEOUT_S)


def _find_open_ways(address: EngineAddress, now: datetime) -> Iterator[str]:
    """How the engine answers somebody who has no certificate of its authority."""
    if _answers_plainly(address):
        yield f"without TLS on port {address.port}"
    if address.port != PLAIN_PORT and _answers_plainly(EngineAddress(address.host, PLAIN_PORT)):
        yield f"without TLS on port {PLAIN_PORT}"
    if _answers_over_tls(address, _unverified()):
        yield "over TLS without a client's certificate"
        return
    stranger = _unverified()
    certificate, key = make_stranger(now)
    with _in_memory(certificate + key) as path:
        stranger.load_cert_chain(path)
    if _answers_over_tls(address, stranger):
        yield "to a certificate that its authority did not issue"


def _answers_plainly(address: EngineAddress) -> bool:
    with suppress(OSError), closing(_connect(address)) as stream:
        stream.sendall(_PING)
        return _is_answer(stream.recv(4096))
    return False


def _answers_over_tls(address: EngineAddress, context: ssl.SSLContext) -> bool:
    with (
        suppress(OSError),  # of the TLS library too
        closing(_connect(address)) as raw,
        closing(context.wrap_socket(raw, server_hostname=address.host)) as stream,
    ):
        stream.sendall(_PING)
        # with TLS 1.3 a client learns that it is refused when it reads
        return _is_answer(stream.recv(4096))
    return False


def _is_answer(said: bytes) -> bool:
    """Whether it is one of an HTTP server that did not refuse: status below 400."""
    words = said.split(b"\r\n", 1)[0].split()
    return (
        len(words) >= 2 and words[0].startswith(b"HTTP/") and words[1].isdigit()
    ) and int(words[1]) < 400  # fmt: skip


def _unverified() -> ssl.SSLContext:
    """For somebody who only wants in; nothing that is of worth goes over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _client_until(trust: EngineTrust) -> datetime:
    try:
        found = x509.load_pem_x509_certificates(trust.certificate.reveal().encode())
    except ValueError as error:
        raise ContainerRuntimeError(
            Problem(
                "workspaces.certificate_form",
                "the client's certificate of the engines cannot be read",
                Remedy("refer to one in PEM, as file:/secure/ws/cert.pem"),
                where="workspaces.certificate",
            )
        ) from error
    return found[0].not_valid_after_utc


def _make_context(trust: EngineTrust) -> ssl.SSLContext:
    """Verifies by the given authority alone, and shows the client's certificate.

    Raises:
        ContainerRuntimeError: the key is not that of the certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=trust.roots.reveal())
    pair = f"{trust.certificate.reveal()}\n{trust.key.reveal()}\n".encode()
    try:
        with _in_memory(pair) as path:
            context.load_cert_chain(path, password=lambda: b"")
    except ssl.SSLError as error:
        raise ContainerRuntimeError(
            Problem(
                "workspaces.key_mismatch",
                "the client's key of the engines does not fit its certificate, or cannot be read",
                Remedy("refer to the key that the certificate was requested with"),
                where="workspaces.key",
                detail=error.reason or type(error).__name__,
            )
        ) from error
    return context


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """A path with these bytes that only this process can read; the library takes nothing else."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("client", 0)
        try:
            os.write(descriptor, data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:  # mode 0600
        file.write(data)
        file.flush()
        yield file.name


def _greet(address: EngineAddress, context: ssl.SSLContext) -> _Greeting:
    """Raises `ContainerRuntimeError` with the reason that there is no answer."""
    try:
        raw = _connect(address)
    except OSError as error:
        said = "does not answer in time" if isinstance(error, TimeoutError) else "is refused"
        raise ContainerRuntimeError(_unreachable(address, said)) from error
    with closing(raw):
        try:
            stream = context.wrap_socket(raw, server_hostname=address.host)
        except ssl.SSLCertVerificationError as error:
            raise ContainerRuntimeError(_unverifiable(address, error)) from error
        except OSError as error:
            raise ContainerRuntimeError(_refused(address, error)) from error
        try:
            return _exchange(stream)
        except (OSError, http.client.HTTPException) as error:
            raise ContainerRuntimeError(_refused(address, error)) from error


def _exchange(stream: ssl.SSLSocket) -> _Greeting:
    with closing(stream):
        stream.sendall(_PING)
        response = http.client.HTTPResponse(stream)
        response.begin()
        certificate = x509.load_der_x509_certificate(stream.getpeercert(binary_form=True) or b"")
        return _Greeting(
            response.status,
            response.headers.get("Api-Version", ""),
            stream.version() or "",
            certificate.not_valid_after_utc,
        )


def _ask_info(address: EngineAddress, context: ssl.SSLContext) -> dict[str, object]:
    from installer.adapters.docker_api import EngineApi  # noqa: PLC0415 - the SDK is slow to load

    def dial() -> ByteStream:
        return context.wrap_socket(_connect(address), server_hostname=address.host)

    def explain() -> InstallError:
        return ContainerRuntimeError(_unreachable(address, "was lost"))

    api = EngineApi(dial, explain)
    with closing(api):
        return dict(api.info())


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _problem(address: EngineAddress, kind: str, said: str, remedy: str) -> Problem:
    return Problem(f"workspaces.{kind}", said, Remedy(remedy), where=address.url)


def _unreachable(address: EngineAddress, said: str) -> Problem:
    return _problem(
        address,
        "unreachable",
        f"the connection to the engine at {address.url} {said}",
        f"start the engine with -H tcp://0.0.0.0:{address.port} --tlsverify, and let this machine"
        " and the platform's host through the firewall to that port",
    )


def _unverifiable(address: EngineAddress, error: ssl.SSLCertVerificationError) -> Problem:
    number = error.verify_code
    if number in _NAME_MISMATCHES:
        kind, said = "name", f"is not valid for {address.host}"
        remedy = f"issue one with {address.host} among its subjectAltName"
    elif number == _EXPIRED:
        kind, said, remedy = "expired", "has expired", "renew it, and restart the engine"
    elif number == _NOT_YET_VALID:
        kind, said, remedy = (
            "not_yet_valid",
            "is not valid yet",
            "check the clocks of both machines",
        )
    else:
        kind, said = "untrusted", "is not of the authority in workspaces.ca_file"
        remedy = "name the authority that issued it; if it should be, find out who answers there"
    problem = _problem(address, kind, f"the certificate of {address.url} {said}", remedy)
    return replace(problem, detail=error.verify_message)


def _refused(address: EngineAddress, error: Exception) -> Problem:
    problem = _problem(
        address,
        "client_refused",
        f"the engine at {address.url} does not let in the client's certificate, or speaks no TLS",
        "see that --tlscacert of the engine is the authority of workspaces.certificate, that this"
        " has extendedKeyUsage clientAuth, and that the engine runs with --tlsverify",
    )
    reason = getattr(error, "reason", None)
    return replace(problem, detail=str(reason) if reason else type(error).__name__)


def _ended(address: EngineAddress, until: datetime) -> Problem:
    return Problem(
        "workspaces.client_expired",
        f"the client's certificate for {address.url} ended on {until:%Y-%m-%d}",
        Remedy("have the engines' authority issue a new one, and refer to it"),
        where="workspaces.certificate",
    )
