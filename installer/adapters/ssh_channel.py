"""Sessions on an open SSH transport: a running command, a byte stream, and signs of life.

Sessions are opened one by one and closed explicitly; the library's own `exec_command` of the client
class may end the whole connection when used from several threads.
"""

from __future__ import annotations

import contextlib
import io
import select
import threading
import time
from collections.abc import Iterator, Sequence

from installer.adapters.become import Start
from installer.adapters.process import PIECE, Chunk
from installer.adapters.ssh_connect import Connection
from installer.adapters.ssh_library import paramiko
from installer.adapters.ssh_problems import refused_channel
from installer.adapters.stream import READ, MarkFilter, open_reader
from installer.core.errors import SshConnectError

OPEN_TRIES = 8
"""A closed session counts a little longer at the server: an open that is refused is tried again."""

OPEN_PAUSE_S = 0.05
OPEN_TIMEOUT_S = 30.0


def open_session(connection: Connection, start: Start) -> paramiko.Channel:
    """A session that runs the line of `start`.

    Raises:
        SshConnectError: the connection is gone, or the server opens no session.
    """
    for attempt in range(1, OPEN_TRIES + 1):
        try:
            channel = connection.transport.open_session(timeout=OPEN_TIMEOUT_S)
            break
        except paramiko.ChannelException as error:
            if attempt == OPEN_TRIES:
                raise SshConnectError(refused_channel(connection.host, error.text)) from error
            time.sleep(OPEN_PAUSE_S * attempt)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise connection.loss() from error
    try:
        channel.exec_command(start.line)
    except (paramiko.SSHException, EOFError, OSError) as error:
        channel.close()
        if connection.alive:
            what = "the command is refused"
            raise SshConnectError(refused_channel(connection.host, what)) from error
        raise connection.loss() from error
    return channel


class ChannelProcess:
    """A command in a session, as the driver of commands wants it."""

    def __init__(self, channel: paramiko.Channel, connection: Connection) -> None:
        self._channel = channel
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)

    def send(self, data: bytes) -> None:
        """Write a piece; the library copies the rest of it per packet, so pieces stay small."""
        with _as_socket():
            self._channel.sendall(data)

    def end_input(self) -> None:
        """Tell the command that no input follows."""
        if not self._channel.closed:
            with _as_socket():
                self._channel.shutdown_write()

    def wait(self, timeout_s: float) -> Sequence[Chunk]:
        """What came on either stream within `timeout_s`."""
        channel = self._channel
        if channel.eof_received and not self._readable():
            channel.status_event.wait(timeout_s)
        else:
            self._poll.poll(timeout_s * 1000)
        chunks: list[Chunk] = []
        if channel.recv_ready():
            chunks.append(("out", channel.recv(READ)))
        if channel.recv_stderr_ready():
            chunks.append(("err", channel.recv_stderr(READ)))
        if not chunks and channel.closed and channel.exit_status < 0:
            self._check_loss()
        return chunks

    @property
    def ended(self) -> bool:
        """Whether nothing is left to read and the status, or the end without one, is known."""
        finished = self._channel.closed or (
            bool(self._channel.eof_received) and self._channel.exit_status_ready()
        )
        return finished and not self._readable()

    @property
    def gone(self) -> bool:
        """Whether the connection is lost."""
        return not self._connection.alive

    def status(self) -> int:
        """The exit status; -1 when a signal ended the command (RFC 4254, 6.10)."""
        if self._channel.exit_status < 0:
            self._check_loss()
        return self._channel.exit_status

    def close(self) -> None:
        """Close the session; a command that still runs gets a closed pipe."""
        _close(self._channel)

    def _readable(self) -> bool:
        return self._channel.recv_ready() or self._channel.recv_stderr_ready()

    def _check_loss(self) -> None:
        # The exception is set before the channels are closed, the activity flag only afterwards.
        if self._connection.transport.saved_exception is not None or not self._connection.alive:
            raise self._connection.loss()


class ChannelStream:
    """A session as a connected byte stream; what precedes the start mark is dropped.

    Errors are those of a socket (`OSError`), because an HTTP client sits on it.
    """

    def __init__(self, channel: paramiko.Channel, start: Start) -> None:
        self._channel = channel
        self._skip = MarkFilter(start.mark)
        if start.password:
            self.sendall(start.password + start.guard)

    def sendall(self, data: bytes) -> None:
        """Send everything."""
        for at in range(0, len(data), PIECE):
            with _as_socket():
                self._channel.sendall(bytes(data[at : at + PIECE]))

    def recv(self, size: int) -> bytes:
        """At least one byte, or none at the end. Raises TimeoutError as set by `settimeout`."""
        return self._skip.recv(self._channel.recv, size)

    def makefile(self, mode: str = "rb", buffering: int | None = None) -> io.BufferedReader:
        """A buffered reader over the stream; closing it leaves the stream open."""
        return open_reader(self.recv, mode, buffering)

    def settimeout(self, timeout_s: float | None) -> None:
        """Seconds that `recv` and `sendall` may take."""
        self._channel.settimeout(timeout_s)

    def error_text(self) -> str:
        """What the program wrote to standard error so far."""
        said = b""
        while self._channel.recv_stderr_ready():
            said += self._channel.recv_stderr(READ)
        return said.decode("utf-8", "backslashreplace").strip()

    def close(self) -> None:
        """End the session."""
        _close(self._channel)


@contextlib.contextmanager
def _as_socket() -> Iterator[None]:
    """Errors of a library whose connection just went away, as those of a socket."""
    try:
        yield
    except (EOFError, paramiko.SSHException) as error:
        raise ConnectionResetError("the connection is gone") from error


def _close(channel: paramiko.Channel) -> None:
    """Close a session, which a connection that is gone has closed already."""
    with contextlib.suppress(OSError), _as_socket():
        channel.close()


class KeepAlive:
    """Asks the server for a sign of life and closes the transport when none comes.

    A peer that vanished without a word (no reset, no FIN) is noticed no later than
    `every_s + dead_after_s` seconds afterwards, also through jump hosts.
    """

    def __init__(self, connection: Connection, every_s: float, dead_after_s: float) -> None:
        self._connection = connection
        self._every_s = every_s
        self._dead_after_s = dead_after_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keepalive", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s) and self._connection.alive:
            fuse = threading.Timer(self._dead_after_s, self._give_up)
            fuse.daemon = True
            fuse.start()
            try:
                # Any answer will do; OpenSSH's servers answer this one with a failure.
                self._connection.transport.global_request("keepalive@openssh.com", wait=True)
            except (paramiko.SSHException, EOFError, OSError):
                return
            finally:
                fuse.cancel()

    def _give_up(self) -> None:
        self._connection.silent_s = self._dead_after_s
        self._connection.close()
