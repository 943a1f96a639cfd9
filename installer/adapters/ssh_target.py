"""Where to connect to and as whom: plain data for the SSH adapter.

Holds no connection and reads no file, so that it can be made without importing the SSH library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from installer.core.errors import AnswersError, Problem, Remedy
from installer.core.secrets import Secret

DEFAULT_PORT = 22

_JUMP = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?"
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+(?:%\w+)?)\](?::(?P<port>\d{1,5}))?"
    r"|(?P<host>[^\s@:\[\]/,]+)(?::(?P<port_>\d{1,5}))?|(?P<bare>[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*))"
)
"""`[user@]` and then `[IPv6][:port]`, `host[:port]` or a bare IPv6 address."""


@dataclass(frozen=True, slots=True)
class SshHop:
    """One server to pass or to reach: a jump host, or the target itself."""

    host: str
    port: int
    user: str

    @property
    def address(self) -> str:
        """`host` for port 22, else `[host]:port`: the form that known_hosts uses."""
        return self.host if self.port == DEFAULT_PORT else f"[{self.host}]:{self.port}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SshTarget:
    """How to reach a host.

    Attributes:
        key_file: Private key, `~` allowed; None means the agent and the usual files in `~/.ssh`.
        passphrase: Of `key_file`, when that is encrypted.
        fingerprint: `SHA256:…` of the target's host key, unpadded; when given, it decides and no
            known_hosts entry is needed, but a `@revoked` line still refuses.
        jumps: Servers to pass, in order; each is verified against known_hosts.
        become: How privileged commands become root: `auto` tries being root, then sudo.
        become_password: For sudo, when it asks.
        connect_timeout_s: Seconds for the TCP connection, and again for the handshake.
        keepalive_s: Seconds between signs of life asked of the server.
        dead_after_s: Seconds without an answer to one after which the connection counts as lost.
    """

    host: str
    user: str
    port: int = DEFAULT_PORT
    key_file: str | None = None
    passphrase: Secret | None = None
    use_agent: bool = True
    known_hosts_file: str = "~/.ssh/known_hosts"
    fingerprint: str | None = None
    jumps: tuple[SshHop, ...] = ()
    become: Literal["auto", "sudo", "none"] = "auto"
    become_password: Secret | None = None
    connect_timeout_s: float = 15.0
    keepalive_s: float = 15.0
    dead_after_s: float = 45.0

    @property
    def hop(self) -> SshHop:
        """The target as the last hop."""
        return SshHop(self.host, self.port, self.user)


def parse_jump(text: str, default_user: str) -> SshHop:
    """Read `[user@]host[:port]`; an IPv6 address stands in brackets when a port follows.

    Raises:
        AnswersError: there is no host, or the port is no number from 1 to 65535.
    """
    match = _JUMP.fullmatch(text.strip())
    found = match.groupdict() if match else {}
    port = int(found.get("port") or found.get("port_") or DEFAULT_PORT)
    if match is None or not 1 <= port <= 65535:
        raise AnswersError(
            Problem(
                code="ssh.jump",
                summary=f"{text!r} is no jump host",
                where="ssh.jump",
                remedy=Remedy("write user@host or user@host:port"),
            )
        )
    host = found["bracketed"] or found["host"] or found["bare"]
    return SshHop(host, port, found["user"] or default_user)
