"""Mounts, permissions and tokens of a Vault that already exists.

Covers F-054, F-055 and F-056: each with its code, its remedy and what is left behind.
"""

from __future__ import annotations

import pytest

from installer.adapters.vault_session import TokenLogin
from installer.adapters.vault_store import VaultStore
from installer.core.errors import SecretStoreError
from installer.core.secrets import Secret
from tests.contract.vault.servers import VaultServer, wait_until
from tests.contract.vault.store_lab import (
    NEW,
    VALUE,
    ensure_mount,
    grant,
    make_token,
    never,
    open_session,
    open_store,
    problem_of,
    spec,
)


def test_f_054_a_version_1_mount_is_named_and_left_untouched(
    server: VaultServer, prefix: str
) -> None:
    ensure_mount(server, "old", "1")
    store = open_store(server, prefix, mount="old")
    for use in (lambda: store.get("x"), lambda: store.ensure(spec(), never), store.names):
        with pytest.raises(SecretStoreError) as caught:
            use()
        problem = problem_of(caught)
        assert problem.code == "vault.kv_version"
        assert "old" in problem.summary
        assert "version 1" in problem.remedy.summary
        assert "another mount" in problem.remedy.summary
        assert problem.remedy.commands == ("vault kv enable-versioning old",)
    assert server.ask("LIST", "old/").status == 404


def test_f_054_with_a_token_that_may_not_read_the_mounts(server: VaultServer, prefix: str) -> None:
    ensure_mount(server, "old", "1")
    token = make_token(server, "f054", grant(f"old/data/{prefix}/*", "create", "read", "update"))
    with pytest.raises(SecretStoreError) as caught:
        open_store(server, prefix, TokenLogin(token), mount="old").ensure(spec(), never)
    assert problem_of(caught, token).code == "vault.kv_version"


def test_a_version_2_mount_is_found_with_a_token_that_may_not_read_the_mounts(
    server: VaultServer, prefix: str
) -> None:
    token = make_token(server, "narrow", grant(f"secret/data/{prefix}/*", "create", "read"))
    assert open_store(server, prefix, TokenLogin(token)).ensure(spec(), lambda: VALUE) == VALUE


@pytest.mark.parametrize("narrow", [False, True], ids=["root", "narrow token"])
def test_a_mount_that_does_not_exist_is_named(
    server: VaultServer, prefix: str, narrow: bool
) -> None:
    policy = grant(f"nowhere/data/{prefix}/*", "create", "read", "update")
    token = make_token(server, "nowhere", policy) if narrow else Secret(server.token)
    with pytest.raises(SecretStoreError) as caught:
        open_store(server, prefix, TokenLogin(token), mount="nowhere").ensure(spec(), never)
    problem = problem_of(caught, token)
    assert problem.code == "vault.no_mount"
    assert "nowhere" in problem.summary
    assert "vault.mount" in problem.remedy.summary


def test_a_mount_of_another_kind_is_no_place_for_secrets(server: VaultServer, prefix: str) -> None:
    with pytest.raises(SecretStoreError) as caught:
        open_store(server, prefix, mount="cubbyhole").ensure(spec(), never)
    problem = problem_of(caught)
    assert problem.code == "vault.no_mount"
    assert "type cubbyhole" in problem.summary


def test_a_path_below_a_mount_is_no_mount(server: VaultServer, prefix: str) -> None:
    with pytest.raises(SecretStoreError) as caught:
        open_store(server, prefix, mount="secret/team").ensure(spec(), never)
    problem = problem_of(caught)
    assert problem.code == "vault.no_mount"
    assert "the mount secret" in problem.summary


