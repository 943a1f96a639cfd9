"""Contenders: timed, judged by their status, and ended with all their parts."""

import sys
import time
from pathlib import Path

import pytest

from tests.bench import programs
from tests.bench.figures import ContenderError


def test_what_a_program_prints_comes_back_with_its_time(tmp_path):
    seconds, printed = programs.run([sys.executable, "-c", "print('said')"], tmp_path)
    assert printed == "said\n"
    assert 0 < seconds < programs.TIME_LIMIT_S


def test_a_program_gets_nothing_of_this_machines_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    printed = programs.run(["env"], tmp_path)[1]
    assert "PYTHONDONTWRITEBYTECODE" not in printed
    assert "SSH_AUTH_SOCK" not in printed
    assert f"HOME={tmp_path}\n" in printed


def test_a_failing_program_is_an_error_with_its_complaint(tmp_path):
    with pytest.raises(ContenderError, match="status 3: no such thing"):
        programs.run(["sh", "-c", "echo no such thing >&2; exit 3"], tmp_path)


def test_a_program_that_takes_too_long_is_ended_with_its_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "TIME_LIMIT_S", 0.5)
    part = tmp_path / "part"
    with pytest.raises(ContenderError, match="not done"):
        programs.run(["sh", "-c", f"sleep 600 & echo $! > {part}; wait"], tmp_path)
    status = Path(f"/proc/{part.read_text().strip()}/stat")
    deadline = time.monotonic() + 10
    while status.exists() and ") Z" not in status.read_text() and time.monotonic() < deadline:
        pass
    assert not status.exists() or ") Z" in status.read_text()
