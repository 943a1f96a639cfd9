"""Small pieces of shell that the phases share: run as root, check the outcome, read, replace."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from installer.core.errors import Problem, Remedy, RemoteIoError
from installer.ports import Command, Completed, Host, OutputLine, Talk

quote = shlex.quote


def run_root(
    host: Host, script: str, *, stdin: Iterable[bytes] = (), timeout_s: float = 120
) -> Completed:
    """Run a script as root and insist on status 0.

    Raises:
        RemoteIoError: the script failed; its last line of complaint is the detail.
    """
    return _insist(host, host.run(_as_root(script, stdin, timeout_s)))


def stream_root(
    host: Host, script: str, *, stdin: Iterable[bytes] = (), timeout_s: float = 120
) -> Talk[OutputLine, Completed]:
    """`run_root`, with the lines as they come and a heartbeat while there are none.

    Raises: as `run_root`.
    """
    return _insist(host, (yield from host.stream(_as_root(script, stdin, timeout_s))))


def replace_file(host: Host, path: str, data: bytes, *, mode: str = "0600") -> None:
    """Replace a file atomically: written beside its place, synced, renamed."""
    target, part = quote(path), quote(path + ".part")
    run_root(
        host,
        f"umask 077\ncat > {part}\nchmod {mode} {part}\nsync {part} 2>/dev/null || sync\n"
        f"mv -f {part} {target}",
        stdin=(data,),
    )


def read_file(host: Host, path: str) -> bytes | None:
    """The content of a file, or None when there is none."""
    target = quote(path)
    completed = run_root(host, f"if [ -f {target} ]; then printf 1; cat {target}; fi")
    return completed.stdout[1:] if completed.stdout else None


def _as_root(script: str, stdin: Iterable[bytes], timeout_s: float) -> Command:
    return Command(f"set -eu\n{script}", stdin=stdin, privileged=True, timeout_s=timeout_s)


def _insist(host: Host, completed: Completed) -> Completed:
    if completed.status != 0:
        raise RemoteIoError(_failed(host, completed))
    return completed


def _failed(host: Host, completed: Completed) -> Problem:
    lines = completed.error_text.strip().splitlines() or ["no message"]
    full = any("No space left" in line or "quota" in line.lower() for line in lines)
    readonly = any("Read-only file system" in line for line in lines)
    code = "remote.no_space" if full else "remote.read_only" if readonly else "remote.failed"
    remedy = {
        "remote.no_space": "free space or inodes on that file system of the target, then run again",
        "remote.read_only": "the file system is read-only; look for disk errors with dmesg",
        "remote.failed": "look at the detail; run again when its cause is gone",
    }[code]
    return Problem(
        code=code,
        summary=f"a command on the target ended with status {completed.status}: {lines[-1]}",
        where=host.name,
        detail="\n".join(lines[-10:]),
        remedy=Remedy(remedy),
    )
