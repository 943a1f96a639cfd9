"""Opens a verified SSH transport, directly or through jump hosts.

The identity of every server is judged before a credential is offered to it. Nothing here runs a
command.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from installer.adapters.known_hosts import (
    ALGORITHMS_BY_TYPE,
    HostKey,
    Known,
    KnownHosts,
)
from installer.adapters.ssh_auth import Credentials, authenticate
from installer.adapters.ssh_library import paramiko
from installer.adapters.ssh_problems import (
    changed_key,
    connect_problem,
    lost_connection,
    mismatched_pin,
    revoked_key,
    unknown_key,
)
from installer.adapters.ssh_target import SshHop, SshTarget
from installer.core.errors import HostKeyError, Problem, SshConnectError

ATTEMPTS = 2
"""Tries at the whole connection: one in many fails for no reason that lasts."""

PAUSE_S = 1.0

SUPPORTED = tuple(name for names in ALGORITHMS_BY_TYPE.values() for name in names)
"""Host key algorithms, best first: all that the SSH library has."""

CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""Asked for first: they authenticate as they encrypt, which takes a third less time than the
library's own first choice with its separate MAC. Its others follow."""

Wire: TypeAlias = "PromptSocket | paramiko.Channel"


class PromptSocket:
    """A socket that acknowledges at once what was received.

    The server's side has no TCP_NODELAY before a session begins: its second small message waits
    until the first is acknowledged, which takes 40 ms when that is delayed. Linux forgets the
    option, so that it is set again with each read.
    """

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        self._option = getattr(socket, "TCP_QUICKACK", None)

    def recv(self, size: int) -> bytes:
        """As a socket's."""
        if self._option is not None:
            self._wire.setsockopt(socket.IPPROTO_TCP, self._option, 1)
        return self._wire.recv(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)


class Connection:
    """A chain of transports, the last of which reaches the target."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.silent_s: float | None = None
        """Seconds without a sign of life, when that is why the connection was closed."""
        self._transports: list[paramiko.Transport] = []

    @property
    def transport(self) -> paramiko.Transport:
        """The transport to the target."""
        return self._transports[-1]

    @property
    def alive(self) -> bool:
        """Whether every part of the chain is up, as far as is known."""
        return all(transport.is_active() for transport in self._transports)

    def loss(self) -> SshConnectError:
        """The error that says the connection is gone, and why."""
        silent = self.silent_s
        why = "closed by the other side" if silent is None else f"no response for {silent:g} s"
        return SshConnectError(lost_connection(self.host, why))

    def extend(self, transport: paramiko.Transport) -> None:
        """Add the next hop."""
        self._transports.append(transport)

    def close(self) -> None:
        """Close every hop, the last first."""
        for transport in reversed(self._transports):
            transport.close()


def open_connection(
    target: SshTarget, known_hosts: KnownHosts, credentials: Credentials
) -> Connection:
    """Connect, verify and authenticate every hop; a failure to connect is tried once more.

    Raises:
        SshConnectError: a hop cannot be reached or does not speak SSH.
        HostKeyError: a hop's identity is unknown, changed or revoked.
        SshAuthError: a hop refused every credential.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _open_chain(target, known_hosts, credentials)
        except SshConnectError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(PAUSE_S)
    raise AssertionError("unreachable")


def _open_chain(target: SshTarget, known_hosts: KnownHosts, credentials: Credentials) -> Connection:
    chain = Connection(target.host)
    try:
        for hop in (*target.jumps, target.hop):
            known = known_hosts.lookup(hop.host, hop.port)
            opener = _make_opener(chain, hop, target.connect_timeout_s)
            transport = _open_verified(hop, opener, known, target)
            chain.extend(transport)
            authenticate(transport, hop, credentials)
    except BaseException:
        chain.close()
        raise
    return chain


def _make_opener(chain: Connection, hop: SshHop, timeout_s: float) -> Callable[[], Wire]:
    try:
        before = chain.transport
    except IndexError:
        return lambda: _open_socket(hop, timeout_s)
    return lambda: _open_tunnel(before, hop, timeout_s)


