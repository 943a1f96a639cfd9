"""A secret whose answer refers to a new value: who has it is restarted, also after a killed run.

On the platform in memory that rotation is rehearsed on, with either way of delivery.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from installer.core.errors import DeployError
from installer.core.events import CheckFinished, Event, Outcome
from installer.core.rotation import files_of, reload_order
from installer.core.secrets import Secret
from installer.phases import deliver, reloading
from installer.phases.steps import Step, run_steps
from installer.ports import Container, Project
from tests.phases.rotation_world import SHARED, Dead, Journal, World, make_world, problem

LABEL = "devplat.release"
REFUSED = "gitea-secret-key"


class Platform(World):
    """The world, with containers that say which release they are of."""

    old: frozenset[str] = frozenset()

    def containers(self, project: Project) -> tuple[Container, ...]:
        found = super().containers(project)
        return tuple(replace(c, inspect={"Config": {"Labels": self._label(c)}}) for c in found)

    def _label(self, container: Container) -> dict[str, str]:
        return {LABEL: "old" if container.service in self.old else "new"}

    @property
    def releases(self) -> dict[str, str]:
        return dict.fromkeys(self.plan.services, "new")


@pytest.fixture(params=["agents", "installer"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Platform:
    return make_platform(monkeypatch, agents=request.param == "agents")


def make_platform(monkeypatch: pytest.MonkeyPatch, *, agents: bool) -> Platform:
    plan = make_world(monkeypatch, agents=agents).plan
    secrets = tuple(
        replace(spec, answer=f"given.{spec.name}") if spec.name in (SHARED, REFUSED) else spec
        for spec in plan.secrets
    )
    return Platform(replace(plan, secrets=secrets))


def apply(world: Platform, given: dict[str, str]) -> list[Event]:
    """The steps of an apply that secrets pass through, in its order."""
    current = {name: f"first-{name}" for name in (SHARED, REFUSED)}
    values = {name: Secret(value) for name, value in {**current, **given}.items()}
    ports = cast(Any, SimpleNamespace(secrets=world.store, given=values, services=None))
    changed = deliver.changed_secrets(world.plan, ports)
    steps: list[Step] = []
    if names := reloading.replaced_names(world.store, changed):
        steps.append(reloading.note_step(world.store, names))
    events = list(run_steps(steps, Journal()))
    for spec in changed:
        world.store.replace(spec, values[spec.name])
    every = world.rotation(tuple(spec.name for spec in world.plan.secrets if spec.answer))
    if not world.plan.agents and (stale := every.stale_files()):
        list(world.deliver(stale))
    if reloading.pending_names(world.plan, world.store):
        step = reloading.reload_step(world.rotation(()), world.releases)
        events += run_steps([step], Journal())
    return events


def has_read(world: Platform, name: str, value: str) -> bool:
    return all(
        value in world.read[path.partition("/")[0]][path] for path in files_of(world.plan, (name,))
    )


def restarted(world: Platform) -> list[str]:
    return [what.removeprefix("restart ") for what in world.log if what.startswith("restart ")]


def test_who_has_the_secret_is_restarted_in_order_and_has_read_the_new_value(
    world: Platform,
) -> None:
    apply(world, {SHARED: "second"})
    assert has_read(world, SHARED, "second")
    assert restarted(world) == list(reload_order(world.plan, (SHARED,)))
    assert world.leftovers() == []


def test_what_did_not_change_restarts_nobody(world: Platform) -> None:
    apply(world, {})
    apply(world, {SHARED: "second"})
    world.log.clear()
    apply(world, {SHARED: "second"})
    assert world.log == []


def test_without_the_note_nobody_would_be_restarted(
    world: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defect that this is for: the value is in the store and in no program."""
    monkeypatch.setattr(reloading, "replaced_names", lambda store, specs: ())
    apply(world, {SHARED: "second"})
    assert world.value(SHARED) == "second"
    assert not has_read(world, SHARED, "second")


@pytest.mark.parametrize("agents", [True, False])
def test_killed_between_any_two_changes_the_next_run_has_everybody_read_it(
    monkeypatch: pytest.MonkeyPatch, agents: bool
) -> None:
    world = make_platform(monkeypatch, agents=agents)
    apply(world, {SHARED: "second"})
    total = len(world.log)
    assert total >= 5
    for position in range(total):
        world = make_platform(monkeypatch, agents=agents)
        world.dies_at = position
        with pytest.raises(Dead):
            apply(world, {SHARED: "second"})
        apply(world, {SHARED: "second"})
        assert has_read(world, SHARED, "second"), position
        assert world.leftovers() == [], position


def test_a_killed_run_followed_by_a_third_value_ends_with_the_third(world: Platform) -> None:
    world.dies_at = 2  # noted and replaced
    with pytest.raises(Dead):
        apply(world, {SHARED: "second"})
    apply(world, {SHARED: "third"})
    assert has_read(world, SHARED, "third")


def test_who_does_not_bear_the_new_value_fails_the_run_and_is_tried_again(world: Platform) -> None:
    last = reload_order(world.plan, (SHARED,))[-1]
    world.spoiled[last] = {"second"}
    with pytest.raises(DeployError):
        apply(world, {SHARED: "second"})
    assert reloading.pending_names(world.plan, world.store) == (SHARED,)
    apply(world, {SHARED: "third"})
    assert has_read(world, SHARED, "third")
    assert world.leftovers() == []


def test_a_container_of_another_release_is_left_to_the_run_that_replaces_it(
    world: Platform,
) -> None:
    first, *others = reload_order(world.plan, (SHARED,))
    world.old = frozenset({first})
    apply(world, {SHARED: "second"})
    assert restarted(world) == others


def test_a_secret_without_a_value_until_now_restarts_nobody(world: Platform) -> None:
    del world.store.versions[SHARED]
    apply(world, {SHARED: "second"})
    assert restarted(world) == []
    assert world.value(SHARED) == "second"


def test_a_value_that_a_restart_does_not_bring_in_is_said(world: Platform) -> None:
    events = apply(world, {REFUSED: "value-two"})
    [told] = [
        e.result
        for e in events
        if isinstance(e, CheckFinished) and e.result.id == "secrets.not_taken"
    ]
    assert (told.outcome, told.where) == (Outcome.WARN, REFUSED)
    assert told.found
    assert "value-two" not in f"{told}"


def test_a_file_that_is_not_rendered_anew_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_platform(monkeypatch, agents=True)
    monkeypatch.setattr(World, "deliver", lambda self, files: iter(()))
    with pytest.raises(DeployError) as caught:
        apply(world, {SHARED: "second"})
    assert caught.value.problems[0].code == "secrets.not_rendered"
    assert reloading.pending_names(world.plan, world.store) == (SHARED,)


def test_the_note_gives_no_name_away_to_be_blotted_out_of_messages(world: Platform) -> None:
    world.fails[f"restart {reload_order(world.plan, (SHARED,))[0]}"] = DeployError(
        problem("deploy.unhealthy")
    )
    with pytest.raises(DeployError):
        apply(world, {SHARED: "second"})
    assert SHARED not in world.value(reloading.PENDING.name)
