"""Rotations that are killed between any two changes, on a platform in memory.

SE-20, SE-21.
"""

from __future__ import annotations

import pytest

from installer.core.errors import InstallError, SecretStoreError
from installer.core.events import Outcome
from tests.phases.rotation_world import (
    DATABASE,
    SHARED,
    Dead,
    World,
    checks,
    coming,
    fails,
    is_as_before,
    make_world,
    problem,
)


@pytest.fixture(params=["agents", "installer"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    """The platform, with either way of delivery."""
    return make_world(monkeypatch, agents=request.param == "agents")


def positions(world: World, *names: str) -> int:
    """How many things a whole rotation does."""
    other = World(world.plan)
    other.rotate_quietly(*names)
    return len(other.log)


@pytest.mark.parametrize("agents", [True, False])
def test_killed_between_any_two_changes_nobody_is_locked_out_and_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, agents: bool
) -> None:
    """SE-21. Whatever a consumer reads after the kill, or has read before it, is let in."""
    names = (DATABASE, "gitea-database-password", SHARED)
    world = make_world(monkeypatch, agents=agents)
    for position in range(positions(world, *names)):
        world = make_world(monkeypatch, agents=agents)
        world.dies_at = position
        with pytest.raises(Dead):
            world.rotate(*names)
        for service in ("coder", "gitea"):
            assert world.is_let_in(service), position
            assert world.is_let_in(service, world.sees(service)), position
            own = {p: t for p, t in world.files.items() if p.startswith(f"{service}/")}
            assert world.is_let_in(service, own), position
            stored = {p: v.reveal() for p, v in world.rotation(names).files().items()}
            assert world.is_let_in(service, {p: stored.get(p, t) for p, t in own.items()}), position
        world.rotate(*names)
        assert {world.store.version(name) for name in names} == {2}, position
        assert world.leftovers() == []
        for name in names:
            assert world.accepts(name, world.value(name))
            assert not world.accepts(name, f"first-{name}")
        for database in ("coder", "gitea"):
            assert len(world.logins[database]) == 1


def test_killed_while_it_steps_back_it_can_still_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """SE-21."""
    spoiled = coming(make_world(monkeypatch), DATABASE)
    killed = 0
    for position in range(5, 20):
        world = make_world(monkeypatch)
        world.spoiled["coder"] = {spoiled}
        world.dies_at = position
        try:
            world.rotate(DATABASE)
        except Dead:
            killed += 1
        except InstallError:
            break
        assert world.is_let_in("coder"), position
        assert world.is_let_in("coder", world.sees("coder")), position
        world.spoiled = {}
        world.rotate(DATABASE)
        assert not world.accepts(DATABASE, f"first-{DATABASE}")
        assert (len(world.logins["coder"]), world.leftovers()) == (1, [])
    assert killed > 5


def test_a_rotation_that_is_continued_and_fails_is_taken_back_too(world: World) -> None:
    """Killed when the new value was in place; the consumer does not bear it, as is found later."""
    world.spoiled["coder"] = {coming(world, DATABASE)}
    world.dies_at = world_position(world, f"replace {DATABASE}") + 1
    with pytest.raises(Dead):
        world.rotate(DATABASE)
    assert world.value(DATABASE) != f"first-{DATABASE}"
    error = fails(world, DATABASE)
    assert error.problems[-1].code == "rotate.stepped_back"
    assert is_as_before(world, DATABASE)


def world_position(world: World, what: str) -> int:
    other = World(world.plan)
    other.rotate_quietly(DATABASE)
    return other.log.index(what)


def test_a_second_run_for_more_secrets_continues_one_and_begins_the_others(world: World) -> None:
    world.dies_at = world_position(world, "restart coder")
    with pytest.raises(Dead):
        world.rotate(DATABASE)
    world.rotate(DATABASE, SHARED)
    assert (world.store.version(DATABASE), world.store.version(SHARED)) == (2, 2)


def test_a_run_for_other_secrets_tells_of_one_that_was_cut_off_and_leaves_it(world: World) -> None:
    world.dies_at = world_position(world, "restart coder")
    with pytest.raises(Dead):
        world.rotate(DATABASE)
    events = world.rotate(SHARED)
    [told] = checks(events, "rotate.pending")
    assert (told.outcome, told.where) == (Outcome.WARN, DATABASE)
    assert f"rotate {DATABASE}" in told.found
    assert world.leftovers() == [f"{DATABASE}.next"]
    assert "restart coder" not in world.log


def test_what_was_proven_and_not_tidied_up_gets_no_other_value(world: World) -> None:
    world.dies_at = positions(world, DATABASE, SHARED) - 2
    with pytest.raises(Dead):
        world.rotate(DATABASE, SHARED)
    assert "rotation.proven" in world.leftovers()
    events = world.rotate(DATABASE)  # of the two
    [told, other] = checks(events, "rotate.earlier")
    assert {told.where, other.where} == {DATABASE, SHARED}
    assert (world.store.version(DATABASE), world.store.version(SHARED)) == (2, 2)
    assert world.leftovers() == []
    assert world.log.count("restart coder") == 1


def test_the_note_of_what_was_proven_holds_no_name(world: World) -> None:
    """What a store gives out is blotted out of messages, and names have to be told."""
    world.dies_at = positions(world, DATABASE) - 2
    with pytest.raises(Dead):
        world.rotate(DATABASE)
    assert DATABASE not in world.value("rotation.proven")


def test_a_continued_run_that_fails_early_steps_back_from_what_the_killed_one_did(
    world: World,
) -> None:
    """The consumer still runs with the old password, whose login must not be dropped."""
    world.dies_at = world_position(world, f"replace {DATABASE}") + 1
    with pytest.raises(Dead):
        world.rotate(DATABASE)
    refusal = SecretStoreError(problem("vault.permission"))
    world.fails[f"store {SHARED}.next"] = refusal
    assert fails(world, DATABASE, SHARED).problems[-1].code == "rotate.stepped_back"
    assert world.is_let_in("coder")
    assert is_as_before(world, DATABASE, SHARED)


def test_a_consumer_that_is_not_healthy_for_want_of_the_rest_does_not_stop_it(world: World) -> None:
    world.dies_at = world_position(world, "restart coder")
    with pytest.raises(Dead):
        world.rotate(DATABASE)
    start = world.start
    world.sick = {"coder"}

    def cure(service: str) -> None:
        start(service)
        world.sick.discard(service)

    world.start = cure  # type: ignore[method-assign]
    world.rotate(DATABASE)
    assert world.store.version(DATABASE) == 2
