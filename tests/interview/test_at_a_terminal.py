"""The command at a pseudo-terminal: from the first question to the answers file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.core.errors import ExitCode
from installer.core.images import ImageLock, format_lock, lock_keys
from tests.interview.terminal import Open, open_terminals
from tests.stacks.builders import load


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    images = (image for m in load().services.values() for image in m.images)
    path = tmp_path / "images.lock.yaml"
    path.write_text(format_lock(ImageLock(dict.fromkeys(lock_keys(images), f"sha256:{'0' * 64}"))))
    return path


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Open]:
    with open_terminals(tmp_path) as start:
        yield start


def settings(lock: Path) -> list[str]:
    given = {
        "domain.base": "company.com",
        "ssh.host": "127.0.0.1",
        "ssh.port": "1",  # without a key the run ends here; the answers are kept
        "admin.email": "ops@company.com",
        "images.lock_file": str(lock),
        "vault.mode": "embedded",
        "waivers.ssh.host.loopback": "a test",
        "vault.passphrase": "env:PASSPHRASE",
    }
    return [word for path, text in given.items() for word in ("--set", f"{path}={text}")]


@pytest.mark.slow
def test_plain_lines_make_the_answers_that_a_file_makes(
    open_terminal: Open, lock: Path, tmp_path: Path
) -> None:
    """BR-04; the file that a conversation writes repeats it byte for byte."""
    secret = {"PASSPHRASE": "a long passphrase of this test 42!"}
    terminal = open_terminal("--plain", *settings(lock), "--ask", "tls,domain", **secret)
    terminal.answer({"Base domain": "platform.company.com", "TLS profile": "modern"})
    assert terminal.status() == ExitCode.SSH_AUTH, terminal.text
    written = (tmp_path / "run/answers.yaml").read_text()
    assert "base: platform.company.com" in written
    assert "profile: modern" in written

    again = open_terminal("--unattended", "--answers", str(tmp_path / "run/answers.yaml"), **secret)
    assert again.status() == ExitCode.SSH_AUTH
    assert (tmp_path / "run/answers.yaml").read_text() == written


@pytest.mark.slow
def test_what_was_answered_survives_a_kill(open_terminal: Open, lock: Path) -> None:
    """F-059."""
    words = ["--plain", *settings(lock), "--ask", "domain"]
    terminal = open_terminal(*words)
    terminal.read_until("Base domain [company.com]: ")
    terminal.type("other.company.com")
    terminal.read_until("Wildcard [")
    terminal.kill()
    os.waitpid(terminal.pid, 0)
    again = open_terminal(*words)
    again.read_until("(Y/n): ")
    again.type("")
    seen = again.read_until("Base domain [other.company.com]: ")
    assert "company.com" not in seen.replace("other.company.com", "")


def test_a_dumb_terminal_is_asked_with_lines(open_terminal: Open) -> None:
    """F-074."""
    terminal = open_terminal(TERM="dumb")
    seen = terminal.read_until("Name [devplat]: ")
    assert "\x1b" not in seen
    assert "Step 1 of" in seen


def test_a_section_that_does_not_exist_is_refused_before_anything_is_asked(
    open_terminal: Open,
) -> None:
    terminal = open_terminal("--plain", "--ask", "tsl")
    assert terminal.status() == ExitCode.USAGE
    assert "tls" in terminal.text


def test_a_directory_that_cannot_be_written_is_told_before_anything_is_asked(
    open_terminal: Open, tmp_path: Path
) -> None:
    """F-071."""
    (tmp_path / "run").write_text("a file where the directory should be")
    terminal = open_terminal("--plain")
    assert terminal.status() == ExitCode.LOCAL_IO
    assert "Step 1" not in terminal.text


def test_a_damaged_draft_is_named_and_kept(open_terminal: Open, tmp_path: Path) -> None:
    """F-072."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/draft.json").write_text('{"format": 1, "answers": {"domain.ba')
    terminal = open_terminal("--plain")
    assert terminal.status() == ExitCode.INTEGRITY
    assert (tmp_path / "run/draft.json.damaged").exists()
    assert "draft.json.damaged" in terminal.text
