"""The releases that a target has served, and what going back to one of them cannot undo.

A release enters the history when it was verified, with the answers that it was made of; which hold
references and no secret. Going back changes images and configuration, never data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from installer.core.errors import (
    ConflictError,
    IntegrityError,
    Problem,
    Remedy,
    UsageError,
)
from installer.core.manifest import DatabaseAction
from installer.core.plan import Plan

if TYPE_CHECKING:
    from installer.core.answers import Answers

HISTORY_VERSION = 1
KEPT_RECORDS = 50
SHORTEST_NAME = 4
"""Characters of a release's name that name it, when no other begins so."""

Kind = Literal["apply", "rollback"]

_MOVED = ("target.data_dir", "database.mode", "database.url")
"""Answers that say where data lies."""
STORE_PLACES = ("vault.mode", "vault.addr", "vault.mount", "vault.prefix", "vault.region")
"""Answers that say where secrets lie."""


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """One release that was verified.

    Attributes:
        run: The run that did it.
        at: When it was verified, ISO 8601, UTC.
        product: Version of the installer.
        kind: How it came into service.
        answers: SHA-256, in hex, of the answers that it was made of.
        images: Service → reference with digest.
    """

    release: str
    run: str
    at: str
    product: str
    kind: Kind
    answers: str
    images: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class History:
    """What a target knows of its releases.

    Attributes:
        records: Oldest first.
        present: Releases whose directory is on the target → images of its manifest.
        current: The active one.
        pending: The release that an interrupted rollback was going to.
    """

    records: tuple[ReleaseRecord, ...] = ()
    present: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    current: str | None = None
    pending: str | None = None

    def record_of(self, release: str) -> ReleaseRecord | None:
        """The newest record of a release."""
        return next((r for r in reversed(self.records) if r.release == release), None)


@dataclass(frozen=True, slots=True)
class ImageChange:
    """A service whose image is another one. `holds` says what of it may have been migrated."""

    service: str
    now: str
    then: str
    holds: str


def hash_answers(text: str) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse_history(text: str) -> tuple[ReleaseRecord, ...]:
    """Read the history's file; an empty text is an empty history.

    Raises:
        IntegrityError: it is not what was written.
    """
    if not text.strip():
        return ()
    try:
        document = json.loads(text)
        return tuple(ReleaseRecord(**record) for record in document["releases"])
    except (ValueError, TypeError, KeyError) as error:
        raise IntegrityError(
            Problem(
                "rollback.history",
                "the record of earlier releases on the target cannot be read",
                Remedy("somebody changed state/history.json below target.install_dir; restore it"),
            )
        ) from error


def format_history(records: Sequence[ReleaseRecord]) -> bytes:
    """The history's file."""
    document = {"version": HISTORY_VERSION, "releases": [asdict(r) for r in records]}
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def add_record(
    records: Sequence[ReleaseRecord], record: ReleaseRecord
) -> tuple[ReleaseRecord, ...]:
    """The history with one more; a release that was verified again keeps its place."""
    if records and records[-1].release == record.release:
        kept = records[-1]
        newest = ReleaseRecord(**{**asdict(record), "kind": kept.kind})
        return (*records[:-1], newest)
    return (*records, record)[-KEPT_RECORDS:]


def choose_release(history: History, wanted: str | None) -> str:
    """The release to go back to.

    An interrupted rollback goes on; a finished one is not taken for a wish to go further back.

    Args:
        history: Of the target.
        wanted: Name of a release or its beginning; None for the one before.

    Raises:
        ConflictError: there is none.
        UsageError: the name is of no release that was verified here.
    """
    if history.current is None:
        raise ConflictError(
            Problem(
                "rollback.nothing",
                "nothing is deployed on the target, so there is nothing to go back from",
                Remedy("install first", ("devplat-install --answers FILE",)),
            )
        )
    if wanted is not None:
        return _find_named(history, wanted)
    if history.pending is not None and history.record_of(history.pending):
        return history.pending
    last = history.records[-1] if history.records else None
    if last and last.kind == "rollback" and last.release == history.current:
        return last.release
    earlier = _before(history)
    if earlier is None:
        raise ConflictError(_none_earlier(history))
    return earlier


def find_image_changes(
    plan: Plan, now: Mapping[str, str], then: Mapping[str, str]
) -> tuple[ImageChange, ...]:
    """Services in both releases whose image differs.

    Args:
        plan: Of the release to go back to; its manifests say what a service keeps.
        now: Service → reference of the active release.
        then: The same of the other release.
    """
    return tuple(
        ImageChange(name, _version(now[name]), _version(then[name]), _holdings(plan, name))
        for name in sorted(now.keys() & then.keys())
        if now[name] != then[name]
    )


