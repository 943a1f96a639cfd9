"""Buckets of an object store outside: rows of the table in `test_rules`."""

from __future__ import annotations

from typing import Any

from installer.core.buckets import BucketSight, Reach

SILENT = BucketSight(Reach.SILENT, detail="Connection refused")
UNTRUSTED = BucketSight(Reach.UNTRUSTED, detail="self-signed certificate")


def seen(code: str, status: int = 403, region: str = "") -> dict[str, Any]:
    return {"buckets": {"gitea": BucketSight(Reach.ANSWERED, status, code, region)}}


ROWS: list[tuple[str, str, dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    ("PF-BUCKET", "it can be listed", {}, {}, ("pass",)),
    ("PF-BUCKET", "the store is bundled", {}, {"buckets": ()}, ()),
    ("PF-BUCKET", "not looked at", {"buckets": {}}, {}, ("unknown",)),
    (
        "PF-BUCKET",
        "a wrong access key",
        seen("InvalidAccessKeyId"),
        {},
        ("fail storage.access_key",),
    ),
    (
        "PF-BUCKET",
        "a wrong secret",
        seen("SignatureDoesNotMatch"),
        {},
        ("fail storage.secret_key",),
    ),
    ("PF-BUCKET", "no rights", seen("AccessDenied"), {}, ("fail storage.denied",)),
    ("PF-BUCKET", "no bucket", seen("NoSuchBucket", 404), {}, ("fail storage.bucket_missing",)),
    ("PF-BUCKET", "another region", seen("", 301, "us-east-2"), {}, ("fail storage.region",)),
    (
        "PF-BUCKET",
        "unsaid region",
        seen("AuthorizationHeaderMalformed", 400),
        {},
        ("fail storage.region",),
    ),
    ("PF-BUCKET", "a clock", seen("RequestTimeTooSkewed"), {}, ("fail storage.clock",)),
    ("PF-BUCKET", "no S3 service", seen("", 200 + 4), {}, ("fail storage.refused",)),
    ("PF-BUCKET", "out of order", seen("SlowDown", 503), {}, ("fail storage.refused",)),
    (
        "PF-BUCKET",
        "a strange root",
        {"buckets": {"gitea": UNTRUSTED}},
        {},
        ("fail storage.untrusted",),
    ),
    (
        "PF-BUCKET",
        "silence from here",
        {"buckets": {"gitea": SILENT}},
        {},
        ("warn storage.unreachable",),
    ),
]
