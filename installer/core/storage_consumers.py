"""Whether a company's S3 service has a bucket and a key for every service that needs one.

Which services do follows from the manifests: a secret whose answer is one of `storage.secret_keys`
belongs to one. No message holds a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from installer.core.answers_storage import StorageExternal
from installer.core.catalog import Catalog
from installer.core.errors import Problem, Remedy

if TYPE_CHECKING:
    from installer.core.answers import Answers

_KEYS = "storage.secret_keys."


def consumers_of(chosen: Catalog) -> tuple[str, ...]:
    """Names of the services that keep objects, sorted."""
    answers = (secret.answer or "" for m in chosen.services.values() for secret in m.secrets)
    return tuple(sorted({a.removeprefix(_KEYS) for a in answers if a.startswith(_KEYS)}))


def find_missing_buckets(answers: Answers, chosen: Catalog) -> Iterator[Problem]:
    """A problem for each consumer that the answers give no bucket or key, or another's."""
    storage = answers.storage
    if not isinstance(storage, StorageExternal):
        return
    consumers = consumers_of(chosen)
    for field in ("buckets", "access_keys", "secret_keys"):
        for consumer in consumers:
            if consumer not in getattr(storage, field):
                answer = f"storage.{field}.{consumer}"
                yield Problem(
                    "storage.consumer_missing",
                    f"{consumer} keeps objects, and nothing is said of its {_WHAT[field]}",
                    Remedy(
                        f"make a bucket and a key for it at {storage.endpoint} and write {answer}"
                    ),
                    where=answer,
                )
    owners: dict[str, str] = {}
    for consumer in consumers:
        bucket = storage.buckets.get(consumer)
        if bucket and bucket in owners:
            yield Problem(
                "storage.bucket_shared",
                f"{bucket} is the bucket of {owners[bucket]} already",
                Remedy("give every service a bucket of its own, so that none reads another's"),
                where=f"storage.buckets.{consumer}",
            )
        owners.setdefault(bucket or "", consumer)


_WHAT = {"buckets": "bucket", "access_keys": "access key", "secret_keys": "secret key"}
