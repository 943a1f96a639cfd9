"""The first message of a TLS connection and the answer to it, as bytes (RFC 5246, RFC 8446).

A server shows by its answer to a chosen offer what it would agree to, long before any key is made.
So what this machine's TLS library has given up can be asked for too. No I/O, no cryptography.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SSL3, TLS10, TLS11, TLS12, TLS13 = 0x0300, 0x0301, 0x0302, 0x0303, 0x0304

_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a ServerHello that is a HelloRetryRequest (RFC 8446, 4.1.3)."""
_SIGNATURES = (
    0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201,
)  # fmt: skip
_RECORD_HANDSHAKE, _RECORD_ALERT = 22, 21
_SERVER_HELLO = 2
_NAME, _GROUPS, _POINTS, _SIGNATURE, _MASTER, _VERSIONS, _SHARE, _RENEGOTIATION = (
    0, 10, 11, 13, 23, 43, 51, 0xFF01,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServerHello:
    """What a server chose. `group` is told in TLS 1.3 only; `extensions` are its numbers."""

    version: int
    suite: int
    compression: int
    group: int | None
    extensions: frozenset[int]

    @property
    def has_extended_master_secret(self) -> bool:
        """RFC 7627."""
        return _MASTER in self.extensions

    @property
    def has_secure_renegotiation(self) -> bool:
        """RFC 5746."""
        return _RENEGOTIATION in self.extensions


def make_hello(
    version: int,
    name: str,
    suites: Sequence[int],
    groups: Sequence[int],
    random: bytes,
    *,
    compress: bool = False,
) -> bytes:
    """A record with a ClientHello that offers exactly this.

    In TLS 1.3 no key share is sent: the server asks for one of a group that it accepts.

    Args:
        random: 32 bytes.
        compress: Offer DEFLATE too, which no server may take.
    """
    extensions = b""
    if version > SSL3:
        extensions = b"".join(_extensions(version, name, groups))
    methods = b"\x01\x00" if compress else b"\x00"
    body = (
        min(version, TLS12).to_bytes(2, "big")
        + random
        + _vector(b"", 1)
        + _vector(_numbers(suites), 2)
        + _vector(methods, 1)
        + (_vector(extensions, 2) if extensions else b"")
    )
    record = SSL3 if version == SSL3 else TLS10
    message = b"\x01" + _vector(body, 3)
    return bytes([_RECORD_HANDSHAKE]) + record.to_bytes(2, "big") + _vector(message, 2)


def make_ssl2_hello(challenge: bytes) -> bytes:
    """A ClientHello of SSL 2 (draft-hickman-netscape-ssl-00), which nothing should answer."""
    ciphers = bytes.fromhex("010080020080030080040080050080060040 0700c0".replace(" ", ""))
    body = b"\x01\x00\x02" + len(ciphers).to_bytes(2, "big") + b"\x00\x00" + b"\x00\x10"
    message = body + ciphers + challenge[:16]
    return (0x8000 | len(message)).to_bytes(2, "big") + message


def is_ssl2_hello(answer: bytes) -> bool:
    """Whether a server agreed to SSL 2."""
    return len(answer) > 4 and answer[0] & 0x80 != 0 and answer[2] == 4


def missing_bytes(answer: bytes) -> int:
    """How many bytes the first record of an answer lacks; 0 when it is whole."""
    if len(answer) < 5:
        return 5 - len(answer)
    return max(0, 5 + int.from_bytes(answer[3:5], "big") - len(answer))


def parse_answer(answer: bytes) -> ServerHello | None:
    """What the server chose, or None when it refused or said something else."""
    if len(answer) < 6 or answer[0] != _RECORD_HANDSHAKE or missing_bytes(answer):
        return None
    message = answer[5:]
    length = int.from_bytes(message[1:4], "big")
    if message[0] != _SERVER_HELLO or len(message) < 4 + length:
        return None
    try:
        return _parse_hello(message[4 : 4 + length])
    except IndexError:
        return None


def _parse_hello(body: bytes) -> ServerHello:
    version = int.from_bytes(body[0:2], "big")
    at = 35 + body[34]  # version, random, session id
    suite, compression = int.from_bytes(body[at : at + 2], "big"), body[at + 2]
    rest = body[at + 5 :]
    group: int | None = None
    found: set[int] = set()
    while len(rest) >= 4:
        kind, size = int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:4], "big")
        value, rest = rest[4 : 4 + size], rest[4 + size :]
        found.add(kind)
        if kind == _VERSIONS:
            version = int.from_bytes(value[:2], "big")
        if kind == _SHARE:
            group = int.from_bytes(value[:2], "big")
    return ServerHello(version, suite, compression, group, frozenset(found))


def _extensions(version: int, name: str, groups: Sequence[int]) -> Iterable[bytes]:
    host = b"\x00" + _vector(name.encode("ascii"), 2)
    yield _extension(_NAME, _vector(host, 2))
    yield _extension(_GROUPS, _vector(_numbers(groups), 2))
    yield _extension(_SIGNATURE, _vector(_numbers(_SIGNATURES), 2))
    if version == TLS13:
        yield _extension(_VERSIONS, _vector(_numbers([version]), 1))
        yield _extension(_SHARE, _vector(b"", 2))
        return
    yield _extension(_POINTS, b"\x01\x00")
    yield _extension(_MASTER, b"")
    yield _extension(_RENEGOTIATION, b"\x00")


def _extension(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + _vector(value, 2)


def _vector(value: bytes, size: int) -> bytes:
    return len(value).to_bytes(size, "big") + value


def _numbers(values: Iterable[int]) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)
