"""F-085: which release is gone back to, and what going back cannot undo is told before."""

from __future__ import annotations

from typing import Any

import pytest

from installer.core.errors import ConflictError, IntegrityError, UsageError
from installer.core.history import (
    KEPT_RECORDS,
    add_record,
    choose_release,
    find_image_changes,
    format_history,
    parse_history,
    refuse_irreversible,
)
from installer.output.history import format_history as tell_history
from installer.output.history import format_way_back
from tests.upkeep.builders import history, make_plan_of, record, reference


@pytest.mark.parametrize(
    ("names", "current", "pending", "chosen"),
    [
        (("aaaa", "bbbb"), "", None, "aaaa"),
        (("aaaa", "bbbb", "cccc"), "", None, "bbbb"),
        (("aaaa", "bbbb", "aaaa"), "", None, "bbbb"),
        # the active release never passed: the last one that did
        (("aaaa", "bbbb"), "dddd", None, "bbbb"),
        # killed on the way from bbbb to aaaa, before and after the switch
        (("aaaa", "bbbb"), "", "aaaa", "aaaa"),
        (("aaaa", "bbbb"), "aaaa", "aaaa", "aaaa"),
        # gone back already: asked again, it stays there
        (("aaaa", "bbbb", "aaaa:rollback"), "", None, "aaaa"),
        # an apply after it counts as any other
        (("aaaa", "bbbb", "aaaa:rollback", "cccc"), "", None, "aaaa"),
    ],
)
def test_the_release_before_is_chosen(
    names: tuple[str, ...], current: Any, pending: str | None, chosen: str
) -> None:
    assert choose_release(history(*names, current=current, pending=pending), None) == chosen


def test_a_release_is_named_by_its_beginning_when_no_other_begins_so() -> None:
    past = history("aaaa1111bbbb", "aaaa2222cccc", "dddd")
    assert choose_release(past, "aaaa1") == "aaaa1111bbbb"
    assert choose_release(past, "dddd") == "dddd"


@pytest.mark.parametrize("wanted", ["aaaa", "aa", "zzzz", "", "../state", "aaaa1111bbbb0"])
def test_a_name_of_no_release_or_of_several_is_refused(wanted: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_release(history("aaaa1111bbbb", "aaaa2222cccc", "dddd"), wanted)
    assert caught.value.problems[0].code == "rollback.unknown"
    assert "aaaa1111bbbb, aaaa2222cccc, dddd" in caught.value.problems[0].summary


@pytest.mark.parametrize(
    ("names", "current", "code"),
    [
        ((), None, "rollback.nothing"),
        (("aaaa",), "", "rollback.no_earlier"),
        ((), "aaaa", "rollback.no_earlier"),
    ],
)
def test_where_there_is_nothing_earlier_it_says_so(names: Any, current: Any, code: str) -> None:
    with pytest.raises(ConflictError) as caught:
        choose_release(history(*names, current=current), None)
    assert [p.code for p in caught.value.problems] == [code]
    assert caught.value.problems[0].remedy.commands


def test_the_history_reads_back_as_it_was_written() -> None:
    records = (record("aaaa"), record("bbbb", "rollback"))
    assert parse_history(format_history(records).decode()) == records
    assert parse_history("") == ()


@pytest.mark.parametrize("text", ["{", "[]", '{"releases": [{"release": "a"}]}', '{"version": 1}'])
def test_a_history_that_somebody_changed_is_not_believed(text: str) -> None:
    with pytest.raises(IntegrityError):
        parse_history(text)


def test_a_release_verified_again_keeps_its_place_and_old_ones_end() -> None:
    once = add_record((record("aaaa", "rollback"),), record("aaaa", answers="1" * 64))
    assert [(r.release, r.kind, r.answers[0]) for r in once] == [("aaaa", "rollback", "1")]
    many: tuple[Any, ...] = ()
    for number in range(KEPT_RECORDS + 5):
        many = add_record(many, record(f"r{number:03}"))
    assert (len(many), many[-1].release) == (KEPT_RECORDS, f"r{KEPT_RECORDS + 4:03}")


# what cannot be undone


@pytest.fixture(scope="module")
def plan() -> Any:
    return make_plan_of({})


def changed(plan: Any, service: str) -> Any:
    now = {**plan.images, service: reference(service, "new")}
    return find_image_changes(plan, now, plan.images)


def refused(then: Any, now: Any, changes: Any, **given: Any) -> list[Any]:
    try:
        refuse_irreversible(then, now, changes, **{"accepted": False, **given})
    except ConflictError as error:
        return list(error.problems)
    return []


def test_f_084_another_image_over_a_database_is_refused_and_restore_named(plan: Any) -> None:
    [problem] = refused(plan.answers, plan.answers, changed(plan, "gitea"))
    assert problem.code == "rollback.migrated"
    assert "gitea" in problem.summary
    assert "new" in problem.detail
    assert "its database" in problem.detail
    assert any("restore" in command for command in problem.remedy.commands)
    assert refused(plan.answers, plan.answers, changed(plan, "gitea"), accepted=True) == []


def test_an_image_that_keeps_nothing_may_go_back(plan: Any) -> None:
    changes = changed(plan, "drone-runner")
    assert [c.service for c in changes] == ["drone-runner"]
    assert refused(plan.answers, plan.answers, changes) == []
    assert find_image_changes(plan, plan.images, plan.images) == ()


@pytest.mark.parametrize(
    ("path", "section", "value"),
    [
        ("target.data_dir", "target", {"data_dir": "/srv/other"}),
        ("vault.mode", "vault", {"mode": "embedded"}),
    ],
)
def test_data_and_secrets_that_lie_elsewhere_now_are_not_left_behind(
    plan: Any, path: str, section: str, value: Any
) -> None:
    other = make_plan_of({section: value}).answers
    found = refused(plan.answers, other, (), accepted=True)
    assert path in [problem.where for problem in found]
    assert refused(other, other, ()) == []


def test_the_list_shows_times_answers_and_images_and_marks_the_active_one() -> None:
    past = history("aaaa", "bbbb", pending="aaaa")
    lines = list(tell_history(past))
    assert lines[0].startswith("* bbbb  2026-01-01T00:00:00+00:00  apply")
    assert any(line.strip().startswith("gitea: registry.test/gitea:1@sha256:") for line in lines)
    assert any("answers 000000000000" in line for line in lines)
    assert lines[-1].startswith("! a rollback to aaaa was interrupted")


def test_the_way_back_says_that_data_stays(plan: Any) -> None:
    lines = list(format_way_back(record("aaaa"), changed(plan, "gitea")))
    assert "gitea" in lines[1]
    assert "not taken back" in lines[1]
    assert "no migration is undone" in lines[-1]
