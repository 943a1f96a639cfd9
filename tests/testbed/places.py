"""Where the test-bed keeps things: what outlives a run is in the cache, what belongs to one run is
in a directory of its own. Nothing is written elsewhere on the machine.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LABEL = "devplat.testbed"
"""On every container, network and image of the test-bed; its value is the run's id."""

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STANDINS = HERE.parent / "standins"


@dataclass(frozen=True)
class Places:
    """The directories below the cache."""

    cache: Path

    @property
    def packages(self) -> Path:
        return self.cache / "packages"

    @property
    def layers(self) -> Path:
        return self.cache / "layers"

    @property
    def images(self) -> Path:
        return self.cache / "images"

    @property
    def hosts(self) -> Path:
        return self.cache / "hosts"

    @property
    def engine(self) -> Path:
        return self.cache / "engine"

    def run(self, run_id: str) -> Path:
        return self.cache / "runs" / run_id

    def lock(self, name: str) -> Path:
        return self.cache / f"{name}.lock"


def find_places() -> Places:
    """The cache that `DEVPLAT_TESTBED_CACHE` names, else one in the home directory."""
    named = os.environ.get("DEVPLAT_TESTBED_CACHE")
    return Places(Path(named) if named else Path.home() / ".cache" / "devplat-testbed")


def digest_of(parts: Iterable[bytes | str]) -> str:
    """A short key for a cache entry: 20 hex digits over the parts, in order."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big") + data)
    return total.hexdigest()[:20]
