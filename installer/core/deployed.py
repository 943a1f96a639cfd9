"""What is on a target now, as read from it in one go, and how it differs from a bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from installer.core.bundle import MANIFEST_PATH, Bundle, Change, diff_files, file_hashes

SECTION = "=== devplat "
"""Begins each section of the state script's output."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """The state of a target.

    Attributes:
        release: What `current` points to, or None on a fresh target.
        manifest: The release's own list: path → SHA-256; what we shipped.
        found: What lies there: path → SHA-256.
        verified: The release that passed verification last.
        journal: What the last run left in its journal, if anything.
        secrets: Secret file, `<service>/<file>` → `mode uid:gid sha256`.
        secrets_on_tmpfs: Whether the secrets' directory is a tmpfs.
        data: `<service>/<name>` → `mode uid:gid` of data directories that exist.
        markers: Markers of data directories that exist: this service's secrets are in use.
    """

    release: str | None = None
    manifest: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, str] = field(default_factory=dict)
    verified: str | None = None
    journal: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    secrets_on_tmpfs: bool = False
    data: Mapping[str, str] = field(default_factory=dict)
    markers: frozenset[str] = frozenset()

    @property
    def interrupted(self) -> tuple[str, ...]:
        """Steps that an earlier run began and did not end."""
        steps = self.journal.get("steps") or {}
        return tuple(step for step, state in steps.items() if state == "begun")

    @property
    def edited(self) -> tuple[Change, ...]:
        """Files of the active release that somebody changed on the target."""
        return diff_files(self.manifest, self.found) if self.release else ()


def parse_deployed(text: str) -> Deployed:
    """Read the output of the state script (`phases.state`)."""
    sections: dict[str, str] = {}
    for part in text.split(SECTION)[1:]:
        name, _, body = part.partition("\n")
        sections[name.strip()] = body
    manifest = _json(sections.get("manifest", ""))
    verified = _json(sections.get("verified", ""))
    return Deployed(
        release=sections.get("current", "").strip() or None,
        manifest={p: str(f["sha256"]) for p, f in manifest.get("files", {}).items()},
        found={
            path: digest
            for digest, path in _pairs(sections.get("files", ""))
            if path != MANIFEST_PATH
        },
        verified=verified.get("release"),
        journal=_json(sections.get("journal", "")),
        secrets=_secrets(sections),
        secrets_on_tmpfs=sections.get("secrets-type", "").strip() == "tmpfs",
        data={path: facts for facts, path in _pairs(sections.get("data", ""))},
        markers=frozenset(sections.get("markers", "").split()),
    )


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """What happens to a service: it is added, removed, or recreated because of `reasons`."""

    service: str
    kind: str  # added, removed, recreated
    reasons: tuple[str, ...] = ()


def compare_files(deployed: Deployed, bundle: Bundle) -> tuple[Change, ...]:
    """Rendered against deployed."""
    return diff_files(deployed.manifest, file_hashes(bundle))


def compare_services(
    bundle: Bundle, running: Mapping[str, str], changes: tuple[Change, ...]
) -> tuple[ServiceChange, ...]:
    """Rendered against running, by the release label of each container.

    Args:
        running: Service → release label of its container.
    """
    wanted = {
        name: body["labels"]["devplat.release"]
        for name, body in bundle.document["services"].items()
    }
    result = []
    for name in sorted(wanted.keys() | running.keys()):
        if name not in running:
            result.append(ServiceChange(name, "added"))
        elif name not in wanted:
            result.append(ServiceChange(name, "removed"))
        elif wanted[name] != running[name]:
            own = tuple(c.path for c in changes if c.path.startswith(f"{name}/"))
            result.append(ServiceChange(name, "recreated", own or ("its definition",)))
    return tuple(result)


def _secrets(sections: Mapping[str, str]) -> dict[str, str]:
    digests = {path: digest for digest, path in _pairs(sections.get("secrets", ""))}
    owners = {path: facts for facts, path in _pairs(sections.get("secrets-owner", ""))}
    return {path: f"{owners.get(path, '?')} {digest}" for path, digest in digests.items()}


def _pairs(text: str) -> list[tuple[str, str]]:
    """Lines `value  ./path` as pairs; the path may hold blanks."""
    pairs = []
    for line in text.splitlines():
        value, separator, path = line.partition("  ")
        if separator:
            pairs.append((value.strip(), path.removeprefix("./")))
    return pairs


def _json(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text) if text.strip() else {}
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
