"""The evidence pack: what a reviewer signs. Its document is the one content of all three forms.

Everything in it is under one hash, and each part under a hash of its own, so that a change is found
and its place is told. A signature is made over these hashes elsewhere; nothing here reads a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from installer.core.checklist import (
    Checklist,
    ItemState,
    Measure,
    Result,
    Sight,
    Standing,
    Statement,
)
from installer.core.checklist.patterns import fits
from installer.core.events import CheckResult, Outcome
from installer.core.report import Report

PACK_VERSION = 1
KIND = "devplat-install evidence"
_UNDER_NO_PART = ("parts", "evidence", "signature")
_MOST_FAILING = 50
Document = Mapping[str, Any]


def build_pack(
    report: Report,
    others: Sequence[Report],
    measure: Measure,
    standing: Standing,
    chain: Sequence[Statement],
    *,
    key: str = "",
) -> Document:
    """The document of a pack, without a signature.

    Args:
        report: Of the run that verified.
        others: Of other runs that the checklist draws on.
        measure: What the items were judged by.
        standing: How they stand.
        chain: Every statement that was recorded.
        key: Fingerprint of the key that it is to be signed with; empty when it is not signed.
    """
    content: dict[str, Any] = {
        "kind": KIND,
        "v": PACK_VERSION,
        "made": measure.now.isoformat(timespec="seconds"),
        "key": key,
        "facts": dict(report.facts),
        "release": measure.release,
        "verified": {"exit_status": int(report.exit_code), "class": report.exit_code.class_name},
        "accepted": {
            "exit_status": int(standing.exit_code),
            "class": standing.exit_code.class_name,
            "items": dict(standing.counts()),
        },
        "runs": [_run(each) for each in (report, *others)],
        "areas": group_checks(report.checks, measure.table),
        "bypasses": _waived(report.checks, measure.table, declared=False),
        "deviations": _waived(report.checks, measure.table, declared=True),
        "unmet": [_unmet(c) for c in report.checks if c.outcome is Outcome.UNMET],
        "problems": [asdict(problem) for problem in report.problems],
        "steps": [asdict(step) for step in report.steps],
        "images": dict(report.images),
        "notes": list(report.notes),
        "checklist": describe_items(standing, measure.table),
        "statements": [asdict(statement) for statement in chain],
    }
    content = json.loads(json.dumps(content))  # tuples and enumerations as they will be read
    return {**content, **hash_parts(content)}


def hash_parts(document: Document) -> Mapping[str, Any]:
    """`parts`, a SHA-256 for each key of the document, and `evidence`, one over all of them."""
    parts = {key: _sha256(value) for key, value in document.items() if key not in _UNDER_NO_PART}
    return {"parts": parts, "evidence": _sha256(parts)}


def format_pack(document: Document) -> str:
    """The JSON form; there is only one for each document, so that any changed byte is found."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def group_checks(checks: Sequence[CheckResult], table: Checklist) -> list[dict[str, Any]]:
    """Checks by area, with how many ended how; areas without checks are left out."""
    grouped: dict[str, list[CheckResult]] = {area.title: [] for area in table.areas}
    of: dict[str, str] = {}
    for check in checks:
        if check.id not in of:
            of[check.id] = area_of(check.id, table)
        grouped[of[check.id]].append(check)
    return [
        {
            "title": title,
            "counts": {o.value: n for o in Outcome if (n := sum(c.outcome is o for c in found))},
            "checks": [asdict(check) for check in found],
        }
        for title, found in grouped.items()
        if found
    ]


def area_of(id: str, table: Checklist) -> str:
    """The title of the first area that a check's id fits."""
    return next(a.title for a in table.areas if any(fits(id, p) for p in a.checks))


def describe_items(standing: Standing, table: Checklist) -> list[dict[str, Any]]:
    """Each list with its items, in the order of the guide."""
    return [
        {
            "id": each.id,
            "title": each.title,
            "items": [_describe(s) for s in standing.items if s.item.list_ == each.id],
        }
        for each in table.lists
    ]


def _describe(state: ItemState) -> dict[str, Any]:
    at = state.checked_at
    is_open = not state.result.is_good
    return {
        "id": state.item.id,
        "group": state.item.group,
        "text": state.item.text,
        "mode": state.item.mode.value,
        "same_as": state.item.same_as or "",
        "result": state.result.value,
        "why": state.why,
        "remedy": state.head.remedy if is_open else "",
        "checked_at": at.isoformat(timespec="seconds") if at else "",
        "seen": _seen(state.measured.sights),
        "failing": [_failing(s) for s in state.measured.sights if _is_bad(s)][:_MOST_FAILING],
        "digest": state.measured.digest,
        "by": _author(state),
        "until": state.waiver.until if state.waiver and state.result.is_accepted else "",
    }


def _author(state: ItemState) -> str:
    """Who stands behind the item as it is."""
    if state.result.is_accepted and state.waiver:
        return state.waiver.by
    stated = state.result in (Result.ATTESTED, Result.STALE)
    return state.statement.by if stated and state.statement else ""


def _seen(sights: Sequence[Sight]) -> list[dict[str, Any]]:
    """How many results each run gave, the newest run first."""
    runs = {sight.run: sight for sight in sights}
    ordered = sorted(runs.values(), key=lambda sight: sight.at, reverse=True)
    return [
        {
            "run": each.run,
            "at": each.at.isoformat(timespec="seconds"),
            "release": each.release,
            "results": sum(sight.run == each.run for sight in sights),
        }
        for each in ordered
    ]


def _is_bad(sight: Sight) -> bool:
    return sight.result.outcome not in (Outcome.PASS, Outcome.WARN)


def _failing(sight: Sight) -> dict[str, str]:
    result = sight.result
    return {
        "check": result.id,
        "outcome": result.outcome.value,
        "where": result.where or "",
        "found": result.found,
    }


def _run(report: Report) -> dict[str, str]:
    names = ("run", "ended", "release", "product")
    return {**{n: report.facts.get(n, "") for n in names}, "evidence": report.evidence}


def _waived(
    checks: Sequence[CheckResult], table: Checklist, *, declared: bool
) -> list[dict[str, str]]:
    """What was bypassed in the answers, or what a table of ours lists and a service declares."""
    rows = {
        (check.id, check.where): {
            "check": check.id,
            "title": check.title,
            "where": check.where or "",
            "reason": check.found,
        }
        for check in checks
        if check.outcome is Outcome.WAIVED and table.declares(check.id) is declared
    }
    return list(rows.values())


def _unmet(check: CheckResult) -> dict[str, str]:
    remedy = check.problem.remedy.summary if check.problem else ""
    return {
        "title": check.title,
        "where": check.where or "",
        "why": check.found,
        "remedy": remedy,
    }


def _sha256(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