def refuse_irreversible(
    then: Answers, now: Answers, changes: Collection[ImageChange], *, accepted: bool
) -> None:
    """What going back would not undo is told before anything is changed.

    Args:
        then: Answers of the release to go back to.
        now: Answers as they are given now.
        changes: Of images.
        accepted: Somebody said that older programs may meet newer data.

    Raises:
        ConflictError: with everything that stands against it.
    """
    problems = [*_moved(then, now)]
    migrated = [change for change in changes if change.holds]
    if migrated and not accepted:
        problems.append(_migrated(migrated))
    if problems:
        raise ConflictError(*problems)


def _before(history: History) -> str | None:
    """The release that was verified last before the active one."""
    names = [record.release for record in history.records]
    if history.current in names:
        at = len(names) - 1 - names[::-1].index(history.current)
        names = names[:at]
    return next((name for name in reversed(names) if name != history.current), None)


def _find_named(history: History, wanted: str) -> str:
    known = {record.release for record in history.records}
    found = {name for name in known if name.startswith(wanted)}
    if wanted in known:
        return wanted
    if len(found) == 1 and len(wanted) >= SHORTEST_NAME:
        return found.pop()
    there = wanted in history.present
    told = "was never verified here, so its answers are not recorded" if there else "is not known"
    raise UsageError(
        Problem(
            "rollback.unknown",
            f"release {wanted!r} {told}; known: {', '.join(sorted(known)) or 'none'}",
            Remedy("name one that is listed", ("devplat-install rollback --list",)),
            where="--to",
        )
    )


def _none_earlier(history: History) -> Problem:
    unrecorded = sorted(history.present.keys() - {r.release for r in history.records})
    rest = [name for name in unrecorded if name != history.current]
    detail = f"on the target, never recorded as verified: {', '.join(rest)}" if rest else None
    return Problem(
        "rollback.no_earlier",
        f"no release was verified here before {history.current}, so there is none to go back to",
        Remedy(
            "apply the answers of the earlier state; data comes back out of a backup",
            ("devplat-install apply", "devplat-install restore --into drill"),
        ),
        where=history.current,
        detail=detail,
    )


def _version(reference: str) -> str:
    """What tells two images apart to a reader: tag, and the digest's beginning."""
    name, _, digest = reference.partition("@")
    tag = name.rpartition("/")[2]
    return f"{tag} ({digest.removeprefix('sha256:')[:12]})" if digest else tag


def _holdings(plan: Plan, name: str) -> str:
    if name not in plan.services:
        return ""
    manifest = plan.manifest(name)
    has_database = any(isinstance(action, DatabaseAction) for action in manifest.bootstrap)
    kept = (("its database", has_database), ("its data directory", bool(manifest.data)))
    return " and ".join(what for what, is_there in kept if is_there)


def _moved(then: Answers, now: Answers) -> Iterator[Problem]:
    for paths, what in ((_MOVED, "data"), (STORE_PLACES, "secrets")):
        for path in paths:
            old, new = then.at(path), now.at(path)
            if old != new:
                yield Problem(
                    "rollback.moved",
                    f"{path} was {_text(old)} in that release and is {_text(new)} now: its {what}"
                    " would be those from before the change",
                    Remedy(
                        f"going back does not move {what}; restore a backup of that time instead",
                        ("devplat-install backup list", "devplat-install restore --into drill"),
                    ),
                    where=path,
                )


def _text(value: Any) -> str:
    """A place as text; of a URL only that it is another one, as it may name an account."""
    if value is None:
        return "not set"
    text = str(value)
    return "another place" if "://" in text and "@" in text else text


def _migrated(changes: Sequence[ImageChange]) -> Problem:
    lines = [f"{c.service}: {c.now} -> {c.then}; keeps {c.holds}" for c in changes]
    names = ", ".join(change.service for change in changes)
    return Problem(
        "rollback.migrated",
        f"the newer images of {names} may have migrated their data, and a schema cannot be taken"
        " back",
        Remedy(
            "restore the backup taken at the time of that release, after trying it beside the"
            " deployment; or, where the older program is known to read the newer data, say so",
            (
                "devplat-install backup list",
                "devplat-install restore --into drill",
                "devplat-install rollback --accept-newer-data",
            ),
        ),
        where=changes[0].service,
        detail="\n".join(lines),
    )