@pytest.mark.parametrize(
    ("missing", "capability"), [("create", "create"), ("read", "read"), ("all", "read")]
)
def test_f_055_path_and_capability_are_named_and_what_was_written_stays(
    server: VaultServer, prefix: str, missing: str, capability: str
) -> None:
    kept = {"create", "read", "update"} - {missing} if missing != "all" else {"deny"}
    policy = grant(f"secret/data/{prefix}/*", "create", "read", "update") + grant(
        f"secret/data/{prefix}/forbidden", *sorted(kept)
    )
    token = make_token(server, f"f055-{missing}", policy)
    store = open_store(server, prefix, TokenLogin(token))
    store.ensure(spec("first"), lambda: VALUE)
    with pytest.raises(SecretStoreError) as caught:
        store.ensure(spec("forbidden"), lambda: NEW)
    problem = problem_of(caught, token)
    path = f"secret/data/{prefix}/forbidden"
    assert problem.code == "vault.permission"
    assert f"the capability {capability} on the path {path}" in problem.summary
    assert "path" in problem.remedy.summary
    assert "capability" in problem.remedy.summary
    assert problem.detail == f'path "{path}" {{\n  capabilities = ["{capability}"]\n}}'
    # the fragment is good as it stands: with it the run goes on, and nothing is made twice
    put = server.ask("PUT", "sys/policies/acl/f055-more", {"policy": policy.partition("\n")[0]})
    assert put.status == 204
    fixed = make_token(server, "f055-fixed", grant(f"secret/data/{prefix}/*", "create", "read"))
    again = open_store(server, prefix, TokenLogin(fixed))
    assert again.ensure(spec("first"), never) == VALUE
    assert again.ensure(spec("forbidden"), lambda: NEW) == NEW


@pytest.mark.parametrize(
    ("method", "capability", "part"),
    [
        ("replace", "update", "data"),
        ("names", "list", "metadata"),
        ("remove", "delete", "metadata"),
    ],
)
def test_f_055_every_use_names_what_it_lacks(
    server: VaultServer, prefix: str, method: str, capability: str, part: str
) -> None:
    token = make_token(server, "f055-use", grant(f"secret/data/{prefix}/*", "create", "read"))
    store = open_store(server, prefix, TokenLogin(token))
    store.ensure(spec(), lambda: VALUE)
    with pytest.raises(SecretStoreError) as caught:
        {
            "replace": lambda: store.replace(spec(), NEW),
            "names": store.names,
            "remove": lambda: store.remove("db-password"),
        }[method]()
    problem = problem_of(caught, token)
    assert problem.code == "vault.permission"
    assert f"secret/{part}/{prefix}" in str(problem.detail)
    assert f'["{capability}"]' in str(problem.detail)
    fixed = make_token(server, "f055-fragment", f"{problem.detail}\n" + grant(
        f"secret/data/{prefix}/*", "read"
    ))  # fmt: skip
    again = open_store(server, prefix, TokenLogin(fixed))
    if method == "names":
        assert again.names() == {"db-password"}
    elif method == "remove":
        again.remove("db-password")
        assert again.get("db-password") is None


def test_f_055_a_token_for_another_place_may_do_nothing_here(
    server: VaultServer, prefix: str
) -> None:
    token = make_token(server, "elsewhere", grant("other/data/*", "read"))
    with pytest.raises(SecretStoreError) as caught:
        open_store(server, prefix, TokenLogin(token)).ensure(spec(), never)
    problem = problem_of(caught, token)
    assert problem.code == "vault.permission"
    assert "perhaps nothing is mounted at secret" in problem.summary


def test_f_056_a_token_that_ends_in_the_middle_stops_the_run_and_nothing_is_lost(
    server: VaultServer, prefix: str
) -> None:
    policy = grant(f"secret/data/{prefix}/*", "create", "read")
    token = make_token(server, "f056", policy, ttl="1s", renewable=False, explicit_max_ttl="1s")
    store = open_store(server, prefix, TokenLogin(token))
    store.ensure(spec("before"), lambda: VALUE)
    wait_until(lambda: not known(server, token), lambda: "the token does not end")
    with pytest.raises(SecretStoreError) as caught:
        store.ensure(spec("after"), lambda: NEW)
    problem = problem_of(caught, token)
    assert problem.code == "vault.token_expired"
    assert "expired" in problem.remedy.summary
    again = open_store(server, prefix)
    assert again.ensure(spec("before"), never) == VALUE
    assert again.version("before") == 1
    assert again.ensure(spec("after"), lambda: NEW) == NEW


