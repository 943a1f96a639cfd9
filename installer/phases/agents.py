"""The agents that render secrets: started, given a login each, waited for.

A login is a secret id that is wrapped for one use and short-lived; it goes by standard input into
the agent's private memory. An agent that was restarted has lost it and gets a new one here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from installer.core.bundle import Bundle
from installer.core.compose import LABEL_RELEASE
from installer.core.errors import Problem, Remedy, SecretStoreError
from installer.core.events import Run, StepProgress
from installer.core.plan import Plan
from installer.core.store_rules import consumer_role
from installer.phases.authority import read_roots
from installer.phases.steps import Step, relay
from installer.ports import Clock, Container, Engine, Project, ServerPorts

WRAP_S = 300
"""Seconds in which a wrapped secret id must be used."""
WAIT_S = 180
"""Seconds that agents get to render every file."""
_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Agents:
    """The agents of one deployment; `bundle` is None when those of any release will do."""

    plan: Plan
    project: Project
    bundle: Bundle | None
    engine: Engine
    ports: ServerPorts
    clock: Clock

    @property
    def names(self) -> tuple[str, ...]:
        """Their service names, sorted."""
        return tuple(sorted(self.plan.agents.values()))

    def found(self) -> dict[str, Container]:
        """Those that run as rendered, by name."""
        return {
            c.service: c
            for c in self.engine.containers(self.project)
            if c.service in self.names and c.state == "running" and self._is_right(c)
        }

    def waiting(self) -> tuple[str, ...]:
        """Those that have not rendered every file, or are not logged in."""
        found = self.found()
        return tuple(n for n in self.names if n not in found or found[n].health != "healthy")

    def _is_right(self, container: Container) -> bool:
        if self.bundle is None:
            return True
        wanted = self.bundle.document["services"][container.service]["labels"][LABEL_RELEASE]
        return bool(container.inspect["Config"]["Labels"].get(LABEL_RELEASE) == wanted)


def agent_steps(agents: Agents) -> Iterator[Step]:
    """From nothing to every consumer's files on its own tmpfs."""
    yield _start_step(agents)
    yield login_step(agents)


def login_step(agents: Agents) -> Step:
    """Every agent is logged in and has rendered its consumer's files."""

    def are_ready() -> bool:
        return not agents.waiting()

    def log_in() -> Run[None]:
        yield from give_logins(agents, agents.waiting())

    return Step("agents.login", "have secrets rendered", are_ready, log_in, are_ready)


def give_logins(agents: Agents, names: Sequence[str]) -> Run[None]:
    """A fresh login for each of these agents, then wait until they have rendered.

    Raises:
        SecretStoreError: the server refuses, or an agent is not ready in time.
    """
    for done, name in enumerate(names, 1):
        _give_login(agents, name)
        yield StepProgress("agents.login", done, len(names), f"login given to {name}")
    end = agents.clock.monotonic() + WAIT_S
    while waiting := set(agents.waiting()) & set(names):
        if agents.clock.monotonic() >= end:
            raise SecretStoreError(_late(agents, sorted(waiting)[0]))
        yield StepProgress("agents.login", len(names) - len(waiting), len(names), "rendering")
        agents.clock.sleep(_EVERY_S)


def _start_step(agents: Agents) -> Step:
    def are_started() -> bool:
        return len(agents.found()) == len(agents.names)

    def start() -> Run[None]:
        up = agents.engine.up(agents.project, agents.names, wait_s=None)
        yield from relay("agents.start", up)

    return Step("agents.start", "start the secrets' agents", are_started, start, are_started)


def _give_login(agents: Agents, name: str) -> None:
    manifest = agents.plan.manifest(name)
    if manifest.agent is None or manifest.consumer is None:
        raise ValueError(f"{name} is no agent")
    role = consumer_role(agents.plan.deployment, manifest.consumer.name)
    key = agents.ports.admin.issue(role, wrap_s=WRAP_S)
    blocks = (
        key.role_id.encode(),
        key.secret_id.reveal().encode(),
        read_roots(agents.ports.courier),
    )
    stdin = b"".join(b"%d\n%s" % (len(block), block) for block in blocks)
    done = agents.engine.exec(agents.project, name, manifest.agent.receive, stdin=stdin)
    if done.status != 0:
        lines = done.error_text.strip().splitlines() or ["no message"]
        raise SecretStoreError(
            Problem(
                "vault.agent_login",
                f"{name} did not take its login: {lines[-1]}",
                Remedy("look at its log on the target, then run again"),
                where=name,
            )
        )


def _late(agents: Agents, name: str) -> Problem:
    lines = agents.engine.logs(agents.project, name, tail=10)
    return Problem(
        "vault.agent_late",
        f"{name} has not rendered its consumer's secrets after {WAIT_S} s",
        Remedy("look at its last lines, then run again"),
        where=name,
        detail="\n".join(lines),
    )
