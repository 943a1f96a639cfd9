"""The verdict of a verification as metrics, for the textfile collector of a node exporter.

Text of the Prometheus exposition format 0.0.4; nothing in it comes from a check but counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from installer.core.checklist import Checklist
from installer.core.errors import ExitCode
from installer.core.events import CheckResult, Outcome
from installer.core.evidence_pack import area_of

PREFIX = "devplat_verify"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification came to; `ended` is seconds since 1970, `took` is seconds."""

    deployment: str
    release: str
    product: str
    exit_code: ExitCode
    checks: Sequence[CheckResult]
    ended: float
    took: float


def format_metrics(verdict: Verdict, table: Checklist) -> str:
    """All metrics, each with its help; a verification that could not begin has no counts."""
    return "\n".join(_lines(verdict, table)) + "\n"


def _lines(verdict: Verdict, table: Checklist) -> Iterator[str]:
    labels = {"deployment": verdict.deployment}
    about = {**labels, "release": verdict.release, "version": verdict.product}
    yield from _metric("info", "What was verified, by which version.", [(about, 1)])
    yield from _metric(
        "timestamp_seconds", "When the last verification ended.", [(labels, verdict.ended)]
    )
    yield from _metric("duration_seconds", "How long it took.", [(labels, verdict.took)])
    yield from _metric(
        "exit_status", "Its exit status; 0 is good.", [(labels, int(verdict.exit_code))]
    )
    if verdict.checks:
        counted = [
            ({**labels, "outcome": o.value}, sum(c.outcome is o for c in verdict.checks))
            for o in Outcome
        ]
        yield from _metric("checks", "Checks by how they ended.", counted)
        yield from _metric("failures", "Failed checks by area.", _failures(verdict, table, labels))


def _failures(
    verdict: Verdict, table: Checklist, labels: Mapping[str, str]
) -> list[tuple[Mapping[str, str], float]]:
    failed = [area_of(c.id, table) for c in verdict.checks if c.outcome is Outcome.FAIL]
    return [({**labels, "area": area.title}, failed.count(area.title)) for area in table.areas]


def _metric(
    name: str, text: str, values: Sequence[tuple[Mapping[str, str], float]]
) -> Iterator[str]:
    yield f"# HELP {PREFIX}_{name} {text}"
    yield f"# TYPE {PREFIX}_{name} gauge"
    for labels, value in values:
        told = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        yield f"{PREFIX}_{name}{{{told}}} {value:.15g}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