def test_f_056_a_token_that_is_revoked_counts_as_ended(server: VaultServer, prefix: str) -> None:
    token = make_token(server, "f056", grant(f"secret/data/{prefix}/*", "create", "read"))
    store = open_store(server, prefix, TokenLogin(token))
    store.ensure(spec("before"), lambda: VALUE)
    assert server.ask("POST", "auth/token/revoke", {"token": token.reveal()}).status == 204
    with pytest.raises(SecretStoreError) as caught:
        store.get("before")
    assert problem_of(caught, token).code == "vault.token_expired"


def test_f_056_another_token_from_the_same_reference_goes_on(
    server: VaultServer, prefix: str
) -> None:
    policy = grant(f"secret/data/{prefix}/*", "create", "read")
    first, second = (make_token(server, "f056", policy) for _ in range(2))
    read: list[int] = []

    def again() -> Secret:
        read.append(1)
        return second

    store = open_store(server, prefix, TokenLogin(first, again))
    store.ensure(spec("before"), lambda: VALUE)
    assert server.ask("POST", "auth/token/revoke", {"token": first.reveal()}).status == 204
    assert store.ensure(spec("after"), lambda: NEW) == NEW
    assert store.ensure(spec("before"), never) == VALUE
    assert read == [1]


def test_f_056_a_renewable_token_outlives_its_first_ttl(server: VaultServer, prefix: str) -> None:
    token = make_token(server, "f056", grant(f"secret/data/{prefix}/*", "create", "read"), ttl="2s")
    made = server.ask("GET", "auth/token/lookup-self", token=token.reveal()).data["expire_time"]
    store = open_store(server, prefix, TokenLogin(token))
    store.ensure(spec("s0"), lambda: VALUE)
    count = 0

    def is_renewed() -> bool:
        nonlocal count
        count += 1
        store.ensure(spec(f"s{count}"), lambda: VALUE)
        found = server.ask("GET", "auth/token/lookup-self", token=token.reveal())
        return bool(found.data["expire_time"] != made)

    wait_until(is_renewed, lambda: "the token was not renewed")
    assert store.get("s0") == VALUE


def known(server: VaultServer, token: Secret) -> bool:
    return server.ask("GET", "auth/token/lookup-self", token=token.reveal()).status == 200


def test_a_token_the_server_never_made_is_refused(server: VaultServer, prefix: str) -> None:
    token = Secret("s.NoSuchTokenCanaryXq7aaaaaaaa")
    with pytest.raises(SecretStoreError) as caught:
        open_store(server, prefix, TokenLogin(token)).get("x")
    problem = problem_of(caught, token)
    assert problem.code == "vault.token_refused"
    assert "expired" in problem.remedy.summary


@pytest.mark.parametrize("text", ["", "s.token\n", "two words", "töken", "tab\tbed"])
def test_a_token_that_cannot_be_one_is_not_even_sent(
    server: VaultServer, prefix: str, text: str
) -> None:
    token = Secret(text)
    with pytest.raises(SecretStoreError) as caught:
        open_store(server, prefix, TokenLogin(token)).get("x")
    problem = problem_of(caught)
    assert problem.code == "vault.token_refused"
    if text:
        assert text not in str(problem)


def test_a_session_is_used_by_root_too(server: VaultServer, prefix: str) -> None:
    store = VaultStore(open_session(server), mount="/secret/", prefix=f"/{prefix}/")
    store.ensure(spec(), lambda: VALUE)
    assert server.ask("GET", f"secret/data/{prefix}/db-password").status == 200
