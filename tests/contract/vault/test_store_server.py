"""Unsealing the platform's own secret server.

Covers F-058.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from installer.adapters.vault_server import VaultServer as Admin
from installer.core.errors import SecretStoreError
from installer.core.secrets import Secret
from installer.ports import SealStatus
from tests.contract.vault.authority import Authority
from tests.contract.vault.servers import VaultServer
from tests.contract.vault.store_lab import (
    RULES,
    Asked,
    HeldClock,
    Reply,
    admin_of,
    problem_of,
    scripted_server,
)


@pytest.fixture
def fresh(launch_vault: Callable[..., VaultServer]) -> VaultServer:
    """Initialised, still sealed; its shares are known."""
    server = launch_vault()
    body = {"secret_shares": 5, "secret_threshold": 3}
    made = server.ask("PUT", "sys/init", body, token="")
    assert made.status == 200, made
    server.shares, server.threshold = made.body["keys_base64"], 3
    server.token = made.body["root_token"]
    return server


def shares_of(server: VaultServer) -> list[Secret]:
    return [Secret(share) for share in server.shares]


def other_share(server: VaultServer, number: int = 0) -> Secret:
    """Of the right form, and none of this server's."""
    data = bytearray(base64.b64decode(server.shares[number]))
    data[3] ^= 0x55
    return Secret(base64.b64encode(bytes(data)).decode())


def test_status_needs_no_login_at_any_stage(launch_vault: Callable[..., VaultServer]) -> None:
    server = launch_vault()
    admin = admin_of(server)
    assert admin.status() == SealStatus(initialised=False, sealed=True)
    server.initialise()
    assert admin.status() == SealStatus(True, False, 5, 3, 0, "shamir")
    server.seal()
    assert admin.status() == SealStatus(True, True, 5, 3, 0, "shamir")


def test_shares_open_the_server_and_it_serves_at_once(fresh: VaultServer) -> None:
    admin = admin_of(fresh)
    seen = [admin.unseal(share).progress for share in shares_of(fresh)[:2]]
    assert seen == [1, 2]
    assert admin.unseal(shares_of(fresh)[4]) == SealStatus(True, False, 5, 3, 0, "shamir")
    admin.log_in(Secret(fresh.token))
    admin.configure(RULES)
    assert admin.lacks(RULES) == ()


def test_the_last_share_waits_until_the_server_is_active(vault_authority: Authority) -> None:
    standby = iter([True, True, False])
    seal = {"initialized": True, "n": 1, "t": 1, "progress": 0, "type": "shamir"}

    def serve(asked: Asked) -> Reply:
        if "health" in asked.path:
            return Reply(200, {"initialized": True, "sealed": False, "standby": next(standby)})
        return Reply(200, {**seal, "sealed": asked.method == "GET"})

    clock = HeldClock()
    with scripted_server(vault_authority, serve) as server:
        assert Admin(server.open(pace=clock.pace())).unseal(Secret("A" * 44)).sealed is False
    assert clock.slept == [0.25, 0.25]


def test_a_share_for_an_open_server_changes_nothing(fresh_vault: VaultServer) -> None:
    assert admin_of(fresh_vault).unseal(Secret("AAAA")).sealed is False


def test_a_share_before_the_initialisation_is_told_so(
    launch_vault: Callable[..., VaultServer],
) -> None:
    with pytest.raises(SecretStoreError) as caught:
        admin_of(launch_vault()).unseal(Secret("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))
    assert problem_of(caught).code == "vault.not_initialised"


@pytest.mark.parametrize("text", ["", "!!!", "not base64 at all", "AAAA"])
def test_f_058_what_cannot_be_a_share_is_refused_alone_and_progress_is_kept(
    fresh: VaultServer, text: str
) -> None:
    admin, shares = admin_of(fresh), shares_of(fresh)
    admin.unseal(shares[0])
    with pytest.raises(SecretStoreError) as caught:
        admin.unseal(Secret(text))
    problem = problem_of(caught, shares[0])
    assert problem.code == "vault.share_refused"
    assert problem.summary.startswith("share 2 refused")
    assert "share" in problem.remedy.summary
    if len(text) > 4:
        assert text not in str(problem)
    assert admin.status().progress == 1
    admin.unseal(shares[1])
    assert admin.unseal(shares[2]).sealed is False


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_f_058_shares_that_do_not_fit_are_named_by_position_and_can_be_given_again(
    fresh: VaultServer, wrong: int
) -> None:
    admin, shares = admin_of(fresh), shares_of(fresh)
    given = [other_share(fresh, i) if i == wrong else shares[i] for i in range(3)]
    admin.unseal(given[0])
    admin.unseal(given[1])
    with pytest.raises(SecretStoreError) as caught:
        admin.unseal(given[2])
    problem = problem_of(caught, *given)
    assert problem.code == "vault.share_refused"
    assert problem.summary.startswith("the shares 1, 2 and 3 together refused")
    assert "share" in problem.remedy.summary
    assert admin.status() == SealStatus(True, True, 5, 3, 0, "shamir")
    for share in shares[:3]:
        status = admin.unseal(share)
    assert status.sealed is False


def test_f_058_positions_count_what_somebody_else_gave(fresh: VaultServer) -> None:
    shares = shares_of(fresh)
    admin_of(fresh).unseal(shares[0])
    admin = admin_of(fresh)
    admin.unseal(shares[1])
    with pytest.raises(SecretStoreError) as caught:
        admin.unseal(other_share(fresh, 2))
    assert "the shares 2 and 3 together (with 1 given before" in problem_of(caught).summary


def test_f_058_the_same_share_twice_counts_once(fresh: VaultServer) -> None:
    admin, shares = admin_of(fresh), shares_of(fresh)
    assert [admin.unseal(shares[0]).progress for _ in range(3)] == [1, 1, 1]
    assert admin.unseal(shares[1]).progress == 2
    assert admin.unseal(shares[2]).sealed is False


def test_shares_can_be_forgotten(fresh: VaultServer) -> None:
    admin, shares = admin_of(fresh), shares_of(fresh)
    admin.unseal(other_share(fresh))
    assert admin.forget_shares().progress == 0
    for share in shares[1:4]:
        status = admin.unseal(share)
    assert status.sealed is False


def test_a_single_share_that_is_wrong_is_refused_alone(
    launch_vault: Callable[..., VaultServer],
) -> None:
    server = launch_vault()
    body = {"secret_shares": 1, "secret_threshold": 1}
    server.shares = server.ask("PUT", "sys/init", body, token="").body["keys_base64"]
    admin = admin_of(server)
    with pytest.raises(SecretStoreError) as caught:
        admin.unseal(other_share(server))
    assert problem_of(caught).summary.startswith("share 1 refused")
    assert admin.unseal(shares_of(server)[0]).sealed is False


def test_a_sealed_server_says_so_to_whoever_logs_in(fresh: VaultServer) -> None:
    with pytest.raises(SecretStoreError) as caught:
        admin_of(fresh, HeldClock().pace()).log_in(Secret(fresh.token))
    assert problem_of(caught).code == "vault.sealed"
