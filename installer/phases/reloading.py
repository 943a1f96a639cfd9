"""Consumers of a secret that has a new value by an answer, or by renewal: they are restarted.

Which secrets that is about is noted in the store before a value is replaced, and until every
consumer is healthy again: a run that is killed anywhere in between is continued by the next one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from installer.core.compose import LABEL_RELEASE
from installer.core.errors import DeployError, Problem, Remedy
from installer.core.events import CheckFinished, CheckResult, Outcome, Run
from installer.core.plan import Plan
from installer.core.rotation import declaration_of, reload_order
from installer.core.secrets import Secret, SecretKind, SecretSpec
from installer.phases.rotation_state import Rotation, restart
from installer.phases.steps import Step, no_effect
from installer.ports import Engine, Project, SecretStore

PENDING = SecretSpec(
    "answers.pending", SecretKind.TOKEN, "Which given secrets' consumers are still to be restarted"
)
RELOAD = "secrets.reload"


def pending_names(plan: Plan, store: SecretStore) -> tuple[str, ...]:
    """Secrets whose value was, or is about to be, replaced and whose consumers do not know it."""
    noted = _noted(store)
    return tuple(spec.name for spec in plan.secrets if _mark(spec.name) in noted)


def replaced_names(store: SecretStore, specs: Iterable[SecretSpec]) -> tuple[str, ...]:
    """Those of these secrets that have a value: somebody may have read it."""
    known = store.names()
    return tuple(spec.name for spec in specs if spec.name in known)


def note_step(store: SecretStore, names: Iterable[str]) -> Step:
    """It is noted that the consumers of these secrets have to be restarted."""
    marks = frozenset(map(_mark, names))

    def is_noted() -> bool:
        return marks <= _noted(store)

    def note() -> Run[None]:
        wanted = Secret("\n".join(sorted(marks | _noted(store))))
        if store.ensure(PENDING, lambda: wanted) != wanted:
            store.replace(PENDING, wanted)
        return no_effect()

    return Step("secrets.note", "note whose secrets change", is_noted, note, is_noted)


def reload_step(rotation: Rotation, releases: Mapping[str, str]) -> Step:
    """No consumer runs with a value from before.

    A container of another release is not restarted: this run replaces it, and what takes its place
    reads the new value.

    Args:
        rotation: What is needed for it, with no names of its own.
        releases: Service → label of its containers in the release that is being applied.
    """
    plan, store = rotation.plan, rotation.store

    def is_over() -> bool:
        return not pending_names(plan, store)

    def reload() -> Run[None]:
        work = rotation.of(pending_names(plan, store))
        for name in work.names:
            if why := declaration_of(plan, name).rotation.refuse:
                yield CheckFinished(RELOAD, _not_taken(name, why))
        if plan.agents:
            yield from _render(work)
        right = _services_of(work.engine, work.project, releases)
        order = [s for s in reload_order(plan, work.names) if s in right]
        yield from restart(work, RELOAD, services=order)
        store.remove(PENDING.name)

    return Step(RELOAD, "restart who has a changed secret", is_over, reload, is_over)


def _render(rotation: Rotation) -> Run[None]:
    """An agent renders a new value by itself only after a while."""
    if stale := rotation.stale_files():
        yield from rotation.deliver(stale)
    if stale := rotation.stale_files():
        service, _, file = sorted(stale)[0].partition("/")
        raise DeployError(
            Problem(
                "secrets.not_rendered",
                f"the secret file {file} of {service} still has another content",
                Remedy(f"look at what delivers the secrets of {service}, then run again"),
                where=service,
            )
        )


def _services_of(engine: Engine, project: Project, releases: Mapping[str, str]) -> set[str]:
    return {
        c.service
        for c in engine.containers(project)
        if c.inspect["Config"]["Labels"].get(LABEL_RELEASE) == releases.get(c.service)
    }


def _not_taken(name: str, why: str) -> CheckResult:
    title = f"the answer of {name} refers to a new value, which a restart alone does not bring in"
    return CheckResult("secrets.not_taken", title, Outcome.WARN, where=name, found=why)


def _noted(store: SecretStore) -> frozenset[str]:
    noted = store.get(PENDING.name)
    return frozenset(noted.reveal().split() if noted else ())


def _mark(name: str) -> str:
    # hashed: whatever a store gives out is blotted out of every message, and names must not be
    return hashlib.sha256(name.encode()).hexdigest()
