"""Rotations that fail, on a platform in memory: what is put back, and what the message says.

SE-20, SE-21.
"""

from __future__ import annotations

from typing import Any

import pytest

from installer.core.errors import (
    DeployError,
    ExitCode,
    InstallError,
    SecretStoreError,
    SshConnectError,
)
from installer.core.rotation import (
    choose_secrets,
    reload_order,
)
from tests.phases.rotation_world import (
    DATABASE,
    SHARED,
    World,
    checks,
    coming,
    fails,
    is_as_before,
    make_world,
    problem,
)

SOME = (DATABASE, "gitea-database-password", SHARED, "gitea-lfs-jwt-secret")


@pytest.fixture(params=["agents", "installer"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    """The platform, with either way of delivery."""
    return make_world(monkeypatch, agents=request.param == "agents")


# what goes wrong


def test_a_consumer_that_does_not_bear_the_new_value_gets_the_old_one_back(world: World) -> None:
    """SE-20: exit status 15, and the message says what happened to the value."""
    world.spoiled["coder"] = {coming(world, DATABASE)}
    error = fails(world, DATABASE)
    assert error.exit_code is ExitCode.DEPLOY_FAILED == 15
    cause, told = error.problems
    assert cause.summary == "the service coder does not bear its new value"
    assert told.code == "rotate.stepped_back"
    assert DATABASE in told.summary
    assert "put back, delivered and taken into use again" in told.summary
    assert is_as_before(world, DATABASE)
    back = world.log[world.log.index("restart coder") + 1 :]
    assert back == [
        "login coder",
        f"replace {DATABASE}",
        "deliver coder",
        "restart coder",
        "drop coder",
        f"remove {DATABASE}.next",
    ]


def test_one_that_fails_takes_all_of_the_run_back(world: World) -> None:
    world.sick = {"drone-server"}
    error = fails(world, *SOME, "drone-database-password")
    assert "nothing was changed" in error.problems[0].summary
    world.sick = set()
    world.fails["restart drone-server"] = DeployError(problem("deploy.exited"))
    error = fails(world, *SOME, "drone-database-password")
    assert error.problems[-1].code == "rotate.not_stepped_back"
    world.fails.clear()
    world.rotate(*SOME, "drone-database-password")
    assert {world.store.version(n) for n in SOME} == {4}  # there, back, and there again


def test_others_are_brought_back_when_one_does_not_come_back_at_all(world: World) -> None:
    names = ("authentik-database-password", DATABASE)
    order = reload_order(world.plan, names)
    world.fails[f"restart {order[0]}"] = DeployError(problem("deploy.exited", "it ended"))
    error = fails(world, *names)
    told = error.problems[-1]
    assert told.code == "rotate.not_stepped_back"
    assert "it ended" in told.summary
    assert "are in the store and delivered" in (told.detail or "")
    assert [f"restart {s}" for s in order[1:]] == world.log[-len(order) + 1 :]
    for name in names:
        assert world.value(name) == f"first-{name}"
    for database in ("authentik", "coder"):
        assert len(world.logins[database]) == 2  # whoever still runs with either goes on


@pytest.mark.parametrize("name", [DATABASE, SHARED, "drone-rpc-secret", "minio-root-password"])
def test_an_old_value_that_is_still_accepted_is_no_success(world: World, name: str) -> None:
    """Seeded: whoever checks it goes on taking what it took."""
    world.deaf = {"coder", reload_order(world.plan, (name,))[0]}
    error = fails(world, name)
    assert error.exit_code is ExitCode.DEPLOY_FAILED
    assert error.problems[0].code == "rotate.unproven"
    assert "the old value is still accepted" in error.problems[0].summary
    assert world.value(name) == f"first-{name}"


@pytest.mark.parametrize("name", [DATABASE, SHARED, "ai-gateway-master-key"])
def test_a_new_value_that_is_refused_costs_the_old_one_nothing(world: World, name: str) -> None:
    """Seeded: the proof fails; no login was dropped before it."""
    refuse(world, lambda value: not value.startswith("first-"))
    error = fails(world, name)
    assert "the new value is refused" in error.problems[0].summary
    before = world.log[: world.log.index(f"replace {name}", world.log.index(f"replace {name}") + 1)]
    assert not any(line.startswith("drop") for line in before)
    assert is_as_before(world, name)


def refuse(world: World, is_refused: Any) -> None:
    accepts = world.accepts
    world.accepts = (  # type: ignore[method-assign]
        lambda name, value: not is_refused(value) and accepts(name, value)
    )


def test_a_provider_that_refuses_everything_is_no_proof_that_the_old_value_is_dead(
    world: World,
) -> None:
    """Seeded: it fell over when the old logins were dropped."""
    refuse(world, lambda value: "drop coder" in world.log)
    error = fails(world, DATABASE)
    assert "the new value is refused" in error.problems[0].summary


@pytest.mark.parametrize(
    ("at", "error", "status"),
    [
        (f"store {SHARED}.next", SecretStoreError(problem("vault.permission")), 12),
        ("login coder", DeployError(problem("deploy.bootstrap")), 15),
    ],
)
def test_a_failure_before_anybody_has_a_new_value_disturbs_nobody(
    world: World, at: str, error: InstallError, status: int
) -> None:
    if at == "login coder":  # the second one, of the new password
        do = world.do
        world.store.tell = world.do = once(do, at, 2, error)  # type: ignore[method-assign]
    else:
        world.fails[at] = error
    caught = fails(world, DATABASE, SHARED)
    assert caught.exit_code == status
    assert "no service was restarted" in caught.problems[-1].summary
    assert not any(line.startswith(("restart", "replace", "deliver")) for line in world.log)
    assert is_as_before(world, DATABASE, SHARED)


def once(do: Any, at: str, number: int, error: InstallError) -> Any:
    seen = []

    def doing(what: str) -> None:
        seen.append(what)
        if what == at and seen.count(at) == number:
            raise error
        do(what)

    return doing


def test_a_password_from_before_the_one_in_use_is_never_made_good_again(world: World) -> None:
    """A step back that was not needed for a database must not revive what it had before."""
    world.rotate(DATABASE)
    second = world.value(DATABASE)
    world.fails[f"replace {SHARED}"] = SecretStoreError(problem("vault.unreachable"))
    names = choose_secrets(world.plan, (DATABASE, SHARED)).names
    fails(world, *names)
    assert world.value(DATABASE) == second
    assert set(world.logins["coder"].values()) == {second}


def test_a_lost_connection_leaves_both_passwords_good_and_says_how_to_go_on(world: World) -> None:
    lost = SshConnectError(problem("ssh.lost", "the connection was lost"))
    world.fails = {"deliver coder": lost}
    error = fails(world, DATABASE)
    assert error.exit_code is ExitCode.SSH_CONNECT
    told = error.problems[-1]
    assert told.code == "rotate.not_stepped_back"
    assert "run the same command again" in " ".join((told.remedy.summary, *told.remedy.commands))
    assert len(world.logins["coder"]) == 2
    world.fails = {}
    events = world.rotate(DATABASE)
    assert checks(events, "rotate.proof")
    assert len(world.logins["coder"]) == 1


def test_a_store_that_kept_no_version_before_says_so(world: World) -> None:
    world.spoiled["coder"] = {coming(world, DATABASE)}
    world.store.previous = lambda name: None  # type: ignore[method-assign, assignment]
    error = fails(world, DATABASE)
    told = error.problems[-1]
    assert told.code == "rotate.not_stepped_back"
    assert "no version before the current one" in told.summary


# what is refused before anything is changed


def test_an_unhealthy_consumer_is_told_before_anything_is_changed(world: World) -> None:
    world.sick = {"redis"}
    error = fails(world, SHARED, DATABASE)
    assert error.exit_code is ExitCode.DEPLOY_FAILED
    assert [(p.code, p.where) for p in error.problems] == [("rotate.not_healthy", "redis")]
    assert world.log == []


def test_a_database_server_that_is_not_healthy_is_told_before_anything_is_changed(
    world: World,
) -> None:
    world.sick = {"postgres"}
    assert fails(world, DATABASE).problems[0].where == "postgres"
    assert world.log == []


def test_another_release_than_the_answers_make_is_applied_first(world: World) -> None:
    world.is_current = False
    error = fails(world, DATABASE)
    assert (error.exit_code, error.problems[0].code) == (
        ExitCode.CONFLICT,
        "rotate.other_release",
    )
    assert world.log == []


def test_a_secret_that_was_never_made_is_not_rotated(world: World) -> None:
    del world.store.versions[DATABASE]
    error = fails(world, DATABASE)
    assert error.problems[0].code == "rotate.no_value"
    assert world.log == []
