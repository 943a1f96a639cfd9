"""The phases over the real scripts: the engine runs them on this machine. BK-12, BK-13, F-089."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from installer.adapters.local import LocalHost
from installer.core.errors import BackupError, ExitCode, InstallError, IntegrityError
from installer.core.events import CheckFinished, Run
from installer.core.layout import Layout
from installer.phases.backups import Backups, find_backup, list_backups, make_backup
from installer.phases.drill import Drill, run_drill
from installer.ports import Completed, Container, Engine, OutputLine, Project, Talk
from tests.backup.test_complete import damage
from tests.backup.world import ANSWERS, World, bundle
from tests.stacks.builders import load, make_plan_for

pytestmark = pytest.mark.slow


class Clock:
    """Sleeps for a moment, so that what runs beside can go on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        subprocess.run(["sleep", "0.2"], check=True)


@dataclass
class ScriptEngine:
    """Containers are scripts of the world; the project of a drill is what was made for it."""

    world: World
    ready: Path
    started: list[str] = field(default_factory=list)
    downs: int = 0
    told: dict[str, bytes] = field(default_factory=dict)
    age: int = 0

    def exec(
        self, project: Project, service: str, argv: Sequence[str], *, stdin: bytes = b""
    ) -> Completed:
        if service == "backup":
            status, out, err = self.world.call("ctl.sh", *argv[2:])
            return Completed(status, out.encode(), err.encode())
        if argv[0] == "cat":
            return Completed(0, self.told.get(argv[1].rpartition(".")[2], b""), b"")
        assert yaml.safe_load((Path(project.directory) / "compose.yaml").read_text())
        part = argv[-1]
        done = subprocess.run(
            ["sh", str(self.world.root / "backup-files-gitea/drill.sh"), part],
            env=self.world.settings(
                BACKUP_RESTORE=str(self.world.root / "scratch/drill"),
                BACKUP_READY=str(self.ready / part),
            ),
            capture_output=True, check=False,
        )  # fmt: skip
        is_proof = "fsck" in " ".join(argv)
        self.told = {
            "status": b"0\n" if is_proof else f"{done.returncode}\n".encode(),
            "out": done.stdout,
            "err": done.stderr,
        }
        return Completed(0, b"", b"")

    def up(self, project: Project, services: Sequence[str], **_: Any) -> Talk[OutputLine, None]:
        self.started += services
        yield OutputLine("up", "out")

    def down(self, project: Project) -> Talk[OutputLine, None]:
        self.downs += 1
        yield OutputLine("down", "out")

    def containers(self, project: Project) -> tuple[Container, ...]:
        inspect = {"Id": "abc", "State": {"StartedAt": f"then {self.age}"}}
        return (Container("gitea", "running", "healthy", inspect),)


@pytest.fixture
def drill(tmp_path: Path, programs: Path, data: Path) -> Iterator[Drill]:
    if os.geteuid() != 0:
        pytest.skip("the phases act as root; this test needs root")
    layout = Layout(str(tmp_path / "opt"), str(tmp_path / "var"))
    world = World(tmp_path / "var/backup", programs, parts=("gitea",))
    engine = ScriptEngine(world, tmp_path / "var/restore/drill")
    plan = make_plan_for(load(), "no-secret-server", ANSWERS)
    project = Project("devplat", str(tmp_path / "opt/current"))
    backups = Backups(plan, project, cast(Engine, engine), Clock(), os.urandom)
    try:
        world.serve_files(data, "gitea")
        quick = {"BACKUP_TICK": "0.2", "BACKUP_LOOK_BACK": "61"}
        world.start("sh", str(world.etc / "main.sh"), **quick)
        yield Drill(backups, LocalHost(), layout, bundle(), "drill")
    finally:
        world.close()


def engine_of(drill: Drill) -> ScriptEngine:
    return cast(ScriptEngine, drill.backups.engine)


def drain(run: Run[Any]) -> tuple[Any, dict[str, str]]:
    """What a run returns, and the outcome of each check."""
    checks: dict[str, str] = {}
    while True:
        try:
            event = next(run)
        except StopIteration as stop:
            return stop.value, checks
        if isinstance(event, CheckFinished):
            checks[event.result.id] = str(event.result.outcome)


def left_behind(drill: Drill) -> list[Path]:
    places = (drill.place.directory, drill.place.ready, drill.place.fetched)
    return [Path(place) for place in places if Path(place).exists()]


def test_a_backup_is_asked_for_listed_and_tried(drill: Drill) -> None:
    """BK-12, BK-13, BK-14: what was made is compared, timed, and nothing is left of the drill."""
    run, checks = drain(make_backup(drill.backups))
    assert checks == {"backup.complete": "pass"}
    manifest = find_backup(list_backups(drill.backups), None)
    assert manifest["run"] == run
    _, checks = drain(run_drill(drill, manifest, None))
    assert checks == dict.fromkeys(
        ("restore.checksum", "restore.compared", "restore.untouched", "restore.timing"), "pass"
    )
    assert engine_of(drill).started == ["backup-files-gitea", "gitea"]
    assert engine_of(drill).downs == 1
    assert left_behind(drill) == []
    assert engine_of(drill).world.metrics()["devplat_backup_drill_timestamp_seconds"] > 0


def test_a_damaged_backup_ends_the_drill_before_anything_starts(drill: Drill) -> None:
    """BK-19, F-089: class integrity, the checksum is named, the live data is untouched."""
    drain(make_backup(drill.backups))
    manifest = find_backup(list_backups(drill.backups), None)
    damage(engine_of(drill).world, "flip")
    with pytest.raises(InstallError) as caught:
        drain(run_drill(drill, manifest, None))
    # a pack that is flipped where its list of contents is cannot be read at all
    assert isinstance(caught.value, IntegrityError | BackupError)
    assert caught.value.exit_code in (ExitCode.INTEGRITY, ExitCode.BACKUP)
    assert engine_of(drill).started == []
    assert left_behind(drill) == []


def test_restored_data_that_differs_fails_the_drill_and_is_removed(drill: Drill) -> None:
    """BK-22, BK-13: the comparison is what decides."""
    world = engine_of(drill).world
    drain(make_backup(drill.backups))
    manifest = find_backup(list_backups(drill.backups), None)
    script = world.root / "backup-files-gitea/drill.sh"
    changed = 'cd "$ready"\nprintf x >>"data/a name with blanks"'
    script.write_text(script.read_text().replace('cd "$ready"', changed))
    with pytest.raises(BackupError, match="a name with blanks"):
        drain(run_drill(drill, manifest, None))
    assert left_behind(drill) == []


def test_a_platform_that_was_touched_meanwhile_fails_the_drill(drill: Drill) -> None:
    """BK-12."""
    drain(make_backup(drill.backups))
    manifest = find_backup(list_backups(drill.backups), None)
    run = run_drill(drill, manifest, None)
    next(run)
    engine_of(drill).age = 1
    with pytest.raises(BackupError, match="started or stopped"):
        drain(run)


def test_a_backup_that_fails_and_one_that_is_not_there_are_told(drill: Drill) -> None:
    """BK-03: class backup, with the reason of the job itself."""
    world = engine_of(drill).world
    (world.root / "backup-files-gitea/part.sh").write_text("exit 1")
    with pytest.raises(BackupError, match="part gitea: it could not be stored"):
        drain(make_backup(drill.backups))
    with pytest.raises(BackupError, match="no complete backup"):
        find_backup([], None)
