"""Verification: the host is judged with the rest when asked; backups fail as backups (F-088)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from installer import verification
from installer.core.errors import (
    BackupError,
    ExitCode,
    InstallError,
    PreflightError,
    Problem,
    Remedy,
    VerifyError,
)
from installer.core.events import CheckResult, Outcome
from tests.checklist.sound import failed
from tests.stacks.builders import load

COLLECTOR = "backup"


def end_of(run: Iterator[Any]) -> Any:
    while True:
        try:
            next(run)
        except StopIteration as stop:
            return stop.value


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A job whose checks give what is put into `results`."""
    plan = SimpleNamespace(collector=SimpleNamespace(name=COLLECTOR))
    made = SimpleNamespace(
        plan=plan, layout=None, bundle=SimpleNamespace(document={"services": {}}),
        requirements=SimpleNamespace(address=""), audit_container=None, audit_reach=None,
        outside=None, results=(), refused=(), logged_in=[],
    )  # fmt: skip

    def verify_stack(*_: object) -> Iterator[CheckResult]:
        yield from ()
        return made.results

    def examine(*_: object) -> Iterator[Any]:
        yield from ()
        if made.refused:
            raise PreflightError(*made.refused)

    monkeypatch.setattr(verification, "verify_stack", verify_stack)
    monkeypatch.setattr(verification, "examine_host", examine)
    monkeypatch.setattr(verification, "_look_beside", lambda *_: ())
    monkeypatch.setattr(verification.deliver, "read_secrets", lambda *_: {})
    monkeypatch.setattr(verification.launch, "active_project", lambda *_: None)
    monkeypatch.setattr(verification.stages, "log_in", lambda *_: made.logged_in.append(1))
    return made


PORTS = SimpleNamespace(secrets=None, certificates=SimpleNamespace(roots=lambda: None))


@pytest.mark.parametrize(
    ("results", "error"),
    [
        ((failed("smoke.backup.backup-reaches", COLLECTOR),), BackupError),
        ((failed("smoke.backup.backup-reaches", COLLECTOR), failed("HD-05", "gitea")), VerifyError),
        ((failed("HD-05", "gitea"),), VerifyError),
    ],
)
def test_only_what_backups_need_fails_as_a_backup_f_088(
    job: SimpleNamespace, results: tuple[CheckResult, ...], error: type[InstallError]
) -> None:
    job.results = results
    with pytest.raises(error) as caught:
        end_of(verification.verify_platform(job, PORTS))  # type: ignore[arg-type]
    assert len(caught.value.problems) == len(results)
    assert type(caught.value) is error


def test_without_a_failure_every_result_comes_back(job: SimpleNamespace) -> None:
    job.results = (CheckResult("HD-05", "t", Outcome.WARN),)
    assert end_of(verification.verify_platform(job, PORTS)) == job.results  # type: ignore[arg-type]


REFUSED = Problem("host.cpus", "2 CPUs", Remedy("more"))


def test_a_host_at_fault_does_not_keep_the_platform_from_being_verified(
    job: SimpleNamespace,
) -> None:
    job.refused = (REFUSED,)
    with pytest.raises(VerifyError) as caught:
        end_of(verification.verify_alone(job, PORTS, host=True))  # type: ignore[arg-type]
    assert caught.value.problems == (REFUSED,)
    assert caught.value.exit_code is ExitCode.VERIFY_FAILED
    assert job.logged_in
    assert end_of(verification.verify_alone(job, PORTS, host=False)) == ()  # type: ignore[arg-type]


ANSWERS = {
    "echo '[]'": "answers",
    "echo 'backup: failed: there is no backup yet' >&2; exit 1": "answers, no backup yet",
    "echo 'backup: failed: the repository does not answer: 403' >&2; exit 1": "refused: ",
    "exit 124": "refused: no answer in 60 s",
}


@pytest.mark.parametrize(("script", "told"), ANSWERS.items())
def test_a_bucket_that_answers_is_told_from_one_that_does_not_f_088(
    tmp_path: Path, script: str, told: str
) -> None:
    assert ask_place(tmp_path, script, "the specified key does not exist").startswith(told)


@pytest.mark.parametrize("why", ["The specified bucket does not exist.", "code: NoSuchBucket"])
def test_a_bucket_that_is_not_there_is_no_empty_one_f_088(tmp_path: Path, why: str) -> None:
    script = "echo 'backup: failed: there is no backup yet' >&2; exit 1"
    assert ask_place(tmp_path, script, why) == f"refused: {why}"


def ask_place(root: Path, script: str, complaint: str) -> str:
    """What the check of the manifest prints when the collector says this."""
    check = next(c for c in load().services[COLLECTOR].checks if c.id == "backup-reaches")
    (root / "ctl.sh").write_text(script + "\n")
    (root / "complaint").write_text(f"Fatal: {complaint}\n".replace("Fatal: The", "The"))
    text = check.argv[-1].replace("/opt/backup", str(root)).replace("/state", str(root))
    done = subprocess.run([*check.argv[:-1], text], capture_output=True, text=True, check=True)
    assert "bucket" in check.remedy
    return done.stdout.strip().replace("refused: Fatal: ", "refused: ")
