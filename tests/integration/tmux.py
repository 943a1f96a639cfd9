"""A terminal that a test looks at and types into: a server of tmux of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PATIENCE_S = 60.0


class Tmux:
    """One session at a time; `socket` is where the server of this test listens."""

    def __init__(self, socket: Path) -> None:
        self._words = ["tmux", "-S", str(socket), "-f", "/dev/null"]

    def open(
        self, argv: Sequence[str], environment: Mapping[str, str], size: tuple[int, int]
    ) -> None:
        """Start a program; its status is left on the screen when it has ended."""
        width, height = size
        given = [f"{name}={value}" for name, value in environment.items() if name != "TMUX"]
        line = f"env -i {shlex.join([*given, *argv])}; echo status: $?; exec cat"
        sizes = ["-x", str(width), "-y", str(height)]
        self._call("new-session", "-d", *sizes, "-e", "LANG=C.UTF-8", line)

    def close(self) -> None:
        """The terminal is gone, as when a window is closed or a connection breaks."""
        self._call("kill-server", check=False)

    def resize(self, width: int, height: int) -> None:
        self._call("resize-window", "-x", str(width), "-y", str(height))

    def press(self, *keys: str) -> None:
        """Keys by tmux's names."""
        self._call("send-keys", *keys)

    def type(self, text: str) -> None:
        self._call("send-keys", "-l", text)

    def screen(self) -> str:
        return self._call("capture-pane", "-p")

    def see(self, wanted: str, patience_s: float = PATIENCE_S) -> str:
        """Wait for a text; returns the screen that has it."""
        end = time.monotonic() + patience_s
        while wanted not in (shown := self.screen()):
            assert time.monotonic() < end, f"{wanted!r} never came:\n{shown}"
            time.sleep(0.2)
        return shown

    def _call(self, *words: str, check: bool = True) -> str:
        clean = {name: value for name, value in os.environ.items() if name != "TMUX"}
        done = subprocess.run(
            [*self._words, *words], capture_output=True, text=True, env=clean, check=False
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout
