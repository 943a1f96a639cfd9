"""What a bundle is: the files that go to the target, their digests, and how two of them differ.

Says nothing of how the files are made, so that comparing and shipping need no renderer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]
"""A compose document, or a part of one."""

MANIFEST_PATH = "manifest.json"
COMPOSE_PATH = "compose.yaml"


@dataclass(frozen=True, slots=True)
class BundleFile:
    """Content and mode of one file; the owner is the account that installs."""

    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Bundle:
    """Relative path → file, the manifest included, and what they were made from.

    Attributes:
        files: Every file, in alphabetical order of its path.
        document: The compose document before it was written.
        release: First 12 hex digits of the digest over all paths, modes and contents.
    """

    files: Mapping[str, BundleFile]
    document: Document
    release: str


@dataclass(frozen=True, slots=True)
class Change:
    """One file that differs between two releases."""

    path: str
    kind: str  # added, removed, changed


def digest_files(files: Mapping[str, BundleFile]) -> str:
    """SHA-256, in hex, over the sorted lines `mode sha256 path`."""
    return hashlib.sha256("".join(manifest_lines(files)).encode()).hexdigest()


def manifest_lines(files: Mapping[str, BundleFile]) -> list[str]:
    """A line per file, in the form in which a host prints what it has: `644 <sha256> <path>`."""
    return [
        f"{file.mode:o} {hashlib.sha256(file.data).hexdigest()} {path}\n"
        for path, file in sorted(files.items())
    ]


def diff_files(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Change, ...]:
    """What differs between two mappings of path → hash."""
    return tuple(
        Change(path, "added" if path not in old else "removed" if path not in new else "changed")
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    )


def file_hashes(bundle: Bundle) -> dict[str, str]:
    """Path → SHA-256 of every file but the manifest, as the manifest lists them."""
    return {
        path: hashlib.sha256(file.data).hexdigest()
        for path, file in bundle.files.items()
        if path != MANIFEST_PATH
    }
