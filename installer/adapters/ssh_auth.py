"""The operator's credentials, and how they are offered to a server.

Key files are read and checked before anything is contacted, and few keys are offered, so that no
account is locked. Errors name public keys and fingerprints, never a secret.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from installer.adapters.known_hosts import HostKey
from installer.adapters.ssh_keyfile import load_key, read_public_blob
from installer.adapters.ssh_library import paramiko
from installer.adapters.ssh_problems import connect_problem
from installer.adapters.ssh_target import SshHop, SshTarget
from installer.core.errors import InstallError, Problem, Remedy, SshAuthError, SshConnectError

MAX_OFFERS = 5
"""Keys offered to one server; sshd ends a connection after 6 refusals (MaxAuthTries)."""

DEFAULT_FILES = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
"""Tried when no key file is named; those that cannot be used are passed over."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A key to offer, and where it comes from."""

    source: str
    key: paramiko.PKey

    @property
    def public(self) -> HostKey:
        """Its public part."""
        return HostKey(self.key.get_name(), self.key.asbytes())


@dataclass(slots=True)
class Credentials:
    """What may be offered, best first, and what could not be used."""

    offers: list[Offer] = field(default_factory=list)
    unusable: list[Problem] = field(default_factory=list)
    agent: paramiko.Agent | None = None

    def close(self) -> None:
        """Leave the agent."""
        if self.agent is not None:
            self.agent.close()


def load_credentials(target: SshTarget) -> Credentials:
    """Read the key file and ask the agent which keys it has.

    An encrypted key file without passphrase is no error as long as the agent has keys.

    Raises:
        LocalIoError: the named key file is missing, unreadable, no key, or readable by others.
        SshAuthError: it is locked and the agent has nothing, or there is no key at all.
    """
    found = Credentials()
    named = Path(target.key_file).expanduser() if target.key_file else None
    if named is not None:
        try:
            found.offers.append(Offer(str(named), load_key(named, target.passphrase)))
        except SshAuthError as error:
            found.unusable += error.problems
    _add_agent(found, target, read_public_blob(named) if named else None)
    if named is None:
        _add_default_files(found, target)
    if not found.offers:
        raise SshAuthError(*(found.unusable or [_nothing_to_offer(target)]))
    unique = {offer.public: offer for offer in reversed(found.offers)}
    found.offers = list(reversed(unique.values()))[:MAX_OFFERS]
    return found


def _add_agent(found: Credentials, target: SshTarget, preferred: bytes | None) -> None:
    if not target.use_agent:
        return
    try:
        found.agent = paramiko.Agent()
    except paramiko.SSHException as error:
        found.unusable.append(_agent_problem(str(error)))
        return
    keys = [Offer("agent", key) for key in found.agent.get_keys()]
    found.offers += sorted(keys, key=lambda offer: offer.public.blob != preferred)


def _add_default_files(found: Credentials, target: SshTarget) -> None:
    for name in DEFAULT_FILES:
        path = Path(name).expanduser()
        if not path.exists():
            continue
        try:
            found.offers.append(Offer(str(path), load_key(path, target.passphrase)))
        except InstallError as error:
            found.unusable += error.problems


def authenticate(transport: paramiko.Transport, hop: SshHop, credentials: Credentials) -> None:
    """Offer one key after the other until the server takes one.

    Raises:
        SshAuthError: none is taken; names the methods the server allows and the key to install.
        SshConnectError: the connection ended meanwhile.
    """
    refused: list[Offer] = []
    allowed: list[str] = []
    for offer in credentials.offers:
        try:
            further = transport.auth_publickey(hop.user, offer.key)
        except paramiko.BadAuthenticationType as error:
            allowed = error.allowed_types
            break
        except (paramiko.SSHException, EOFError, OSError) as error:
            if not transport.is_active() and not refused:
                what = "ends the connection during authentication"
                raise SshConnectError(connect_problem("ssh.handshake", hop, what)) from error
            refused.append(offer)
            if not transport.is_active():
                break
            continue
        if not further:
            return
        raise SshAuthError(_more_wanted(hop, further))
    methods = allowed or _ask_methods(transport, hop.user)
    problem = _refused(hop, refused or credentials.offers[:1], methods)
    raise SshAuthError(*credentials.unusable, problem)


def _ask_methods(transport: paramiko.Transport, user: str) -> list[str]:
    """The methods a server names when offered none (RFC 4252, 5.2)."""
    try:
        transport.auth_none(user)
    except paramiko.BadAuthenticationType as error:
        return list(error.allowed_types)
    except (paramiko.SSHException, EOFError, OSError):
        return []
    return ["none"]


def _refused(hop: SshHop, offers: list[Offer], methods: list[str]) -> Problem:
    first = offers[0]
    listed = "; ".join(f"{o.public.fingerprint} ({o.key.get_name()}, {o.source})" for o in offers)
    destination = shlex.quote(f"{hop.user}@{hop.host}")
    file = first.source if first.source != "agent" else None
    line = f"{first.public}"
    return Problem(
        code="ssh.auth_refused",
        summary=f"{hop.host} refuses every key offered for the account {hop.user!r}; methods the "
        f"server allows: {', '.join(methods) or 'not told'}",
        where=hop.host,
        detail=f"offered: {listed}",
        remedy=Remedy(
            f"install the public key in ~{hop.user}/.ssh/authorized_keys on {hop.host}, or name "
            f"the right key or account; public key to install: {line}",
            (f"ssh-copy-id -i {shlex.quote(file + '.pub')} -p {hop.port} {destination}",)
            if file
            else (),
        ),
    )


def _more_wanted(hop: SshHop, methods: list[str]) -> Problem:
    return Problem(
        code="ssh.auth_partial",
        summary=f"{hop.host} takes the key and asks for more: {', '.join(methods)}",
        where=hop.host,
        remedy=Remedy(
            f"let the account {hop.user!r} log in by public key alone (AuthenticationMethods in "
            "sshd_config)"
        ),
    )


def _nothing_to_offer(target: SshTarget) -> Problem:
    return Problem(
        code="ssh.no_key",
        summary="there is no key to offer: no key file is named, and the agent has none",
        where="ssh.key_file",
        remedy=Remedy(
            f"name a private key in ssh.key_file, or load one into the agent, for {target.user!r}",
            ("ssh-add",),
        ),
    )


def _agent_problem(said: str) -> Problem:
    return Problem(
        code="ssh.agent",
        summary=f"the agent cannot be used: {said}",
        where="ssh.agent",
        remedy=Remedy("start an agent that speaks OpenSSH's protocol, or set ssh.agent to false"),
    )
