"""What a rotation works with, and how far it is: told by the store alone.

So a killed run can be continued from anywhere. Holds what the steps and the step back share, and
decides nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from installer.core.errors import InstallError, Problem, Remedy, SecretStoreError
from installer.core.events import CheckFinished, CheckResult, Outcome, Run, StepProgress
from installer.core.manifest import DatabaseAction
from installer.core.plan import Plan
from installer.core.rotation import NEXT, databases_of, files_of, reload_order
from installer.core.secrets import Secret, SecretKind, SecretSpec, expand, named_secrets
from installer.phases.launch import WAIT_S
from installer.phases.steps import relay
from installer.ports import Clock, Engine, Entropy, Project, SecretStore

PROVEN = SecretSpec(
    "rotation.proven", SecretKind.TOKEN, "Which secrets' rotation is over but for tidying up"
)


@dataclass(frozen=True, slots=True)
class Rotation:
    """Secrets that change together, and what is needed for it.

    Attributes:
        names: The secrets, in the plan's order.
        deliver: Brings files to their consumers, given as `<service>/<file>` → content.
        digests: `<service>/<file>` → SHA-256 of what is rendered now; absent files are left out.
        is_current: Whether the active release is the one of the plan.
    """

    plan: Plan
    project: Project
    engine: Engine
    store: SecretStore
    clock: Clock
    entropy: Entropy
    names: tuple[str, ...]
    deliver: Callable[[Mapping[str, Secret]], Run[None]]
    digests: Callable[[Sequence[str]], Mapping[str, str]]
    is_current: Callable[[], bool]

    def of(self, names: tuple[str, ...]) -> Rotation:
        """The same with other secrets."""
        return replace(self, names=names)

    @property
    def specs(self) -> tuple[SecretSpec, ...]:
        """Of the names."""
        return tuple(spec for spec in self.plan.secrets if spec.name in self.names)

    @property
    def databases(self) -> tuple[DatabaseAction, ...]:
        """Databases whose password changes, each once."""
        return databases_of(self.plan, self.names)

    def value(self, name: str) -> Secret:
        """The value in the store.

        Raises:
            SecretStoreError: there is none.
        """
        return _there(self.store.get(name), name, "has no value in the store")

    def next_of(self, name: str) -> Secret | None:
        """The value that waits to take its place."""
        return self.store.get(f"{name}{NEXT}")

    def old_of(self, name: str) -> Secret:
        """The value from before this rotation, wherever it has got to.

        Raises:
            SecretStoreError: the store does not keep it.
        """
        value = self.value(name)
        if value != self.next_of(name):
            return value
        return _there(self.store.previous(name), name, "has no version before the current one")

    def files(self) -> dict[str, Secret]:
        """`<service>/<file>` → what it has to be, of every file made of one of the names."""
        texts = files_of(self.plan, self.names)
        needed = sorted({name for text in texts.values() for name in named_secrets(text)})
        values = {name: self.value(name) for name in needed}
        return {path: expand(text, values) for path, text in texts.items()}

    def stale_files(self) -> dict[str, Secret]:
        """Those of `files` that consumers do not have."""
        wanted = self.files()
        found = self.digests(tuple(wanted)) if wanted else {}
        return {path: v for path, v in wanted.items() if found.get(path) != _digest(v.reveal())}


def restart(
    rotation: Rotation,
    step: str,
    *,
    stubborn: bool = False,
    services: Sequence[str] | None = None,
) -> Run[None]:
    """Restart the consumers in order, each when the one before is healthy again.

    Args:
        rotation: Names the consumers.
        step: Its id, for the events.
        stubborn: Go on with the others when one does not become healthy.
        services: These, instead of every consumer.

    Raises:
        DeployError: consumers did not become healthy.
    """
    order = reload_order(rotation.plan, rotation.names) if services is None else services
    failure: InstallError | None = None
    for done, service in enumerate(order, 1):
        began = rotation.clock.monotonic()
        try:
            yield from relay(step, rotation.engine.restart(rotation.project, (service,)))
            up = rotation.engine.up(rotation.project, (service,), wait_s=WAIT_S)
            yield from relay(step, up)
        except InstallError as error:
            if not stubborn:
                raise
            failure = failure or error
            continue
        yield CheckFinished(step, _back(service, rotation.clock.monotonic() - began))
        yield StepProgress(step, done, len(order), service)
    if failure is not None:
        raise failure


def finished_earlier(store: SecretStore, names: Iterable[str]) -> tuple[str, ...]:
    """Those whose rotation a run before this one had proven, and was cut off tidying up."""
    proven = store.get(PROVEN.name)
    marks = proven.reveal().split() if proven else []
    return tuple(name for name in names if _digest(name) in marks)


def tidy(store: SecretStore, names: Sequence[str], step: str) -> Run[None]:
    """The last of a rotation: nothing waits any more. Until then it is noted what was proven."""
    # hashed: whatever a store gives out is blotted out of every message, and names must not be
    marks = "\n".join(_digest(name) for name in names)
    store.ensure(PROVEN, lambda: Secret(marks))
    for done, name in enumerate(names, 1):
        store.remove(f"{name}{NEXT}")
        yield StepProgress(step, done, len(names), name)
    store.remove(PROVEN.name)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _there(value: Secret | None, name: str, what: str) -> Secret:
    if value is None:
        raise SecretStoreError(
            Problem(
                "rotate.no_value",
                f"{name} {what}",
                Remedy("apply makes what is missing; a store must keep two versions at least"),
                where=name,
            )
        )
    return value


def _back(service: str, seconds: float) -> CheckResult:
    """How long its users had to do without a service."""
    return CheckResult(
        "rotate.restart",
        f"{service} was restarted and is healthy",
        Outcome.PASS,
        where=service,
        expected=f"within {WAIT_S} s",
        found=f"after {seconds:.1f} s",
    )
