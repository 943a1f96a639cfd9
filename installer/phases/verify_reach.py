"""Verify: who reaches whom, tried from the network name space of every container; read-only.

One command for the whole host: every source tries every listener at the same time, so that the
audit takes seconds, however many containers there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from installer.core.errors import InstallError, PrivilegeError
from installer.core.events import CheckResult
from installer.core.segmentation.probed import unknown_reach
from installer.core.segmentation.reach import Reach, parse_reach
from installer.phases.remote import quote
from installer.ports import Command, Host

ANSWER_WITHIN_S = 1.3
"""A first packet that is lost is sent again after 1 s (RFC 6298, section 2)."""
TIME_LIMIT_S = 180.0
"""Far beyond what the script needs; it says nothing while it tries."""


@dataclass(frozen=True, slots=True)
class ReachAudit:
    """The script that tries, and what is made of what it saw."""

    script: bytes
    judge: Callable[[Reach], tuple[CheckResult, ...]]


def judge_seen(audit: ReachAudit, seen: Reach | str) -> Iterator[CheckResult]:
    """Judge; a host on which nothing can be tried is told as not known."""
    if isinstance(seen, str):
        yield unknown_reach(seen)
    else:
        yield from audit.judge(seen)


def look_around(script: bytes, host: Host, project: str) -> Reach | str:
    """What the script saw, or why it could not.

    Raises:
        SshConnectError: the host was lost.
    """
    command = f"exec bash -s -- {quote(project)} {ANSWER_WITHIN_S}"
    try:
        done = host.run(Command(command, (script,), privileged=True, timeout_s=TIME_LIMIT_S))
    except PrivilegeError as error:
        return error.problems[0].summary
    try:
        return parse_reach(done.text, host.name, project)
    except InstallError as error:
        said = done.error_text.strip().splitlines() or [error.problems[0].summary]
        return f"status {done.status}: {said[-1]}"
