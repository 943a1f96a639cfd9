"""A command of this program that goes on when its terminal is closed, and the way back to it.

The command's events go into a file, its results and problems into another. Whoever comes back reads
both from the start; nothing of a run is kept in the memory of a watcher.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from installer.adapters.identity import describe_process, is_gone
from installer.adapters.questions import give_answer, pending_question
from installer.core.layers import from_environment

_RECORD = "background.json"


@dataclass(frozen=True, slots=True)
class Background:
    """One command that was started, as its record says.

    Attributes:
        command: Its name, as `apply`.
        pid: Of its process.
        process: Tells it from a later process with the same number.
        folder: Directory with its files.
    """

    command: str
    pid: int
    process: str
    folder: str

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        with suppress(ChildProcessError):  # of another watcher, who has gone
            os.waitpid(self.pid, os.WNOHANG)
        return bool(self.process) and not is_gone(self.process)

    @property
    def _events(self) -> Path:
        return Path(self.folder, "events.jsonl")

    def events(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Events from a byte offset on, and the offset for the next call; whole lines only."""
        try:
            with self._events.open("rb") as file:
                file.seek(offset)
                data = file.read()
        except OSError:
            return [], offset
        whole = data[: data.rfind(b"\n") + 1]
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]
        return lines, offset + len(whole)

    def results(self) -> str:
        """What it printed for people besides its events."""
        try:
            return Path(self.folder, "results.txt").read_text("utf-8", "replace")
        except OSError:
            return ""

    def question(self) -> str | None:
        """What it waits to be told."""
        return pending_question(self._socket) if self.is_running else None

    def answer(self, text: str) -> bool:
        """Tell it; whether it took the answer."""
        return give_answer(self._socket, text)

    def interrupt(self) -> None:
        """Ask it to end at a safe point, as Ctrl-C would."""
        if self.is_running:
            os.kill(self.pid, signal.SIGINT)

    @property
    def _socket(self) -> Path:
        return Path(self.folder, "ask")


def start_background(folder: Path, command: str, argv: Sequence[str]) -> Background:
    """Start a command of this program in a session of its own.

    Args:
        folder: For its files; made when it is missing.
        command: Its name.
        argv: Its flags. It gets the answers from them alone, none from the environment.

    Raises:
        OSError: the folder cannot be written, or the program not started.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    words = [sys.executable, "-m", "installer", command, *argv, "--log-format", "json"]
    words += ["--ask-socket", str(folder / "ask")]
    new = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(
        sys.executable,
        words,
        _environment(os.environ),
        file_actions=(
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(folder / "events.jsonl"), new, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, str(folder / "results.txt"), new, 0o600),
        ),
        setsid=True,
    )
    made = Background(command, pid, describe_process(pid) or "", str(folder))
    (folder.parent / _RECORD).write_text(json.dumps(asdict(made)), encoding="utf-8")
    return made


def find_background(root: Path) -> Background | None:
    """The last command that was started below this directory."""
    try:
        return Background(**json.loads((root / _RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Everything but answers: those are in the file, and a variable would win over it."""
    kept = {k: v for k, v in environment.items() if not from_environment({k: v}).entries}
    return {**kept, "PYTHONUNBUFFERED": "1"}
