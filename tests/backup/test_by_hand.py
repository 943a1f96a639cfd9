"""A part that only people put in the place of what there is. BK-16, SE-26."""

from __future__ import annotations

from typing import Any, cast

import pytest

from installer.core.errors import UsageError
from installer.core.events import CheckFinished, Outcome
from installer.core.layout import Layout
from installer.phases import restore
from installer.phases.drill import Drill
from installer.phases.restore import beside_step, plan_moves, refuse_by_hand
from tests.backup.test_secrets_part import rendered
from tests.core.test_store_rules import capabilities_on

MANIFEST: dict[str, Any] = {
    "run": "20260101T030000Z-00000000",
    "parts": [{"name": "secrets"}, {"name": "database"}],
}


def drill() -> Drill:
    plan, bundle = rendered()
    backups = type("Backups", (), {"plan": plan, "project": None, "engine": Engine()})()
    return Drill(cast(Any, backups), cast(Any, None), Layout("/opt/x", "/data"), bundle, "in-place")


class Engine:
    def down(self, project: object) -> tuple[()]:
        del project
        return ()


def test_alone_it_is_refused_before_anything_is_done() -> None:
    plan, _ = rendered()
    with pytest.raises(UsageError) as caught:
        refuse_by_hand(plan, "secrets")
    problem = caught.value.problems[0]
    assert problem.code == "restore.by_hand"
    assert "runbook.md" in problem.remedy.summary
    assert problem.remedy.commands == ("devplat-install restore --into drill --part secrets",)
    refuse_by_hand(plan, "database")
    refuse_by_hand(plan, None)


def test_among_others_it_is_compared_and_left_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore of everything says so, and moves the data of the others only."""
    work = drill()
    assert {move.live for move in plan_moves(work, MANIFEST, None)} == {"/data/postgres/data"}
    plan, _ = rendered()
    trials = restore.plan_trials(plan, ("secrets", "database"))

    def beside(*_: object) -> Any:
        return trials
        yield

    monkeypatch.setattr(restore, "restore_beside", beside)
    told = list(beside_step(work, MANIFEST, None).do())
    (check,) = [event.result for event in told if isinstance(event, CheckFinished)]
    assert (check.id, check.outcome, check.where) == ("restore.by_hand", Outcome.WARN, "secrets")
    assert "runbook.md" in check.found


def test_its_policy_is_a_snapshot_and_nothing_else() -> None:
    """SE-16, SA-76: by the rendered text."""
    from installer.core.store_rules import make_store_rules

    rules = make_store_rules(rendered()[0])
    policy = rules.policies["devplat-backup-secrets"]
    assert policy.count("path ") == 1
    assert capabilities_on(policy, "sys/storage/raft/snapshot") == {"read"}
    role = rules.roles["devplat-backup-secrets"]
    assert (role.secret_id_uses, role.policy) == (1, "devplat-backup-secrets")
    others = [text for name, text in rules.policies.items() if name not in (
        "devplat-backup-secrets", "devplat-installer")]  # fmt: skip
    assert not [text for text in others if "snapshot" in text]
