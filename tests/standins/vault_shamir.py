"""Shamir's secret sharing over GF(2^8) as Vault cuts its unseal key, and a sealed box for storage.

The field is that of AES (x^8+x^4+x^3+x+1). A share is the value of each byte's polynomial with the
point it was taken at as the last byte. The box is SHAKE-256 and HMAC, for want of AES in Python's
library: nothing of what is stored can be read, and a wrong key is noticed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Sequence
from functools import reduce
from operator import xor

POLYNOMIAL = 0x11B
GENERATOR = 3


class ShareError(Exception):
    """Shares that cannot be put together; the message is the server's."""


class WrongKeyError(Exception):
    """The box was not closed with this key."""


def _tables() -> tuple[list[int], list[int]]:
    powers, logs, value = [0] * 255, [0] * 256, 1
    for exponent in range(255):
        powers[exponent], logs[value] = value, exponent
        doubled = value << 1
        value ^= doubled ^ (POLYNOMIAL if doubled & 0x100 else 0)
    return powers, logs


POWERS, LOGS = _tables()


def multiply(a: int, b: int) -> int:
    """The product of two elements."""
    return POWERS[(LOGS[a] + LOGS[b]) % 255] if a and b else 0


def divide(a: int, b: int) -> int:
    """The quotient; `b` is not zero."""
    return POWERS[(LOGS[a] - LOGS[b]) % 255] if a else 0


def split(
    secret: bytes, shares: int, threshold: int, entropy: Callable[[int], bytes] = os.urandom
) -> list[bytes]:
    """Shares of which any `threshold` give the secret; a single one is the secret itself."""
    if shares == 1:
        return [secret]
    points: list[int] = []
    while len(points) < shares:
        point = entropy(1)[0]
        if point and point not in points:
            points.append(point)
    polynomials = [bytes([byte]) + entropy(threshold - 1) for byte in secret]
    return [bytes([*(_value(p, x) for p in polynomials), x]) for x in points]


def combine(shares: Sequence[bytes]) -> bytes:
    """The secret of the shares; something else when one is wrong or too few are given.

    Raises:
        ShareError: when they cannot belong together.
    """
    if len(shares) < 2:
        raise ShareError("less than two parts cannot be used to reconstruct the secret")
    if len({len(share) for share in shares}) > 1:
        raise ShareError("all parts must be the same length")
    points = [share[-1] for share in shares]
    if len(set(points)) < len(points):
        raise ShareError("duplicate part detected")
    factors = [_factor(points, position) for position in range(len(points))]
    columns = zip(*(share[:-1] for share in shares), strict=True)
    return bytes(reduce(xor, map(multiply, column, factors)) for column in columns)


def _value(polynomial: bytes, x: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = multiply(value, x) ^ coefficient
    return value


def _factor(points: Sequence[int], position: int) -> int:
    """Lagrange's factor of a point, at zero."""
    factor = 1
    for other, x in enumerate(points):
        if other != position:
            factor = multiply(factor, divide(x, x ^ points[position]))
    return factor


def close_box(key: bytes, content: bytes) -> bytes:
    """Encrypt and authenticate: nonce, tag, content."""
    nonce = os.urandom(16)
    hidden = _mask(key, nonce, content)
    return nonce + hmac.digest(key, nonce + hidden, "sha256") + hidden


def open_box(key: bytes, box: bytes) -> bytes:
    """The content.

    Raises:
        WrongKeyError: for another key, or a box that was changed.
    """
    nonce, tag, hidden = box[:16], box[16:48], box[48:]
    if not hmac.compare_digest(tag, hmac.digest(key, nonce + hidden, "sha256")):
        raise WrongKeyError("cipher: message authentication failed")
    return _mask(key, nonce, hidden)


def _mask(key: bytes, nonce: bytes, content: bytes) -> bytes:
    stream = hashlib.shake_256(b"mask" + key + nonce).digest(len(content))
    mixed = int.from_bytes(content, "big") ^ int.from_bytes(stream, "big")
    return mixed.to_bytes(len(content), "big")
