"""Backups, and what a restore would do, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


def format_backups(manifests: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line for each complete backup, the newest first."""
    for manifest in manifests:
        ended = datetime.fromtimestamp(manifest["ended"], UTC)
        parts = " ".join(part["name"] for part in manifest["parts"])
        yield (
            f"{manifest['run']}  {ended:%Y-%m-%d %H:%M} UTC"
            f"  {manifest['size']} bytes  release {manifest['release']}"
            f"  key {manifest['key'][:8]}  {parts}"
        )
    if not manifests:
        yield "no complete backup yet"


def format_restore(deployment: str, run: str | None, part: str | None) -> Iterator[str]:
    """What a restore in place would do."""
    what = f"{part or 'every part'} of {run or 'the newest backup'}"
    yield f"~ backup  of what {deployment} has now is made first"
    yield f"~ restore {what}, beside it, and compare"
    yield "~ stop    the services, until the restored data has taken the old data's place"
    yield "the old data stays below the data directory, in restore/before-<backup>"
