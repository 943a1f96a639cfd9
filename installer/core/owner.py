"""Who holds the deployment lock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of a run.

    Attributes:
        run: Name of the run; sorts by time and is unique.
        machine: Host name of the bastion.
        process: Identifies a process of that machine beyond reuse of its number.
        since: Start, ISO 8601, UTC.
    """

    run: str
    user: str
    machine: str
    process: str
    since: str
