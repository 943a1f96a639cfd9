"""What the answers about backups say of each other.

A rule sees the values that were acceptable by themselves and says nothing where one of its values
is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from installer.core.answers_findings import AnswersRule, Finding, Values
from installer.core.fields import Concern, visible, warn
from installer.core.secretrefs import SecretRef, SecretSource


def _bucket_is_named(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    if not _goes_to(values, "s3"):
        return
    if "backup.bucket" in values and not values["backup.bucket"]:
        concern = Concern(
            "bucket.missing",
            "backups are on, and there is no bucket for them; it is required",
            "write the bucket's name into backup.bucket, or use place: path",
        )
        yield Finding("backup.bucket", concern, ("backup.enabled",))
    for key in ("backup.access_key", "backup.secret_key"):
        if key in values and values[key] is None:
            concern = Concern(
                "backup.keys",
                "there is no key for the bucket",
                f"refer to it in {key}, as env:NAME or file:/path",
            )
            yield Finding(key, concern, ("backup.enabled",))


def _endpoint_is_encrypted(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    endpoint = values.get("backup.endpoint")
    if _goes_to(values, "s3") and endpoint and not str(endpoint).startswith("https://"):
        concern = Concern(
            "backup.endpoint",
            f"{visible(str(endpoint))} is no https address",
            "write https:// and the host of the S3 service",
        )
        yield Finding("backup.endpoint", concern)


def _place_is_elsewhere(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    if _goes_to(values, "path") and "backup.place" in values:
        concern = warn(
            "backup.same_host",
            "backups go to a directory of the target itself; unless another host is mounted there,"
            " what destroys the target destroys them too",
            "mount a directory of another host at backup/repository below target.data_dir, or use"
            " place: s3",
        )
        yield Finding("backup.place", concern)


def _key_is_kept(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    if not values.get("backup.enabled") or "backup.passphrase" not in values:
        return
    reference = values["backup.passphrase"]
    if isinstance(reference, SecretRef) and reference.source is not SecretSource.GENERATE:
        return
    yield Finding(
        "backup.passphrase",
        warn(
            "backup.key_on_host_only",
            "the passphrase of the backups is made here and kept in the secret store of the"
            " platform alone; when that is lost, so are they",
            "refer to one that is kept elsewhere, or export it as the runbook says",
        ),
    )


def _goes_to(values: Values, place: str) -> bool:
    return bool(values.get("backup.enabled")) and values.get("backup.place", "s3") == place


BACKUP_RULES: tuple[AnswersRule, ...] = (
    _bucket_is_named,
    _endpoint_is_encrypted,
    _place_is_elsewhere,
    _key_is_kept,
)
