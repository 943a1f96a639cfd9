"""The report of a run: what was done, what was found, and a hash over all evidence.

It exists as data; `output` gives it its JSON, Markdown and HTML forms, with the same content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from installer.core.errors import ExitCode, IntegrityError, Problem, Remedy
from installer.core.events import CheckResult, Outcome

REPORT_VERSION = 1


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step as it ended; `seconds` is its wall time."""

    step: str
    title: str
    outcome: Outcome
    changed: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a reviewer needs to sign a run off.

    Attributes:
        facts: Identity of the run: product version, deployment, release, target, operator, start
            and end in UTC.
        changed: Whether anything on the target is different now.
        images: Service → reference that was deployed.
        notes: What the operator must know of the services and of the guide's unmet items.
        evidence: SHA-256, in hex, over the canonical JSON of everything else.
    """

    facts: Mapping[str, str]
    exit_code: ExitCode
    changed: bool
    steps: tuple[StepRecord, ...]
    checks: tuple[CheckResult, ...]
    problems: tuple[Problem, ...]
    images: Mapping[str, str]
    notes: tuple[str, ...]
    evidence: str

    @property
    def ok(self) -> bool:
        """Whether everything asked for was done and verified."""
        return self.exit_code is ExitCode.OK


def build(
    *,
    facts: Mapping[str, str],
    exit_code: ExitCode,
    steps: Sequence[StepRecord],
    checks: Sequence[CheckResult],
    problems: Sequence[Problem],
    images: Mapping[str, str],
    notes: Sequence[str],
) -> Report:
    """Put a report together and hash it."""
    draft = Report(
        facts=dict(facts),
        exit_code=exit_code,
        changed=any(step.changed for step in steps),
        steps=tuple(steps),
        checks=tuple(checks),
        problems=tuple(problems),
        images=dict(sorted(images.items())),
        notes=tuple(notes),
        evidence="",
    )
    return Report(**{**_shallow(draft), "evidence": hash_evidence(to_document(draft))})


def to_document(report: Report) -> dict[str, Any]:
    """The report as JSON-ready data."""
    return {
        "v": REPORT_VERSION,
        "facts": dict(report.facts),
        "exit_status": int(report.exit_code),
        "class": report.exit_code.class_name,
        "changed": report.changed,
        "steps": [asdict(step) for step in report.steps],
        "checks": [asdict(check) for check in report.checks],
        "problems": [asdict(problem) for problem in report.problems],
        "images": dict(report.images),
        "notes": list(report.notes),
        "evidence": report.evidence,
    }


def parse_document(document: Mapping[str, Any], path: str) -> Report:
    """The report that `to_document` gave, after its hash was compared.

    Raises:
        IntegrityError: it was altered, or is no report.
    """
    if document.get("evidence") != hash_evidence(document):
        raise IntegrityError(_altered(path))
    content = {key: document[key] for key in document if key not in ("v", "class", "exit_status")}
    try:
        content["exit_code"] = ExitCode(document["exit_status"])
        report = _reader().validate_python(content)
    except (KeyError, ValueError) as error:
        raise IntegrityError(_altered(path)) from error
    if hash_evidence(to_document(report)) != document["evidence"]:
        raise IntegrityError(_altered(path))
    return report


def hash_evidence(document: Mapping[str, Any]) -> str:
    """SHA-256 over everything but the hash itself; one changed byte is found."""
    content = {key: value for key, value in document.items() if key != "evidence"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


@cache
def _reader() -> TypeAdapter[Report]:
    return TypeAdapter(Report)


def _altered(path: str) -> Problem:
    return Problem(
        "report.altered",
        f"{path} is not as it was written: its content and its hash differ",
        Remedy("move it away and verify again", ("devplat-install checklist run",)),
        where=path,
    )


def _shallow(report: Report) -> dict[str, Any]:
    return {name: getattr(report, name) for name in report.__dataclass_fields__}
