"""What the SSH adapter says when a connection, a host key or a credential is refused.

Makes problems of facts; decides nothing. Fingerprints and public keys appear here, secrets never.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from installer.adapters.known_hosts import HostKey, Known
from installer.adapters.ssh_target import SshHop
from installer.core.errors import Problem, Remedy

_OUT_OF_BAND = (
    "compare the fingerprint with the one shown on the host's own console or by its owner"
)


def connect_problem(code: str, hop: SshHop, what: str) -> Problem:
    """A server that cannot be used: not found, refusing, silent, or speaking something else."""
    return Problem(
        code=code,
        summary=f"{hop.host} port {hop.port} {what}",
        where=hop.host,
        remedy=Remedy(
            f"check that host and port are right, that sshd runs on {hop.host} and that no "
            f"firewall on the way blocks port {hop.port}; then run again",
            (f"ssh -v -p {hop.port} {shlex.quote(f'{hop.user}@{hop.host}')} true",),
        ),
    )


def lost_connection(host: str, why: str) -> Problem:
    """An established connection that is gone; `why` is e.g. `closed by the other side`."""
    return Problem(
        code="ssh.connection_lost",
        summary=f"connection lost to {host}: {why}",
        where=host,
        remedy=Remedy(
            "check that the host is up (it may have been rebooted) and the network between; then "
            "run again with the same answers to resume where this run stopped"
        ),
    )


def refused_channel(host: str, why: str) -> Problem:
    """A server that opens no more sessions on a connection that is up."""
    return Problem(
        code="ssh.session_refused",
        summary=f"{host} opens no session: {why}",
        where=host,
        remedy=Remedy(
            "check MaxSessions (at least 8), ForceCommand and restrictions of the key in the "
            "host's sshd configuration; then run again"
        ),
    )


def broken_shell(hop: SshHop, status: int, said: str) -> Problem:
    """A login shell that ended without running the command."""
    return Problem(
        code="ssh.shell",
        summary=f"the login shell of {hop.user} on {hop.host} ends with status {status} and does "
        "not run commands",
        where=hop.host,
        detail=said.strip()[-2000:] or None,
        remedy=Remedy(
            "give the account a shell that runs commands (sh, bash, zsh, fish), remove "
            "ForceCommand or a command restriction of its key",
            (f"chsh -s /bin/sh {shlex.quote(hop.user)}",),
        ),
    )


def unknown_key(hop: SshHop, key: HostKey, known: Known, file: str, *, is_target: bool) -> Problem:
    """A server of which no key is recorded or pinned; the answers can pin the target's."""
    line = f"{hop.address} {key}"
    notes = "; ".join(
        f"{entry.place} names an authority for this host, host certificates are not used"
        for entry in known.authorities
    )
    return Problem(
        code="ssh.host_key_unknown",
        summary=f"the host key of {hop.host} port {hop.port} is not known: {key.type} "
        f"{key.fingerprint}",
        where=hop.host,
        detail=notes or None,
        remedy=Remedy(
            f"{_OUT_OF_BAND}; if they agree, add the line to known hosts ({file}), or pin the key "
            f"of the target in the answers: ssh.host_key_fingerprint: {key.fingerprint}",
            (
                f"ssh-keygen -lf /etc/ssh/ssh_host_{_file_part(key)}_key.pub  # on the console of "
                f"{hop.host}",
                f"echo {shlex.quote(line)} >> {file}",
            ),
            answer=("ssh.host_key_fingerprint", key.fingerprint) if is_target else None,
        ),
    )


def changed_key(hop: SshHop, key: HostKey, known: Known) -> Problem:
    """A server that shows another key than the one recorded."""
    entry = known.recorded(key)
    if entry is None:
        raise ValueError("no recorded key that could have changed")
    return Problem(
        code="ssh.host_key_changed",
        summary=f"the host key of {hop.host} port {hop.port} has changed: possible interception; "
        f"old fingerprint {entry.key.fingerprint}, new fingerprint {key.fingerprint}",
        where=hop.host,
        detail=f"recorded in {entry.place} ({entry.key.type}); shown: {key.type}",
        remedy=Remedy(
            "somebody may be intercepting the connection: do not continue until the owner of the "
            f"host confirms the new fingerprint {key.fingerprint}; if the host was reinstalled, "
            f"remove the old line ({entry.place}) and add the new key",
            (f"ssh-keygen -R {shlex.quote(hop.address)} -f {shlex.quote(entry.file)}",),
        ),
    )


def revoked_key(hop: SshHop, key: HostKey, known: Known) -> Problem:
    """A server that shows a key which a known_hosts file revokes."""
    places = ", ".join(e.place for e in known.revoked if e.key.blob == key.blob)
    return Problem(
        code="ssh.host_key_revoked",
        summary=f"the host key of {hop.host} port {hop.port} is revoked: {key.type} "
        f"{key.fingerprint}",
        where=hop.host,
        detail=f"@revoked in {places}",
        remedy=Remedy(
            "the key is known to be compromised or withdrawn: have the owner of the host make a "
            "new host key and tell its fingerprint; nothing can be installed before that"
        ),
    )


def mismatched_pin(hop: SshHop, pin: str, shown: Sequence[HostKey]) -> Problem:
    """A server none of whose keys has the pinned fingerprint."""
    seen = ", ".join(f"{key.fingerprint} ({key.type})" for key in shown)
    return Problem(
        code="ssh.host_key_mismatch",
        summary=f"the host key of {hop.host} port {hop.port} is not the pinned one: possible "
        f"interception; old fingerprint {pin} (pinned), new fingerprint {seen}",
        where=hop.host,
        remedy=Remedy(
            "somebody may be intercepting the connection, or ssh.host_key_fingerprint is another "
            f"host's: {_OUT_OF_BAND}, and correct the answer only then",
        ),
    )


def _file_part(key: HostKey) -> str:
    return key.type.removeprefix("ssh-").split("-")[0]
