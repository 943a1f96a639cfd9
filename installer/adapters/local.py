"""`Host` on this machine, by child processes: the same contract as over SSH.

Commands run in a session of their own, so that an interrupt of the installer does not reach them.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Literal

from installer.adapters.become import Become, Start, make_dial_script
from installer.adapters.privilege import Privilege
from installer.adapters.process import Chunk, Launch, drive, exhaust
from installer.adapters.stream import MarkFilter, open_reader
from installer.core.errors import InstallError, Problem, Remedy, SshConnectError
from installer.core.secrets import Secret
from installer.ports import ByteStream, Command, Completed, OutputLine, Talk

READ = 64 * 1024

END_S = 2.0
"""Seconds between asking a command to end and ending it."""

PASSED_ON = frozenset({"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"})
"""Variables that commands get."""


class LocalHost:
    """This machine; commands get `environment`, or that of this process when none is given.

    Attributes:
        name: Always `localhost`.
    """

    name = "localhost"

    def __init__(
        self,
        become: Become = "auto",
        become_password: Secret | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = environment
        self._privilege = Privilege(
            self.name, become, become_password, self._run_launch, self._no_shell
        )

    def run(self, command: Command) -> Completed:
        """Run to the end; a non-zero status is a value, not an error.

        Raises:
            SshConnectError: the command said nothing for its time limit.
            PrivilegeError: root was asked for and refused.
        """
        return exhaust(self.stream(command))

    def stream(self, command: Command) -> Talk[OutputLine, Completed]:
        """Run, yielding lines as they come and a heartbeat at least every 2 s.

        Raises: as `run`.
        """
        launch = self._privilege.launch(command.script, privileged=command.privileged)
        return (yield from self._drive(launch, command))

    def dial(self, argv: Sequence[str], *, privileged: bool = False) -> ByteStream:
        """Run a program whose standard input and output are the stream.

        Raises:
            PrivilegeError: root was asked for and refused.
        """
        start = self._privilege.launch(make_dial_script(argv), privileged=privileged).start
        return PipeStream(start, self._environment)

    def close(self) -> None:
        """Nothing to close."""

    def _run_launch(self, launch: Launch, timeout_s: float) -> Completed:
        return exhaust(self._drive(launch, Command("", timeout_s=timeout_s)))

    def _drive(self, launch: Launch, command: Command) -> Talk[OutputLine, Completed]:
        process = PipeProcess(launch.start, self._environment)
        talk = drive(process, launch, command.stdin, timeout_s=command.timeout_s, host=self.name)
        return (yield from talk)

    def _no_shell(self, status: int, said: str) -> InstallError:
        return SshConnectError(
            Problem(
                code="host.shell",
                summary=f"/bin/sh ends with status {status} and does not run commands",
                where=self.name,
                detail=said.strip() or None,
                remedy=Remedy("check /bin/sh and base64 (coreutils) on this machine"),
            )
        )


class _Input:
    """The writing end of a pipe; may be closed while another thread writes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._closed = False
        os.set_blocking(descriptor, False)

    def write(self, data: bytes) -> None:
        """Write everything. Raises OSError when nobody reads any more."""
        view = memoryview(data)
        poll = select.poll()
        while view:
            with self._lock:
                if self._closed:
                    raise BrokenPipeError
                with contextlib.suppress(BlockingIOError):
                    view = view[os.write(self._descriptor, view) :]
                poll.register(self._descriptor, select.POLLOUT)
            if view:
                poll.poll(200)

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._descriptor)


def plain_environment() -> dict[str, str]:
    """As over SSH: what a command needs to run, and none of the secrets that this process got."""
    return {n: v for n, v in os.environ.items() if n in PASSED_ON or n.startswith("LC_")}


def _open(
    start: Start, environment: Mapping[str, str] | None
) -> tuple[subprocess.Popen[bytes], _Input]:
    reading, writing = os.pipe()
    try:
        child = subprocess.Popen(
            ["/bin/sh", "-c", start.line],
            stdin=reading,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment,
            bufsize=0,
        )
    finally:
        os.close(reading)
    return child, _Input(writing)


def _release(child: subprocess.Popen[bytes], input_: _Input) -> None:
    input_.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(END_S)
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()


class PipeProcess:
    """A child process, as the driver of commands wants it."""

    def __init__(self, start: Start, environment: Mapping[str, str] | None) -> None:
        self._child, self._input = _open(start, environment)
        self._poll = select.poll()
        self._open: dict[int, Literal["out", "err"]] = {}
        if self._child.stdout is not None and self._child.stderr is not None:
            self._open = {self._child.stdout.fileno(): "out", self._child.stderr.fileno(): "err"}
        for descriptor in self._open:
            self._poll.register(descriptor, select.POLLIN)

    def send(self, data: bytes) -> None:
        """Write to its input."""
        self._input.write(data)

    def end_input(self) -> None:
        """Close its input."""
        self._input.close()

    def wait(self, timeout_s: float) -> Sequence[Chunk]:
        """What came on either stream within `timeout_s`."""
        if not self._open:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout_s)
            return ()
        chunks: list[Chunk] = []
        for descriptor, _ in self._poll.poll(timeout_s * 1000):
            data = os.read(descriptor, READ)
            if data:
                chunks.append((self._open[descriptor], data))
            else:
                self._poll.unregister(descriptor)
                del self._open[descriptor]
        return chunks

    @property
    def ended(self) -> bool:
        """Whether both streams are at their end and the status is known."""
        return not self._open and self._child.poll() is not None

    @property
    def gone(self) -> bool:
        """Never: there is no connection."""
        return False

    def status(self) -> int:
        """The exit status; negative the number of the signal that ended it."""
        return self._child.wait()

    def close(self) -> None:
        """Close the pipes; a command that still runs is asked to end, then ended."""
        _release(self._child, self._input)


class PipeStream:
    """A child process as a connected byte stream; what precedes the start mark is dropped.

    Errors are those of a socket (`OSError`), because an HTTP client sits on it.
    """

    def __init__(self, start: Start, environment: Mapping[str, str] | None) -> None:
        self._child, self._input = _open(start, environment)
        self._timeout_s: float | None = None
        self._skip = MarkFilter(start.mark)
        if start.password:
            self._input.write(start.password + start.guard)

    def sendall(self, data: bytes) -> None:
        """Send everything."""
        self._input.write(data)

    def recv(self, size: int) -> bytes:
        """At least one byte, or none at the end. Raises TimeoutError as set by `settimeout`."""
        return self._skip.recv(self._read, size)

    def makefile(self, mode: str = "rb", buffering: int | None = None) -> io.BufferedReader:
        """A buffered reader over the stream; closing it leaves the stream open."""
        return open_reader(self.recv, mode, buffering)

    def settimeout(self, timeout_s: float | None) -> None:
        """Seconds that `recv` may take."""
        self._timeout_s = timeout_s

    def error_text(self) -> str:
        """What the program wrote to standard error so far."""
        said = b""
        if self._child.stderr is not None:
            os.set_blocking(self._child.stderr.fileno(), False)
            said = self._child.stderr.read() or b""
        return said.decode("utf-8", "backslashreplace").strip()

    def close(self) -> None:
        """End the program."""
        _release(self._child, self._input)

    def _read(self, size: int) -> bytes:
        if self._child.stdout is None:
            return b""
        poll = select.poll()
        poll.register(self._child.stdout.fileno(), select.POLLIN)
        if not poll.poll(None if self._timeout_s is None else self._timeout_s * 1000):
            raise TimeoutError("timed out")
        return os.read(self._child.stdout.fileno(), size)
