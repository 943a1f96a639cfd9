"""What the test-bed does where there is no engine, and that it ends its own engine only."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.testbed import engine
from tests.testbed.commands import TestbedError, attempt, run
from tests.testbed.places import Places


def test_a_plain_user_is_told_to_be_root(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(TestbedError, match="run it as root"):
        engine.ensure_engine(Places(tmp_path))


def test_another_distribution_is_told_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(engine, "is_running", lambda: False)
    monkeypatch.setattr(engine.shutil, "which", lambda program: None)
    monkeypatch.setattr(engine, "_distribution", lambda: {"fedora"})
    with pytest.raises(TestbedError, match=r"docker\.io, iptables, mmdebstrap.*Debian or Ubuntu"):
        engine.ensure_engine(Places(tmp_path))


def test_a_running_engine_is_used_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(engine, "is_running", lambda: True)
    monkeypatch.setattr(engine.shutil, "which", lambda program: f"/usr/bin/{program}")
    engine.ensure_engine(Places(tmp_path))
    assert not (tmp_path / "engine").exists()


@pytest.fixture
def process():
    started = subprocess.Popen(["sleep", "60"])
    yield started
    started.kill()
    started.wait()


def record(tmp_path, process, started):
    (tmp_path / "engine").mkdir()
    text = json.dumps({"pid": process.pid, "started": started})
    (tmp_path / "engine" / "engine.json").write_text(text)


def test_an_engine_that_was_started_here_is_ended(tmp_path, process):
    record(tmp_path, process, engine._started_at(process.pid))
    assert engine.stop_engine(Places(tmp_path)) is True
    assert process.wait(5) == -15
    assert engine.stop_engine(Places(tmp_path)) is False


def test_a_process_that_only_has_the_same_number_is_left_alone(tmp_path, process):
    record(tmp_path, process, "1")
    assert engine.stop_engine(Places(tmp_path)) is False
    assert process.poll() is None


def test_a_program_that_fails_is_quoted(tmp_path):
    with pytest.raises(TestbedError, match="status 3:\nwhy"):
        run(["sh", "-c", "echo why >&2; exit 3"])
    assert attempt(["no-such-program"])[0] == 127
    assert attempt(["sleep", "5"], timeout=0.05)[0] == 124