def _open_socket(hop: SshHop, timeout_s: float) -> PromptSocket:
    try:
        wire = socket.create_connection((hop.host, hop.port), timeout=timeout_s)
    except socket.gaierror as error:
        raise SshConnectError(connect_problem("ssh.name_unknown", hop, "has no address")) from error
    except ConnectionRefusedError as error:
        raise SshConnectError(
            connect_problem("ssh.refused", hop, "refuses the connection")
        ) from error
    except TimeoutError as error:
        raise SshConnectError(
            connect_problem("ssh.timeout", hop, f"does not answer within {timeout_s:g} s")
        ) from error
    except OSError as error:
        raise SshConnectError(
            connect_problem("ssh.unreachable", hop, f"cannot be reached: {error.strerror}")
        ) from error
    # Without it Nagle's algorithm waits for delayed acknowledgements: 45 ms per small exchange.
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return PromptSocket(wire)


def _open_tunnel(before: paramiko.Transport, hop: SshHop, timeout_s: float) -> paramiko.Channel:
    try:
        return before.open_channel(
            "direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=timeout_s
        )
    except (paramiko.SSHException, EOFError, OSError) as error:
        peer = before.getpeername()[0]
        raise SshConnectError(
            connect_problem("ssh.tunnel", hop, f"cannot be reached from the jump host {peer}")
        ) from error


def _open_verified(
    hop: SshHop, opener: Callable[[], Wire], known: Known, target: SshTarget
) -> paramiko.Transport:
    """Handshake until the server shows a key that is accepted.

    A server has several keys and a fingerprint does not tell its type, so that with a pin the
    other types are asked for too before the server is refused.
    """
    pin = target.fingerprint if hop == target.hop else None
    wanted = known.key_algorithms(SUPPORTED)
    shown: list[HostKey] = []
    while wanted:
        transport = _shake_hands(hop, opener(), wanted, target.connect_timeout_s)
        if transport is None:
            break
        key = _host_key(transport)
        shown.append(key)
        problem = _judge(hop, key, known, pin, target)
        if problem is None and pin in (None, key.fingerprint):
            return transport
        transport.close()
        if problem is not None:
            raise HostKeyError(problem)
        tried = ALGORITHMS_BY_TYPE.get(key.type, ())
        wanted = tuple(name for name in wanted if name not in tried)
    raise HostKeyError(mismatched_pin(hop, pin or "", shown))


def _judge(
    hop: SshHop, key: HostKey, known: Known, pin: str | None, target: SshTarget
) -> Problem | None:
    """What speaks against a key; a pin silences everything but a revocation."""
    match known.verdict(key):
        case "revoked":
            return revoked_key(hop, key, known)
        case "changed" if pin is None:
            return changed_key(hop, key, known)
        case "unknown" if pin is None:
            file, is_target = target.known_hosts_file, hop == target.hop
            return unknown_key(hop, key, known, file, is_target=is_target)
    return None


def _host_key(transport: paramiko.Transport) -> HostKey:
    key = transport.get_remote_server_key()
    return HostKey(key.get_name(), key.asbytes())


def _shake_hands(
    hop: SshHop, wire: Wire, key_types: tuple[str, ...], timeout_s: float
) -> paramiko.Transport | None:
    """A transport with keys agreed; None when the server has no key of these types."""
    transport = paramiko.Transport(wire)  # type: ignore[arg-type] # it uses less than a socket
    transport.banner_timeout = timeout_s
    transport.handshake_timeout = timeout_s
    options = transport.get_security_options()
    options.key_types = key_types
    options.ciphers = (*CIPHERS, *(name for name in options.ciphers if name not in CIPHERS))
    done = threading.Event()
    transport.start_client(event=done)
    done.wait(2 * timeout_s)
    if transport.is_active() and done.is_set():
        return transport
    error = transport.get_exception()
    transport.close()
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        if len(key_types) < len(SUPPORTED):
            return None
        raise SshConnectError(
            connect_problem("ssh.incompatible", hop, f"shares no algorithm with us: {error}")
        ) from error
    what = "answers, but does not complete the SSH handshake"
    raise SshConnectError(connect_problem("ssh.handshake", hop, what)) from error
