"""Drives a running command to its end: feeds its input, yields its lines, gives signs of life.

The same driver serves a command on this machine and one behind a connection, so that both keep the
same contract. It starts nothing itself, and never logs what passes through it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

from installer.adapters.become import Start
from installer.adapters.stream import make_mark_pattern
from installer.core.errors import InstallError, Problem, Remedy, SshConnectError
from installer.ports import Completed, OutputLine, Talk

BEAT_S = 1.0
"""Seconds of silence after which a heartbeat is due; the port promises 2."""

PIECE = 256 * 1024
"""Bytes handed over at once: what the SSH library sends in one call it copies per packet."""

MAX_LINE = 64 * 1024
"""Bytes after which an unfinished line is given out in parts."""

Chunk: TypeAlias = tuple[Literal["out", "err"], bytes]
T = TypeVar("T")


class Process(Protocol):
    """A command that runs: its three streams and its status."""

    def send(self, data: bytes) -> None:
        """Write at most `PIECE` bytes to its input. Raises OSError when nobody reads any more."""
        ...

    def end_input(self) -> None: ...

    def wait(self, timeout_s: float) -> Sequence[Chunk]:
        """What it printed; empty when nothing came in time or it has ended.

        Raises:
            SshConnectError: the connection is gone.
        """
        ...

    @property
    def ended(self) -> bool:
        """Whether everything it printed was given out and its status is known."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the connection to it is lost."""
        ...

    def status(self) -> int:
        """Its exit status; negative when a signal ended it."""
        ...

    def close(self) -> None:
        """Let go of it, running or not. May be called twice."""
        ...


Refusal: TypeAlias = Callable[[int, str], InstallError]
"""Makes the error for a script that never began, of the status and what was printed instead."""

EndGroup: TypeAlias = Callable[[int], None]
"""Ends a process group of the host."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a process was started, and what to do when it does not go well."""

    start: Start
    refusal: Refusal
    end_group: EndGroup


def drive(
    process: Process, launch: Launch, stdin: Iterable[bytes], *, timeout_s: float, host: str
) -> Talk[OutputLine, Completed]:
    """Run `process` to its end; when the talk is left before, the command is ended.

    Input is fed from a thread of its own, so that a command may answer before it has read all; an
    error that the input itself raises comes out here.

    Raises:
        SshConnectError: the connection is gone, or nothing came or went for `timeout_s`.
        InstallError: what the refusal makes.
    """
    feeder = _Feeder(process, launch.start, stdin)
    out, err = _Collector(launch.start.mark), _Collector(launch.start.mark)
    spoken = time.monotonic()
    feeder.start()
    try:
        while not process.ended:
            for stream, data in process.wait(BEAT_S):
                feeder.touched = time.monotonic()
                for line in (out if stream == "out" else err).feed(data):
                    spoken = time.monotonic()
                    yield OutputLine(line, stream)
            if out.started:
                feeder.mark_seen.set()
            now = time.monotonic()
            if now - spoken >= BEAT_S:
                spoken = now
                yield OutputLine("", "beat")
            if now - feeder.touched > timeout_s:
                raise SshConnectError(_silent(host, timeout_s))
            feeder.check()
        feeder.check()
        status = process.status()
        if not out.started:
            raise launch.refusal(
                status, (err.noise + out.noise).decode("utf-8", "backslashreplace")
            )
        yield from (OutputLine(line, "out") for line in out.rest())
        yield from (OutputLine(line, "err") for line in err.rest())
        return Completed(status, bytes(out.data), bytes(err.data))
    finally:
        # A session that is closed while its command runs stays open at the server.
        if out.group is not None and not process.ended and not process.gone:
            with contextlib.suppress(InstallError):
                launch.end_group(out.group)
        process.close()
        feeder.leave()


def exhaust(talk: Talk[OutputLine, T]) -> T:
    """Run a talk to its end for its value alone."""
    while True:
        try:
            next(talk)
        except StopIteration as end:
            value: T = end.value
            return value


class _Feeder(threading.Thread):
    """Writes the input of a process; remembers what went wrong for the thread that reads."""

    def __init__(self, process: Process, start: Start, stdin: Iterable[bytes]) -> None:
        super().__init__(name="stdin", daemon=True)
        self.touched = time.monotonic()
        self.mark_seen = threading.Event()
        self._process = process
        self._start = start
        self._stdin = stdin
        self._error: Exception | None = None
        self._left = False

    def start(self) -> None:
        if self._stdin == () and not self._start.password:
            self._end()
        else:
            super().start()

    def leave(self) -> None:
        """Send nothing more."""
        self._left = True
        self.mark_seen.set()

    def check(self) -> None:
        """Raise what the input raised."""
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        try:
            if self._start.password:
                self._process.send(self._start.password)
            if self._start.guard and self._stdin != ():
                self._process.send(self._start.guard)
                # What follows may be secret: it goes out only to a script that has begun.
                self.mark_seen.wait()
                if self._left:
                    return
            for data in self._stdin:
                for at in range(0, len(data), PIECE):
                    self._process.send(data[at : at + PIECE])
                    self.touched = time.monotonic()
        except OSError:
            return  # the command ended without reading all; its status tells
        except Exception as error:  # noqa: BLE001 - handed over to the thread that reads
            self._error = error
        self._end()

    def _end(self) -> None:
        try:
            self._process.end_input()
        except OSError:
            return


class _Collector:
    """One output stream: drops what precedes the mark, keeps the rest, cuts it into lines."""

    def __init__(self, mark: bytes) -> None:
        self.data = bytearray()
        self.noise = b""
        self.started = False
        self.group: int | None = None
        """The process group of the script, once it has begun and where it is known."""
        self._mark = make_mark_pattern(mark)
        self._given = 0

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Take bytes, give the lines that are complete."""
        if not self.started:
            self.noise += chunk
            mark = self._mark.search(self.noise)
            if mark is None:
                return
            self.started = True
            self.group = int(mark[1]) if mark[1] else None
            chunk, self.noise = self.noise[mark.end() :], self.noise[: mark.start()]
        searched = len(self.data)
        self.data += chunk
        while True:
            end = self.data.find(b"\n", max(self._given, searched))
            if end < 0:
                break
            yield self._text(end)
            self._given = end + 1
        while len(self.data) - self._given > MAX_LINE:
            yield self._text(self._given + MAX_LINE)
            self._given += MAX_LINE

    def rest(self) -> Iterator[str]:
        """The last line, when it has no end."""
        if self._given < len(self.data):
            yield self._text(len(self.data))
            self._given = len(self.data)

    def _text(self, end: int) -> str:
        return self.data[self._given : end].decode("utf-8", "backslashreplace").rstrip("\r")


def _silent(host: str, timeout_s: float) -> Problem:
    return Problem(
        code="ssh.command_silent",
        summary=f"a command on {host} said nothing for {timeout_s:g} s",
        where=host,
        remedy=Remedy(
            "look on the host for what holds it up (load, disk, a locked file), then run again to "
            "resume"
        ),
    )
