"""The releases of a target, and a way back to one of them, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from installer.core.history import History, ImageChange, ReleaseRecord

SHOWN = 12
"""Hex digits of a hash that are shown."""


def format_history(history: History) -> Iterator[str]:
    """Every release that was verified, the newest first, with what it was made of."""
    if not history.records:
        yield f"release {history.current or 'none'}; none was recorded as verified"
    seen: set[str] = set()
    for record in reversed(history.records):
        is_first = record.release not in seen
        seen.add(record.release)
        mark = "*" if record.release == history.current and is_first else " "
        gone = "" if record.release in history.present else ", its files are gone"
        yield (
            f"{mark} {record.release}  {record.at}  {record.kind:<8}  answers"
            f" {record.answers[:SHOWN]}  product {record.product}{gone}"
        )
        if is_first:
            for service, image in sorted(record.images.items()):
                yield f"      {service}: {image}"
    for name in sorted(history.present.keys() - seen):
        mark = "*" if name == history.current else " "
        yield f"{mark} {name}  on the target, never verified"
    if history.pending:
        yield f"! a rollback to {history.pending} was interrupted; run rollback again"


def format_way_back(record: ReleaseRecord, changes: Sequence[ImageChange]) -> Iterator[str]:
    """What is gone back to, and which programs become others."""
    yield f"back to release {record.release}, verified {record.at} by run {record.run}"
    for change in changes:
        kept = f"; it keeps {change.holds}, which is not taken back" if change.holds else ""
        yield f"~ image   {change.service}: {change.now} -> {change.then}{kept}"
    yield "data stays as it is: what was written since is kept, and no migration is undone"
