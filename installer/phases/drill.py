"""A restore drill: a backup is fetched, restored beside the deployment, compared, and removed.

The deployment itself is only looked at: its containers are the same ones before and after.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from installer.core.bundle import COMPOSE_PATH, Bundle
from installer.core.compose import dump_document
from installer.core.drills import Place, Trial, make_drill, make_place, plan_trials
from installer.core.errors import BackupError, InstallError, Problem, Remedy
from installer.core.events import CheckFinished, CheckResult, Outcome, Run, StepProgress, span
from installer.core.layout import Layout
from installer.phases.backups import LONGEST_S, POLL_S, Backups, Manifest, fetch_backup
from installer.phases.remote import quote, replace_file, run_root
from installer.phases.steps import relay
from installer.ports import Completed, Host, Project

_HEADING = "A restore drill of devplat-install; removed when it ends"
_TOLD = "/tmp/drill"  # noqa: S108 - in memory, of a container that nobody else is in
_BEGIN = (
    f'( "$@" >{_TOLD}.out 2>{_TOLD}.err; echo $? >{_TOLD}.status ) </dev/null >/dev/null 2>&1 &'
)
_WAIT_S = 300


@dataclass(frozen=True, slots=True)
class Drill:
    """What a drill works with."""

    backups: Backups
    host: Host
    layout: Layout
    bundle: Bundle
    name: str

    @property
    def place(self) -> Place:
        """Where it lies on the target."""
        return make_place(self.backups.plan, self.layout, self.name)

    @property
    def project(self) -> Project:
        """Its compose project."""
        return Project(self.place.project, self.place.directory)


def run_drill(work: Drill, manifest: Manifest, part: str | None) -> Run[None]:
    """Restore a backup, or one part, into a scratch project and compare; then remove all of it.

    Raises:
        IntegrityError: the backup is damaged; nothing was started.
        BackupError: something that was restored differs from what the manifest says.
    """
    before = _identities(work)
    begun = work.backups.clock.monotonic()
    try:
        yield from restore_beside(work, manifest, part)
    finally:
        clear_drill(work)
    took = work.backups.clock.monotonic() - begun
    unchanged = before == _identities(work)
    title = "the deployment runs as before: the same containers, started at the same time"
    outcome = Outcome.PASS if unchanged else Outcome.FAIL
    yield CheckFinished("restore.drill", CheckResult("restore.untouched", title, outcome))
    yield CheckFinished("restore.drill", _timing(work, manifest, took))
    if not unchanged:
        raise BackupError(_changed(work.backups.project.name))
    if part is None:
        work.backups.ask("drilled")


def restore_beside(work: Drill, manifest: Manifest, part: str | None) -> Run[tuple[Trial, ...]]:
    """Fetch, restore beside the deployment, compare; what was restored stays in its place."""
    names = tuple(p["name"] for p in manifest["parts"] if part in (None, p["name"]))
    trials = plan_trials(work.backups.plan, names)
    if not trials:
        raise BackupError(_no_part(manifest, part))
    clear_drill(work)
    fetch = fetch_backup(work.backups, work.name, manifest["run"], part)
    yield from span("restore.fetch", "fetch the backup and compare its checksums", fetch)
    yield from span("restore.start", "start a project of its own", _start(work, trials))
    for trial in trials:
        title = f"restore {trial.part} and compare it"
        yield from span(f"restore.{trial.part}", title, _try(work, trial))
    return trials


def clear_drill(work: Drill) -> None:
    """Remove the project and its files; what is not there is no trouble."""
    place = work.place
    with suppress(InstallError):  # a project that was never made has nothing to take down
        if run_root(work.host, f"if [ -d {quote(place.directory)} ]; then echo 1; fi").text:
            for _ in work.backups.engine.down(work.project):
                pass
    paths = " ".join(map(quote, (place.directory, place.ready, place.fetched)))
    run_root(work.host, f"rm -rf -- {paths}")


def _start(work: Drill, trials: Sequence[Trial]) -> Run[None]:
    place = work.place
    document = make_drill(work.layout, place, tuple(trials), work.bundle.document)
    lines = [f"umask 077\nmkdir -p {quote(place.directory)}"]
    lines += [f"mkdir -p -m 0711 {quote(place.ready.rpartition('/')[0])} {quote(place.ready)}"]
    for trial in trials:
        ready = quote(place.ready_for(trial.part))
        lines.append(f"mkdir -p -m 0700 {ready}\nchown {trial.restorer.user} {ready}")
    run_root(work.host, "\n".join(lines))
    replace_file(work.host, f"{place.directory}/{COMPOSE_PATH}", dump_document(document, _HEADING))
    restorers = [trial.restorer.name for trial in trials]
    up = work.backups.engine.up(work.project, restorers, wait_s=_WAIT_S)
    yield from relay("restore.start", up)


def _try(work: Drill, trial: Trial) -> Run[None]:
    step = f"restore.{trial.part}"
    drill = trial.restorer.drill
    argv = (*(drill.argv if drill else ()), trial.part)
    found = yield from _run_to_end(work, step, trial.restorer.name, argv)
    yield CheckFinished(step, _compared(trial.part, trial.restorer.name, found))
    owner = trial.owner
    if owner is not None and owner.proof is not None:
        up = work.backups.engine.up(work.project, [owner.name], wait_s=_WAIT_S)
        yield from relay(step, up)
        found = yield from _run_to_end(work, step, owner.name, owner.proof.argv)
        yield CheckFinished(step, _compared(trial.part, owner.name, found))


def _run_to_end(work: Drill, step: str, service: str, argv: Sequence[str]) -> Run[str]:
    """Run a program that may be silent for hours; returns what it printed.

    Raises:
        BackupError: it says that what was restored differs.
    """
    _exec(work, service, ("sh", "-c", _BEGIN, "drill", *argv))
    begun = work.backups.clock.monotonic()
    beats = 0
    while not (status := _exec(work, service, ("cat", f"{_TOLD}.status")).text.strip()):
        if work.backups.clock.monotonic() - begun > LONGEST_S:
            raise BackupError(_differs(service, [f"no end after {LONGEST_S} s"]))
        beats += 1
        yield StepProgress(step, beats, None, note=f"{service} restores and compares")
        work.backups.clock.sleep(POLL_S)
    if status != "0":
        lines = _exec(work, service, ("cat", f"{_TOLD}.err")).text.strip().splitlines()
        raise BackupError(_differs(service, lines or [f"status {status}"]))
    return _exec(work, service, ("cat", f"{_TOLD}.out")).text.strip()


def _exec(work: Drill, service: str, argv: Sequence[str]) -> Completed:
    return work.backups.engine.exec(work.project, service, argv)


def _identities(work: Drill) -> set[tuple[str, str]]:
    """Which containers of the deployment run, and since when."""
    containers = work.backups.engine.containers(work.backups.project)
    return {(str(c.inspect["Id"]), str(c.inspect["State"]["StartedAt"])) for c in containers}


def _compared(part: str, service: str, found: str) -> CheckResult:
    with suppress(ValueError):
        found = ", ".join(f"{value} {key}" for key, value in json.loads(found).items())
    title = f"what was restored of {part} is what the manifest says"
    return CheckResult("restore.compared", title, Outcome.PASS, where=service, found=found)


def _timing(work: Drill, manifest: Manifest, took: float) -> CheckResult:
    age = work.backups.clock.now().timestamp() - float(manifest["started"])
    title = "recovery time, and the window of data that this backup would lose"
    found = f"{took:.0f} s to restore and compare; the backup began {age / 3600:.1f} h ago"
    return CheckResult("restore.timing", title, Outcome.PASS, where=manifest["run"], found=found)


def _differs(service: str, lines: list[str]) -> Problem:
    return Problem(
        "restore.differs",
        f"the restored data is not what the manifest says: {lines[0]}",
        Remedy("do not rely on this backup; make a new one", ("devplat-install backup now",)),
        where=service,
        detail="\n".join(lines[:10]),
    )


def _no_part(manifest: Manifest, part: str | None) -> Problem:
    names = ", ".join(p["name"] for p in manifest["parts"])
    return Problem(
        "restore.no_part",
        f"{manifest['run']} has no part {part} that can be restored; it has {names}",
        Remedy("name one of them", ("devplat-install backup list",)),
        where=manifest["run"],
    )


def _changed(deployment: str) -> Problem:
    return Problem(
        "restore.changed",
        "a container of the deployment was started or stopped while the drill ran",
        Remedy("see what runs, then repeat the drill", ("devplat-install status",)),
        where=deployment,
    )
