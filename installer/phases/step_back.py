"""One step back: the values from before a rotation are in the store, delivered and in use again.

In an order that locks nobody out: the databases know the old passwords before anybody can read
them, and forget the new ones when nobody can any more.
"""

from __future__ import annotations

from installer.core.errors import InstallError, Problem, Remedy
from installer.core.events import Run, StepProgress, span
from installer.core.rotation import NEXT
from installer.phases.bootstrap import drop_other_logins, make_login
from installer.phases.rotation_state import Rotation, restart

STEP = "rotate.back"


def step_back(rotation: Rotation, *, may_be_read: bool, after: str) -> Run[Problem]:
    """Undo a rotation; returns what became of it, for the message of the failure.

    Args:
        rotation: What is undone.
        may_be_read: Whether a consumer can have read a new value. If not, none is disturbed.
        after: The step that failed.
    """
    reached = ["nothing"]
    body = _go_back(rotation, reached) if may_be_read else _forget(rotation)
    try:
        yield from span(STEP, "put the old values back", body, parent=after)
    except InstallError as error:
        return _stuck(rotation, error.problems[0], reached[-1])
    return _stepped_back(rotation, may_be_read=may_be_read)


def _go_back(rotation: Rotation, reached: list[str]) -> Run[None]:
    old = {name: rotation.old_of(name) for name in rotation.names}
    for action in rotation.databases:
        make_login(rotation.engine, rotation.project, action, old[action.secret], rotation.entropy)
    reached.append("the databases know the old passwords")
    for spec in rotation.specs:
        if rotation.value(spec.name) != old[spec.name]:
            rotation.store.replace(spec, old[spec.name])
        yield StepProgress(STEP, 0, None, f"{spec.name}: the old value is in the store")
    reached.append("the old values are in the store")
    # all of them, not only what is seen to be stale: an agent may be about to render a new value
    yield from rotation.deliver(rotation.files())
    reached.append("the old values are in the store and delivered")
    yield from restart(rotation, STEP, stubborn=True)
    reached.append("the old values are in use again")
    yield from _forget(rotation)


def _forget(rotation: Rotation) -> Run[None]:
    """The new values, which nobody uses."""
    for action in rotation.databases:
        kept = (rotation.value(action.secret),)
        drop_other_logins(rotation.engine, rotation.project, action, keep=kept)
    for name in rotation.names:
        rotation.store.remove(f"{name}{NEXT}")
        yield StepProgress(STEP, 0, None, f"{name}: the new value is dropped")


def _stepped_back(rotation: Rotation, *, may_be_read: bool) -> Problem:
    names = ", ".join(rotation.names)
    what = (
        "the old value was put back, delivered and taken into use again, and the new one dropped"
        if may_be_read
        else "no new value was in use yet, and none is kept; no service was restarted"
    )
    return Problem(
        "rotate.stepped_back",
        f"{names}: {what}",
        Remedy("remove the cause named above, then rotate again", (_again(rotation),)),
    )


def _stuck(rotation: Rotation, problem: Problem, reached: str) -> Problem:
    return Problem(
        "rotate.not_stepped_back",
        f"{', '.join(rotation.names)}: the step back stopped as well: {problem.summary}",
        Remedy(
            "nothing is lost, and databases still know both passwords; remove the cause, then run"
            " the same command again: it goes on with the new value that waits in the store",
            (_again(rotation),),
        ),
        where=problem.where,
        detail=f"done before it stopped: {reached}",
    )


def _again(rotation: Rotation) -> str:
    return f"devplat-install rotate {' '.join(rotation.names)}"
