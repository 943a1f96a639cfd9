"""A front that carries nothing out: it remembers what was asked for and shows prepared runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from installer.core.checklist import Standing
from installer.core.errors import InstallError, Problem, Remedy
from installer.core.events import CheckResult, Outcome
from installer.core.interview import Interview
from installer.tui.front import Drawing, SizeRow

PROBLEM = {
    "code": "deploy.unhealthy",
    "summary": "coder never became healthy",
    "detail": "exit code 1\nlast line of its log",
    "remedy": {"summary": "read the log of coder", "commands": ["docker logs coder"]},
}
PINNED, FINGERPRINT = "ssh.host_key_fingerprint", "SHA256:" + "A" * 43
UNKNOWN_KEY = Problem(
    "ssh.host_key_unknown",
    f"the host key of 10.0.0.5 is not known: ssh-ed25519 {FINGERPRINT}",
    Remedy("compare it", answer=(PINNED, FINGERPRINT)),
)
CHECK = {
    "id": "HD-05",
    "title": "root file system is read-only",
    "outcome": "pass",
    "where": "coder",
    "expected": "true",
    "found": "true",
    "problem": None,
}
REPORT: dict[str, Any] = {
    "facts": {"deployment": "devplat", "target": "10.0.0.5", "release": "0123456789ab"},
    "exit_status": 15,
    "class": "verify_failed",
    "checks": [
        CHECK,
        {**CHECK, "id": "TL-01", "title": "TLS 1.2 and later only", "where": "git.company.com"},
        {**CHECK, "id": "HD-07", "title": "no new privileges", "outcome": "warn", "found": "off"},
        {**CHECK, "outcome": "fail", "title": "disk is not full", "problem": PROBLEM},
    ],
    "problems": [],
    "notes": ["coder: one replica"],
    "images": {"coder": "ghcr.io/coder/coder@sha256:00"},
    "evidence": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}


def events(*, status: int = 0, problems: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """A short run."""
    outcome = "pass" if status == 0 else "fail"
    return [
        {"type": "step_started", "step": "ship", "title": "ship files", "eta_s": 3.0},
        {"type": "step_progress", "step": "ship", "done": 1, "total": 4, "note": "a", "eta_s": 2},
        {"type": "step_output", "step": "ship", "line": "compose.yaml sent"},
        {"type": "check_finished", "step": "ship", "result": {**CHECK, "outcome": "warn"}},
        {"type": "step_finished", "step": "ship", "outcome": outcome, "changed": True},
        {"type": "run_finished", "exit_code": status, "problems": list(problems)},
    ]


@dataclass
class FakeRun:
    """Gives its events when they are asked for; runs until `ends` was called that many times."""

    command: str = "apply"
    said: list[dict[str, Any]] = field(default_factory=events)
    printed: str = "release     0123456789ab"
    looks: int = 2
    asks: str | None = None
    told: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def is_running(self) -> bool:
        self.looks -= 1
        return self.looks > 0 or self.asks is not None

    def events(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        return self.said[offset:], len(self.said)

    def results(self) -> str:
        return self.printed

    def question(self) -> str | None:
        return self.asks

    def answer(self, text: str) -> bool:
        self.told.append(text)
        self.asks = None
        return True

    def interrupt(self) -> None:
        self.interrupted = True


@dataclass
class FakeFront:
    """Remembers what was saved and started."""

    runs: dict[str, FakeRun] = field(default_factory=dict)
    under_way: FakeRun | None = None
    last_report: dict[str, Any] | None = None
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    saved: list[Interview] = field(default_factory=list)
    started: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    seen: Mapping[str, tuple[str, ...] | InstallError] = field(default_factory=dict)
    shells: int = 0
    standing: Standing = field(default_factory=lambda: Standing(()))
    stated: list[tuple[str, ...]] = field(default_factory=list)
    refuses: InstallError | None = None

    def save(self, interview: Interview) -> None:
        self.saved.append(interview)

    def draw(self, interview: Interview) -> Drawing:
        interview.validate(attended=True)
        return Drawing(
            deployment="devplat",
            release="0123456789ab",
            files={"compose.yaml": "name: devplat\n", "coder/a/b.sh": "#!/bin/sh\n"},
            findings=(
                CheckResult("HD-24", "no socket", Outcome.WAIVED, "a", found="its filter"),
                CheckResult("HD-24", "no socket", Outcome.WAIVED, "b", found="its filter"),
            ),
            sizes=(SizeRow("coder", 2, 4096),),
            summary=("sizing: small", "cost: about 500 USD a month"),
            notes=("coder: one replica",),
        )

    def preview(self, step: str, interview: Interview) -> tuple[str, ...]:
        return ("14 CPUs, 24576 MiB",) if step == "sizing" else ()

    def look_at(self, step: str, interview: Interview) -> tuple[str, ...]:
        seen = self.seen.get(step, ())
        if isinstance(seen, InstallError) and interview.item(PINNED).text != FINGERPRINT:
            raise seen
        return () if isinstance(seen, InstallError) else seen

    def open_shell(self, interview: Interview) -> bool:
        self.shells += 1
        return False

    def checklist(self) -> Standing:
        return self.standing

    def attest(self, id: str, by: str, note: str) -> None:
        self._state("attest", id, by, note)

    def waive(self, id: str, by: str, reason: str, until: str) -> None:
        self._state("waive", id, by, reason, until)

    def _state(self, *words: str) -> None:
        if self.refuses:
            raise self.refuses
        self.stated.append(words)

    def export(self) -> tuple[str, ...]:
        self.stated.append(("export",))
        return ("/run/evidence.html",)

    def look_up(self, name: str) -> tuple[str, ...]:
        self.looked_up.append(name)
        return tuple(self.names.get(name, ()))

    def start(self, command: str, interview: Interview, flags: Sequence[str] = ()) -> FakeRun:
        interview.validate(attended=True)
        self.started.append((command, tuple(flags)))
        return self.runs.get(command, FakeRun(command))

    def repeat(self, command: str) -> FakeRun:
        self.started.append((command, ()))
        return self.runs.get(command, FakeRun(command))

    def watched(self) -> FakeRun | None:
        return self.under_way

    def report(self) -> dict[str, Any] | None:
        return self.last_report
