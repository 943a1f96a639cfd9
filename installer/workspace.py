"""The run directory on the bastion: event logs, reports, saved answers, recorded timings.

Everything in it is readable by its owner alone, and holds references instead of secrets; the
encrypted store lies beside it (`adapters.filestore`).
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from installer.core.errors import LocalIoError, Problem, Remedy
from installer.core.events import Stamped
from installer.core.report import Report, to_document
from installer.output.jsonl import format_line
from installer.output.markdown import format_report

KEPT_TIMINGS = 9


@dataclass(frozen=True, slots=True)
class Workspace:
    """One deployment's directory; `run` names the directory of this run below it."""

    root: Path
    run: str

    @property
    def run_dir(self) -> Path:
        """Log and report of this run."""
        return self.root / "runs" / self.run

    @property
    def answers(self) -> Path:
        """The answers that repeat the last run."""
        return self.root / "answers.yaml"

    @property
    def store(self) -> Path:
        """The encrypted secret store."""
        return self.root / "secrets.store"

    def prepare(self) -> None:
        """Make the directories, for the owner alone.

        Raises:
            LocalIoError: they cannot be made or written.
        """
        try:
            for path in (self.root, self.root / "runs", self.run_dir):
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise LocalIoError(_unwritable(self.root, error)) from error

    def save_answers(self, text: str) -> Path:
        """Keep the answers that repeat this run."""
        return self._replace(self.answers, text)

    def save_report(self, report: Report) -> Path:
        """Write both forms of the report; returns the path of the readable one."""
        document = json.dumps(to_document(report), indent=1, ensure_ascii=False)
        self._replace(self.run_dir / "report.json", document + "\n")
        return self._replace(self.run_dir / "report.md", format_report(report))

    def save_runbook(self, text: str) -> Path:
        """Keep the runbook beside the answers; a later run replaces it."""
        return self._replace(self.root / "runbook.md", text)

    def medians(self) -> Mapping[str, float]:
        """Step → median seconds of earlier runs; empty when there is no record."""
        try:
            recorded = json.loads((self.root / "timings.json").read_text())
            return {step: statistics.median(values) for step, values in recorded.items()}
        except (OSError, ValueError, AttributeError, statistics.StatisticsError):
            return {}

    def record_timings(self, report: Report) -> None:
        """Add the times of steps that changed something."""
        path = self.root / "timings.json"
        try:
            recorded = json.loads(path.read_text())
        except (OSError, ValueError):
            recorded = {}
        for step in report.steps:
            if step.changed:
                kept = [*recorded.get(step.step, []), round(step.seconds, 2)]
                recorded[step.step] = kept[-KEPT_TIMINGS:]
        self._replace(path, json.dumps(recorded, indent=1))

    def _replace(self, path: Path, text: str) -> Path:
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except OSError as error:
            raise LocalIoError(_unwritable(path, error)) from error
        return path


class EventLog:
    """A sink that appends every event to the run's log; a full disk ends the log, not the run."""

    def __init__(self, workspace: Workspace) -> None:
        self.path = workspace.run_dir / "events.jsonl"
        self.failure: OSError | None = None
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise LocalIoError(_unwritable(self.path, error)) from error
        self._file = os.fdopen(handle, "w", encoding="utf-8", buffering=1)

    def __call__(self, stamped: Stamped) -> None:
        """Append one event."""
        if self.failure is None:
            try:
                self._file.write(format_line(stamped) + "\n")
            except OSError as error:
                self.failure = error

    def close(self) -> None:
        """Close the file, whatever it says."""
        try:
            self._file.close()
        except OSError as error:
            self.failure = self.failure or error


def state_root() -> Path:
    """Where this program keeps what lasts (XDG Base Directory Specification 0.8)."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "devplat-install"


def default_root(deployment: str) -> Path:
    """Where a deployment's directory lies unless `--run-dir` says otherwise."""
    return state_root() / deployment


def _unwritable(path: Path, error: OSError) -> Problem:
    return Problem(
        code="local.unwritable",
        summary=f"the state directory cannot be used: {path}: {error.strerror}",
        where=str(path),
        remedy=Remedy(
            "make it writable or choose another one", ("devplat-install --run-dir DIR …",)
        ),
    )
