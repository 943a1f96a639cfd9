"""The product's own check of the second factor, on PostgreSQL with the stand-in's views.

Covers MF-04 and MF-19.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.identity.conftest import World, bundle_with
from tests.phases.postgres import Cluster, find_programs, why_no_postgres
from tests.stacks.builders import load

VALIDATE = "authentik_stages_authenticator_validate.authenticatorvalidatestage"
BINDING = "authentik_flows.flowstagebinding"
IDENTIFICATION = "authentik_stages_identification.identificationstage"
FLOW = "authentik_flows.flow"
INITIAL = {"slug": "initial-setup"}
pytestmark = pytest.mark.skipif(why_no_postgres() is not None, reason=why_no_postgres() or "")


class _Psql:
    """psycopg2's interface over psql, with values quoted by it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def run(self, sql: str, values: tuple) -> list[tuple]:
        import json

        for value in values:
            literal = str(value).replace("'", "''")
            sql = sql.replace("%s", f"'{literal}'", 1)
        text = self.cluster.superuser(sql, "authentik")
        if not sql.startswith("SELECT pk"):
            return []
        return [
            (*line.split("|", 2)[:2], json.loads(line.split("|", 2)[2]))
            for line in text.splitlines()
        ]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    import tempfile

    programs = find_programs()
    assert programs
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = Cluster(Path(folder, "pg"), programs).start()
        server.superuser("CREATE DATABASE authentik")
        yield server
        server.stop()


@pytest.fixture(scope="module")
def installed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(_Psql(cluster), tmp_path_factory.mktemp("b") / "x", bundle_with()[1])


@pytest.fixture
def world(installed: World) -> Iterator[World]:
    """The installed world; what a test changes is put back."""
    before = installed.store.read()
    yield installed
    for body in installed.store.read().values():
        if body["pk"] not in before:
            installed.store.delete(body["pk"])
    for body in before.values():
        installed.store.write(body)


def found_by_check(cluster: Cluster) -> str:
    check = next(
        c for c in load().services["authentik-server"].checks if c.id == "authentik-second-factor"
    )
    sql = check.stdin.split("\n", 2)[2]
    text = cluster.superuser(sql, "authentik")
    return "" if re.search(check.expect, text) else text


def test_a_sound_installation_passes(cluster, world):
    assert found_by_check(cluster) == ""


def test_skip_is_found(cluster, world):
    """MF-19, MF-02: users without a factor waved through."""
    world.change(VALIDATE, {}, not_configured_action="skip")
    assert "default-authentication-flow logs in without a second factor" in found_by_check(cluster)


def bound(world: World, stage: str) -> dict:
    return {
        "stage": world.pk(stage),
        "target": world.pk(FLOW, slug="default-authentication-flow"),
    }


def test_an_unbound_stage_is_found(cluster, world):
    """MF-19"""
    body = world.store.first(BINDING, **bound(world, VALIDATE))
    world.store.delete(body["pk"])
    assert "without a second factor" in found_by_check(cluster)


def test_a_stage_that_comes_after_the_login_is_found(cluster, world):
    """MF-19"""
    world.change(BINDING, bound(world, VALIDATE), order=150)
    assert "without a second factor" in found_by_check(cluster)


def test_another_login_flow_of_the_brand_is_found(cluster, world):
    """MF-19: the default flow is still sound, but nobody uses it."""
    other = world.pk(FLOW, slug="default-authenticator-totp-setup")
    world.change("authentik_brands.brand", {}, flow_authentication=other)
    assert "brand authentik-default has another login flow" in found_by_check(cluster)


def test_another_flow_that_logs_in_is_found(cluster, world):
    """MF-04"""
    flow = world.pk(FLOW, slug="default-password-change")
    login = world.pk("authentik_stages_user_login.userloginstage")
    from authentik_store import new_object

    world.store.write(new_object(BINDING, target=flow, stage=login, order=5))
    assert "default-password-change logs in without" in found_by_check(cluster)


def test_a_policy_that_switches_the_stage_off_is_found(cluster, world):
    """MF-19: the binding is there and does nothing."""
    from authentik_store import new_object

    binding = world.store.first(BINDING, **bound(world, VALIDATE))
    policy = world.pk("authentik_policies_expression.expressionpolicy", name="devplat-never")
    world.store.write(
        new_object(
            "authentik_policies.policybinding", target=binding["pbm"], policy=policy, order=0
        )
    )
    assert "without a second factor" in found_by_check(cluster)


@pytest.mark.parametrize(
    ("model", "where", "values", "finding"),
    [
        (VALIDATE, {}, {"last_auth_threshold": "hours=12"}, "without a second factor"),
        (VALIDATE, {}, {"device_classes": ["totp", "sms"]}, "without a second factor"),
        (VALIDATE, {}, {"device_classes": ["static"]}, "without a second factor"),
        ("authentik_core.user", {"username": "akadmin"}, {"is_active": True}, "first account"),
        (FLOW, INITIAL, {"policy_engine_mode": "any"}, "first set-up is open"),
        (IDENTIFICATION, {}, {"recovery_flow": "x"}, "recovery"),
        (IDENTIFICATION, {}, {"passwordless_flow": "x"}, "without password"),
        ("authentik_brands.brand", {}, {"flow_recovery": "x"}, "has a recovery flow"),
    ],
)  # fmt: skip
def test_what_an_administrator_could_loosen_is_found(cluster, world, model, where, values, finding):
    """MF-04, MF-06, MF-11, MF-13, MF-15"""
    world.change(model, where, **values)
    assert finding in found_by_check(cluster)


def test_a_source_past_the_second_factor_is_found(cluster, world):
    """MF-04"""
    from authentik_store import new_object

    world.store.write(
        new_object("authentik_sources_oauth.oauthsource", slug="google", enabled=True)
    )
    assert "source google logs in without" in found_by_check(cluster)


def test_a_blueprint_that_fails_is_found(cluster, world):
    """MF-17: what is not in force after a change."""
    where = {"path": "devplat/mfa.yaml"}
    world.change("authentik_blueprints.blueprintinstance", where, status="error")
    assert "blueprint devplat/mfa.yaml is error" in found_by_check(cluster)
