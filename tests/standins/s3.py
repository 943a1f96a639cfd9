"""Signature version 4 of S3, as far as header authentication goes: the same canonical form for the
server that checks and for the client that signs.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime

from standin import Refused

ALGORITHM = "AWS4-HMAC-SHA256"
CREDENTIAL = re.compile(
    ALGORITHM + r" Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request,\s*"
    r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})"
)
SKEW_S = 900


def sign(
    method: str,
    url: str,
    body: bytes,
    access_key: str,
    secret_key: str,
    *,
    region: str = "us-east-1",
    now: datetime | None = None,
) -> dict[str, str]:
    """The headers that authenticate a request to `url`."""
    where = urllib.parse.urlsplit(url)
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "host": where.netloc,
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-date": stamp,
    }
    signature = _signature(
        method, where.path, where.query, headers, sorted(headers), secret_key, region
    )
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    headers["authorization"] = (
        f"{ALGORITHM} Credential={access_key}/{scope}, "
        f"SignedHeaders={';'.join(sorted(headers))}, Signature={signature}"
    )
    return headers


def refusal(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    keys: Mapping[str, str],
    now: datetime | None = None,
    region: str = "",
) -> str:
    """The S3 error code of a request that is not authenticated, or nothing.

    `path` and `query` are as they came; header names are lower-case; `keys` maps access to secret.
    With a `region`, a request that was signed for another one is refused.
    """
    match = CREDENTIAL.fullmatch(headers.get("authorization", ""))
    if not match:
        return "AccessDenied"
    access, day, scope, signed, given = match.groups()
    if access not in keys:
        return "InvalidAccessKeyId"
    if region and scope != region:
        return "AuthorizationHeaderMalformed"
    names = signed.split(";")
    stamp = headers.get("x-amz-date", "")
    if not {"host", "x-amz-date"} <= set(names) or not stamp.startswith(day):
        return "AccessDenied"
    try:
        sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return "AccessDenied"
    if abs(((now or datetime.now(UTC)) - sent).total_seconds()) > SKEW_S:
        return "RequestTimeTooSkewed"
    # without that header the real one takes the signature for one of an empty body
    claimed = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if claimed not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
        return "XAmzContentSHA256Mismatch"
    right = _signature(method, path, query, headers, names, keys[access], scope)
    return "" if hmac.compare_digest(right, given) else "SignatureDoesNotMatch"


def access_key(headers: Mapping[str, str]) -> str:
    """Who says that they signed a request."""
    match = CREDENTIAL.fullmatch(headers.get("authorization", ""))
    return match[1] if match else ""


def require_bucket(url: str, keys: tuple[str, str], region: str = "us-east-1") -> None:
    """Refuse to run without a bucket at `http://host/bucket` that the access and secret key open.

    Raises:
        Refused: with what the store says.
    """
    request = urllib.request.Request(url, headers=sign("GET", url, b"", *keys, region=region))
    try:
        with urllib.request.urlopen(request, timeout=10):
            pass
    except urllib.error.HTTPError as error:
        raise Refused(f"{url}: {error.code} {error.read().decode()}") from error
    except OSError as error:
        raise Refused(f"{url}: {error}") from error


def _signature(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    names: list[str],
    secret_key: str,
    region: str,
) -> str:
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
    quote = urllib.parse.quote
    canonical = "\n".join(
        [
            method,
            quote(urllib.parse.unquote(path), safe="/-_.~") or "/",
            "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in pairs),
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in names),
            "",
            ";".join(names),
            headers.get("x-amz-content-sha256", hashlib.sha256(b"").hexdigest()),
        ]
    )
    stamp = headers["x-amz-date"]
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([ALGORITHM, stamp, scope, digest])
    key = ("AWS4" + secret_key).encode()
    for part in (stamp[:8], region, "s3", "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()
