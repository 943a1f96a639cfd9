"""How a script is started on a host, as the account itself or as root, and who may do so.

Builds command lines and judges what a probe found; runs nothing. No script, password or input of a
command ever appears in the line that it builds, except the script itself in encoded form.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from installer.core.errors import PrivilegeError, Problem, Remedy
from installer.core.secrets import Secret

Become = Literal["auto", "sudo", "none"]

MAX_SCRIPT_BYTES = 90_000
"""Linux takes at most 128 KiB in one argument (MAX_ARG_STRLEN); base64 makes 4 bytes of 3."""

_ENVIRONMENT = 'LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; export LC_ALL PATH; '

NOT_ROOT = 113
"""Status of a script that was to run as root by an account that is not; sh uses others."""

_FIND_GROUP = "g=; [ -r /proc/self/stat ] && read -r a a a a g a </proc/self/stat; "
"""proc(5): the fifth field is the process group; empty where there is no such file."""


class Way(StrEnum):
    """How a command is run."""

    DIRECT = "direct"
    ROOT = "root"  # directly, and only when the account turns out to be root
    SUDO = "sudo"
    SUDO_PASSWORD = "sudo-password"


@dataclass(frozen=True, slots=True)
class Start:
    """A command line for any login shell, and what goes with it.

    Attributes:
        line: Has no character that sh, bash, zsh, fish and csh read differently.
        mark: Printed on standard output and error, on a line with the number of the process group,
            when the script begins; whatever a shell's start-up files printed lies before it.
        password: A line for sudo, to be sent before everything else.
        guard: Lines to be sent between the password and the command's own input, if it has any: the
            script begins after the last of them, whether or not sudo took the password, and a sudo
            that refuses the password takes these for further tries instead of waiting.
    """

    line: str
    mark: bytes
    password: bytes = b""
    guard: bytes = b""


def make_start(script: str, way: Way, password: Secret | None = None) -> Start:
    """Wrap a POSIX shell script.

    With a password, the script skips its input up to a guard: sudo reads the password only when
    its rules ask for one, and the script must not find it in its input otherwise.

    Raises:
        ValueError: the script is longer than `MAX_SCRIPT_BYTES`.
    """
    if len(script.encode()) > MAX_SCRIPT_BYTES:
        raise ValueError(f"a script of more than {MAX_SCRIPT_BYTES} bytes; send data as input")
    mark = f"devplat-{secrets.token_hex(8)}"
    encoded = base64.b64encode(script.encode()).decode()
    body = (
        f"{_FIND_GROUP}echo {mark} $g; echo {mark} $g >&2; unset a g; "
        f'eval "$(echo {encoded} | base64 -d)"'
    )
    line, guard = b"", b""
    prefix = ""
    if way is Way.ROOT:
        body = f'[ "$(id -u)" = 0 ] || exit {NOT_ROOT}; {body}'
    elif way is Way.SUDO:
        prefix = "env LC_ALL=C sudo -n -- "
    elif way is Way.SUDO_PASSWORD and password is not None:
        # -k with a command ignores cached credentials and leaves none behind.
        prefix = 'env LC_ALL=C sudo -k -S -p "" -- '
        body = f'while IFS= read -r l; do [ "$l" = {mark}. ] && break; done; unset l; {body}'
        line = f"{password.reveal()}\n".encode()
        guard = f"{mark}\n{mark}.\n".encode()
    return Start(f"exec {prefix}/bin/sh -c '{_ENVIRONMENT}{body}'", mark.encode(), line, guard)


def make_dial_script(argv: Sequence[str]) -> str:
    """A script that becomes `argv`, each argument as it stands."""
    return "exec " + " ".join("'" + part.replace("'", "'\\''") + "'" for part in argv)


def make_end_script(group: int) -> str:
    """A script that asks a process group to end and returns; what is left is ended 2 s later."""
    return (
        f"kill -TERM -{group} 2>/dev/null || exit 0; "
        f"(trap '' HUP; sleep 2; kill -KILL -{group}) </dev/null >/dev/null 2>&1 &"
    )


PROBE = """
id -u; id -un
if ! command -v sudo >/dev/null 2>&1; then echo absent; exit 0; fi
if said=$(sudo -n -- /bin/sh -c : 2>&1 </dev/null); then echo works
else echo refused; printf '%s\\n' "$said"; fi
"""
"""Prints the uid, the account, and whether sudo is `absent`, `works` or is `refused` and why."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What `PROBE` printed."""

    uid: int
    account: str
    sudo: str
    said: str

    @classmethod
    def parse(cls, text: str) -> Probe:
        """Read the output of `PROBE`.

        Raises:
            ValueError: it is not that.
        """
        lines = text.splitlines()
        if len(lines) < 3:
            raise ValueError("the probe printed less than three lines")
        return cls(int(lines[0]), lines[1], lines[2], "\n".join(lines[3:]).strip())


def choose_way(probe: Probe, become: Become, *, has_password: bool, host: str) -> Way:
    """How this account becomes root on this host.

    `SUDO_PASSWORD` is a proposal: only a try shows whether the password is right.

    Raises:
        PrivilegeError: it cannot.
    """
    if probe.uid == 0 and become != "sudo":
        return Way.DIRECT
    if become == "none":
        raise PrivilegeError(_refusal("privilege.not_root", "is not root", probe, host))
    if probe.sudo == "works":
        return Way.SUDO
    if probe.uid == 0:
        return Way.DIRECT
    if probe.sudo == "absent":
        raise PrivilegeError(
            _refusal("privilege.no_sudo", "is not root, and sudo is not installed", probe, host)
        )
    if has_password:
        return Way.SUDO_PASSWORD
    raise PrivilegeError(
        _refusal(
            "privilege.sudo_refused",
            "may not run commands by sudo without a password",
            probe,
            host,
        )
    )


def refuse_start(probe: Probe, host: str, said: str, *, with_password: bool) -> PrivilegeError:
    """The error for a sudo that let the probe pass and then did not start the script."""
    code = "privilege.sudo_password" if with_password else "privilege.sudo_refused"
    what = "is refused by sudo" + (" with the password given" if with_password else "")
    told = Probe(probe.uid, probe.account, probe.sudo, said)
    return PrivilegeError(_refusal(code, what, told, host))


def refuse_account(account: str, host: str) -> PrivilegeError:
    """The error for an account that is root by its name alone."""
    probe = Probe(-1, account, "unknown", "")
    return PrivilegeError(_refusal("privilege.not_root", "is not root", probe, host))


def _refusal(code: str, what: str, probe: Probe, host: str) -> Problem:
    rule = f"{probe.account} ALL=(root) NOPASSWD: /bin/sh"
    file = "/etc/sudoers.d/devplat-install"
    return Problem(
        code=code,
        summary=f"the account {probe.account!r} {what}",
        where=host,
        detail=probe.said or None,
        remedy=Remedy(
            "the installer needs root on the host; the smallest rule for sudo that suffices is "
            f"{rule!r}; or give the password for sudo in ssh.become_password; or connect as "
            "root; membership of the group docker alone gives the engine but not the directories",
            (f"echo '{rule}' > {file} && chmod 0440 {file} && visudo -cf {file}",),
        ),
    )
