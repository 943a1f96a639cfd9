"""Waivers end, results go stale, and what the answers say decides what applies."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from installer.core.checklist import Result, Statement, attest, waive
from installer.core.checklist.statements import append
from installer.core.errors import UsageError
from installer.core.events import Outcome
from tests.checklist.sound import NOW, everything, failed, named, report_of, stand, with_results
from tests.checklist.stating import scene_of, stating

DAY = timedelta(days=1)
NEXT_MONTH = "2026-12-24"


@pytest.mark.parametrize(
    ("age", "result"), [(7 * DAY, Result.PASS), (7 * DAY + timedelta(seconds=1), Result.STALE),
                        (-timedelta(minutes=4), Result.PASS), (-DAY, Result.STALE)],
)  # fmt: skip
def test_a_measurement_goes_stale(age: timedelta, result: Result) -> None:
    assert stand(report_of(ended=NOW - age)).state("CK-07").result is result


def test_a_measurement_of_another_release_is_stale_and_a_failure_in_it_cannot_be_waived() -> None:
    report = report_of(with_results(failed("smoke.redis.redis-key")), release="ffffffffffff")
    state = stand(report).state("CK-07")
    assert state.result is Result.STALE
    assert "ffffffffffff" in state.why
    with pytest.raises(UsageError, match="no failure was seen"):
        waive(scene_of(report), "CK-07", by="Ada", reason="x", until=NEXT_MONTH)


@pytest.mark.parametrize(("days", "result"), [(90, Result.ATTESTED), (91, Result.STALE)])
def test_a_statement_goes_stale(days: int, result: Result) -> None:
    made = attest(scene_of(report_of()), "CK-18", by="Ada", note="rota in the wiki")
    chain = append((), replace(made, at=(NOW - days * DAY).isoformat()))
    assert stand(report_of(), chain=chain).state("CK-18").result is result


def test_a_statement_about_another_release_is_stale() -> None:
    made = attest(scene_of(report_of()), "CK-18", by="Ada", note="rota in the wiki")
    chain = append((), replace(made, release="ffffffffffff"))
    assert stand(report_of(), chain=chain).state("CK-18").result is Result.STALE


FAILING = report_of(with_results(failed("smoke.redis.redis-key", "redis")))


def waiving(report: object, id: str, until: str = NEXT_MONTH) -> tuple[Statement, ...]:
    made = waive(scene_of(report), id, by="Grace Hopper", reason="until the move", until=until)
    return append((), made)


def test_a_waiver_has_a_name_a_reason_and_an_end_and_ends() -> None:
    chain = waiving(FAILING, "CK-07")
    state = stand(FAILING, chain=chain).state("CK-07")
    assert state.result is Result.WAIVED
    assert all(word in state.why for word in ("Grace Hopper", "until the move", NEXT_MONTH))
    ended = append((), replace(chain[0], until="2026-11-23"))
    state = stand(FAILING, chain=ended).state("CK-07")
    assert state.result is Result.FAIL
    assert "ended on 2026-11-23" in state.why
    last_day = append((), replace(chain[0], until="2026-11-24"))
    assert stand(FAILING, chain=last_day).state("CK-07").result is Result.WAIVED


def test_a_waiver_covers_the_failures_of_its_day_and_no_later_one() -> None:
    chain = waiving(FAILING, "CK-07")
    worse = report_of(
        with_results(
            failed("smoke.redis.redis-key", "redis"), failed("smoke.redis.redis-anonymous")
        )
    )
    state = stand(worse, chain=chain).state("CK-07")
    assert state.result is Result.FAIL
    assert "redis-anonymous" in state.why
    assert "redis-key" not in state.why


def test_a_waiver_that_is_not_needed_any_more_is_not_shown_as_one() -> None:
    assert stand(report_of(), chain=waiving(FAILING, "CK-07")).state("CK-07").result is Result.PASS


def test_a_passed_item_has_nothing_to_waive_and_one_that_was_never_run_neither() -> None:
    for report in ((report_of(),), ()):
        with pytest.raises(UsageError) as caught:
            waive(scene_of(*report), "CK-07", by="Ada", reason="x", until=NEXT_MONTH)
        assert caught.value.problems[0].code == "checklist.nothing_to_waive"


def test_a_bypass_in_the_answers_is_no_waiver_until_somebody_signs_for_it() -> None:
    report = report_of(with_results(named("PF-CPU", Outcome.WAIVED)))
    assert stand(report).state("CK-01").result is Result.FAIL
    assert stand(report, chain=waiving(report, "CK-01")).state("CK-01").result is Result.WAIVED


def test_a_deviation_that_the_table_of_hardening_lists_is_no_bypass() -> None:
    assert any(r.id == "HD-01" and r.outcome is Outcome.WAIVED for r in everything())
    assert stand(report_of()).state("AU-01").result is Result.PASS


UNMET = named("guide.4.2.postgres.0", Outcome.UNMET)
NO_WAF = named("guide.1.2.traefik.1", Outcome.UNMET)


def test_a_single_database_is_never_shown_as_passed_only_as_accepted() -> None:
    report = report_of(with_results(UNMET))
    chain = stating(scene_of(report), "CK-42")
    assert stand(report, chain=chain).state("CK-42").result is Result.NOT_MET
    accepted = append(chain, waiving(report, "CK-42")[0])
    assert stand(report, chain=accepted).state("CK-42").result is Result.NOT_MET_ACCEPTED


def test_a_firewall_that_stands_elsewhere_can_be_stated_or_its_lack_accepted() -> None:
    report = report_of(with_results(NO_WAF))
    assert stand(report).state("CK-12").result is Result.NOT_MET
    stated = stating(scene_of(report), "CK-40")
    assert stand(report, chain=stated).state("CK-12").result is Result.ATTESTED
    accepted = waiving(report, "CK-12")
    assert stand(report, chain=accepted).state("CK-40").result is Result.NOT_MET_ACCEPTED


@pytest.mark.parametrize(
    ("answer", "value", "id", "result"),
    [
        ("redis__enabled", False, "CK-07", Result.NOT_APPLICABLE),
        ("ai_gateway__enabled", False, "CK-26", Result.NOT_APPLICABLE),
        ("drone__enabled", False, "CK-27", Result.NOT_APPLICABLE),
        ("monitoring__enabled", False, "CK-14", Result.NOT_MET),
        ("backup__enabled", False, "CK-46", Result.NOT_MET),
        ("identity__mode", "external", "CK-37", Result.NOT_MET),
        ("vault__mode", "embedded", "CK-09", Result.NOT_MET),
        ("database__mode", "external", "CK-06", Result.PASS),
        ("network__trusted_cidr", ("10.0.0.0/8",), "CK-05", Result.PENDING),
        ("workspaces__mode", "separate", "CK-45", Result.PENDING),
    ],
)
def test_what_the_answers_say_decides_what_applies_with_the_reason(
    answer: str, value: object, id: str, result: Result
) -> None:
    state = stand(report_of(), **{answer: value}).state(id)
    assert state.result is result
    assert state.why or result is Result.PASS


def test_what_does_not_apply_can_be_neither_stated_nor_waived() -> None:
    scene = scene_of(report_of())
    with pytest.raises(UsageError, match="does not apply"):
        attest(scene, "CK-45", by="Ada", note="x")
    with pytest.raises(UsageError, match="no failure"):
        waive(scene, "CK-45", by="Ada", reason="x", until=NEXT_MONTH)


@pytest.mark.parametrize("id", ["CK-99", "", "ck18", "CK-18\n; rm", "*"])
def test_an_item_that_is_not_there_is_refused_with_the_way_to_see_them(id: str) -> None:
    with pytest.raises(UsageError) as caught:
        attest(scene_of(report_of()), id, by="Ada", note="x")
    assert caught.value.problems[0].code == "checklist.unknown_item"


def test_small_letters_name_the_same_item() -> None:
    assert attest(scene_of(report_of()), " ck-18 ", by="Ada", note="x").item == "CK-18"


@pytest.mark.parametrize("text", ["", "   ", "a\x1b[31m", "x\u202ey", "n" * 2001])
def test_a_note_that_says_nothing_or_hides_something_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        attest(scene_of(report_of()), "CK-18", by="Ada", note=text)
    with pytest.raises(UsageError):
        waive(scene_of(FAILING), "CK-07", by=text, reason="x", until=NEXT_MONTH)


@pytest.mark.parametrize(
    "day", ["2026-11-23", "2027-11-26", "tomorrow", "", "2026-13-01", "24.12.2026", "9999-12-31"]
)
def test_a_waiver_without_a_near_end_is_refused(day: str) -> None:
    with pytest.raises(UsageError) as caught:
        waive(scene_of(FAILING), "CK-07", by="Ada", reason="x", until=day)
    assert caught.value.problems[0].where == "--until"
