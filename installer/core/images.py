"""Images by tag and digest: what the lock file holds, and the reference a service gets.

A tag is for the reader; the digest decides. There is no reference without one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from installer.core.errors import AnswersError, Problem, Remedy
from installer.core.manifest import Image

LOCK_VERSION = 1
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LOCK_REMEDY = Remedy(
    "resolve the digests of this release once, with a registry in reach",
    ("devplat-install images lock --output images.lock.yaml",),
)


@dataclass(frozen=True, slots=True)
class ImageLock:
    """`repository:tag` → digest."""

    digests: Mapping[str, str]


def parse_lock(document: Any, name: str) -> ImageLock:
    """Read the parsed lock file.

    Raises:
        AnswersError: it is not a lock file, or a digest is malformed.
    """
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, dict) or document.get("version") != LOCK_VERSION:
        raise AnswersError(_problem(f"{name} is not an image lock of version {LOCK_VERSION}"))
    bad = [str(k) for k, v in images.items() if not _DIGEST.fullmatch(str(v))]
    if bad:
        raise AnswersError(*(_problem(f"{name}: the digest of {key} is malformed") for key in bad))
    return ImageLock({str(k): str(v) for k, v in images.items()})


def format_lock(lock: ImageLock) -> str:
    """The lock file, sorted, so that a change of one image is a change of one line."""
    lines = [f"  {key!s}: {lock.digests[key]}" for key in sorted(lock.digests)]
    return "\n".join([f"version: {LOCK_VERSION}", "images:", *lines, ""])


def pin_images(
    images: Mapping[str, Image],
    lock: ImageLock,
    overrides: Mapping[str, str],
    mirror: str | None,
) -> dict[str, str]:
    """The full reference of each service's image, `repository:tag@sha256:…`.

    Args:
        images: Service name → image of its manifest.
        lock: Digests.
        overrides: Service name → full reference given by the operator; used as it is.
        mirror: `host[/path]` that stands in front of every repository, or None.

    Raises:
        AnswersError: an image has no digest.
    """
    pinned: dict[str, str] = {}
    missing: list[Problem] = []
    for service, image in images.items():
        key = f"{image.repository}:{image.tag}"
        if service in overrides:
            pinned[service] = overrides[service]
        elif key in lock.digests:
            prefix = f"{mirror.removeprefix('https://').rstrip('/')}/" if mirror else ""
            pinned[service] = f"{prefix}{key}@{lock.digests[key]}"
        else:
            missing.append(
                Problem(
                    code="image.unlocked",
                    summary=f"no digest is known for {key}",
                    where=f"images.{service.replace('-', '_')}",
                    remedy=_LOCK_REMEDY,
                )
            )
    if missing:
        raise AnswersError(*missing)
    return pinned


def lock_keys(images: Iterable[Image]) -> tuple[str, ...]:
    """What a complete lock has to hold, sorted."""
    return tuple(sorted({f"{image.repository}:{image.tag}" for image in images}))


def _problem(summary: str) -> Problem:
    return Problem("image.lock_form", summary, _LOCK_REMEDY, where="images.lock_file")
