"""A program at a pseudo-terminal, and hands that type."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

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

    def next_prompt(self, is_done: Callable[[], bool]) -> str | None:
        """The line that waits to be answered; None when it is over, or the program has gone."""
        end = time.monotonic() + PATIENCE_S
        while not is_done():
            assert time.monotonic() < end, f"nothing more is asked; last: {self.text[-900:]!r}"
            if self.text.endswith(": "):
                line, self.text = self.text.rpartition("\n")[2], ""
                return line[:-2]
            if select.select([self._handle], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self._handle, 65536).decode()
                except OSError:
                    return None
        return None

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


@contextlib.contextmanager
def open_terminals(folder: Path) -> Iterator[Open]:
    """Starts the command at a terminal of its own; its state is in `run` below the folder."""
    opened: list[Terminal] = []

    def start(*argv: str, **environment: str) -> Terminal:
        own = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "xterm"}
        own |= {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "400"}
        terminal = Terminal([*argv, "--run-dir", str(folder / "run")], {**own, **environment})
        opened.append(terminal)
        return terminal

    yield start
    for terminal in opened:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            terminal.kill()
            os.waitpid(terminal.pid, 0)
