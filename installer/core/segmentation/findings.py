"""Results of the segmentation audit: each failure names the pair or the network, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from installer.core.errors import Problem, Remedy
from installer.core.events import CheckResult, Outcome


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: the network or pair, and what was found."""

    where: str
    found: str


def judge_rule(check: str, title: str, findings: Iterable[Finding]) -> list[CheckResult]:
    """A failure for each finding, or one result that says that the rule holds."""
    failures = [fail(check, title, finding) for finding in findings]
    return failures or [CheckResult(check, title, Outcome.PASS)]


def fail(check: str, title: str, finding: Finding, expected: str = "") -> CheckResult:
    """One failed check."""
    problem = Problem(
        code="policy.segmentation",
        summary=f"{finding.where}: {finding.found}",
        where=finding.where,
        remedy=Remedy(
            "correct `connects`, `egress` or `publish` in the manifests of the services named, so"
            " that they say what assets/segmentation.yaml allows"
        ),
    )
    return CheckResult(check, title, Outcome.FAIL, finding.where, expected, finding.found, problem)
