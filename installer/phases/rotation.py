"""Rotation: new values for secrets that are in use, and the old ones proven dead.

The new value is stored beside the old one before anything else happens, so that a run killed
anywhere is continued by the same command: what is stored under `<name>.next` says how far it came.
Databases have two logins for a moment, so that no connection is refused. When a consumer does not
come back with the new value, the old one is put back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from installer.core.catalog import Catalog
from installer.core.errors import ConflictError, DeployError, Problem, Remedy, UsageError
from installer.core.events import Run, StepProgress
from installer.core.manifest import DatabaseAction, Proof, SecretDeclaration
from installer.core.plan import Plan
from installer.core.secrets import Secret, SecretSpec, expand, make_secret, named_secrets
from installer.phases.bootstrap import drop_other_logins, make_login
from installer.phases.launch import WAIT_S
from installer.phases.steps import Step, relay
from installer.ports import Engine, Entropy, Project, SecretStore

NEXT = ".next"
"""Ends the name under which a new value waits."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """Secrets that change together, and what is needed for it.

    Attributes:
        names: The secrets, in the plan's order.
        deliver: Has the consumers' files rendered anew.
        digests: `<service>/<file>` → SHA-256 of what is rendered now; absent files are left out.
    """

    plan: Plan
    project: Project
    engine: Engine
    store: SecretStore
    entropy: Entropy
    names: tuple[str, ...]
    deliver: Callable[[], Run[None]]
    digests: Callable[[Sequence[str]], Mapping[str, str]]

    @property
    def specs(self) -> tuple[SecretSpec, ...]:
        """Of the names."""
        return tuple(spec for spec in self.plan.secrets if spec.name in self.names)

    def next_of(self, name: str) -> Secret | None:
        """The value that waits to take its place."""
        return self.store.get(f"{name}{NEXT}")

    def databases(self) -> Iterator[tuple[DatabaseAction, str]]:
        """Database actions whose password changes; each database once."""
        seen = set()
        for service in self.plan.services:
            for action in self.plan.manifest(service).bootstrap:
                if not isinstance(action, DatabaseAction) or action.secret not in self.names:
                    continue
                if action.database not in seen and action.provider in self.plan.services:
                    seen.add(action.database)
                    yield action, action.secret

    def reload_order(self) -> tuple[str, ...]:
        """Services to restart, each once: as the manifests say, else in start order."""
        order: list[str] = []
        for name in self.names:
            declared = declaration_of(self.plan.catalog, name).rotation.reload
            order += [s for s in declared or self.consumers(name) if s in self.plan.services]
        return tuple(dict.fromkeys(order))

    def consumers(self, name: str) -> tuple[str, ...]:
        """Services with a file that names the secret, in start order."""
        return tuple(
            service
            for service in self.plan.services
            if any(name in named_secrets(t) for t in self._files(service).values())
        )

    def stale_files(self) -> tuple[str, ...]:
        """`<service>/<file>` of consumers that do not have the stored values."""
        values = {n: v for n in self.store.names() if (v := self.store.get(n)) is not None}
        wanted = {
            f"{service}/{file}": hashlib.sha256(expand(text, values).reveal().encode()).hexdigest()
            for service in dict.fromkeys(s for name in self.names for s in self.consumers(name))
            for file, text in self._files(service).items()
            if named_secrets(text) & set(self.names)
        }
        found = self.digests(tuple(wanted))
        return tuple(path for path, digest in wanted.items() if found.get(path) != digest)

    def _files(self, service: str) -> Mapping[str, str]:
        return self.plan.manifest(service).secret_files


def choose_secrets(plan: Plan, names: tuple[str, ...]) -> tuple[str, ...]:
    """The secrets to rotate: those named, or all that can be.

    Raises:
        UsageError: there is no such secret.
        ConflictError: one that was named cannot be replaced; says why.
    """
    known = [spec.name for spec in plan.secrets]
    refusals = {n: r for n in known if (r := declaration_of(plan.catalog, n).rotation.refuse)}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            Problem(
                "usage.secret",
                f"no secret of this platform is called {unknown[0]!r}",
                Remedy(f"name one of: {', '.join(sorted(known))}"),
            )
        )
    if refused := [name for name in names if name in refusals]:
        raise ConflictError(
            *(
                Problem(
                    "rotate.refused",
                    f"{name} cannot be replaced by a new value: {refusals[name]}",
                    Remedy("leave it; it stays in the store and in the backup"),
                    where=name,
                )
                for name in refused
            )
        )
    return names or tuple(name for name in known if name not in refusals)


def declaration_of(catalog: Catalog, name: str) -> SecretDeclaration:
    """What a manifest says of a secret."""
    return next(d for m in catalog.services.values() for d in m.secrets if d.name == name)


def rotation_steps(rotation: Rotation) -> list[Step]:
    """New values stored, known to their databases, in place, in use; old ones dead."""
    return [
        _make_step(rotation),
        *(_login_step(rotation, action, name) for action, name in rotation.databases()),
        _replace_step(rotation),
        _deliver_step(rotation),
        _reload_step(rotation),
        _prove_step(rotation),
        _finish_step(rotation),
    ]


def _make_step(rotation: Rotation) -> Step:
    store = rotation.store

    def are_made() -> bool:
        return all(rotation.next_of(name) is not None for name in rotation.names)

    def make() -> Run[None]:
        for done, spec in enumerate(rotation.specs, 1):
            coming = SecretSpec(f"{spec.name}{NEXT}", spec.kind, f"Next value of {spec.name}")
            store.ensure(coming, partial(make_secret, spec.kind, rotation.entropy))
            yield StepProgress("rotate.make", done, len(rotation.names), spec.name)

    def unmake() -> Run[None]:
        for name in rotation.names:
            store.remove(f"{name}{NEXT}")
            yield StepProgress("rotate.make", 0, None, f"{name}: the new value is dropped")

    return Step("rotate.make", "store the new values", are_made, make, are_made, unmake)


def _login_step(rotation: Rotation, action: DatabaseAction, name: str) -> Step:
    """A second login of the database, beside the one that is in use."""

    def make() -> Run[None]:
        coming = rotation.next_of(name) or rotation.store.get(name)
        if coming is not None:
            make_login(rotation.engine, rotation.project, action, coming, rotation.entropy)
        yield StepProgress(step_id, 1, 1, f"role {action.role}")

    step_id = f"rotate.login.{action.database}"
    return Step(step_id, f"a second login for {action.database}", lambda: False, make, lambda: True)


def _replace_step(rotation: Rotation) -> Step:
    store = rotation.store

    def are_replaced() -> bool:
        return all(store.get(name) == rotation.next_of(name) for name in rotation.names)

    def put(choose: Callable[[str], Secret | None]) -> None:
        for spec in rotation.specs:
            value = choose(spec.name)
            if value is not None and store.get(spec.name) != value:
                store.replace(spec, value)

    def replace() -> Run[None]:
        put(rotation.next_of)
        yield StepProgress("rotate.replace", 1, 1)

    def step_back() -> Run[None]:
        for action, name in rotation.databases():
            old = store.previous(name)
            if old is not None:
                make_login(rotation.engine, rotation.project, action, old, rotation.entropy)
        put(
            lambda name: store.previous(name) if store.get(name) == rotation.next_of(name) else None
        )
        yield from rotation.deliver()
        yield from _restart(rotation, "rotate.replace.undo")

    return Step(
        "rotate.replace",
        "put the new values in place",
        are_replaced,
        replace,
        are_replaced,
        step_back,
    )


def _deliver_step(rotation: Rotation) -> Step:
    def are_delivered() -> bool:
        return not rotation.stale_files()

    return Step(
        "rotate.deliver",
        "have the new values rendered",
        are_delivered,
        rotation.deliver,
        are_delivered,
    )


def _reload_step(rotation: Rotation) -> Step:
    """Always done: a container that runs does not tell which value it has read."""
    return Step(
        "rotate.reload",
        "restart the consumers in order",
        lambda: False,
        lambda: _restart(rotation, "rotate.reload"),
        lambda: True,
    )


def _restart(rotation: Rotation, step: str) -> Run[None]:
    order = rotation.reload_order()
    for done, service in enumerate(order, 1):
        yield from relay(step, rotation.engine.restart(rotation.project, (service,)))
        up = rotation.engine.up(rotation.project, (service,), wait_s=WAIT_S)
        yield from relay(step, up)
        yield StepProgress(step, done, len(order), service)


def _prove_step(rotation: Rotation) -> Step:
    """The new values work; the old ones do not."""

    def retire() -> Run[None]:
        for name in rotation.names:
            _prove_new(rotation, name)
        for action, name in rotation.databases():
            kept = rotation.store.get(name)
            if kept is not None:
                drop_other_logins(rotation.engine, rotation.project, action, keep=(kept,))
        for done, name in enumerate(rotation.names, 1):
            _prove_old(rotation, name)
            yield StepProgress("rotate.prove", done, len(rotation.names), name)

    return Step(
        "rotate.prove", "prove that the old values are dead", lambda: False, retire, lambda: True
    )


def _prove_new(rotation: Rotation, name: str) -> None:
    proof = _proof_of(rotation, name)
    new = rotation.store.get(name)
    if proof is not None and new is not None and not _succeeds(rotation, proof, new):
        raise DeployError(_unproven(name, "the new value is refused", proof.in_))


def _prove_old(rotation: Rotation, name: str) -> None:
    proof = _proof_of(rotation, name)
    new, old = rotation.store.get(name), rotation.store.previous(name)
    if proof is None or old is None or old == new:
        return
    if _succeeds(rotation, proof, old):
        raise DeployError(_unproven(name, "the old value is still accepted", proof.in_))


def _proof_of(rotation: Rotation, name: str) -> Proof | None:
    proof = declaration_of(rotation.plan.catalog, name).rotation.proof
    return proof if proof is not None and proof.in_ in rotation.plan.services else None


def _succeeds(rotation: Rotation, proof: Proof, value: Secret) -> bool:
    stdin = expand(proof.stdin, {"value": value}).reveal().encode()
    done = rotation.engine.exec(rotation.project, proof.in_, proof.argv, stdin=stdin)
    return done.status == 0 and proof.expect in done.text


def _unproven(name: str, what: str, service: str) -> Problem:
    return Problem(
        "rotate.unproven",
        f"{name}: {what} by {service}",
        Remedy(f"look at the logs of {service}; the value before was put back"),
        where=service,
    )


def _finish_step(rotation: Rotation) -> Step:
    def is_finished() -> bool:
        return all(rotation.next_of(name) is None for name in rotation.names)

    def finish() -> Run[None]:
        for name in rotation.names:
            rotation.store.remove(f"{name}{NEXT}")
        yield StepProgress("rotate.finish", 1, 1)

    return Step("rotate.finish", "the rotation is over", is_finished, finish, is_finished)
