"""A failed check fails the run, and what it carries is kept without a secret (SE-24)."""

from types import SimpleNamespace

from installer import pipeline, verification
from installer.core.errors import ExitCode, Problem, Remedy
from installer.core.events import CheckResult, Outcome
from installer.core.redaction import Redactor
from installer.core.report import to_document
from installer.core.secrets import Secret
from installer.recording import Recorder

SECRET = "hunter2hunter2hunter2"


def make_report(redact):
    problem = Problem("deploy.unhealthy", "x is down", Remedy("look"), detail=f"password={SECRET}")
    recorder = Recorder(lambda: 0.0)
    recorder.checks.append(CheckResult("c", "t", Outcome.FAIL, found=SECRET))
    plan = SimpleNamespace(images={}, services=())
    bundle = SimpleNamespace(release="r")
    job = SimpleNamespace(facts={}, bundle=bundle, plan=plan, redact=redact)
    clock = SimpleNamespace(now=lambda: SimpleNamespace(isoformat=lambda timespec: "now"))
    failure = pipeline.Failure(ExitCode.DEPLOY_FAILED, (problem,))
    ports = SimpleNamespace(clock=clock)
    return pipeline._report(job, recorder, (), failure, ports)


def test_a_log_line_with_a_secret_is_kept_without_it():
    document = to_document(make_report(Redactor([Secret(SECRET)]).redact))
    assert SECRET not in str(document)
    assert "x is down" in str(document)


def test_without_the_filter_the_test_would_find_it():
    assert SECRET in str(to_document(make_report(str)))


def test_a_failed_check_without_a_problem_of_its_own_still_gives_one():
    """Otherwise a failed audit would not fail the run."""
    problem = verification.problem_of(CheckResult("HD-99", "t", Outcome.FAIL, "x", "a", "b"))
    assert problem.where == "x"
    assert "HD-99" in problem.summary
    assert problem.remedy.summary
