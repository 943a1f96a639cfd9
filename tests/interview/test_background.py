"""A run that goes on without a terminal, who watches it, and what it asks them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from installer.adapters.background import Background, find_background, start_background
from installer.adapters.questions import SocketQuestions, give_answer, pending_question

PATIENCE_S = 30.0


def wait_until(holds, what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ask"


@pytest.fixture
def answered(place: Path):
    """A question under way; call the result for what the run was told."""
    told: list[str] = []
    thread = threading.Thread(target=lambda: told.append(SocketQuestions(place)("Passphrase: ")))
    thread.start()
    wait_until(lambda: pending_question(place) is not None, "the question never came")

    def result() -> list[str]:
        thread.join(PATIENCE_S)
        return told

    yield result
    give_answer(place, "the end")
    thread.join(PATIENCE_S)


def test_a_watcher_sees_the_question_and_answers_it(place: Path, answered) -> None:
    assert pending_question(place) == "Passphrase: "
    assert give_answer(place, "a secret with ümlauts\nand lines")
    assert answered() == ["a secret with ümlauts\nand lines"]
    assert pending_question(place) is None
    assert not place.exists()


def test_a_watcher_may_go_away_and_another_one_answers(place: Path, answered) -> None:
    program = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, str(place)], check=True)
    assert give_answer(place, "by the second")
    assert answered() == ["by the second"]


def test_the_socket_is_its_owners_alone_and_no_file_holds_the_answer(place: Path, answered) -> None:
    assert place.stat().st_mode & 0o077 == 0
    give_answer(place, "canary-4711")
    answered()
    kept = [path.read_bytes() for path in place.parent.iterdir() if path.is_file()]
    assert not any(b"canary-4711" in data for data in kept)


def test_nobody_is_asked_where_nothing_runs(place: Path) -> None:
    assert pending_question(place) is None
    assert not give_answer(place, "anything")


def test_a_run_goes_on_after_its_starter_has_ended(tmp_path: Path) -> None:
    """F-068: closing the terminal does not stop the work; coming back shows it."""
    program = (
        "import sys; from pathlib import Path; from installer.adapters.background import *;"
        "print(start_background(Path(sys.argv[1]), 'events', ['schema']).pid)"
    )
    folder = tmp_path / "one"
    words = [sys.executable, "-c", program, str(folder)]
    subprocess.run(words, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    found = find_background(tmp_path)
    assert found is not None
    assert found.command == "events"
    wait_until(lambda: not found.is_running, "it never ended")
    assert "unrecognized arguments" in found.results() or found.events()[0] is not None


def test_events_are_read_by_whole_lines_from_where_the_watcher_was(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    run = Background("apply", 0, "", str(tmp_path))
    assert run.events() == ([], 0)
    file.write_text('{"seq": 1}\n{"seq": 2}\n{"seq"')
    events, offset = run.events()
    assert [event["seq"] for event in events] == [1, 2]
    with file.open("a") as more:
        more.write(": 3}\n")
    assert [event["seq"] for event in run.events(offset)[0]] == [3]


def test_answers_in_the_environment_do_not_reach_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DEVPLAT_DOMAIN__BASE", "other.company.com")
    monkeypatch.setenv("DEVPLAT_TIMEZONE", "Europe/Berlin")
    answers = tmp_path / "answers.yaml"
    answers.write_text("version: 1\ndomain: {base: company.com}\n")
    run = start_background(tmp_path / "run", "preflight", ["--answers", str(answers)])
    wait_until(lambda: not run.is_running, "it never ended")
    assert "admin.email" in run.results()
    assert "DEVPLAT_" not in run.results()


def test_an_interrupted_run_ends_with_the_status_of_an_interrupt(tmp_path: Path) -> None:
    # the handler is set here: what was started in the background of a shell ignores the signal
    program = (
        "signal.signal(2, signal.default_int_handler); print('up', flush=True); time.sleep(60)"
    )
    waiting = subprocess.Popen(
        [sys.executable, "-c", f"import signal, time; {program}"], stdout=subprocess.PIPE
    )
    assert waiting.stdout is not None
    waiting.stdout.readline()
    from installer.adapters.identity import describe_process

    run = Background("apply", waiting.pid, describe_process(waiting.pid) or "", str(tmp_path))
    assert run.is_running
    run.interrupt()
    waiting.wait(PATIENCE_S)
    waiting.stdout.close()
    assert waiting.returncode in (-signal.SIGINT, 1)
    assert not run.is_running


def test_one_that_has_ended_is_gone_although_nobody_has_taken_notice(tmp_path: Path) -> None:
    """Its parent is another watcher, whose terminal was closed."""
    from installer.adapters.identity import describe_process

    ended = subprocess.Popen(["true"])
    known = describe_process(ended.pid)
    wait_until(lambda: describe_process(ended.pid) is None, "the end of the process")
    assert Path(f"/proc/{ended.pid}").exists()
    assert not Background("apply", ended.pid, known or f"{ended.pid}:1:x", str(tmp_path)).is_running
    ended.wait()


def test_a_damaged_record_is_no_run(tmp_path: Path) -> None:
    assert find_background(tmp_path) is None
    (tmp_path / "background.json").write_text('{"pid": 1')
    assert find_background(tmp_path) is None
    (tmp_path / "background.json").write_text(json.dumps({"pid": os.getpid()}))
    assert find_background(tmp_path) is None
