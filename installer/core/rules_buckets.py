"""Preflight rule over the buckets of an external S3 service."""

from __future__ import annotations

from collections.abc import Iterator

from installer.core.buckets import Reach, find_fault
from installer.core.events import Outcome
from installer.core.facts import HostFacts
from installer.core.requirements import Requirements
from installer.core.rules import Finding, judged, passed, unknown


def judge_buckets(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Every bucket can be listed with its key.

    A service that cannot be reached from here is only warned of: those that need it ask from the
    host, which may have another way.
    """
    for place in needs.buckets:
        sight = facts.buckets.get(place.consumer)
        expected = f"{place.consumer} can list {place.bucket} at {place.host}"
        where = f"storage.buckets.{place.consumer}"
        if sight is None:
            yield unknown(where, "storage.unknown", expected)
        elif problem := find_fault(place, sight):
            outcome = Outcome.WARN if sight.reach is Reach.SILENT else Outcome.FAIL
            found = sight.detail or sight.code or str(sight.status)
            yield judged(outcome, problem, expected=expected, found=found)
        else:
            yield passed(where, expected=expected, found="listed")
