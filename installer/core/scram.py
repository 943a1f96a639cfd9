"""SCRAM-SHA-256 verifiers in PostgreSQL's form (RFC 5802, RFC 7677, `src/common/scram-common.c`).

A verifier lets a server check a password that it does not know. It can still be guessed against, so
it must never be shown where the password would not be.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import stringprep
import unicodedata

_VERIFIER = re.compile(
    r"SCRAM-SHA-256\$(\d{1,9}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]{44}):([A-Za-z0-9+/=]{44})"
)
_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def scram_verifier_of(password: str, salt: bytes, iterations: int) -> str:
    """`SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`, binary parts in base64.

    Raises:
        ValueError: an empty salt, or fewer than 1 iteration.
    """
    if not salt or iterations < 1:
        raise ValueError("a SCRAM verifier needs a salt and at least one iteration")
    prepared = _prepare(password).encode("utf-8", "surrogateescape")
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (
        base64.b64encode(part).decode("ascii") for part in (salt, stored_key, server_key)
    )
    return f"SCRAM-SHA-256${iterations}:{salt_text}${stored_text}:{server_text}"


def parse_scram_verifier(text: str) -> tuple[int, str] | None:
    """Iterations and the salt in base64, or None when this is no SCRAM-SHA-256 verifier."""
    match = _VERIFIER.fullmatch(text)
    if match is None or int(match[1]) < 1:
        return None
    try:
        for part in match.group(2, 3, 4):
            base64.b64decode(part, validate=True)
    except binascii.Error:
        return None
    return int(match[1]), match[2]


def _prepare(password: str) -> str:
    """SASLprep (RFC 4013); like PostgreSQL, a password it refuses is taken as it stands."""
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if not prepared or any(refused(c) for c in prepared for refused in _PROHIBITED):
        return password
    if any(map(stringprep.in_table_d1, prepared)):
        ends_right = stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])
        if not ends_right or any(map(stringprep.in_table_d2, prepared)):
            return password
    return prepared
