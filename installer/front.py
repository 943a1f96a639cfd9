"""What the screens may cause: drawing is done in this process, commands run in one of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from installer import drawing
from installer.adapters.background import Background, find_background, start_background
from installer.adapters.clock import SystemClock
from installer.adapters.foreground import run_here
from installer.adapters.identity import is_gone, make_owner
from installer.adapters.network import SystemResolver
from installer.checklist_desk import Desk, nothing_verified
from installer.cli import make_parser
from installer.core.checklist import Standing, attest, waive
from installer.core.draft import dump
from installer.core.errors import InstallError, LocalIoError, Problem, Remedy, UsageError
from installer.core.interview import Interview
from installer.draft_file import DraftFile
from installer.invocation import Invocation
from installer.looking import look_at_host, shell_words
from installer.stacks import Stacks
from installer.tui.front import Drawing, SizeRow
from installer.workspace import Workspace, default_root

SIZING, TARGET = "sizing", "target"


@dataclass
class LocalFront:
    """For the operator at this machine.

    Attributes:
        stacks: What can be installed.
        file: Keeps what was typed.
        run_dir: As `--run-dir`; None for the deployment's own place.
    """

    stacks: Stacks
    file: DraftFile
    run_dir: Path | None
    _root: Path | None = field(default=None, init=False)

    def save(self, interview: Interview) -> None:
        """Keep what was typed."""
        self.file.save(interview)

    def draw(self, interview: Interview) -> Drawing:
        """What the answers make, with nothing contacted."""
        validated = interview.validate(attended=True)
        owner = make_owner(SystemClock().now())
        answers, warnings = validated.answers, validated.warnings
        job = drawing.draw_up(answers, warnings, self.stacks, owner, is_gone)
        plan = job.plan
        return Drawing(
            deployment=plan.deployment,
            release=job.bundle.release,
            files={
                path: file.data.decode("utf-8", "replace")
                for path, file in job.bundle.files.items()
            },
            findings=job.audit_bundle,
            sizes=tuple(
                SizeRow(name, plan.resources[name].cpus, plan.resources[name].memory_mib)
                for name in plan.services
            ),
            summary=(f"sizing: {job.facts['sizing']}", f"cost: {job.facts['cost']}"),
            notes=tuple(
                f"{name}: {note}" for name in plan.services for note in plan.manifest(name).notes
            ),
        )

    def preview(self, step: str, interview: Interview) -> tuple[str, ...]:
        """For the step about sizes: limits of each service, what they add up to, what it costs."""
        if step != SIZING:
            return ()
        try:
            answers = interview.validate(attended=True).answers
            sizing, cost = drawing.draw_sizes(answers, self.stacks)
        except InstallError as error:
            return tuple(f"{problem.summary}" for problem in error.problems[:1])
        rows = [
            f"{name:<24}{each.cpus:>6g} CPUs {each.memory_mib:>7} MiB"
            for name, each in sizing.services.items()
        ]
        return (drawing.describe_sizing(sizing), cost, "", *rows)

    def look_at(self, step: str, interview: Interview) -> tuple[str, ...]:
        """The host, for the step about it."""
        if step != TARGET:
            return ()
        return look_at_host(interview, self.stacks.asset("probe.sh").decode())

    def look_up(self, name: str) -> tuple[str, ...]:
        """Addresses of a name."""
        return SystemResolver().addresses(name)

    def start(self, command: str, interview: Interview, flags: Sequence[str] = ()) -> Background:
        """Start a command with these answers; it goes on when this program ends."""
        answers = interview.validate(attended=True).answers
        root = self.run_dir or default_root(answers.deployment.name)
        workspace = Workspace(root, make_owner(SystemClock().now()).run)
        workspace.prepare()
        return self._start(command, root, workspace.save_answers(dump(answers)), flags)

    def repeat(self, command: str) -> Background:
        """With the answers that lie beside the latest report."""
        root = self._reported_root()
        return self._start(command, root, Workspace(root, "").answers, ())

    def _start(self, command: str, root: Path, answers: Path, flags: Sequence[str]) -> Background:
        self._root = root
        run = make_owner(SystemClock().now()).run
        try:
            return start_background(
                root / "background" / run,
                command,
                ["--answers", str(answers), "--run-dir", str(root), *flags],
            )
        except OSError as error:
            raise LocalIoError(
                Problem(
                    "background.start",
                    f"the command {command} cannot be started: {error.strerror}",
                    Remedy("make the run directory writable", ("devplat-install --run-dir DIR",)),
                    where=str(root),
                )
            ) from error

    def open_shell(self, interview: Interview) -> bool:
        """With OpenSSH's client, where it is installed."""
        words = shell_words(interview.validate(attended=True).answers.ssh)
        return words is not None and run_here(words)

    def watched(self) -> Background | None:
        """The command that was started last, also by an earlier session."""
        found = [find_background(root / "background") for root in self._roots()]
        started = [each for each in found if each is not None]
        return max(started, key=lambda each: each.folder.rpartition("/")[2], default=None)

    def report(self) -> Mapping[str, Any] | None:
        """The report of the run that ended last."""
        latest = self._latest_report()
        if latest is None:
            return None
        report: Mapping[str, Any] = json.loads(latest.read_text(encoding="utf-8"))
        return report

    def checklist(self) -> Standing:
        """Of the deployment whose report is the latest."""
        scene, _, _ = self._desk().look()
        return scene.standing

    def attest(self, id: str, by: str, note: str) -> None:
        """As `checklist attest`."""
        desk = self._desk()
        desk.record(attest(desk.look()[0], id, by=by, note=note))

    def waive(self, id: str, by: str, reason: str, until: str) -> None:
        """As `checklist waive`."""
        desk = self._desk()
        desk.record(waive(desk.look()[0], id, by=by, reason=reason, until=until))

    def export(self) -> tuple[str, ...]:
        """As `report`, beside the report of the last verification; signed is only the command's."""
        return tuple(map(str, self._desk().write_pack(None, None)))

    def _desk(self) -> Desk:
        root = self._reported_root()
        given = ["--answers", str(Workspace(root, "").answers), "--run-dir", str(root)]
        args = make_parser().parse_args([*given, "checklist", "show"])
        invocation = Invocation.open(args, offline=True)
        return Desk.open(invocation.job, root)

    def _reported_root(self) -> Path:
        latest = self._latest_report()
        if latest is None:
            raise UsageError(nothing_verified(self.run_dir or self.file.folder))
        return latest.parents[2]

    def _latest_report(self) -> Path | None:
        paths = [path for root in self._roots() for path in root.glob("runs/*/report.json")]
        return max(paths, key=lambda path: path.parent.name, default=None)

    def _roots(self) -> list[Path]:
        """Where deployments of this operator are kept."""
        if self._root or self.run_dir:
            return [self._root or self.run_dir or Path()]
        return [path for path in self.file.folder.glob("*") if path.is_dir()]
