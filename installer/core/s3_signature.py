"""Signature Version 4 of a request without a body to an S3 service, as header fields.

Source: AWS, "Signature Version 4 signing process", for the service s3. Pure; the key is used here
and goes nowhere.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from installer.core.secrets import Secret

_ALGORITHM = "AWS4-HMAC-SHA256"
_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class S3Key:
    """An access key and the secret that belongs to it."""

    access: Secret
    secret: Secret


def sign_get(
    host: str, path: str, query: dict[str, str], key: S3Key, *, region: str, now: datetime
) -> dict[str, str]:
    """The header fields of a GET.

    Args:
        host: As in the field Host, with a port that is not the scheme's own.
        path: Absolute, not encoded.
        query: Parameters, not encoded.
        key: Who asks.
        region: Region that the signature is for.
        now: Aware; the service refuses it 15 minutes later.
    """
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    fields = {"host": host, "x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
    signed = ";".join(sorted(fields))
    canonical = "\n".join(
        [
            "GET",
            quote(path, safe="/-_.~"),
            format_query(query),
            *(f"{name}:{fields[name]}" for name in sorted(fields)),
            "",
            signed,
            _EMPTY,
        ]
    )
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    derived = ("AWS4" + key.secret.reveal()).encode()
    for part in (stamp[:8], region, "s3", "aws4_request"):
        derived = _mac(derived, part)
    signature = _mac(derived, "\n".join([_ALGORITHM, stamp, scope, digest])).hex()
    credential = f"{key.access.reveal()}/{scope}"
    fields["authorization"] = (
        f"{_ALGORITHM} Credential={credential}, SignedHeaders={signed}, Signature={signature}"
    )
    return fields


def format_query(query: dict[str, str]) -> str:
    """Parameters as they are signed and sent, in order."""
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
