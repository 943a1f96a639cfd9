"""`Host` over one SSH connection.

Every command, stream and question of a run goes through the same connection. The server's identity
is verified before anything is sent; a lost connection is an error for the command that runs, and
the next command connects anew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from types import TracebackType

from installer.adapters.become import make_dial_script
from installer.adapters.known_hosts import read_known_hosts
from installer.adapters.privilege import Privilege
from installer.adapters.process import Launch, drive, exhaust
from installer.adapters.ssh_auth import load_credentials
from installer.adapters.ssh_channel import (
    ChannelProcess,
    ChannelStream,
    KeepAlive,
    open_session,
)
from installer.adapters.ssh_connect import Connection, open_connection
from installer.adapters.ssh_problems import broken_shell
from installer.adapters.ssh_target import SshHop, SshTarget, parse_jump
from installer.core.errors import InstallError, SshConnectError
from installer.ports import ByteStream, Command, Completed, OutputLine, Talk

__all__ = ["SshHop", "SshHost", "SshTarget", "parse_jump"]

SYSTEM_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"

MAX_SESSIONS = 8
"""sshd allows 10 at a time by default (MaxSessions), and counts closed ones a little longer."""


class SshHost:
    """A machine reached over SSH.

    Attributes:
        name: The host as the answers name it.
        notes: What could not be read in the known_hosts files, one line each.
        connections: How many times a connection was opened.
    """

    def __init__(self, target: SshTarget) -> None:
        self.name = target.host
        self.notes: tuple[str, ...] = ()
        self.connections = 0
        self._target = target
        self._connection: Connection | None = None
        self._keepalive: KeepAlive | None = None
        self._opening = threading.RLock()
        self._sessions = threading.BoundedSemaphore(MAX_SESSIONS)
        self._privilege = Privilege(
            target.host,
            target.become,
            target.become_password,
            self._run_launch,
            self._broken_shell,
            target.user,
        )

    def __enter__(self) -> SshHost:
        """Connect; leaving closes."""
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Connect now instead of with the first command.

        Raises:
            LocalIoError: a key file or known_hosts file cannot be used.
            SshConnectError: a hop cannot be reached.
            HostKeyError: a hop's identity is unknown, changed or revoked.
            SshAuthError: a hop refuses every credential.
        """
        self._live()

    def run(self, command: Command) -> Completed:
        """Run to the end; a non-zero status is a value, not an error.

        Raises:
            SshConnectError: the connection is lost, or the command said nothing for its time limit.
            PrivilegeError: root was asked for and refused.
        """
        return exhaust(self.stream(command))

    def stream(self, command: Command) -> Talk[OutputLine, Completed]:
        """Run, yielding lines as they come and a heartbeat at least every 2 s.

        Raises: as `run`.
        """
        launch = self._privilege.launch(command.script, privileged=command.privileged)
        with self._sessions:
            return (yield from self._drive(launch, command))

    def dial(self, argv: Sequence[str], *, privileged: bool = False) -> ByteStream:
        """Run a program whose standard input and output are the stream.

        Raises:
            SshConnectError: the connection is lost. Later errors are those of a socket.
            PrivilegeError: root was asked for and refused.
        """
        start = self._privilege.launch(make_dial_script(argv), privileged=privileged).start
        return ChannelStream(open_session(self._live(), start), start)

    def close(self) -> None:
        """Close the connection. A later command opens a new one."""
        with self._opening:
            if self._keepalive is not None:
                self._keepalive.stop()
            if self._connection is not None:
                self._connection.close()
            self._connection = self._keepalive = None

    def _live(self) -> Connection:
        with self._opening:
            if self._connection is not None and self._connection.alive:
                return self._connection
            self.close()
            self._connection = self._open()
            self._keepalive = KeepAlive(
                self._connection, self._target.keepalive_s, self._target.dead_after_s
            )
            return self._connection

    def _open(self) -> Connection:
        # The library logs what it also raises; without a handler Python prints that to stderr.
        library = logging.getLogger("paramiko")
        if not library.handlers:
            library.addHandler(logging.NullHandler())
        known_hosts = read_known_hosts((self._target.known_hosts_file, SYSTEM_KNOWN_HOSTS))
        self.notes = known_hosts.notes
        credentials = load_credentials(self._target)
        try:
            connection = open_connection(self._target, known_hosts, credentials)
        finally:
            credentials.close()
        self.connections += 1
        return connection

    def _run_launch(self, launch: Launch, timeout_s: float) -> Completed:
        return exhaust(self._drive(launch, Command("", timeout_s=timeout_s)))

    def _drive(self, launch: Launch, command: Command) -> Talk[OutputLine, Completed]:
        connection = self._live()
        process = ChannelProcess(open_session(connection, launch.start), connection)
        talk = drive(process, launch, command.stdin, timeout_s=command.timeout_s, host=self.name)
        return (yield from talk)

    def _broken_shell(self, status: int, said: str) -> InstallError:
        return SshConnectError(broken_shell(self._target.hop, status, said))
