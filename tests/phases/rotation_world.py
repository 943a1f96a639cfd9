"""A platform in memory that secrets are rotated on: store, databases, containers, secret files.

Both ways of delivery: with agents a container sees new files at once; without, it sees the files
that were there when it was started. A service that is restarted reads what it sees.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from installer.core.catalog import Catalog
from installer.core.errors import DeployError, InstallError, Problem, Remedy
from installer.core.events import CheckFinished, CheckResult, Event
from installer.core.manifest import DatabaseAction
from installer.core.plan import Plan
from installer.core.rotation import (
    choose_secrets,
    databases_of,
    declaration_of,
    files_of,
    reload_order,
)
from installer.core.secrets import Secret, expand
from installer.phases import bootstrap, rotation, step_back
from installer.phases.rotation_state import Rotation
from installer.phases.steps import run_steps
from installer.ports import Completed, Container, Project
from tests.phases.memory_store import Store
from tests.stacks.builders import make, make_plan_for

DATABASE = "coder-database-password"
SHARED = "gitea-redis-password"


class Dead(BaseException):
    """The run was killed."""


def problem(code: str, text: str = "as arranged") -> Problem:
    return Problem(code, text, Remedy("none"))


class Journal:
    def begin(self, step: str) -> None: ...
    def end(self, step: str) -> None: ...
    def undone(self, step: str) -> None: ...


class Clock:
    def __init__(self) -> None:
        self._ticks = itertools.count()

    def monotonic(self) -> float:
        return float(next(self._ticks))


@dataclass
class World:
    """The platform.

    Attributes:
        log: What was done to it, in order.
        logins: Database → login → password.
        files: `<service>/<file>` → content, as rendered.
        seen: Service → its files as a container sees them.
        read: Service → its files as the running program has read them.
        sick: Services that do not become healthy, whatever they read.
        spoiled: Services that do not become healthy with a file that has one of the values.
        deaf: Services that go on accepting what they accepted before.
        fails: What is done (as in `log`) → what is raised instead.
        dies_at: Position in the log at which the run is killed, before that is done.
    """

    plan: Plan
    log: list[str] = field(default_factory=list)
    logins: dict[str, dict[str, str]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    seen: dict[str, dict[str, str]] = field(default_factory=dict)
    read: dict[str, dict[str, str]] = field(default_factory=dict)
    accepted: dict[str, set[str]] = field(default_factory=dict)
    sick: set[str] = field(default_factory=set)
    spoiled: dict[str, set[str]] = field(default_factory=dict)
    deaf: set[str] = field(default_factory=set)
    fails: dict[str, InstallError] = field(default_factory=dict)
    dies_at: int | None = None
    is_current: bool = True
    store: Store = field(init=False)
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.store = Store(self.do)
        for spec in self.plan.secrets:
            self.store.versions[spec.name] = [Secret(f"first-{spec.name}")]
        values = {spec.name: self.store.versions[spec.name][0] for spec in self.plan.secrets}
        for service in self.plan.services:
            for file, text in self.plan.manifest(service).secret_files.items():
                if "edge." not in text:
                    self.files[f"{service}/{file}"] = expand(text, values).reveal()
            for action in self.plan.manifest(service).bootstrap:
                if isinstance(action, DatabaseAction):
                    self.make_login(action, values[action.secret])
            self.start(service)
        self.log.clear()

    # what the phases call

    def do(self, what: str) -> None:
        """Record a change; or fail or die instead."""
        if self.dies_at == len(self.log):
            self.dies_at = None
            raise Dead
        if what in self.fails:
            raise self.fails[what]
        self.log.append(what)

    def make_login(self, action: DatabaseAction, secret: Secret) -> None:
        self.do(f"login {action.database}")
        login = bootstrap.login_of(action, secret)
        self.logins.setdefault(action.database, {})[login] = secret.reveal()

    def drop_others(self, action: DatabaseAction, keep: Sequence[Secret]) -> None:
        self.do(f"drop {action.database}")
        kept = {bootstrap.login_of(action, secret) for secret in keep}
        if action.database not in self.deaf:
            every = self.logins[action.database]
            self.logins[action.database] = {k: v for k, v in every.items() if k in kept}

    def deliver(self, files: Mapping[str, Secret]) -> Any:
        services = sorted({path.partition("/")[0] for path in files})
        self.do(f"deliver {' '.join(services)}")
        for path, content in files.items():
            self.files[path] = content.reveal()
        return iter(())

    def digests(self, paths: Sequence[str]) -> dict[str, str]:
        found = {path: self.files[path] for path in paths if path in self.files}
        return {p: hashlib.sha256(text.encode()).hexdigest() for p, text in found.items()}

    def restart(self, project: Project, services: Sequence[str]) -> Any:
        [service] = services
        self.do(f"restart {service}")
        self.start(service)
        return iter(())

    def up(self, project: Project, services: Sequence[str], *, wait_s: int | None) -> Any:
        [service] = services
        if why := self.complaint(service):
            raise DeployError(problem("deploy.unhealthy", f"the service {service} {why}"))
        return iter(())

    def containers(self, project: Project) -> tuple[Container, ...]:
        return tuple(
            Container(s, "running", "unhealthy" if self.complaint(s) else "healthy", {})
            for s in self.plan.services
        )

    def exec(
        self, project: Project, service: str, argv: Sequence[str], *, stdin: bytes = b""
    ) -> Completed:
        [name] = [
            spec.name
            for spec in self.plan.secrets
            if (proof := declaration_of(self.plan, spec.name).rotation.proof)
            and proof.argv == tuple(argv)
        ]
        expect = cast(Any, declaration_of(self.plan, name).rotation.proof).expect
        good = self.accepts(name, stdin.decode().split()[-1])
        return Completed(0 if good else 1, expect.encode() if good else b"", b"")

    # how the platform behaves

    def start(self, service: str) -> None:
        """A program starts and reads its files."""
        own = {p: text for p, text in self.files.items() if p.startswith(f"{service}/")}
        self.seen[service] = own
        self.read[service] = copy.copy(own)
        if service not in self.deaf:
            self.accepted[service] = set()
        self.accepted[service] |= set(own.values())

    def complaint(self, service: str) -> str | None:
        """Why a service is not healthy, if it is not."""
        if service in self.sick:
            return "is unhealthy"
        read = self.read[service].values()
        if any(bad in text for bad in self.spoiled.get(service, ()) for text in read):
            return "does not bear its new value"
        return None if self.is_let_in(service) else "is refused by its database"

    def sees(self, service: str) -> dict[str, str]:
        """The files as the container of a service sees them now."""
        own = {p: text for p, text in self.files.items() if p.startswith(f"{service}/")}
        return own if self.plan.agents else self.seen[service]

    def is_let_in(self, service: str, files: Mapping[str, str] | None = None) -> bool:
        """Whether the databases take what a service has read (or would read)."""
        texts = list((self.read[service] if files is None else files).values())
        return all(
            any(
                any(login in text for text in texts) and any(password in text for text in texts)
                for login, password in self.logins[action.database].items()
            )
            for action in self.actions()
            if any(f"{action.secret}}}" in t for t in self.templates(service))
        )

    def templates(self, service: str) -> list[str]:
        return list(self.plan.manifest(service).secret_files.values())

    def actions(self) -> list[DatabaseAction]:
        found = (a for s in self.plan.services for a in self.plan.manifest(s).bootstrap)
        return [a for a in found if isinstance(a, DatabaseAction)]

    def accepts(self, name: str, value: str) -> bool:
        """Whether whoever checks a secret takes this value."""
        for action in self.actions():
            if action.secret == name:
                return value in self.logins[action.database].values()
        judge = reload_order(self.plan, (name,))[0]
        return any(value in text for text in self.accepted[judge])

    # what the tests ask

    def rotation(self, names: tuple[str, ...]) -> Rotation:
        return Rotation(
            plan=self.plan,
            project=Project("devplat", "/opt/devplat/current"),
            engine=cast(Any, self),
            store=self.store,
            clock=cast(Any, self.clock),
            entropy=lambda n: hashlib.shake_256(b"%d" % next(self.numbers)).digest(n),
            names=names,
            deliver=self.deliver,
            digests=self.digests,
            is_current=lambda: self.is_current,
        )

    def rotate(self, *names: str) -> list[Event]:
        """A whole run; its events."""
        choice = choose_secrets(self.plan, names)
        steps = rotation.rotation_steps(self.rotation(choice.names), choice)
        return list(run_steps(steps, Journal()))

    def rotate_quietly(self, *names: str) -> None:
        """The same on databases of its own, whichever are arranged for the modules."""
        modules, mine = (rotation, step_back), (_make_login_of(self), _drop_others_of(self))
        arranged = [(m.make_login, m.drop_other_logins) for m in modules]
        try:
            for module in modules:
                module.make_login, module.drop_other_logins = mine
            self.rotate(*names)
        finally:
            for module, before in zip(modules, arranged, strict=True):
                module.make_login, module.drop_other_logins = before

    def value(self, name: str) -> str:
        return self.store.versions[name][-1].reveal()

    def leftovers(self) -> list[str]:
        """What is in the store besides the secrets themselves."""
        return sorted(self.store.names() - {spec.name for spec in self.plan.secrets})


def make_world(monkeypatch: Any, *, agents: bool = True, catalog: Catalog | None = None) -> World:
    """A healthy platform whose databases are those of the world."""
    variant = "everything" if agents else "no-secret-server"
    world = World(make_plan_for(catalog, variant) if catalog else make(variant)[0])
    for module in (rotation, step_back):
        monkeypatch.setattr(module, "make_login", _make_login_of(world))
        monkeypatch.setattr(module, "drop_other_logins", _drop_others_of(world))
    return world


def _make_login_of(world: World) -> Any:
    return lambda engine, project, action, secret, entropy: world.make_login(action, secret)


def _drop_others_of(world: World) -> Any:
    return lambda engine, project, action, keep: world.drop_others(action, keep)


def checks(events: Sequence[Event], id: str) -> list[CheckResult]:
    return [e.result for e in events if isinstance(e, CheckFinished) and e.result.id == id]


def fails(world: World, *names: str) -> InstallError:
    with pytest.raises(InstallError) as caught:
        world.rotate(*names)
    return caught.value


def is_as_before(world: World, *names: str) -> bool:
    """The old values are in the store, delivered, read; the databases know them alone."""
    old = {name: f"first-{name}" for name in names}
    return (
        {name: world.value(name) for name in names} == old
        and world.leftovers() == []
        and all(
            set(world.logins[action.database].values()) == {old[action.secret]}
            for action in databases_of(world.plan, names)
        )
        and all(
            world.read[path.partition("/")[0]][path] == text == world.files[path]
            for path, text in first_files(world, names).items()
        )
    )


def first_files(world: World, names: tuple[str, ...]) -> dict[str, str]:
    before = World(world.plan)
    return {path: before.files[path] for path in files_of(world.plan, names)}


def coming(world: World, name: str) -> str:
    """The value that the next rotation of it will make."""
    other = World(world.plan)
    other.rotate_quietly(name)
    return other.value(name)
