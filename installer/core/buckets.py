"""Buckets of an external S3 service: which there are, what was seen of each, what that means.

Looked at from this machine by listing, which reads nothing of an object and changes nothing. No
value here holds a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from installer.core.answers_storage import StorageExternal
from installer.core.errors import Problem, Remedy
from installer.core.storage_consumers import consumers_of

if TYPE_CHECKING:
    from installer.core.plan import Plan


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """A consumer's bucket.

    Attributes:
        host: Name, with a port that is not that of HTTPS.
        path: Absolute; the bucket, or nothing where its name is in the host.
        access_key: Name of the secret that is its access key; `secret_key` the same.
    """

    consumer: str
    bucket: str
    host: str
    path: str
    region: str
    ca_file: str | None
    access_key: str
    secret_key: str


class Reach(StrEnum):
    """How far a request came."""

    ANSWERED = "answered"
    UNTRUSTED = "untrusted"  # the certificate does not verify
    SILENT = "silent"  # nothing there, or no HTTP


@dataclass(frozen=True, slots=True)
class BucketSight:
    """What was seen of a bucket: status and error code of the service, or why there is none.

    `region` is the one that the service names, where it names another one.
    """

    reach: Reach
    status: int = 0
    code: str = ""
    region: str = ""
    detail: str = ""


def bucket_places(plan: Plan) -> tuple[BucketPlace, ...]:
    """The buckets that the answers name; none where the object store is bundled."""
    storage = plan.answers.storage
    if not isinstance(storage, StorageExternal):
        return ()
    named = {spec.answer: spec.name for spec in plan.secrets if spec.answer}
    places = []
    for consumer in consumers_of(plan.catalog):
        bucket = storage.buckets[consumer]
        within = storage.path_style
        places.append(
            BucketPlace(
                consumer=consumer,
                bucket=bucket,
                host=storage.authority if within else f"{bucket}.{storage.authority}",
                path=f"/{bucket}" if within else "/",
                region=storage.region,
                ca_file=storage.ca_file,
                access_key=named[f"storage.access_keys.{consumer}"],
                secret_key=named[f"storage.secret_keys.{consumer}"],
            )
        )
    return tuple(places)


def find_fault(place: BucketPlace, sight: BucketSight) -> Problem | None:
    """What is wrong with a bucket; None when it can be listed."""
    if sight.reach is Reach.SILENT:
        return Problem(
            "storage.unreachable",
            f"{place.host} does not answer this machine: {sight.detail}",
            Remedy("look whether the host reaches it; correct storage.endpoint if nothing does"),
            where="storage.endpoint",
        )
    if sight.reach is Reach.UNTRUSTED:
        return Problem(
            "storage.untrusted",
            f"the certificate of {place.host} does not verify: {sight.detail}",
            Remedy("name the root that signed it in storage.ca_file, or correct storage.endpoint"),
            where="storage.ca_file",
        )
    if sight.status == 200:
        return None
    return _refusal(place, sight)


def _refusal(place: BucketPlace, sight: BucketSight) -> Problem:
    consumer = place.consumer
    if sight.region or sight.code in _REGION or sight.status in (301, 307):
        return Problem(
            "storage.region",
            f"{place.bucket} is not in {place.region}, but in {sight.region or 'another region'}",
            Remedy(f"write storage.region: {sight.region or '<the region of the bucket>'}"),
            where="storage.region",
        )
    code, summary, remedy, field = _REFUSALS.get(sight.code, _OTHER)
    return Problem(
        code,
        summary.format(bucket=place.bucket, host=place.host, code=sight.code or sight.status),
        Remedy(remedy.format(bucket=place.bucket, consumer=consumer, host=place.host)),
        where=f"storage.{field}.{consumer}",
    )


_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "InvalidRegion"})
_REFUSALS = {
    "InvalidAccessKeyId": (
        "storage.access_key",
        "{host} does not know the access key",
        "correct what storage.access_keys.{consumer} refers to",
        "access_keys",
    ),
    "SignatureDoesNotMatch": (
        "storage.secret_key",
        "the secret key is not that of the access key",
        "correct what storage.secret_keys.{consumer} refers to",
        "secret_keys",
    ),
    "AccessDenied": (
        "storage.denied",
        "the key may not list {bucket}",
        "let it list, read, write and delete in {bucket}, and in no other bucket",
        "buckets",
    ),
    "NoSuchBucket": (
        "storage.bucket_missing",
        "there is no bucket {bucket} at {host}",
        "make it, private and with versioning, or correct storage.buckets.{consumer}",
        "buckets",
    ),
    "RequestTimeTooSkewed": (
        "storage.clock",
        "the clock of this machine is more than 15 minutes from that of {host}",
        "set the clock of this machine by NTP",
        "secret_keys",
    ),
}
_OTHER = (
    "storage.refused",
    "{host} answers {code} when {bucket} is listed",
    "look at the service's own log; correct storage.endpoint if it is no S3 service",
    "buckets",
)
