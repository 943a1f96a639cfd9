"""The command at a pseudo-terminal: from the first question to the answers file."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from installer.core.errors import ExitCode
from installer.core.images import ImageLock, format_lock, lock_keys
from tests.stacks.builders import load

PATIENCE_S = 60
CODE = "from installer.cli import main; import sys; sys.exit(main(sys.argv[1:]))"


class Terminal:
    """A program at a terminal of its own; types an answer whenever a prompt has appeared."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self.pid, self._handle = pty.fork()
        if self.pid == 0:
            os.execve(  # noqa: S606
                sys.executable, [sys.executable, "-c", CODE, *argv], environment
            )
        self.text = ""

    def read_until(self, wanted: str) -> str:
        """What appears up to and with a text."""
        end = time.monotonic() + PATIENCE_S
        while wanted not in self.text:
            assert time.monotonic() < end, f"{wanted!r} never came; last: {self.text[-500:]!r}"
            if select.select([self._handle], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self._handle, 65536).decode()
                except OSError as error:
                    raise AssertionError(f"ended before {wanted!r}: {self.text[-900:]}") from error
        seen, _, self.text = self.text.partition(wanted)
        return seen

    def type(self, line: str) -> None:
        os.write(self._handle, f"{line}\n".encode())

    def answer(self, typed: dict[str, str]) -> None:
        """Type what was prepared for a question's title, and Enter otherwise, to the end."""
        waiting = dict(typed)
        while True:
            try:
                line = self.read_until("]: ").rpartition("\n")[2]
            except AssertionError:
                assert not waiting, f"never asked: {waiting}"
                return
            self.type(waiting.pop(line.partition(" ")[2].partition(" [")[0], ""))

    def status(self) -> int:
        """How it ended."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if select.select([self._handle], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self._handle, 65536).decode()
                except OSError:
                    break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


Open = Callable[..., Terminal]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    images = (image for m in load().services.values() for image in m.images)
    path = tmp_path / "images.lock.yaml"
    path.write_text(format_lock(ImageLock(dict.fromkeys(lock_keys(images), f"sha256:{'0' * 64}"))))
    return path


@pytest.fixture
def open_terminal(tmp_path: Path, lock: Path) -> Iterator[Open]:
    opened: list[Terminal] = []

    def start(*argv: str, **environment: str) -> Terminal:
        own = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm"}
        own |= {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "400"}
        terminal = Terminal([*argv, "--run-dir", str(tmp_path / "run")], {**own, **environment})
        opened.append(terminal)
        return terminal

    yield start
    for terminal in opened:
        try:
            terminal.kill()
            os.waitpid(terminal.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


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
