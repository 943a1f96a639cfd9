"""What the screens cause, carried out on this machine."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from installer.core import draft
from installer.core.errors import AnswersError, LocalIoError
from installer.core.images import ImageLock, format_lock, lock_keys
from installer.core.interview import Interview
from installer.draft_file import DraftFile
from installer.front import LocalFront
from installer.stacks import load_stacks

PATIENCE_S = 60.0


@pytest.fixture
def front(tmp_path: Path) -> LocalFront:
    file = DraftFile(tmp_path / "state")
    file.prepare()
    return LocalFront(load_stacks(), file, tmp_path / "run")


@pytest.fixture
def interview(tmp_path: Path) -> Interview:
    catalog = load_stacks().catalog
    images = (image for m in catalog.services.values() for image in m.images)
    lock = tmp_path / "lock.yaml"
    lock.write_text(format_lock(ImageLock(dict.fromkeys(lock_keys(images), f"sha256:{'0' * 64}"))))
    made = Interview(draft.Draft(), catalog)
    given = {
        "ssh.host": "192.0.2.10",
        "domain.base": "company.com",
        "admin.email": "ops@company.com",
        "vault.mode": "embedded",
        "vault.passphrase": "env:NO_SUCH_VARIABLE_OF_A_TEST",
        "images.lock_file": str(lock),
    }
    for path, text in given.items():
        made = made.answer(path, text)
    return made


def test_a_drawing_is_the_bundle_with_its_audits_sizes_and_cost(front, interview) -> None:
    drawing = front.draw(interview)
    assert "compose.yaml" in drawing.files
    assert len(drawing.release) == 12
    assert {row.service for row in drawing.sizes} >= {"coder", "traefik"}
    assert any("cost" in line for line in drawing.summary)
    assert drawing.findings


def test_answers_that_do_not_stand_are_not_drawn(front, interview) -> None:
    with pytest.raises(AnswersError):
        front.draw(interview.answer("ssh.host", "-o"))


def test_a_command_gets_the_answers_in_a_file_and_is_found_again(front, interview) -> None:
    run = front.start("plan", interview)
    end = time.monotonic() + PATIENCE_S
    while run.is_running:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert "NO_SUCH_VARIABLE_OF_A_TEST" in run.results()
    written = (front.run_dir / "answers.yaml").read_text()
    assert written == draft.dump(interview.validate(attended=True).answers)
    assert front.watched() == run
    assert front.report() is None


def test_a_place_that_cannot_be_written_is_told(front, interview) -> None:
    front.run_dir.mkdir()
    (front.run_dir / "background").write_text("in the way")
    with pytest.raises(LocalIoError, match="cannot be started"):
        front.start("plan", interview)


def test_the_latest_report_of_any_deployment_is_found(front) -> None:
    for run, status in (("20260101-000000-aa", 15), ("20260102-000000-aa", 0)):
        folder = front.run_dir / "runs" / run
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(f'{{"exit_status": {status}}}')
    assert front.report() == {"exit_status": 0}
