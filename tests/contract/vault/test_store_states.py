"""A Vault that does not serve just now: sealed, standby, gone, limiting, being set up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from installer.adapters.vault_session import TokenLogin, VaultSession
from installer.adapters.vault_store import VaultStore
from installer.core.errors import SecretStoreError
from installer.core.secrets import Secret
from tests.contract.vault.authority import Authority
from tests.contract.vault.servers import Options, VaultServer, wait_until
from tests.contract.vault.store_lab import (
    ABSENT,
    KV2,
    NEW,
    VALUE,
    Asked,
    HeldClock,
    Reply,
    SecondNode,
    ensure_mount,
    link_to,
    never,
    open_store,
    problem_of,
    scripted_server,
    spec,
)


def test_a_sealed_server_is_named_as_such_and_its_secrets_are_there_afterwards(
    fresh_vault: VaultServer,
) -> None:
    ensure_mount(fresh_vault)
    store = open_store(fresh_vault, "p")
    store.ensure(spec(), lambda: VALUE)
    fresh_vault.seal()
    with pytest.raises(SecretStoreError) as caught:
        store.ensure(spec("another"), lambda: NEW)
    problem = problem_of(caught, Secret(fresh_vault.token))
    assert problem.code == "vault.sealed"
    assert "unseal" in problem.remedy.summary
    fresh_vault.unseal()
    assert store.ensure(spec(), never) == VALUE
    assert store.names() == {"db-password"}


def test_a_server_that_was_never_initialised_is_told_from_a_sealed_one(
    launch_vault: object,
) -> None:
    server: VaultServer = launch_vault()  # type: ignore[operator]
    session = VaultSession(link_to(server), TokenLogin(Secret("t")))
    with pytest.raises(SecretStoreError) as caught:
        VaultStore(session, mount="secret", prefix="p").get("x")
    assert problem_of(caught).code == "vault.not_initialised"


def test_a_server_that_went_away_is_unreachable_and_found_again(fresh_vault: VaultServer) -> None:
    ensure_mount(fresh_vault)
    store = open_store(fresh_vault, "p")
    store.ensure(spec(), lambda: VALUE)
    fresh_vault.stop(kill=True)
    with pytest.raises(SecretStoreError) as caught:
        store.get("db-password")
    assert problem_of(caught).code == "vault.unreachable"
    fresh_vault.start()
    fresh_vault.unseal()
    assert store.get("db-password") == VALUE


def test_a_standby_that_becomes_active_is_waited_for(vault_authority: Authority) -> None:
    states = iter([True, True, False])

    def elect(asked: Asked) -> Reply:
        if "health" in asked.path:
            return Reply(200, {"initialized": True, "sealed": False, "standby": True})
        if next(states):
            return Reply(500, {"errors": ["local node not active but active node not found"]})
        return Reply(200, {"data": {"ttl": 0}})

    clock = HeldClock()
    with scripted_server(vault_authority, elect) as node:
        node.open(pace=clock.pace()).log_in(TokenLogin(Secret("t")))
    assert clock.slept == [0.5, 0.5]


def test_a_standby_without_an_active_node_is_named(vault_authority: Authority) -> None:
    def stand_by(asked: Asked) -> Reply:
        if "health" in asked.path:
            return Reply(200, {"initialized": True, "sealed": False, "standby": True})
        return Reply(500, {"errors": ["local node not active"]})

    clock = HeldClock()
    with (
        scripted_server(vault_authority, stand_by) as node,
        pytest.raises(SecretStoreError) as caught,
    ):
        node.open(pace=clock.pace(10)).log_in(TokenLogin(Secret("t")))
    assert problem_of(caught).code == "vault.standby"
    assert sum(clock.slept) <= 10


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_never_followed_with_the_token(
    vault_authority: Authority, status: int
) -> None:
    to = {"Location": "https://active.example:8200/v1/secret?x=1"}
    with (
        scripted_server(vault_authority, lambda _: Reply(status, headers=to)) as node,
        pytest.raises(SecretStoreError) as caught,
    ):
        node.open().log_in(TokenLogin(Secret("t")))
    problem = problem_of(caught)
    assert problem.code == "vault.standby"
    assert "https://active.example:8200" in problem.summary
    assert len(node.asked) == 1


def test_a_real_standby_whose_leader_is_gone_is_named(
    fresh_vault: VaultServer, tmp_path: Path
) -> None:
    if fresh_vault.kind != "real":
        pytest.skip("the stand-in has no second node")
    ensure_mount(fresh_vault)
    open_store(fresh_vault, "p").ensure(spec(), lambda: VALUE)
    same = Options(audit={"file": f"{fresh_vault.folder}/audit.log"})
    second = SecondNode(fresh_vault.program, tmp_path, fresh_vault.authority, same).start()
    try:
        second.join(fresh_vault)
        wait_until(
            lambda: second.ask("GET", "secret/data/p/db-password").status == 200,
            lambda: f"the second node does not forward: {second.log[-2000:]}",
        )
        store = open_store(second, "p", pace=HeldClock().pace(1))
        assert store.get("db-password") == VALUE
        fresh_vault.stop(kill=True)
        with pytest.raises(SecretStoreError) as caught:
            store.ensure(spec("another"), lambda: NEW)  # a standby may answer what is only read
        assert problem_of(caught).code == "vault.standby"
    finally:
        second.stop(kill=True)


def test_a_rate_limit_that_passes_is_waited_out_as_long_as_it_asks(
    vault_authority: Authority,
) -> None:
    limits = [Reply(429, {"errors": ["quota"]}, {"Retry-After": after}) for after in ("3", "x", "")]
    replies = iter([*limits, Reply(200, {"data": {"ttl": 0}})])
    clock = HeldClock()
    with scripted_server(vault_authority, lambda _: next(replies)) as server:
        server.open(pace=clock.pace()).log_in(TokenLogin(Secret("t")))
    assert clock.slept == [3.0, 1.0, 1.0]


@pytest.mark.parametrize("after", ["1", "7", "3600", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_rate_limit_is_not_waited_for_without_end(vault_authority: Authority, after: str) -> None:
    limited = Reply(429, {"errors": ["quota"]}, {"Retry-After": after})
    clock = HeldClock()
    with (
        scripted_server(vault_authority, lambda _: limited) as server,
        pytest.raises(SecretStoreError) as caught,
    ):
        server.open(pace=clock.pace(20)).log_in(TokenLogin(Secret("t")))
    assert problem_of(caught).code == "vault.rate_limited"
    assert sum(clock.slept) <= 20


def test_a_quota_of_the_server_is_told_from_other_refusals(fresh_vault: VaultServer) -> None:
    ensure_mount(fresh_vault)
    store = open_store(fresh_vault, "p", pace=HeldClock().pace(0))
    assert store.get("x") is None
    quota = {"rate": 1, "interval": "600s", "path": "secret"}
    made = fresh_vault.ask("POST", "sys/quotas/rate-limit/test", quota)
    if made.status == 404:
        pytest.skip("this server has no quotas")
    assert made.status == 204, made
    with pytest.raises(SecretStoreError) as caught:
        for _ in range(3):
            store.get("x")
    problem = problem_of(caught)
    assert problem.code == "vault.rate_limited"
    assert "later" in problem.remedy.summary


def test_an_engine_that_is_still_being_set_up_is_waited_for(vault_authority: Authority) -> None:
    stored: dict[str, str] = {}
    upgrading = [Reply(400, {"errors": ["Upgrading from non-versioned to versioned data"]})] * 6

    def serve(asked: Asked) -> Reply:
        if "secret/data" not in asked.path:
            return Reply(200, KV2 if "mounts" in asked.path else {"data": {"ttl": 0}})
        if len(upgrading) > 3 or (upgrading and asked.method == "POST"):
            return upgrading.pop()
        if asked.method == "POST":
            stored["value"] = json.loads(asked.body)["data"]["value"]
        return (
            Reply(200, {"data": {"data": stored, "metadata": {"version": 1}}}) if stored else ABSENT
        )

    clock = HeldClock()
    with scripted_server(vault_authority, serve) as server:
        session = server.open(TokenLogin(Secret("t")), clock.pace())
        store = VaultStore(session, mount="secret", prefix="p")
        assert store.ensure(spec(), lambda: VALUE) == VALUE
    assert upgrading == []
    assert 0 < sum(clock.slept) < 5
