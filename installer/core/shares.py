"""Shares of an unseal key: the two forms people and servers write them in.

Text only; nothing here knows whether a share is a good one.
"""

from __future__ import annotations

from base64 import b64decode, b64encode

_FEWEST_BYTES, _MOST_BYTES = 16, 128
"""A share is its part of a 16- or 32-byte key and one byte more; an undivided key has no such."""


def canonical_share(text: str) -> str | None:
    """The base64 form (RFC 4648, 4) of a share given as base64 or hex; None when it is neither.

    Blanks and line ends anywhere are left out: a share is read aloud and typed in groups. Hex comes
    first, as it does with the server.
    """
    squeezed = "".join(text.split())
    octets = _decoded(squeezed)
    if octets is None or not _FEWEST_BYTES <= len(octets) <= _MOST_BYTES:
        return None
    return b64encode(octets).decode("ascii")


def hex_share(share: str) -> str:
    """The hex form of a share in base64."""
    return b64decode(share).hex()


def _decoded(text: str) -> bytes | None:
    if not text.isascii():
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None
