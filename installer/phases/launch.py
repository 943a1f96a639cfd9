"""Launch: pull by digest, make the release the active one, start in order and wait for health."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from installer.core.bundle import Bundle
from installer.core.events import Run
from installer.core.layout import Layout
from installer.core.manifest import DatabaseAction
from installer.core.plan import Plan
from installer.phases.pulling import relay_pull
from installer.phases.remote import quote, run_root
from installer.phases.steps import Step, no_effect, relay
from installer.ports import Container, Engine, Host, Project

WAIT_S = 600
"""Seconds that services get to become healthy; migrations of a first start take minutes."""


def active_project(plan: Plan, layout: Layout) -> Project:
    """The project as it runs: the active release and the operator's override."""
    return Project(plan.deployment, layout.current, ("compose.yaml", layout.override))


def pull_step(engine: Engine, plan: Plan, layout: Layout, bundle: Bundle) -> Step:
    """Every image is on the host, by its digest."""
    references = sorted(set(plan.images.values()))
    project = Project(plan.deployment, layout.release(bundle.release))

    def are_there() -> bool:
        return len(engine.image_ids(references)) == len(references)

    def pull() -> Run[None]:
        yield from relay_pull("launch.pull", engine.pull(project, plan.services))

    return Step("launch.pull", "pull images by digest", are_there, pull, are_there)


def activate_step(
    host: Host,
    engine: Engine,
    project: Project,
    bundle: Bundle,
    previous: str | None,
) -> Step:
    """`current` points to the release; when the run fails, the previous one is started again."""
    link = project.directory
    is_right = partial(is_active, host, project, bundle)

    def activate() -> Run[None]:
        _switch(host, link, bundle.release)
        return no_effect()

    def go_back() -> Run[None]:
        if previous and previous != bundle.release:
            _switch(host, link, previous)
            yield from relay("launch.activate.undo", engine.up(project, (), wait_s=WAIT_S))

    return Step("launch.activate", "activate the release", is_right, activate, is_right, go_back)


def is_active(host: Host, project: Project, bundle: Bundle) -> bool:
    """Whether `current` points to the release of this bundle."""
    link = quote(project.directory)
    script = f"if [ -L {link} ]; then readlink {link}; fi"
    return run_root(host, script).text.strip() == f"releases/{bundle.release}"


def up_step(
    engine: Engine,
    project: Project,
    bundle: Bundle,
    services: Sequence[str],
    *,
    id: str,
    title: str,
) -> Step:
    """These services run as rendered and are healthy; undone by going back to the old release."""

    def are_up() -> bool:
        return not (pending_services(engine.containers(project), bundle) & set(services))

    def start() -> Run[None]:
        yield from relay(id, engine.up(project, services, wait_s=WAIT_S))

    return Step(id, title, are_up, start, are_up)


def wake_step(engine: Engine, project: Project, services: Sequence[str]) -> Step:
    """These services run and are healthy, of whatever release is active."""

    def are_awake() -> bool:
        awake = {
            c.service
            for c in engine.containers(project)
            if c.state == "running" and c.health in ("healthy", None)
        }
        return set(services) <= awake

    def wake() -> Run[None]:
        yield from relay("launch.wake", engine.up(project, (), wait_s=WAIT_S))

    return Step("launch.wake", "wait for the services", are_awake, wake, are_awake)


def pending_services(containers: Sequence[Container], bundle: Bundle) -> set[str]:
    """Services that do not run as rendered, or are not healthy; and those that should be gone."""
    wanted = {
        name: body["labels"]["devplat.release"]
        for name, body in bundle.document["services"].items()
    }
    right = {
        c.service
        for c in containers
        if c.state == "running"
        and c.health in ("healthy", None)
        and c.inspect["Config"]["Labels"].get("devplat.release") == wanted.get(c.service)
    }
    return (wanted.keys() - right) | ({c.service for c in containers} - wanted.keys())


def waves(plan: Plan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Services that others' bootstrap needs first, with what they require; then all."""
    first: set[str] = set()
    todo = [
        action.provider
        for name in plan.services
        for action in plan.manifest(name).bootstrap
        if isinstance(action, DatabaseAction)
    ]
    while todo:
        name = todo.pop()
        if name in plan.services and name not in first:
            first.add(name)
            todo += plan.manifest(name).requires
    return tuple(n for n in plan.services if n in first), plan.services


def _switch(host: Host, link: str, release: str) -> None:
    """A rename over the old link: there is no instant without one."""
    new = quote(f"{link}.new")
    run_root(host, f"ln -sfn {quote(f'releases/{release}')} {new}\nmv -fT {new} {quote(link)}")
