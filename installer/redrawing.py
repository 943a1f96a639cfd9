"""Draws up the job of a release that was verified before: the same bundle, byte for byte.

It is rendered anew from the answers of that release; where this version of the product renders it
differently, the files of the release itself are taken from the target. What cannot be the same any
more is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from installer import drawing
from installer.auditing import audit_bundle, container_audit
from installer.core import draft
from installer.core.answers import Answers
from installer.core.bundle import Bundle
from installer.core.catalog import Catalog
from installer.core.errors import ConflictError, Problem, Remedy
from installer.core.history import STORE_PLACES, ReleaseRecord
from installer.core.images import ImageLock
from installer.core.selection import select_services
from installer.job import Job
from installer.stacks import Stacks


def draw_release(
    record: ReleaseRecord, text: str, like: Job, stacks: Stacks, load: Callable[[], Bundle]
) -> Job:
    """The job of a recorded release.

    How the target and the store are reached is as the answers say now, not as they said then.

    Args:
        record: Of the release.
        text: Its answers.
        like: The job of the answers as they are now.
        stacks: What can be installed.
        load: Reads the release's files from the target.

    Raises:
        AnswersError: those answers are not acceptable to this version.
        ConflictError: this version knows other services, or other secrets of theirs.
        IntegrityError: the files on the target are not those that were shipped.
    """
    validated = draft.validate(
        draft.from_file(text.encode(), f"answers of {record.release}", 0o600),
        stacks.catalog,
        attended=True,
    )
    answers = _reached_as_now(validated.answers, like.plan.answers)
    chosen = select_services(answers, stacks.catalog)
    _refuse_other_services(record, set(chosen.services))
    drawn = drawing.draw_up(
        answers, validated.warnings, stacks, like.owner, like.is_gone, _lock_of(record, chosen)
    )
    return drawn if drawn.bundle.release == record.release else _over(drawn, record, stacks, load())


def _reached_as_now(then: Answers, now: Answers) -> Answers:
    """Those answers, with today's way to the host, and to the store if it is the same one."""
    same = all(then.at(path) == now.at(path) for path in STORE_PLACES)
    return then.model_copy(update={"ssh": now.ssh, "vault": now.vault if same else then.vault})


def _lock_of(record: ReleaseRecord, chosen: Catalog) -> ImageLock:
    """The digests that were deployed, under the names that this version has for the images."""
    return ImageLock(
        {
            f"{manifest.image.repository}:{manifest.image.tag}": record.images[name].rpartition(
                "@"
            )[2]
            for name, manifest in chosen.services.items()
        }
    )


def _over(drawn: Job, record: ReleaseRecord, stacks: Stacks, bundle: Bundle) -> Job:
    """The job with the bundle of the target in place of the one that was rendered."""
    for part in ("services", "secrets", "networks"):
        then, now = bundle.document.get(part, {}), drawn.bundle.document.get(part, {})
        if then.keys() != now.keys():
            raise ConflictError(_other_product(record, part, set(then), set(now)))
    plan = replace(drawn.plan, images=dict(record.images))
    images = tuple(sorted(set(plan.images.values())))
    return replace(
        drawn,
        plan=plan,
        bundle=bundle,
        requirements=replace(drawn.requirements, images=images),
        audit_bundle=audit_bundle(plan, bundle, stacks),
        audit_container=container_audit(plan, stacks),
    )


def _refuse_other_services(record: ReleaseRecord, known: set[str]) -> None:
    if known != record.images.keys():
        raise ConflictError(_other_product(record, "services", set(record.images), known))


def _other_product(record: ReleaseRecord, part: str, then: set[str], now: set[str]) -> Problem:
    names = ", ".join(sorted(then ^ now))
    return Problem(
        "rollback.other_product",
        f"this version makes other {part} of those answers than version {record.product} did:"
        f" {names}",
        Remedy(
            "go back with the version that made the release",
            (
                f"pipx install --force devplat-install=={record.product}",
                f"devplat-install rollback --to {record.release}",
            ),
        ),
        where=record.release,
    )
