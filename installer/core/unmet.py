"""What the deployment guide asks for and this installation does not give, as results of their own.

Each is told by the manifest of the service that it concerns, and stays in every plan and report, so
that nothing of the guide is passed over in silence. None of them stops a run.
"""

from __future__ import annotations

from installer.core.errors import Problem, Remedy
from installer.core.events import CheckResult, Outcome
from installer.core.manifest import ServiceManifest
from installer.core.manifest_parts import Unmet
from installer.core.plan import Plan


def find_unmet(plan: Plan) -> tuple[CheckResult, ...]:
    """One result for each item that counts with these answers, by section of the guide."""
    found = {
        result.id: result
        for name in plan.services
        for index, item in enumerate(plan.manifest(name).unmet)
        if _counts(item, plan)
        for result in [_result(plan.manifest(name), index, item)]
    }
    return tuple(found[id] for id in sorted(found))


def _counts(item: Unmet, plan: Plan) -> bool:
    at = plan.answers.at
    if item.when and not item.when.holds(at(item.when.answer)):
        return False
    given = item.unless if isinstance(item.unless, tuple) else (item.unless,)
    return not any(condition and condition.holds(at(condition.answer)) for condition in given)


def _result(manifest: ServiceManifest, index: int, item: Unmet) -> CheckResult:
    section, _, asked = item.guide.partition(" ")
    return CheckResult(
        id=f"guide.{section}.{manifest.folder}.{index}",
        title=f"guide {section}: {asked}",
        outcome=Outcome.UNMET,
        where=manifest.folder,
        expected=asked,
        found=item.why,
        problem=Problem(
            code="guide.unmet",
            summary=f"{asked}: {item.why}",
            where=manifest.folder,
            remedy=Remedy(item.remedy),
        ),
    )
