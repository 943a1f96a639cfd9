"""Rotation: new values for secrets that are in use, and the old ones proven dead.

A new value waits beside the old one, under `<name>.next`, before anything else happens, and until
all is over: a run killed anywhere is continued by the same command. A database knows both
passwords, each with a login of its own, for as long as a consumer can read either. Any failure puts
the old values back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from installer.core.errors import ConflictError, DeployError, InstallError, Problem, Remedy
from installer.core.events import CheckFinished, CheckResult, Outcome, Run, StepProgress
from installer.core.manifest import Proof
from installer.core.rotation import NEXT, Choice, declaration_of, reload_order
from installer.core.secrets import Secret, SecretSpec, expand, make_secret
from installer.phases.bootstrap import drop_other_logins, make_login
from installer.phases.rotation_state import Rotation, finished_earlier, restart, tidy
from installer.phases.step_back import step_back
from installer.phases.steps import Step

READY = "rotate.ready"


@dataclass(frozen=True, slots=True)
class _Part:
    """One step of a rotation. `touches`: a consumer may read a new value once it has begun."""

    id: str
    title: str
    work: Callable[[], Run[None]]
    touches: bool = False


def rotation_steps(rotation: Rotation, choice: Choice) -> Iterator[Step]:
    """New values stored, known to their databases, in place, in use; old ones dead.

    Each step finds out by itself what is left to do. What a run before this one had proven and not
    tidied up is tidied up, and does not get another value.
    """
    every = (spec.name for spec in rotation.plan.secrets)
    earlier = finished_earlier(rotation.store, every)
    names = tuple(name for name in choice.names if name not in earlier)
    rotation = rotation.of(names)
    resumed = any(rotation.next_of(name) is not None for name in names)
    yield _step(READY, "see that it can be done", _ready(rotation, choice, earlier, resumed))
    if earlier:
        title = "tidy up after the run before"
        yield _step("rotate.tidy", title, partial(tidy, rotation.store, earlier, "rotate.tidy"))
    if not names:
        return
    for part in _parts(rotation):
        yield _step(part.id, part.title, _guarded(rotation, part, part.touches or resumed))
    over = partial(tidy, rotation.store, names, "rotate.finish")
    yield _step("rotate.finish", "the rotation is over", over)


def _parts(rotation: Rotation) -> list[_Part]:
    parts = [_Part("rotate.make", "store the new values", partial(_make, rotation))]
    if rotation.databases:
        title = "second logins for the databases"
        parts.append(_Part("rotate.logins", title, partial(_make_logins, rotation)))
    for name, title, work in (
        ("replace", "put the new values in place", _replace),
        ("deliver", "have the new values rendered", _deliver),
        ("reload", "restart the consumers in order", _reload),
        ("prove", "prove that the old values are dead", _prove),
    ):
        parts.append(_Part(f"rotate.{name}", title, partial(work, rotation), touches=True))
    return parts


def _step(id: str, title: str, work: Callable[[], Run[None]]) -> Step:
    """Always done: the work itself looks at what is left of it, and observes its outcome."""
    return Step(id, title, lambda: False, work, lambda: True)


def _guarded(rotation: Rotation, part: _Part, may_be_read: bool) -> Callable[[], Run[None]]:
    """The work of a step; when it fails, the step back, and what became of it in the message."""

    def work() -> Run[None]:
        try:
            yield from part.work()
        except InstallError as error:
            told = yield from step_back(rotation, may_be_read=may_be_read, after=part.id)
            raise type(error)(*error.problems, told) from error

    return work


def _ready(
    rotation: Rotation, choice: Choice, earlier: tuple[str, ...], resumed: bool
) -> Callable[[], Run[None]]:
    """Nothing is changed unless all of it can be; and what is left out is said."""

    def work() -> Run[None]:
        for name, why in choice.skipped.items():
            yield _found("rotate.skipped", f"{name} keeps its value", Outcome.WAIVED, name, why)
        for name in earlier:
            why = "the run before had proven its new value and was cut off while it tidied up"
            yield _found("rotate.earlier", f"{name} was rotated", Outcome.WARN, name, why)
        for name in _waiting(rotation, choice):
            why = f"a rotation of it was cut off; devplat-install rotate {name} continues it"
            yield _found("rotate.pending", f"{name} has two values", Outcome.WARN, name, why)
        if not rotation.names:
            return
        if not rotation.is_current():
            raise ConflictError(_other_release(rotation))
        for name in rotation.names:
            rotation.value(name)
        if not resumed:  # a rotation that was cut off may be why they are not
            _refuse_unhealthy(rotation)

    return work


def _waiting(rotation: Rotation, choice: Choice) -> list[str]:
    """Secrets that this run is not about, and whose rotation is under way."""
    found = (name.removesuffix(NEXT) for name in rotation.store.names() if name.endswith(NEXT))
    known = {spec.name for spec in rotation.plan.secrets}
    return sorted(name for name in found if name in known and name not in choice.names)


def _refuse_unhealthy(rotation: Rotation) -> None:
    """Refuse to start where its end could not be seen.

    Raises:
        DeployError: a service that takes part does not run, or is not healthy.
    """
    proofs = (_proof_of(rotation, name) for name in rotation.names)
    wanted = {
        *reload_order(rotation.plan, rotation.names),
        *(action.provider for action in rotation.databases),
        *(proof.in_ for proof in proofs if proof is not None),
    }
    healthy = {
        c.service
        for c in rotation.engine.containers(rotation.project)
        if c.state == "running" and c.health in ("healthy", None)
    }
    if missing := sorted(wanted - healthy):
        raise DeployError(*(_unhealthy(service) for service in missing))


def _make(rotation: Rotation) -> Run[None]:
    for done, spec in enumerate(rotation.specs, 1):
        coming = SecretSpec(f"{spec.name}{NEXT}", spec.kind, f"Next value of {spec.name}")
        rotation.store.ensure(coming, partial(make_secret, spec.kind, rotation.entropy))
        yield StepProgress("rotate.make", done, len(rotation.names), spec.name)


def _make_logins(rotation: Rotation) -> Run[None]:
    """Whichever value a consumer reads from now on, the database knows it."""
    for done, action in enumerate(rotation.databases, 1):
        for value in (rotation.value(action.secret), rotation.next_of(action.secret)):
            if value is not None:
                make_login(rotation.engine, rotation.project, action, value, rotation.entropy)
        yield StepProgress("rotate.logins", done, len(rotation.databases), action.database)


def _replace(rotation: Rotation) -> Run[None]:
    for done, spec in enumerate(rotation.specs, 1):
        new = rotation.next_of(spec.name)
        if new is not None and rotation.value(spec.name) != new:
            rotation.store.replace(spec, new)
        yield StepProgress("rotate.replace", done, len(rotation.names), spec.name)


def _deliver(rotation: Rotation) -> Run[None]:
    if stale := rotation.stale_files():
        yield from rotation.deliver(stale)
    if stale := rotation.stale_files():
        raise DeployError(_undelivered(sorted(stale)[0]))


def _reload(rotation: Rotation) -> Run[None]:
    """Always: a container that runs does not tell which value it has read."""
    yield from restart(rotation, "rotate.reload")


def _prove(rotation: Rotation) -> Run[None]:
    """The new values are good before the old ones are given up, and are the only ones after."""
    for name in rotation.names:
        _insist_on_new(rotation, name)
    for action in rotation.databases:
        kept = (rotation.value(action.secret),)
        drop_other_logins(rotation.engine, rotation.project, action, keep=kept)
    for done, name in enumerate(rotation.names, 1):
        yield CheckFinished("rotate.prove", _prove_old(rotation, name))
        yield StepProgress("rotate.prove", done, len(rotation.names), name)


def _insist_on_new(rotation: Rotation, name: str) -> None:
    proof = _proof_of(rotation, name)
    if proof is not None and not _succeeds(rotation, proof, rotation.value(name)):
        raise DeployError(_unproven(name, "the new value is refused", proof.in_))


def _prove_old(rotation: Rotation, name: str) -> CheckResult:
    """That the old value is refused, by something that still takes the new one."""
    proof = _proof_of(rotation, name)
    if proof is None:
        title = f"{name}: the new value is in use"
        found = "whether the old one is refused cannot be tried; its consumers read it no more"
        return CheckResult("rotate.proof", title, Outcome.UNKNOWN, where=name, found=found)
    if _succeeds(rotation, proof, rotation.old_of(name)):
        raise DeployError(_unproven(name, "the old value is still accepted", proof.in_))
    _insist_on_new(rotation, name)
    title = f"{name}: the new value is accepted, the old one refused"
    return CheckResult("rotate.proof", title, Outcome.PASS, where=proof.in_)


def _proof_of(rotation: Rotation, name: str) -> Proof | None:
    proof = declaration_of(rotation.plan, name).rotation.proof
    return proof if proof is not None and proof.in_ in rotation.plan.services else None


def _succeeds(rotation: Rotation, proof: Proof, value: Secret) -> bool:
    stdin = expand(proof.stdin, {"value": value}).reveal().encode()
    done = rotation.engine.exec(rotation.project, proof.in_, proof.argv, stdin=stdin)
    return done.status == 0 and proof.expect in done.text


def _found(id: str, title: str, outcome: Outcome, where: str, found: str) -> CheckFinished:
    return CheckFinished(READY, CheckResult(id, title, outcome, where=where, found=found))


def _unproven(name: str, what: str, service: str) -> Problem:
    return Problem(
        "rotate.unproven",
        f"{name}: {what} by {service}",
        Remedy(f"look at the logs of {service} for why"),
        where=service,
    )


def _undelivered(path: str) -> Problem:
    service, _, file = path.partition("/")
    return Problem(
        "rotate.not_delivered",
        f"the secret file {file} of {service} still has another content",
        Remedy(f"look at what delivers the secrets of {service}"),
        where=service,
    )


def _unhealthy(service: str) -> Problem:
    return Problem(
        "rotate.not_healthy",
        f"{service} takes part in the rotation and is not healthy; nothing was changed",
        Remedy("bring it up first", ("devplat-install status", "devplat-install apply")),
        where=service,
    )


def _other_release(rotation: Rotation) -> Problem:
    return Problem(
        "rotate.other_release",
        "what runs is not what these answers make; nothing was changed",
        Remedy("apply first, then rotate", ("devplat-install plan", "devplat-install apply")),
        where=rotation.plan.deployment,
    )
