"""Restore in place: what was restored beside and compared takes the place of the old data.

Directories change places by renaming, so nothing is ever half there, and the old ones stay until
somebody removes them. A note on the target says that a restore is under way; while it is there,
nothing else starts the deployment.
"""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass

from installer.core.drills import Trial, plan_trials
from installer.core.errors import ConflictError, Problem, Remedy, UsageError
from installer.core.events import CheckFinished, CheckResult, Outcome, Run
from installer.core.layout import Layout
from installer.core.plan import Plan
from installer.phases.backups import Manifest
from installer.phases.drill import Drill, clear_drill, restore_beside
from installer.phases.launch import WAIT_S
from installer.phases.remote import quote, read_file, replace_file, run_root
from installer.phases.steps import Step, no_effect, relay
from installer.ports import Host

NAME = "in-place"
"""Of the scratch project; no drill can be called like it, as it is taken."""


@dataclass(frozen=True, slots=True)
class Move:
    """A data directory: what was restored, where it belongs, where the old one goes."""

    ready: str
    live: str
    aside: str
    owner: str


def plan_moves(work: Drill, manifest: Manifest, part: str | None) -> tuple[Move, ...]:
    """What takes whose place, for every part that a service of this deployment restores."""
    names = tuple(p["name"] for p in manifest["parts"] if part in (None, p["name"]))
    layout, place = work.layout, work.place
    aside = posixpath.join(layout.data_dir, "restore", f"before-{manifest['run']}")
    return tuple(
        Move(
            ready=posixpath.join(place.ready_for(trial.part), data.name),
            live=layout.data(trial.owner.name, data.name),
            aside=posixpath.join(aside, trial.owner.name, data.name),
            owner=trial.owner.user,
        )
        for trial in plan_trials(work.backups.plan, names)
        if trial.owner is not None
        for data in trial.owner.data
        if data.backup or (trial.restorer.drill is not None and trial.restorer.drill.ready)
    )


def beside_step(work: Drill, manifest: Manifest, part: str | None) -> Step:
    """Everything is restored beside the deployment and compared, before anything is touched."""
    moves = plan_moves(work, manifest, part)

    def restore() -> Run[None]:
        trials = yield from restore_beside(work, manifest, part)
        for trial in trials:
            if place := _by_hand(trial):
                yield CheckFinished("restore.beside", _left_to_people(trial.part, place))
        for _ in work.backups.engine.down(work.project):
            pass

    def are_ready() -> bool:
        return all(_exists(work.host, move.ready) for move in moves)

    def remove() -> Run[None]:
        clear_drill(work)
        return no_effect()

    title = "restore beside the deployment and compare"
    return Step("restore.beside", title, lambda: False, restore, are_ready, remove)


def refuse_by_hand(plan: Plan, part: str | None) -> None:
    """Nothing would take the place of anything.

    Raises:
        UsageError: the only part that was asked for is put in its place by people.
    """
    for trial in plan_trials(plan, (part,) if part else ()):
        if place := _by_hand(trial):
            raise UsageError(
                Problem(
                    "restore.by_hand",
                    f"{trial.part} is never put in its place by the installer; nothing was changed",
                    Remedy(
                        f"try it beside, then follow {place}",
                        (f"devplat-install restore --into drill --part {trial.part}",),
                    ),
                    where=trial.restorer.name,
                )
            )


def _by_hand(trial: Trial) -> str | None:
    return trial.restorer.drill.by_hand if trial.restorer.drill else None


def _left_to_people(part: str, place: str) -> CheckResult:
    title = f"{part} was compared, and stays as it is here: people put it in its place"
    return CheckResult("restore.by_hand", title, Outcome.WARN, where=part, found=f"see {place}")


def stop_step(work: Drill) -> Step:
    """Whatever uses the data stands still; the secret server and its agents go on."""
    plan, engine, project = work.backups.plan, work.backups.engine, work.backups.project
    kept = {*plan.agents.values(), *((plan.server.name,) if plan.server else ())}
    names = [name for name in plan.services if name not in kept]

    def are_stopped() -> bool:
        running = {c.service for c in engine.containers(project) if c.state == "running"}
        return running.isdisjoint(names)

    def stop() -> Run[None]:
        yield from relay("restore.stop", engine.stop(project, names))

    def start() -> Run[None]:
        yield from relay("restore.stop.undo", engine.up(project, (), wait_s=WAIT_S))

    return Step("restore.stop", "stop the services", are_stopped, stop, are_stopped, start)


