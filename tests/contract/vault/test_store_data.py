"""What lies in a Vault that somebody else has touched: deleted, foreign, changed at the same time.

Covers SE-15 and INV-05 where only this store can break them.
"""

from __future__ import annotations

import json

import pytest

from installer.adapters.vault_session import TokenLogin
from installer.adapters.vault_store import VaultStore
from installer.core.errors import IntegrityError, SecretStoreError
from installer.core.secrets import Secret
from tests.contract.vault.authority import Authority
from tests.contract.vault.servers import VaultServer
from tests.contract.vault.store_lab import (
    ABSENT,
    KV2,
    NEW,
    VALUE,
    Asked,
    Reply,
    never,
    open_store,
    problem_of,
    scripted_server,
    spec,
)


def test_a_deleted_version_is_neither_absent_nor_replaced(server: VaultServer, prefix: str) -> None:
    store = open_store(server, prefix)
    store.ensure(spec(), lambda: VALUE)
    path = f"secret/data/{prefix}/db-password"
    assert server.ask("DELETE", path).status == 204
    for use in (
        lambda: store.get("db-password"),
        lambda: store.ensure(spec(), never),
        lambda: store.replace(spec(), NEW),
    ):
        with pytest.raises(SecretStoreError) as caught:
            use()
        problem = problem_of(caught)
        assert problem.code == "vault.deleted"
        command = f"vault kv undelete -mount=secret -versions=1 {prefix}/db-password"
        assert problem.remedy.commands == (command,)
    undeleted = server.ask("PUT", f"secret/undelete/{prefix}/db-password", {"versions": [1]})
    assert undeleted.status == 204
    assert store.ensure(spec(), never) == VALUE


def test_a_destroyed_version_is_said_to_be_gone_for_good(server: VaultServer, prefix: str) -> None:
    store = open_store(server, prefix)
    store.ensure(spec(), lambda: VALUE)
    destroyed = server.ask("PUT", f"secret/destroy/{prefix}/db-password", {"versions": [1]})
    assert destroyed.status in (200, 204)
    with pytest.raises(SecretStoreError) as caught:
        store.ensure(spec(), never)
    problem = problem_of(caught)
    assert problem.code == "vault.deleted"
    assert "destroyed" in problem.summary
    store.remove("db-password")
    assert store.ensure(spec(), lambda: NEW) == NEW


def test_a_deleted_older_version_is_no_previous_one(server: VaultServer, prefix: str) -> None:
    store = open_store(server, prefix)
    store.ensure(spec(), lambda: VALUE)
    store.replace(spec(), NEW)
    deleted = server.ask("PUT", f"secret/delete/{prefix}/db-password", {"versions": [1]})
    assert deleted.status == 204
    assert store.previous("db-password") is None
    assert store.get("db-password") == NEW


@pytest.mark.parametrize("data", [{}, {"value": 7}, {"password": "x"}, {"value": None}])
def test_data_of_somebody_else_is_neither_used_nor_overwritten(
    server: VaultServer, prefix: str, data: dict[str, object]
) -> None:
    path = f"secret/data/{prefix}/db-password"
    assert server.ask("POST", path, {"data": data}).status == 200
    store = open_store(server, prefix)
    for use in (lambda: store.ensure(spec(), never), lambda: store.replace(spec(), NEW)):
        with pytest.raises(IntegrityError) as caught:
            use()
        assert caught.value.problems[0].code == "vault.form"
    assert server.ask("GET", path).data["data"] == data


def test_what_lies_in_the_server_is_value_kind_and_purpose(
    server: VaultServer, prefix: str
) -> None:
    open_store(server, prefix).ensure(spec(), lambda: VALUE)
    found = server.ask("GET", f"secret/data/{prefix}/db-password").data
    assert found["data"] == {
        "value": VALUE.reveal(),
        "kind": "password",
        "purpose": "logs in to the database",
    }
    assert found["metadata"]["version"] == 1


def test_a_replacement_by_somebody_else_in_between_is_not_overwritten(
    vault_authority: Authority,
) -> None:
    versions = {1: VALUE.reveal()}

    def serve(asked: Asked) -> Reply:
        if "mounts" in asked.path:
            return Reply(200, KV2)
        if asked.method == "POST":
            versions[2] = "of somebody else"
            return Reply(400, {"errors": ["check-and-set parameter did not match"]})
        if "secret/data" not in asked.path:
            return Reply(200, {"data": {"ttl": 0}})
        number = max(versions)
        data = {"data": {"value": versions[number]}, "metadata": {"version": number}}
        return Reply(200, {"data": data})

    with scripted_server(vault_authority, serve) as server:
        store = VaultStore(server.open(TokenLogin(Secret("t"))), mount="secret", prefix="p")
        with pytest.raises(SecretStoreError) as caught:
            store.replace(spec(), NEW)
        assert problem_of(caught).code == "vault.cas"
        sent = [json.loads(each.body) for each in server.asked if each.method == "POST"]
    assert [each["options"] for each in sent] == [{"cas": 1}]
    assert versions == {1: VALUE.reveal(), 2: "of somebody else"}


def test_a_write_whose_answer_was_lost_meets_its_own_value(vault_authority: Authority) -> None:
    versions = {1: VALUE.reveal()}

    def serve(asked: Asked) -> Reply:
        if "mounts" in asked.path:
            return Reply(200, KV2)
        if asked.method == "POST":
            body = json.loads(asked.body)
            if body["options"]["cas"] != max(versions):
                return Reply(400, {"errors": ["check-and-set parameter did not match"]})
            versions[max(versions) + 1] = body["data"]["value"]
            return Reply(200, b"", {"Content-Length": "100", "Connection": "close"})
        if "secret/data" not in asked.path:
            return Reply(200, {"data": {"ttl": 0}})
        number = max(versions)
        data = {"data": {"value": versions[number]}, "metadata": {"version": number}}
        return Reply(200, {"data": data})

    with scripted_server(vault_authority, serve) as server:
        store = VaultStore(server.open(TokenLogin(Secret("t"))), mount="secret", prefix="p")
        assert store.replace(spec(), NEW) == NEW
    assert versions == {1: VALUE.reveal(), 2: NEW.reveal()}


def test_a_value_that_comes_back_changed_is_damage(vault_authority: Authority) -> None:
    written: list[int] = []

    def serve(asked: Asked) -> Reply:
        if "mounts" in asked.path:
            return Reply(200, KV2)
        if asked.method == "POST":
            written.append(1)
            return Reply(200, {"data": {"version": 1}})
        if "secret/data" not in asked.path or not written:
            return Reply(200, {"data": {"ttl": 0}}) if "lookup" in asked.path else ABSENT
        return Reply(200, {"data": {"data": {"value": "other"}, "metadata": {"version": 1}}})

    with scripted_server(vault_authority, serve) as server:
        store = VaultStore(server.open(TokenLogin(Secret("t"))), mount="secret", prefix="p")
        with pytest.raises(IntegrityError) as caught:
            store.ensure(spec(), lambda: VALUE)
    assert caught.value.problems[0].code == "vault.read_back"
    assert VALUE.reveal() not in str(caught.value)


def test_a_folder_below_the_prefix_is_no_name(server: VaultServer, prefix: str) -> None:
    store = open_store(server, prefix)
    store.ensure(spec(), lambda: VALUE)
    path = f"secret/data/{prefix}/folder/inside"
    assert server.ask("POST", path, {"data": {"value": "x"}}).status == 200
    assert store.names() == {"db-password"}
