"""The journal and the lock on the target: who is working, what was done, what a rerun finds.

Both are complete documents that are replaced atomically. The lock's time stamp is its heartbeat.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from installer.core.errors import LockedError, Problem, Remedy
from installer.core.layout import Layout
from installer.core.owner import Owner
from installer.phases.remote import quote, replace_file, run_root
from installer.ports import Clock, Host

STALE_AFTER_S = 600
"""Seconds without a heartbeat after which a lock may be taken over by a named option."""
BEAT_EVERY_S = 60


@dataclass(slots=True)
class TargetLock:
    """The deployment lock. `is_gone` tells whether a process of this machine has ended."""

    host: Host
    layout: Layout
    owner: Owner
    clock: Clock
    is_gone: Callable[[str], bool]
    _beat_at: float = field(default=0.0, init=False)

    def acquire(self, *, take_over: bool = False) -> str | None:
        """Take the lock; returns a note when it was taken over.

        Raises:
            LockedError: somebody else holds it.
        """
        holder, age_s = self._try()
        if holder is None:
            return None
        if not self._may_take_over(holder, age_s, take_over):
            raise LockedError(_locked(holder, age_s, self.host.name))
        lock, aside = quote(self.layout.lock), quote(f"{self.layout.lock}.{self.owner.run}")
        run_root(self.host, f"mv {lock} {aside} && rm -f {aside}")
        if (again := self._try()[0]) is not None:
            raise LockedError(_locked(again, 0, self.host.name))
        return f"took over the lock of run {holder.get('run')} of {holder.get('user')}"

    def beat(self) -> None:
        """Renew the heartbeat, at most once a minute."""
        now = self.clock.monotonic()
        if now - self._beat_at >= BEAT_EVERY_S:
            self._beat_at = now
            run_root(self.host, f"touch -c {quote(self.layout.lock)}")

    def release(self) -> None:
        """Give the lock back if it is still ours."""
        lock, mine = quote(self.layout.lock), quote(f'"run": {json.dumps(self.owner.run)},')
        run_root(self.host, f"if grep -qsF {mine} {lock}; then rm -f {lock}; fi")

    def _try(self) -> tuple[dict[str, Any] | None, float]:
        """None when the lock is ours now, else its holder and the age of the heartbeat."""
        lock, part = quote(self.layout.lock), quote(f"{self.layout.lock}.{self.owner.run}.part")
        script = (
            f"umask 077\nmkdir -p {quote(self.layout.state)}\n"
            f"cat > {part}\n"
            # a hard link is made with its content in one step, or not at all
            f"if ln {part} {lock} 2>/dev/null; then echo mine; else\n"
            f"echo $(( $(date +%s) - $(stat -c %Y {lock}) )); cat {lock}; fi\nrm -f {part}\n"
        )
        text = run_root(self.host, script, stdin=(json.dumps(asdict(self.owner)).encode(),)).text
        first, _, rest = text.partition("\n")
        if first == "mine":
            self._beat_at = self.clock.monotonic()
            return None, 0.0
        try:
            holder = json.loads(rest)
        except ValueError:
            holder = {}
        return (holder if isinstance(holder, dict) else {}), float(first or 0)

    def _may_take_over(self, holder: dict[str, Any], age_s: float, take_over: bool) -> bool:
        same_machine = holder.get("machine") == self.owner.machine
        if same_machine and self.is_gone(str(holder.get("process", ""))):
            return True
        return take_over and age_s >= STALE_AFTER_S


@dataclass(slots=True)
class TargetJournal:
    """What this run does, on the target, one document."""

    host: Host
    layout: Layout
    lock: TargetLock
    release: str
    steps: dict[str, str] = field(default_factory=dict)

    def begin(self, step: str) -> None:
        """Record that a change is about to be made."""
        self._write(step, "begun")

    def end(self, step: str) -> None:
        """Record that a change was made and observed."""
        self._write(step, "done")

    def undone(self, step: str) -> None:
        """Record that a change was taken back."""
        self._write(step, "undone")

    def _write(self, step: str, state: str) -> None:
        self.steps[step] = state
        document = {
            "version": 1,
            "run": self.lock.owner.run,
            "owner": asdict(self.lock.owner),
            "release": self.release,
            "steps": self.steps,
        }
        replace_file(self.host, self.layout.journal, json.dumps(document, indent=1).encode())
        self.lock.beat()


def _locked(holder: dict[str, Any], age_s: float, host: str) -> Problem:
    stale = age_s >= STALE_AFTER_S
    return Problem(
        code="lock.stale" if stale else "lock.held",
        summary=(
            f"the deployment lock is held by {holder.get('user', 'an unknown user')}"
            f" on {holder.get('machine', 'an unknown machine')} since {holder.get('since', '?')}"
            f" (run {holder.get('run', '?')}, last sign of life {age_s:.0f} s ago)"
        ),
        where=host,
        remedy=Remedy(
            "its owner gives no sign of life; make sure that the run is over, then take over"
            if stale
            else "wait until that run is over, or ask its owner",
            ("devplat-install apply --take-over",) if stale else (),
        ),
    )