def swap_step(work: Drill, manifest: Manifest, part: str | None) -> Step:
    """The restored directories are the live ones; the old ones lie beside them."""
    moves = plan_moves(work, manifest, part)
    host, note = work.host, note_path(work.layout)

    def swap() -> Run[None]:
        listed = [{"live": m.live, "aside": m.aside} for m in moves]
        record = {"run": manifest["run"], "moves": listed}
        replace_file(host, note, json.dumps(record).encode())
        for move in moves:
            run_root(
                host,
                f"mkdir -p {quote(posixpath.dirname(move.aside))}"
                f" {quote(posixpath.dirname(move.live))}\n"
                f"chown -R {move.owner} {quote(move.ready)}\n"
                f"rm -rf {quote(move.aside)}\n"
                f"if [ -e {quote(move.live)} ]; then"
                f" chmod --reference={quote(move.live)} {quote(move.ready)};"
                f" mv -T {quote(move.live)} {quote(move.aside)}; fi\n"
                f"mv -T {quote(move.ready)} {quote(move.live)}",
                timeout_s=3600,
            )
        return no_effect()

    def are_swapped() -> bool:
        return all(_exists(host, m.live) and not _exists(host, m.ready) for m in moves)

    def swap_back() -> Run[None]:
        go_back(host, work.layout)
        return no_effect()

    title = "put what was restored in its place"
    return Step("restore.swap", title, lambda: False, swap, are_swapped, swap_back)


def done_step(work: Drill) -> Step:
    """The note is gone: what runs is what was restored."""
    note = note_path(work.layout)

    def is_gone() -> bool:
        return not _exists(work.host, note)

    def remove() -> Run[None]:
        run_root(work.host, f"rm -f {quote(note)}")
        clear_drill(work)
        return no_effect()

    return Step("restore.done", "the restored data is in service", is_gone, remove, is_gone)


def resume_step(work: Drill) -> Step:
    """A restore that was interrupted is taken back: the old data is in its place and served."""
    note = note_path(work.layout)

    def is_clear() -> bool:
        return not _exists(work.host, note)

    def take_back() -> Run[None]:
        go_back(work.host, work.layout)
        up = work.backups.engine.up(work.backups.project, (), wait_s=WAIT_S)
        yield from relay("restore.resume", up)

    title = "take back a restore that was interrupted"
    return Step("restore.resume", title, is_clear, take_back, is_clear)


def go_back(host: Host, layout: Layout) -> None:
    """Put the old directories back where the note says that they were moved from."""
    data = read_file(host, note_path(layout))
    if data is None:
        return
    for move in json.loads(data)["moves"]:
        live, aside = quote(move["live"]), quote(move["aside"])
        # in this order a second run after an interruption finds the same
        run_root(host, f"if [ -e {aside} ]; then rm -rf {live}\nmv -T {aside} {live}; fi")
    run_root(host, f"rm -f {quote(note_path(layout))}")


def note_path(layout: Layout) -> str:
    """Says that a restore is under way; there as long as old and new data may be mixed."""
    return posixpath.join(layout.state, "restoring.json")


def refuse_half_restored(host: Host, layout: Layout) -> None:
    """Nothing but another restore may start a deployment whose data may be of two times.

    Raises:
        ConflictError: a restore was interrupted.
    """
    if _exists(host, note_path(layout)):
        raise ConflictError(
            Problem(
                "restore.interrupted",
                "a restore was interrupted; the data of some services may be old and of others new",
                Remedy(
                    "run it again: it takes back what was done first", ("devplat-install restore",)
                ),
                where=note_path(layout),
            )
        )


def _exists(host: Host, path: str) -> bool:
    return bool(run_root(host, f"if [ -e {quote(path)} ]; then echo 1; fi").text.strip())
