"""The screens at a pseudo-terminal: how soon the first one is there, how soon a key is answered."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import statistics
import struct
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.figures import ContenderError, Row, take_turns
from tests.bench.programs import ROOT, product

GOAL_FIRST = 1.5
KEY_S = 0.050
"""Time that a key press may take."""
KEYS = 100
PATIENCE_S = 30.0
CHECKS = 10
HELLO = """
from textual.app import App
from textual.widgets import Footer, Header, Static
class Hello(App):
    def compose(self):
        yield Header()
        yield Static("hello, world")
        yield Footer()
Hello().run()
"""
FLOOR = "hello-world in Textual"
BUSY = "tests.bench.busy_screens"
READY = "step 1 of"
_ESCAPES = re.compile(r"\x1b(\[[0-9;?<>=:$]*[A-Za-z~]|[()][A-Z0-9]|[=>78])")


def measure(home: Path, rounds: int) -> list[Row]:
    """The first frame against the plainest program, and keys while ten checks run behind.

    Raises:
        ContenderError: a program showed nothing, or did not answer a key.
    """
    ours = [*product(), "--run-dir", str(home / "screens")]
    taken = take_turns(
        {
            FLOOR: lambda: first_frame([sys.executable, "-c", HELLO], "hello", home),
            "first": lambda: first_frame(ours, "devplat-install", home),
        },
        rounds,
    )
    keys = key_presses([sys.executable, "-m", BUSY], home)
    allowed = f"{KEY_S * 1000:.0f} ms"
    p99 = statistics.quantiles(keys, n=100)[98]
    return [
        Row("first frame of the wizard", FLOOR, taken[FLOOR], taken["first"], GOAL_FIRST),
        Row(f"a key, {CHECKS} checks behind, median", allowed, [KEY_S], keys, 1.0),
        Row(f"a key, {CHECKS} checks behind, p99", allowed, [KEY_S], [p99], 1.0),
    ]


def first_frame(argv: Sequence[str], wanted: str, home: Path) -> float:
    """Seconds from the start of a program to a text on its screen."""
    begun = time.perf_counter()
    with _terminal(argv, home) as handle:
        _read_until(handle, wanted)
        return time.perf_counter() - begun


def key_presses(argv: Sequence[str], home: Path) -> list[float]:
    """Seconds from each key to its letter on the screen."""
    taken = []
    with _terminal(argv, home) as handle:
        _read_until(handle, READY)
        for number in range(KEYS):
            letter = "QZXWVU"[number % 6]
            begun = time.perf_counter()
            os.write(handle, letter.encode())
            _read_until(handle, letter)
            taken.append(time.perf_counter() - begun)
            if number % 20 == 19:  # the field is emptied before it is full
                os.write(handle, b"\x15")
                time.sleep(0.2)
    return taken


def _read_until(handle: int, wanted: str) -> None:
    text, end = "", time.monotonic() + PATIENCE_S
    while wanted not in _ESCAPES.sub("", text):
        left = end - time.monotonic()
        if left <= 0 or not select.select([handle], [], [], left)[0]:
            raise ContenderError(f"{wanted!r} was not shown; last: {text[-200:]!r}")
        text += os.read(handle, 65536).decode(errors="replace")


@contextmanager
def _terminal(argv: Sequence[str], home: Path) -> Iterator[int]:
    """A program at a terminal of 120 by 30, ended afterwards."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm-256color",
                   "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}  # fmt: skip
    pid, handle = pty.fork()
    if pid == 0:
        os.execve(argv[0], list(argv), environment)  # noqa: S606
    fcntl.ioctl(handle, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    try:
        yield handle
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(handle)
