"""Who is running this: operator, machine, process; and whether such a process still exists."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from datetime import datetime
from pathlib import Path

from installer.core.owner import Owner

ENDED = "ZX"
"""States of a process that does nothing any more (proc(5))."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def make_owner(now: datetime) -> Owner:
    """The owner of a run that starts now; `run` sorts by time and is unique."""
    return Owner(
        run=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        user=os.environ.get("SUDO_USER") or getpass.getuser(),
        machine=_machine(),
        process=describe_process(os.getpid()) or "",
        since=now.isoformat(timespec="seconds"),
    )


def is_gone(process: str) -> bool:
    """Whether a process that `make_owner` described has ended.

    A number that another process has by now, or another boot, counts as ended; an unreadable
    description does not.
    """
    pid = process.split(":", 1)[0]
    return pid.isdigit() and describe_process(int(pid)) != process


def _machine() -> str:
    return socket.gethostname()


def describe_process(pid: int) -> str | None:
    """`pid:start:boot`; the start time is in clock ticks since boot (proc(5), field 22).

    None for a process that has ended, also while its parent has not taken notice of it.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = BOOT_ID.read_text().strip()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in ENDED else f"{pid}:{fields[18]}:{boot}"
