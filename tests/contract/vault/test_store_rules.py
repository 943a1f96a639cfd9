"""Logins to the platform's own secret server, and its wanted state.

Covers F-054 and F-055 there, SE-16 (roles as the rules say), SE-17 (a revoked token), SE-19
(audit by API), and snapshots.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace

import pytest

from installer.adapters.vault_server import VaultServer as Admin
from installer.core.errors import IntegrityError, SecretStoreError
from installer.core.secrets import Secret
from installer.core.store_rules import RoleRules
from installer.ports import RoleKey
from tests.contract.vault.authority import Authority
from tests.contract.vault.servers import VaultServer
from tests.contract.vault.store_lab import (
    OWN,
    RULES,
    Asked,
    HeldClock,
    Reply,
    admin_of,
    ensure_mount,
    grant,
    problem_of,
    scripted_server,
)

MORE = {
    "plat-three": RoleRules("plat-three", 1800, 1, 60),
}


@pytest.fixture
def admin(fresh_vault: VaultServer) -> Iterator[Admin]:
    """Logged in as root at an open server."""
    made = admin_of(fresh_vault)
    made.log_in(Secret(fresh_vault.token))
    yield made
    made.close()


def test_an_empty_server_lacks_everything_in_words_and_configure_makes_it(admin: Admin) -> None:
    assert admin.lacks(RULES) == (
        "KV version 2 engine at secret",
        *(f"policy {name}" for name in RULES.policies),
        *(f"role {name}" for name in RULES.roles),
    )
    admin.configure(RULES)
    assert admin.lacks(RULES) == ()


def test_configuring_again_writes_nothing(vault_authority: Authority, admin: Admin) -> None:
    admin.configure(RULES)
    sent: list[str] = []
    ask = admin._session.client.send

    def send(call: object, token: Secret | None) -> dict[str, object]:
        sent.append(call.method)  # type: ignore[attr-defined]
        return ask(call, token)  # type: ignore[arg-type]

    admin._session.client.send = send  # type: ignore[method-assign,assignment]
    admin.configure(RULES)
    assert set(sent) == {"GET"}


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"policies": {**RULES.policies, "plat-one": grant("x", "read")}}, "policy plat-one"),
        ({"roles": {**RULES.roles, "plat-one": RoleRules("plat-one", 60, 1, 600)}},
         "role plat-one"),
        ({"roles": {**RULES.roles, "plat-one": RoleRules("plat-two", 3600, 1, 600)}},
         "role plat-one"),
        ({"roles": {**RULES.roles, "plat-one": RoleRules("plat-one", 3600, 0, 600)}},
         "role plat-one"),
        ({"roles": {**RULES.roles, "plat-one": RoleRules("plat-one", 3600, 1, 0)}},
         "role plat-one"),
        ({"mount": "another"}, "KV version 2 engine at another"),
        ({"mount": "deep/er"}, "KV version 2 engine at deep/er"),
    ],
)  # fmt: skip
def test_what_differs_is_named_and_put_right(
    admin: Admin, change: dict[str, object], missing: str
) -> None:
    admin.configure(RULES)
    wanted = replace(RULES, **change)  # type: ignore[arg-type]
    assert admin.lacks(wanted) == (missing,)
    admin.configure(wanted)
    assert admin.lacks(wanted) == ()


def test_f_054_a_mount_of_version_1_is_not_touched(fresh_vault: VaultServer, admin: Admin) -> None:
    ensure_mount(fresh_vault, "secret", "1")
    for use in (admin.lacks, admin.configure):
        with pytest.raises(SecretStoreError) as caught:
            use(RULES)
        problem = problem_of(caught)
        assert problem.code == "vault.kv_version"
        assert "version 1" in problem.remedy.summary
    assert fresh_vault.ask("GET", "sys/mounts").data["secret/"]["options"] in (
        None,
        {"version": "1"},
    )
    assert fresh_vault.ask("GET", "sys/policies/acl/plat-one").status == 404


def test_a_mount_of_another_kind_is_not_touched(admin: Admin) -> None:
    with pytest.raises(SecretStoreError) as caught:
        admin.configure(replace(RULES, mount="cubbyhole"))
    assert problem_of(caught).code == "vault.no_mount"


def test_a_policy_that_is_none_is_refused(admin: Admin) -> None:
    with pytest.raises(SecretStoreError) as caught:
        admin.configure(replace(RULES, policies={"plat-bad": 'path "x {'}))
    problem = problem_of(caught)
    assert problem.code == "vault.unexpected"
    assert "sys/policies/acl/plat-bad" in problem.summary


def test_the_installers_own_role_can_do_all_that_is_asked_of_it(
    fresh_vault: VaultServer, admin: Admin
) -> None:
    admin.configure(RULES)
    key = admin.issue(OWN, wrap_s=None)
    own = admin_of(fresh_vault)
    own.log_in_as(key)
    assert own.lacks(RULES) == ()
    policies = {**RULES.policies, "plat-three": grant("secret/data/devplat/plat/c", "read")}
    grown = replace(RULES, policies=policies, roles={**RULES.roles, **MORE})
    assert own.lacks(grown) == ("policy plat-three", "role plat-three")
    own.configure(grown)
    assert own.lacks(grown) == ()
    assert own.issue("plat-three", wrap_s=300).role_id
    own.log_out()
    own.log_in_as(key)
    own.close()


def test_f_055_a_role_that_may_not_configure_says_what_it_lacks(
    fresh_vault: VaultServer, admin: Admin
) -> None:
    admin.configure(RULES)
    own = admin_of(fresh_vault)
    own.log_in_as(admin.issue(OWN, wrap_s=None))
    with pytest.raises(SecretStoreError) as caught:
        own.configure(replace(RULES, policies={"other": grant("x", "read")}))
    problem = problem_of(caught)
    assert problem.code == "vault.permission"
    assert "sys/policies/acl/other" in problem.summary


def test_se_16_a_login_is_good_for_its_own_path_and_for_one_use(
    fresh_vault: VaultServer, admin: Admin
) -> None:
    admin.configure(RULES)
    for name in "ab":
        put = fresh_vault.ask("POST", f"secret/data/devplat/plat/{name}", {"data": {"value": name}})
        assert put.status == 200, put
    key = admin.issue("plat-one", wrap_s=None)
    body = {"role_id": key.role_id, "secret_id": key.secret_id.reveal()}
    login = fresh_vault.ask("POST", "auth/approle/login", body, token="")
    assert login.status == 200, login
    token = login.body["auth"]["client_token"]
    assert fresh_vault.ask("GET", "secret/data/devplat/plat/a", token=token).status == 200
    assert fresh_vault.ask("GET", "secret/data/devplat/plat/b", token=token).status == 403
    assert fresh_vault.ask("LIST", "secret/metadata/devplat/plat", token=token).status == 403
    again = fresh_vault.ask("POST", "auth/approle/login", body, token="")
    assert again.status in (400, 403), again


def test_a_wrapped_login_is_unwrapped_once(fresh_vault: VaultServer, admin: Admin) -> None:
    admin.configure(RULES)
    key = admin.issue("plat-two", wrap_s=300)
    wrapped = key.secret_id.reveal()
    found = fresh_vault.ask("POST", "sys/wrapping/lookup", {"token": wrapped}, token="")
    assert found.data["creation_ttl"] == 300
    first = fresh_vault.ask("POST", "sys/wrapping/unwrap", token=wrapped)
    assert first.status == 200, first
    body = {"role_id": key.role_id, "secret_id": first.data["secret_id"]}
    assert fresh_vault.ask("POST", "auth/approle/login", body, token="").status == 200
    assert fresh_vault.ask("POST", "sys/wrapping/unwrap", token=wrapped).status in (400, 403)


def test_every_login_that_is_issued_is_another_one(admin: Admin) -> None:
    admin.configure(RULES)
    first, second = (admin.issue("plat-one", wrap_s=None) for _ in range(2))
    assert first.role_id == second.role_id
    assert first.secret_id != second.secret_id
    assert repr(first).count("Secret(…)") == 1


def test_a_login_for_a_role_that_does_not_exist_is_refused(admin: Admin) -> None:
    admin.configure(RULES)
    with pytest.raises(SecretStoreError) as caught:
        admin.issue("plat-none", wrap_s=None)
    problem = problem_of(caught)
    assert problem.code == "vault.unexpected"
    assert "plat-none" in problem.summary


def test_a_machine_login_that_is_none_is_refused(admin: Admin) -> None:
    admin.configure(RULES)
    with pytest.raises(SecretStoreError) as caught:
        admin.log_in_as(RoleKey("c0ffee", Secret("canary-secret-id")))
    assert problem_of(caught, Secret("canary-secret-id")).code == "vault.token_refused"


def test_se_17_a_revoked_root_token_is_known_no_more(
    fresh_vault: VaultServer, admin: Admin
) -> None:
    admin.configure(RULES)
    root = Secret(fresh_vault.token)
    admin.log_in_as(admin.issue(OWN, wrap_s=None))
    assert admin.is_valid(root)
    admin.revoke(root)
    assert not admin.is_valid(root)
    admin.revoke(root)
    assert admin.lacks(RULES) == ()  # the machine's own login lives on


@pytest.mark.parametrize("text", ["", "s.NoSuchToken", "with space", "line\n"])
def test_what_was_never_a_token_is_not_valid(admin: Admin, text: str) -> None:
    assert admin.is_valid(Secret(text)) is False


def test_logging_out_twice_is_no_error_and_leaves_no_login(admin: Admin) -> None:
    admin.configure(RULES)
    admin.log_out()
    admin.log_out()
    with pytest.raises(SecretStoreError) as caught:
        admin.lacks(RULES)
    assert problem_of(caught).code == "vault.token_refused"


def test_a_root_token_is_not_revoked_by_logging_out(fresh_vault: VaultServer, admin: Admin) -> None:
    admin.log_out()
    assert admin.is_valid(Secret(fresh_vault.token))


def test_se_19_audit_devices_are_made_where_the_server_takes_them(
    fresh_vault: VaultServer, admin: Admin
) -> None:
    files = {name: f"{fresh_vault.folder}/{name}.log" for name in ("one", "two")}
    rules = replace(RULES, audit=files)
    assert admin.lacks(rules)[:2] == tuple(
        f"audit device {name} that writes to {path}" for name, path in files.items()
    )
    if fresh_vault.flavour == "openbao":
        with pytest.raises(SecretStoreError) as caught:
            admin.configure(rules)
        assert problem_of(caught).code == "vault.unexpected"
        assert "sys/audit/one" in problem_of(caught).summary
        return
    admin.configure(rules)
    assert admin.lacks(rules) == ()


def test_se_19_audit_devices_by_api(vault_authority: Authority) -> None:
    devices = {"two/": {"type": "file", "options": {"file_path": "/old"}}}
    sent: list[tuple[str, str]] = []

    def serve(asked: Asked) -> Reply:
        path = asked.path.removeprefix("/v1/")
        if path == "sys/audit":
            return Reply(200, {"data": devices})
        if path.startswith("sys/audit/"):
            sent.append((asked.method, path))
            return Reply(204)
        if path == "sys/mounts":
            return Reply(200, {"data": {"secret/": {"type": "kv", "options": {"version": "2"}}}})
        return Reply(200, {"data": {"ttl": 0}})

    with scripted_server(vault_authority, serve) as server:
        admin = Admin(server.open())
        admin.log_in(Secret("s.canary"))
        admin.configure(
            replace(RULES, policies={}, roles={}, audit={"one": "stdout", "two": "/new"})
        )
    assert sent == [
        ("PUT", "sys/audit/one"),
        ("DELETE", "sys/audit/two"),
        ("PUT", "sys/audit/two"),
    ]


def test_a_snapshot_is_a_whole_archive(fresh_vault: VaultServer, admin: Admin) -> None:
    admin.configure(RULES)
    own = admin_of(fresh_vault)
    own.log_in_as(admin.issue(OWN, wrap_s=None))
    data = b"".join(own.snapshot())
    if fresh_vault.kind == "real":
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            assert "state.bin" in archive.getnames()
    assert gzip.decompress(data)
    own.close()


def test_a_snapshot_without_permission_says_what_is_lacking(
    fresh_vault: VaultServer, admin: Admin
) -> None:
    admin.configure(RULES)
    other = admin_of(fresh_vault)
    other.log_in_as(admin.issue("plat-one", wrap_s=None))
    with pytest.raises(SecretStoreError) as caught:
        next(iter(other.snapshot()))
    problem = problem_of(caught)
    assert problem.code == "vault.permission"
    assert "sys/storage/raft/snapshot" in str(problem.detail)


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (gzip.compress(b"x" * 9000)[:-6], {}, "vault.snapshot"),
        (b"", {}, "vault.snapshot"),
        (b"<html>", {}, "vault.snapshot"),
        (
            gzip.compress(b"x"),
            {"Content-Length": "900", "Connection": "close"},
            "vault.unreachable",
        ),
    ],
    ids=["cut off inside", "nothing", "something else", "connection lost"],
)
def test_a_snapshot_that_is_not_whole_is_never_taken_for_one(
    vault_authority: Authority, body: bytes, headers: dict[str, str], code: str
) -> None:
    def serve(asked: Asked) -> Reply:
        if "snapshot" in asked.path:
            return Reply(200, body, headers)
        return Reply(200, {"data": {"ttl": 0}})

    with scripted_server(vault_authority, serve) as server:
        admin = Admin(server.open(pace=HeldClock().pace()))
        admin.log_in(Secret("s.canary"))
        with pytest.raises((IntegrityError, SecretStoreError)) as caught:
            b"".join(admin.snapshot())
    assert caught.value.problems[0].code == code
