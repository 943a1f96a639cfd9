"""One-time codes of authenticator apps, for the stand-in's stages and for tests that enrol one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct


def totp_code(key: str, when: float) -> str:
    """Six digits (RFC 6238, 30 s, SHA-1)."""
    return _digits(key, int(when // 30))


def totp_step(key: str, code: str, when: float) -> int | None:
    """Time step that a code belongs to, one step early or late; None for a wrong one."""
    now = int(when // 30)
    return next(
        (s for s in (now, now - 1, now + 1) if hmac.compare_digest(_digits(key, s), code)), None
    )


def _digits(key: str, step: int) -> str:
    mac = hmac.new(base64.b32decode(key), struct.pack(">Q", step), hashlib.sha1).digest()
    offset = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[offset : offset + 4])[0] & 0x7FFFFFFF) % 10**6:06}"
