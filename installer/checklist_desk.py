"""What the checklists are judged from on this machine: the answers, kept reports, statements.

It reads files and hands everything to the core, which has the rules; a screen can use it as the
commands do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from installer.adapters.clock import SystemClock
from installer.core.checklist import (
    Checklist,
    Measure,
    Scene,
    Sight,
    Statement,
    gather,
    judge_items,
    parse_checklist,
)
from installer.core.errors import Problem, Remedy, UsageError
from installer.core.events import Outcome, map_text
from installer.core.evidence_pack import build_pack
from installer.core.report import Report
from installer.core.seals import Form, Signer, seal_json, seal_text
from installer.evidence_files import (
    STATEMENTS,
    StatementFile,
    last_verified,
    read_reports,
    write_pack,
)
from installer.job import Job
from installer.output.pack_forms import TEMPLATE, format_html, format_markdown
from installer.stacks import Stacks, load_stacks

PLANNED = "plan"
"""Stands for a run where what the answers themselves say is a result."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The checklists of one deployment; `root` is its run directory."""

    job: Job
    root: Path
    stacks: Stacks
    table: Checklist

    @classmethod
    def open(cls, job: Job, root: Path) -> Desk:
        """Read the lists.

        Raises:
            StackError: they are at fault.
        """
        stacks = load_stacks()
        return cls(job, root, stacks, parse_checklist(stacks.asset("checklist.yaml")))

    @property
    def about(self) -> tuple[str, str]:
        """Deployment and target."""
        return self.job.facts["deployment"], self.job.facts["target"]

    @property
    def statements(self) -> StatementFile:
        """The file that statements are recorded in."""
        return StatementFile(self.root / STATEMENTS)

    def look(self) -> tuple[Scene, tuple[Report, ...], tuple[Statement, ...]]:
        """How everything stands now, and what it was judged from.

        Raises:
            IntegrityError: a report or a statement was altered.
            LocalIoError: one cannot be read.
        """
        now = SystemClock().now()
        reports = read_reports(self.root, self.table.patterns, self.about)
        release = self.job.bundle.release
        evidence = gather(reports, self._planned(release, now))
        measure = Measure(self.table, evidence, self.job.plan.answers.at, release, now)
        chain = self.statements.read()
        facts = self.job.facts
        standing = judge_items(measure, chain)
        scene = Scene(measure, standing, facts["operator"], facts["target"], facts["product"])
        return scene, reports, chain

    def record(self, made: Statement) -> None:
        """Keep a statement.

        Raises:
            UsageError: nothing was ever verified here, so that there is nothing to state.
            IntegrityError, LocalIoError, LockedError: as `StatementFile.add`.
        """
        if not self.root.is_dir():
            raise UsageError(nothing_verified(self.root))
        self.statements.add(map_text(made, self.job.redact))

    def write_pack(self, folder: Path | None, signer: Signer | None) -> list[Path]:
        """Make the three forms of the evidence pack of the last verification.

        Args:
            folder: Where they are put; beside the report of that run when None.
            signer: A key of the operator; without one there are hashes alone.

        Raises:
            UsageError: nothing was verified yet.
            LocalIoError: they cannot be written.
        """
        verified = last_verified(self.root, self.about)
        if verified is None:
            raise UsageError(nothing_verified(self.root))
        scene, reports, chain = self.look()
        others = [report for report in reports if report.facts["run"] != verified.facts["run"]]
        key = signer.fingerprint if signer else ""
        pack = build_pack(verified, others, scene.measure, scene.standing, chain, key=key)
        page = format_html(pack, self.stacks.asset(TEMPLATE).decode())
        forms = [
            (Form.JSON, seal_json(pack, signer)),
            (Form.MARKDOWN, seal_text(Form.MARKDOWN, format_markdown(pack), pack, signer)),
            (Form.HTML, seal_text(Form.HTML, page, pack, signer)),
        ]
        return write_pack(folder or self.root / "runs" / verified.facts["run"], forms)

    def _planned(self, release: str, now: datetime) -> tuple[Sight, ...]:
        """What the guide asks for and these answers do not give; it needs no run."""
        unmet = (r for r in self.job.audit_bundle if r.outcome is Outcome.UNMET)
        return tuple(Sight(result, PLANNED, now, release) for result in unmet)


def nothing_verified(root: Path) -> Problem:
    """There is no evidence yet."""
    return Problem(
        "checklist.nothing_verified",
        f"nothing was verified yet with the run directory {root}",
        Remedy("verify first", ("devplat-install checklist run",)),
        where=str(root),
    )
