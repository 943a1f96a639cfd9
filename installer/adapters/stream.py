"""What the byte streams of all hosts share: dropping what precedes the start mark, and reading.

Keeps no connection of its own.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TypeAlias

READ = 64 * 1024

Receive: TypeAlias = Callable[[int], bytes]


def make_mark_pattern(mark: bytes) -> re.Pattern[bytes]:
    """Finds the line of a start mark; its group 1 is the process group, or empty."""
    return re.compile(re.escape(mark) + rb" ?(\d*)\n")


class MarkFilter:
    """Passes on what follows the start mark."""

    def __init__(self, mark: bytes) -> None:
        self._mark: re.Pattern[bytes] | None = make_mark_pattern(mark)
        self._ahead = b""

    def recv(self, receive: Receive, size: int) -> bytes:
        """At least one byte of what follows the mark, or none at the end.

        Raises:
            ConnectionResetError: the end came before the mark: the program did not start.
            OSError: what `receive` raises.
        """
        while self._mark is not None:
            chunk = receive(READ)
            if not chunk:
                raise ConnectionResetError("the program did not start")
            self._ahead += chunk
            found = self._mark.search(self._ahead)
            if found:
                self._mark, self._ahead = None, self._ahead[found.end() :]
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        return receive(size)


def open_reader(receive: Receive, mode: str, buffering: int | None) -> io.BufferedReader:
    """A buffered reader over `receive`, as `socket.makefile` makes one.

    Raises:
        ValueError: `mode` is not `rb`.
    """
    if mode != "rb":
        raise ValueError(f"mode {mode!r}; only 'rb' is offered")
    return io.BufferedReader(_Raw(receive), buffering if buffering and buffering > 0 else READ)


class _Raw(io.RawIOBase):
    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)
