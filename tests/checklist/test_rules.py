"""The rules of the checklists (CR-01 to CR-10), each shown to hold and to find its defect."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
import yaml

from installer.core.checklist import Kind, Mode, Result, Standing, attest
from installer.core.checklist.statements import append
from installer.core.checklist.table import parse_checklist
from installer.core.errors import ExitCode, StackError, UsageError
from installer.core.events import Outcome
from installer.core.report import StepRecord
from tests.checklist.sound import (
    OTHERS,
    TABLE,
    UNMADE,
    failed,
    named,
    report_of,
    stand,
    with_results,
)
from tests.checklist.stating import everything_stated, scene_of, stating
from tests.policy.builders import ROOT

CATALOGUE = yaml.safe_load((ROOT / "tests/acceptance/checklist.yaml").read_bytes())
ASSET = (ROOT / "assets/checklist.yaml").read_bytes()
DAY = timedelta(days=1)
NEXT_MONTH = "2026-12-24"


@pytest.mark.parametrize("row", CATALOGUE["items"], ids=lambda row: row["id"])
def test_an_item_is_there_in_the_words_and_the_mode_of_the_catalogue_cr_01(row: dict) -> None:
    item = TABLE.by_id[row["id"]]
    assert (item.list_, item.group, item.text, item.mode) == (
        row["section"], row["group"], row["text"], row["mode"],
    )  # fmt: skip
    if same := row.get("same_probe_as"):
        section, _, text = same.partition(" ")
        head = TABLE.by_id[item.same_as or ""]
        shared = TABLE.head(next(i for i in TABLE.items if i.text == text and i.list_ == section))
        assert head is shared


def test_no_item_of_the_catalogue_is_missing_and_none_of_ours_is_among_them_cr_01() -> None:
    ours = [item.id for item in TABLE.items if item.list_ != "Audits"]
    assert ours == [row["id"] for row in CATALOGUE["items"]]


def test_every_box_of_the_guide_is_an_item_cr_01() -> None:
    path = ROOT.parent / "shared/guide/production-deployment-guide.md"
    if not path.exists():
        pytest.skip("the guide does not lie beside this checkout")
    guide = path.read_text()
    chapter = guide[guide.index("### 9.1 Pre-Migration") : guide.index("## 10. Cost")]
    boxes = re.findall(r"^- \[ \] (.+)$", chapter, re.MULTILINE)
    appendix = guide[guide.index("PRODUCTION READINESS CHECKLIST") :]
    boxes += [box.strip() for box in re.findall(r"□ ([^□║]+)", appendix)]
    assert sorted(boxes) == sorted(i.text for i in TABLE.items if i.list_ != "Audits")


def test_the_report_shows_every_item_whatever_was_run_cr_01() -> None:
    for standing in (stand(), stand(report_of())):
        assert [s.item.id for s in standing.items] == [item.id for item in TABLE.items]


@pytest.mark.parametrize("item", [i for i in TABLE.items if i.mode is Mode.AUTOMATIC],
                         ids=lambda i: i.id)  # fmt: skip
def test_no_automatic_item_can_be_stated_cr_02(item) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError) as caught:
        attest(scene_of(report_of()), item.id, by="Ada", note="it is fine")
    assert caught.value.problems[0].code == "checklist.automatic"
    assert caught.value.problems[0].remedy.commands


def test_a_statement_about_an_automatic_item_in_the_file_does_not_help_it_cr_02() -> None:
    scene = scene_of(report_of())
    forged = replace(attest(scene, "CK-18", by="Ada", note="fine"), item="CK-04")
    report = report_of(with_results(failed("smoke.tls.dates.git")))
    assert stand(report, chain=append((), forged)).state("CK-04").result is Result.FAIL


def test_a_measurement_contradicts_what_was_stated_cr_02() -> None:
    chain = stating(scene_of(report_of()), "CK-02")
    assert stand(report_of(), chain=chain).state("CK-02").result is Result.ATTESTED
    report = report_of(with_results(failed("HD-26")))
    assert stand(report, chain=chain).state("CK-02").result is Result.FAIL


@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_could_not_be_run_is_pending_and_never_passed_cr_03(outcome: Outcome) -> None:
    report = report_of(with_results(named("smoke.redis.redis-key", outcome)))
    wanted = {
        Outcome.PASS: Result.PASS, Outcome.WARN: Result.PASS, Outcome.FAIL: Result.FAIL,
        Outcome.UNKNOWN: Result.PENDING, Outcome.WAIVED: Result.FAIL, Outcome.UNMET: Result.NOT_MET,
    }  # fmt: skip
    assert stand(report).state("CK-07").result is wanted[outcome]


def test_nothing_passes_when_nothing_was_run_cr_03() -> None:
    allowed = {Result.PENDING, Result.NOT_MET, Result.NOT_APPLICABLE}
    assert {s.result for s in stand().items} <= allowed


@pytest.mark.parametrize("id", UNMADE)
def test_what_this_release_does_not_measure_is_not_met_and_says_so_cr_03(id: str) -> None:
    standing = stand(report_of(with_results(drop=[id])))
    states = [s for s in standing.items if s.result is Result.NOT_MET]
    assert states
    assert all("this release" in s.why for s in states)


@pytest.mark.parametrize("id", ["smoke.redis.redis-key", "PF-CPU", "HD-05", *OTHERS[:3]])
def test_a_check_that_is_missing_leaves_its_item_pending_cr_03(id: str) -> None:
    standing = stand(report_of(with_results(drop=[id])))
    pending = [s for s in standing.items if id in s.why and s.result is Result.PENDING]
    assert pending


def test_a_run_that_was_cut_short_proves_nothing_by_what_passed_cr_03() -> None:
    cut = StepRecord("verify", "verify", Outcome.FAIL, False, 1.0)
    for report in (
        report_of(steps=(cut,), exit_code=ExitCode.SSH_CONNECT),
        report_of(exit_code=ExitCode.INTERNAL, steps=()),
    ):
        assert not any(s.result is Result.PASS for s in stand(report).items)


def test_a_drill_that_broke_off_counts_more_than_an_older_one_that_passed_cr_03() -> None:
    broken = report_of(
        (),
        run="later",
        exit_code=ExitCode.BACKUP,
        steps=(StepRecord("restore.files", "restore files", Outcome.FAIL, False, 1.0),),
    )
    state = stand(broken, report_of()).state("CK-21")
    assert state.result is Result.FAIL
    assert stand(broken, report_of()).state("CK-28").result is Result.FAIL


def test_the_status_is_zero_only_when_every_item_is_good_cr_05() -> None:
    chain = everything_stated()
    good = stand(report_of(), chain=chain)
    assert good.exit_code is ExitCode.OK
    assert {s.result for s in good.items} == {
        Result.PASS, Result.ATTESTED, Result.NOT_APPLICABLE,
    }  # fmt: skip
    assert stand(report_of(), chain=chain[1:]).exit_code is ExitCode.VERIFY_FAILED
    for id in ("smoke.redis.redis-key", "HD-05", "smoke.minio.minio-object"):
        report = report_of(with_results(failed(id)))
        assert stand(report, chain=chain).exit_code is ExitCode.VERIFY_FAILED


@pytest.mark.parametrize("id", ["smoke.backup.backup-reaches", "restore.compared"])
def test_a_failed_backup_alone_ends_as_a_failed_backup_f_088(id: str) -> None:
    chain = everything_stated()
    report = report_of(with_results(failed(id)))
    assert stand(report, chain=chain).exit_code is ExitCode.BACKUP
    report = report_of(with_results(failed(id), failed("HD-05")))
    assert stand(report, chain=chain).exit_code is ExitCode.VERIFY_FAILED


@pytest.mark.parametrize("result", list(Result))
def test_only_five_results_are_good_cr_05(result: Result) -> None:
    names = {"pass", "attested", "waived", "not_met_accepted", "not_applicable"}
    assert result.is_good == (result.value in names)


def test_items_that_share_a_probe_share_its_result_its_time_and_its_statement_cr_10() -> None:
    chain = stating(scene_of(report_of()), "CK-56")
    assert chain[0].item == "CK-18"
    standing = stand(report_of(with_results(failed("SA-04"))), chain=chain)
    for item in TABLE.items:
        state, head = standing.state(item.id), standing.state(TABLE.head(item).id)
        assert (state.result, state.checked_at, state.statement, state.why) == (
            head.result, head.checked_at, head.statement, head.why,
        )  # fmt: skip
    assert standing.state("CK-39").result is standing.state("CK-11").result is Result.FAIL
    assert standing.state("CK-56").result is Result.ATTESTED


def test_one_item_can_be_looked_at_alone_cr_09() -> None:
    report = report_of(with_results(failed("HD-05")))
    assert stand(report).only(["CK-07"]).exit_code is ExitCode.OK
    assert stand(report).only(["AU-01"]).exit_code is ExitCode.VERIFY_FAILED
    assert stand(report).only([]).items == stand(report).items


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"id: CK-02\n", b"id: CK-01\n"),
        (b"same_as: CK-21", b"same_as: CK-99"),
        (b"same_as: CK-21", b"same_as: CK-38"),
        (b"mode: assisted, same_as: CK-12", b"mode: automatic, same_as: CK-12"),
        (b"group: Infrastructure", b"grupo: Infrastructure"),
        (b"version: 1", b"version: ["),
    ],
)
def test_a_faulty_table_is_refused(old: bytes, new: bytes) -> None:
    assert old in ASSET
    with pytest.raises(StackError):
        parse_checklist(ASSET.replace(old, new, 1))


def test_every_item_that_asks_says_what_and_every_one_says_what_to_do() -> None:
    for item in TABLE.items:
        head = TABLE.head(item)
        assert head.remedy
        assert bool(head.asks) is (head.mode is not Mode.AUTOMATIC)


def test_a_kind_of_statement_is_one_of_two() -> None:
    assert {kind.value for kind in Kind} == {"attest", "waive"}


def test_two_runs_in_a_row_give_the_same_verdicts_cr_09() -> None:
    first, second = stand(report_of()), stand(report_of(run="later"), report_of())
    assert _verdicts(first) == _verdicts(second)


def _verdicts(standing: Standing) -> list[tuple[str, Result, str]]:
    return [(s.item.id, s.result, s.why) for s in standing.items]
