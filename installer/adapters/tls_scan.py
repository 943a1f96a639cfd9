"""`TlsScanner`: what a server agrees to, asked by chosen offers, and the chain that it sends.

Looks only: no request is sent over a connection that was not verified, and none is kept.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from installer.adapters.certificates import observed_chain, system_roots
from installer.core.client_hello import (
    SSL3,
    TLS10,
    TLS11,
    TLS12,
    TLS13,
    ServerHello,
    is_ssl2_hello,
    make_hello,
    make_ssl2_hello,
    missing_bytes,
    parse_answer,
)
from installer.core.errors import Problem, Remedy, VerifyError
from installer.core.tls_profile import (
    BAD_GROUPS,
    BAD_SUITES,
    BAD_SUITES_13,
    GOOD_GROUPS,
    GOOD_SUITES,
    GOOD_SUITES_13,
    HYBRID,
    SSL2,
    TlsSight,
)

_AT_ONCE = 8
_MOST = 64
"""Offers in a row in which a server finds something new to accept; more than there are suites."""
_BAD_BEFORE_13 = {code: name for code, name in BAD_GROUPS.items() if code < 0x0100}

_Offer = Callable[..., ServerHello | None]


class TlsScanner:
    """The port `TlsProbe`."""

    def observe(
        self, name: str, address: str, roots_pem: bytes | None, *, port: int = 443,
        timeout_s: float = 10.0,
    ) -> TlsSight:  # fmt: skip
        """Some dozen short connections under one name, several at a time.

        Raises:
            VerifyError: nothing accepts a connection there.
        """
        place = (address, port)
        offer = partial(_offer, place, name, timeout_s)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            old = {v: pool.submit(offer, v, _EVERY_SUITE, _EVERY_GROUP) for v in _BEFORE_13}
            new = pool.submit(offer, TLS13, GOOD_SUITES_13, GOOD_GROUPS)
            ssl2 = pool.submit(_takes_ssl2, place, timeout_s)
            hybrid = pool.submit(offer, TLS13, GOOD_SUITES_13, [HYBRID])
            compressing = pool.submit(offer, TLS12, GOOD_SUITES, GOOD_GROUPS, compress=True)
            suites = pool.submit(_taken_suites, offer)
            groups = pool.submit(_taken_groups, offer)
            chain = pool.submit(_chain, place, name, timeout_s)
            versions = {v for v, found in old.items() if (h := found.result()) and h.version == v}
            if (hello := new.result()) and hello.version == TLS13:
                versions.add(TLS13)
            if ssl2.result():
                versions.add(SSL2)
            sent, refusal = chain.result()
            return TlsSight(
                versions=frozenset(versions),
                bad_suites=suites.result(),
                bad_groups=groups.result(),
                hybrid=bool((hello := hybrid.result()) and hello.group == HYBRID),
                faults=tuple(_faults(compressing.result())),
                chain=observed_chain(sent, _roots(roots_pem)) if sent else None,
                top_pem=_pem(sent[-1]) if sent else b"",
                refusal=refusal,
            )


_BEFORE_13 = (SSL3, TLS10, TLS11, TLS12)
_EVERY_SUITE = (*GOOD_SUITES, *BAD_SUITES)
_EVERY_GROUP = (0x001D, 0x0017, 0x0018, *_BAD_BEFORE_13)


def _offer(
    place: tuple[str, int],
    name: str,
    timeout_s: float,
    version: int,
    suites: Sequence[int],
    groups: Sequence[int],
    *,
    compress: bool = False,
) -> ServerHello | None:
    hello = make_hello(version, name, suites, groups, os.urandom(32), compress=compress)
    return parse_answer(_exchange(place, hello, timeout_s))


def _takes_ssl2(place: tuple[str, int], timeout_s: float) -> bool:
    return is_ssl2_hello(_exchange(place, make_ssl2_hello(os.urandom(16)), timeout_s))


def _taken_suites(offer: _Offer) -> tuple[str, ...]:
    """Every unwanted suite that is accepted: what was taken is left out of the next offer."""
    before = _taken(BAD_SUITES, lambda left: _suite(offer(TLS12, left, _EVERY_GROUP)))
    return before + _taken(BAD_SUITES_13, lambda left: _suite(offer(TLS13, left, GOOD_GROUPS)))


def _taken_groups(offer: _Offer) -> tuple[str, ...]:
    found = _taken(BAD_GROUPS, lambda left: _group(offer(TLS13, GOOD_SUITES_13, left)))
    for code, title in _BAD_BEFORE_13.items():
        # Only the group's own suites are offered, so that an answer means the group.
        if title not in found and offer(TLS12, GOOD_SUITES, [code]) is not None:
            found = (*found, title)
    return found


def _taken(
    unwanted: Mapping[int, str], ask: Callable[[Sequence[int]], int | None]
) -> tuple[str, ...]:
    left, found = list(unwanted), []
    for _ in range(_MOST):
        chosen = ask(left) if left else None
        if chosen not in left:
            break
        left.remove(chosen)
        found.append(unwanted[chosen])
    return tuple(found)


def _suite(hello: ServerHello | None) -> int | None:
    return hello.suite if hello else None


def _group(hello: ServerHello | None) -> int | None:
    return hello.group if hello else None


def _faults(hello: ServerHello | None) -> list[str]:
    """What an answer in TLS 1.2 lacks; a server that does not speak it has none of these faults."""
    if hello is None or hello.version != TLS12:
        return []
    return (
        ["compresses"] * bool(hello.compression)
        + ["has no extended master secret"] * (not hello.has_extended_master_secret)
        + ["has no secure renegotiation"] * (not hello.has_secure_renegotiation)
    )


def _exchange(place: tuple[str, int], message: bytes, timeout_s: float) -> bytes:
    """The first record of the answer; empty when the connection is closed instead."""
    answer = b""
    with closing(_connect(place, timeout_s)) as stream:
        try:
            stream.sendall(message)
            while missing := missing_bytes(answer):
                piece = stream.recv(missing)
                if not piece:
                    break
                answer += piece
        except OSError:
            return answer  # a reset or silence is a refusal
    return answer


def _connect(place: tuple[str, int], timeout_s: float) -> socket.socket:
    try:
        return socket.create_connection(place, timeout=timeout_s)
    except OSError as error:
        raise VerifyError(
            Problem(
                "tls.unreachable",
                f"{place[0]} port {place[1]} cannot be reached: {error.strerror or 'in time'}",
                Remedy("check that the edge runs, and the firewalls on the way"),
                where=place[0],
            )
        ) from error


def _chain(place: tuple[str, int], name: str, timeout_s: float) -> tuple[list[bytes], str]:
    """The certificates as sent, in DER; judged by us, so that every fault of them is named.

    The connection is closed at once: nothing is asked of a server that nobody verified.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with closing(_connect(place, timeout_s)) as raw:
        try:
            with context.wrap_socket(raw, server_hostname=name) as stream:
                return [_der(c) for c in _sent(stream)], ""
        except (OSError, ssl.SSLError) as error:
            return [], getattr(error, "reason", None) or type(error).__name__


def _sent(stream: ssl.SSLSocket) -> Sequence[object]:
    public = getattr(stream, "get_unverified_chain", None)  # from Python 3.13 on
    found: Sequence[object] = public() if public else stream._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return found or ()


def _der(certificate: object) -> bytes:
    if isinstance(certificate, bytes):
        return certificate
    data: bytes = certificate.public_bytes(ssl._ssl.ENCODING_DER)  # type: ignore[attr-defined]
    return data


def _roots(pem: bytes | None) -> tuple[x509.Certificate, ...]:
    return (*system_roots(), *(x509.load_pem_x509_certificates(pem) if pem else ()))


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
