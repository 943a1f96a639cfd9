"""What people read: brief, in order, the same content with and without colour."""

import re

from installer.core.errors import DeployError, ExitCode, Mark, Problem, Remedy
from installer.core.events import (
    CheckFinished,
    CheckResult,
    Outcome,
    RunFinished,
    Stamped,
    StepFinished,
    StepOutput,
    StepProgress,
    StepStarted,
)
from installer.core.report import build, hash_evidence, to_document
from installer.output.markdown import format_report
from installer.output.text import Narrator, format_problems, format_summary

PROBLEM = Problem(
    "deploy.unhealthy", "git is restarting", Remedy("read its log", ("docker logs git",)), "git",
    "line one\nline two", Mark("a.yaml", 3, 5),
)  # fmt: skip


def tell(*events, **options):
    lines = []
    options = {"colour": False, "verbose": False, "quiet": False, **options}
    narrator = Narrator(lines.append, **options)
    for number, event in enumerate(events, 1):
        narrator(Stamped(number, "2026-01-01T00:00:00+00:00", event))
    return lines


def check(where, outcome=Outcome.WARN):
    return CheckFinished("s", CheckResult("HD-07", "AppArmor", outcome, where, found="not offered"))


RUN = (
    StepStarted("s", "verify", eta_s=200),
    StepProgress("s", 1, 3, "going"),
    StepOutput("s", "a line"),
    *(check(f"service-{n}") for n in range(5)),
    check("fine", Outcome.PASS),
    StepFinished("s", Outcome.FAIL, changed=True, problem=PROBLEM),
    RunFinished(ExitCode.DEPLOY_FAILED, (PROBLEM,)),
)


def test_findings_that_differ_in_their_place_only_are_one_line():
    lines = [line for line in tell(*RUN) if "HD-07" in line]
    assert lines == ["  warn      HD-07 AppArmor [5 places]: not offered"]


def test_the_problem_comes_with_class_place_code_detail_and_remedy():
    text = "\n".join(tell(*RUN))
    for piece in (
        "deploy_failed: a.yaml:3:5: git: git is restarting", "code: deploy.unhealthy",
        "| line two", "what to do: read its log", "$ docker logs git", "usually 3 min", "(changed)",
    ):  # fmt: skip
        assert piece in text


def test_quiet_tells_the_problem_and_nothing_else():
    assert tell(*RUN, quiet=True) == list(format_problems((PROBLEM,), ExitCode.DEPLOY_FAILED))


def test_verbose_tells_every_line():
    text = "\n".join(tell(*RUN, verbose=True))
    assert "a line" in text
    assert "1/3 going" in text
    assert "[fine]" in text
    assert "a line" not in "\n".join(tell(*RUN))


def test_colour_is_never_the_only_signal():
    plain, coloured = tell(*RUN), tell(*RUN, colour=True)
    assert [re.sub("\x1b\\[[0-9;]*m", "", line) for line in coloured] == plain
    assert any("\x1b" in line for line in coloured)


def make_report(**changes):
    values = {
        "facts": {"deployment": "d|x", "target": "h", "release": "r"},
        "exit_code": ExitCode.VERIFY_FAILED,
        "steps": (),
        "checks": [CheckResult("c|1", "title", Outcome.FAIL, "here", "a", "b\nc")],
        "problems": DeployError(PROBLEM).problems,
        "images": {"git": "i@sha256:1"},
        "notes": ["must know"],
    }
    return build(**{**values, **changes})


def test_the_readable_report_has_everything_that_the_other_form_has():
    report = make_report()
    text = format_report(report)
    for piece in ("verify_failed", "c\\|1", "b c", "deploy.unhealthy", "i@sha256:1", "must know"):
        assert piece in text
    assert report.evidence in text


def test_one_changed_byte_of_evidence_is_found():
    document = to_document(make_report())
    assert document["evidence"] == hash_evidence(document)
    document["checks"][0]["found"] += "!"
    assert document["evidence"] != hash_evidence(document)


def test_the_summary_says_whether_anything_changed():
    assert "changed     no changes" in list(format_summary(make_report()))
