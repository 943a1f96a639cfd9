"""Where everything lies on the target, as paths below the two directories of the answers."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths on the target; `install_dir` and `data_dir` are absolute and normalised."""

    install_dir: str
    data_dir: str

    @property
    def releases(self) -> str:
        """Immutable release directories, one per bundle digest."""
        return posixpath.join(self.install_dir, "releases")

    def release(self, name: str) -> str:
        """The directory of one release."""
        return posixpath.join(self.releases, name)

    @property
    def current(self) -> str:
        """Link to the active release; the compose project's directory."""
        return posixpath.join(self.install_dir, "current")

    @property
    def state(self) -> str:
        """Journal, lock and the record of the verified release."""
        return posixpath.join(self.install_dir, "state")

    @property
    def lock(self) -> str:
        """The deployment lock; holds its owner, its time stamp is the heartbeat."""
        return posixpath.join(self.state, "lock")

    @property
    def journal(self) -> str:
        """What the last run did, step by step."""
        return posixpath.join(self.state, "journal.json")

    @property
    def verified(self) -> str:
        """The release that passed verification last."""
        return posixpath.join(self.state, "verified.json")

    @property
    def secrets(self) -> str:
        """Mount point of the tmpfs with the services' secret files."""
        return posixpath.join(self.install_dir, "secrets")

    @property
    def override(self) -> str:
        """The operator's own compose file: seeded once, never rewritten."""
        return posixpath.join(self.install_dir, "compose.override.yaml")

    def data(self, service: str, name: str) -> str:
        """One data directory of one service."""
        return posixpath.join(self.data_dir, service, name)
