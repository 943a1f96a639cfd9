"""References of the answers to a store: what lies there is read, from the right path, and no more.

On the stand-in, on a real server where `DEVPLAT_TEST_VAULT_BIN` names one, and on moto's server.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator

import boto3
import pytest

from installer.adapters.aws_store import AwsStore, open_aws_store
from installer.adapters.store_references import read_aws_secret, read_vault_field
from installer.adapters.vault_session import TokenLogin, VaultSession
from installer.core.errors import ExitCode, Problem, SecretStoreError
from installer.core.secrets import Secret
from tests.contract.vault.authority import make_authority
from tests.contract.vault.servers import VaultServer
from tests.contract.vault.store_lab import (
    Asked,
    Reply,
    ensure_mount,
    grant,
    make_token,
    open_session,
    scripted_server,
)
from tests.secrets.store_kits import REGION, AwsKit

VALUE = "Xq7 canary of a reference: ü€"
MOUNTS = {"old": "1", "secret": "2", "team/old": "1", "team/kv": "2"}


@pytest.fixture(scope="module", params=["vault stand-in", "vault real"])
def server(request: pytest.FixtureRequest, vault_of: Callable[[str], VaultServer]) -> VaultServer:
    """A server with mounts of both versions, one inside a folder, and one of another kind."""
    found = vault_of(request.param)
    for path, version in MOUNTS.items():
        ensure_mount(found, path, version)
    return found


@pytest.fixture
def session(server: VaultServer) -> Iterator[VaultSession]:
    opened = open_session(server)
    yield opened
    opened.close()


@pytest.fixture
def name() -> str:
    return f"of-{uuid.uuid4().hex[:10]}"


def put(server: VaultServer, mount: str, name: str, fields: dict[str, object]) -> None:
    if MOUNTS[mount] == "2":
        made = server.ask("POST", f"{mount}/data/{name}", {"data": fields})
        assert made.status == 200, made
    else:
        assert server.ask("POST", f"{mount}/{name}", fields).status == 204


def refused(caught: pytest.ExceptionInfo[SecretStoreError]) -> Problem:
    assert caught.value.exit_code is ExitCode.VAULT
    (problem,) = caught.value.problems
    assert problem.remedy.summary
    assert VALUE not in f"{caught.value!r}{problem!r}{caught.value.__cause__!r}"
    return problem


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("folder", ["", "a/b/"], ids=["at the top", "in a folder"])
def test_a_field_is_read_from_a_mount_of_either_version(
    server: VaultServer, session: VaultSession, name: str, mount: str, folder: str
) -> None:
    put(server, mount, f"{folder}{name}", {"password": VALUE, "other": "no"})
    assert read_vault_field(session, f"{mount}/{folder}{name}", "password") == Secret(VALUE)


@pytest.mark.parametrize("mount", ["secret", "team/kv"])
def test_the_path_of_the_interface_leads_to_the_same_value(
    server: VaultServer, session: VaultSession, name: str, mount: str
) -> None:
    put(server, mount, name, {"password": VALUE})
    assert read_vault_field(session, f"{mount}/data/{name}", "password") == Secret(VALUE)


def test_a_folder_called_data_is_a_folder_where_there_is_no_such_interface(
    server: VaultServer, session: VaultSession, name: str
) -> None:
    put(server, "old", f"data/{name}", {"password": VALUE})
    put(server, "secret", f"data/{name}", {"password": f"{VALUE} deeper"})
    assert read_vault_field(session, f"old/data/{name}", "password") == Secret(VALUE)
    deeper = read_vault_field(session, f"secret/data/data/{name}", "password")
    assert deeper == Secret(f"{VALUE} deeper")


def test_the_current_version_counts(server: VaultServer, session: VaultSession, name: str) -> None:
    for value in ("before", VALUE):
        put(server, "secret", name, {"password": value})
    assert read_vault_field(session, f"secret/{name}", "password") == Secret(VALUE)


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_path_with_nothing_and_a_field_that_is_not_there_are_told_apart(
    server: VaultServer, session: VaultSession, name: str, mount: str
) -> None:
    with pytest.raises(SecretStoreError) as caught:
        read_vault_field(session, f"{mount}/{name}", "password")
    problem = refused(caught)
    assert problem.code == "vault.reference"
    assert problem.summary == f"vault:{mount}/{name}#password: nothing lies there"

    put(server, mount, name, {"password": VALUE, "port": 5432, "none": None})
    for field in ("Password", "port", "none", "metadata", "data"):
        with pytest.raises(SecretStoreError) as caught:
            read_vault_field(session, f"{mount}/{name}", field)
        problem = refused(caught)
        assert problem.code == "vault.reference"
        assert f"there is no text called {field}" in problem.summary


def test_a_deleted_value_is_called_deleted(
    server: VaultServer, session: VaultSession, name: str
) -> None:
    put(server, "secret", name, {"password": VALUE})
    assert server.ask("DELETE", f"secret/data/{name}").status == 204
    with pytest.raises(SecretStoreError) as caught:
        read_vault_field(session, f"secret/{name}", "password")
    problem = refused(caught)
    assert problem.code == "vault.reference"
    assert "was deleted" in problem.summary


@pytest.mark.parametrize("path", ["cubbyhole/x", "sys/mounts", "nowhere/x", "secret", "secret/"])
def test_what_is_no_value_of_a_key_value_engine_is_refused(
    session: VaultSession, path: str
) -> None:
    with pytest.raises(SecretStoreError) as caught:
        read_vault_field(session, path, "password")
    problem = refused(caught)
    assert problem.code in ("vault.reference", "vault.no_mount")
    assert path.strip("/").partition("/")[0] in problem.summary


def test_an_engine_whose_reading_makes_something_is_not_read(vault_authority: object) -> None:
    reads: list[str] = []

    def serve(asked: Asked) -> Reply:
        reads.append(asked.path)
        if "ui/mounts" in asked.path:
            return Reply(200, {"data": {"type": "database", "path": "database/", "options": None}})
        return Reply(200, {"data": {"password": VALUE, "ttl": 0}})

    with scripted_server(vault_authority, serve) as made:  # type: ignore[arg-type]
        session = made.open(TokenLogin(Secret("hvs.TokenOfATestOfReferences")))
        with pytest.raises(SecretStoreError) as caught:
            read_vault_field(session, "database/creds/readonly", "password")
        session.close()
    problem = refused(caught)
    assert problem.code == "vault.reference"
    assert "type database" in problem.summary
    assert "/v1/database/creds/readonly" not in reads


@pytest.fixture(scope="module")
def vault_authority(tmp_path_factory: pytest.TempPathFactory) -> object:
    return make_authority(tmp_path_factory.mktemp("authority"))


# what a token may not read


def limited(server: VaultServer, policy: str) -> VaultSession:
    token = make_token(server, f"ref-{uuid.uuid4().hex[:8]}", policy)
    return open_session(server, TokenLogin(token))


@pytest.mark.parametrize(
    ("mount", "inside"), [("old", "old/"), ("secret", "secret/data/"), ("team/kv", "team/kv/data/")]
)
def test_f_055_the_path_that_is_to_be_granted_is_named(
    server: VaultServer, name: str, mount: str, inside: str
) -> None:
    put(server, mount, name, {"password": VALUE})
    session = limited(server, grant(f"{inside}something-else", "read"))
    with pytest.raises(SecretStoreError) as caught:
        read_vault_field(session, f"{mount}/{name}", "password")
    session.close()
    problem = refused(caught)
    assert problem.code == "vault.permission"
    assert problem.detail == f'path "{inside}{name}" {{\n  capabilities = ["read"]\n}}'
    session = limited(server, f"{problem.detail}\n")
    assert read_vault_field(session, f"{mount}/{name}", "password") == Secret(VALUE)
    session.close()


@pytest.mark.parametrize("mount", ["old", "secret"])
def test_f_055_who_may_do_nothing_at_a_mount_is_given_both_paths(
    server: VaultServer, name: str, mount: str
) -> None:
    put(server, mount, name, {"password": VALUE})
    session = limited(server, grant("elsewhere/x", "read"))
    with pytest.raises(SecretStoreError) as caught:
        read_vault_field(session, f"{mount}/{name}", "password")
    session.close()
    problem = refused(caught)
    assert problem.code == "vault.permission"
    detail = str(problem.detail)
    assert f'path "{mount}/{name}"' in detail
    assert f'path "{mount}/data/{name}"' in detail
    session = limited(server, f"{detail}\n")
    assert read_vault_field(session, f"{mount}/{name}", "password") == Secret(VALUE)
    session.close()


# AWS


@pytest.fixture
def aws(aws_kit: AwsKit) -> Iterator[AwsStore]:
    store = open_aws_store(
        region=REGION, prefix=aws_kit.prefix, deployment="devplat", endpoint_url=aws_kit.endpoint
    )
    yield store
    store.close()


@pytest.fixture
def client(aws_kit: AwsKit) -> Iterator[object]:
    made = boto3.client("secretsmanager", region_name=REGION, endpoint_url=aws_kit.endpoint)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        (VALUE, "", VALUE),
        (json.dumps({"password": VALUE}), "password", VALUE),
        (json.dumps({"password": VALUE}), "", json.dumps({"password": VALUE})),
    ],
    ids=["a text", "a field", "all of a document"],
)
def test_a_secret_of_aws_is_read_whole_or_by_a_field(
    aws: AwsStore, client: object, name: str, text: str, field: str, value: str
) -> None:
    made = client.create_secret(Name=f"team/{name}", SecretString=text)  # type: ignore[attr-defined]
    for reference in (f"team/{name}", made["ARN"]):
        assert read_aws_secret(aws, reference, field) == Secret(value)


@pytest.mark.parametrize(
    ("content", "field", "words"),
    [
        (None, "", "there is no such secret"),
        (None, "password", "there is no such secret"),
        ({"SecretBinary": b"\x00\x01"}, "", "with a text"),
        ({"SecretString": VALUE}, "password", "is no JSON"),
        ({"SecretString": json.dumps({"user": VALUE})}, "password", "no text called password"),
        ({"SecretString": json.dumps({"password": 5})}, "password", "no text called password"),
        ({"SecretString": json.dumps([VALUE])}, "password", "no text called password"),
        ({"SecretString": json.dumps(VALUE)}, "password", "no text called password"),
    ],
)
def test_what_is_not_there_in_aws_is_told_without_what_is(
    aws: AwsStore,
    client: object,
    name: str,
    content: dict[str, object] | None,
    field: str,
    words: str,
) -> None:
    if content is not None:
        client.create_secret(Name=f"team/{name}", **content)  # type: ignore[attr-defined]
    with pytest.raises(SecretStoreError) as caught:
        read_aws_secret(aws, f"team/{name}", field)
    problem = refused(caught)
    assert problem.code == "vault.reference"
    reference = f"aws:team/{name}#{field}" if field else f"aws:team/{name}"
    assert problem.summary.startswith(f"{reference}: ")
    assert words in problem.summary


def test_a_secret_of_aws_whose_deletion_is_scheduled_can_be_restored(
    aws: AwsStore, client: object, name: str
) -> None:
    full = f"team/{name}"
    client.create_secret(Name=full, SecretString=VALUE)  # type: ignore[attr-defined]
    client.delete_secret(SecretId=full, RecoveryWindowInDays=7)  # type: ignore[attr-defined]
    with pytest.raises(SecretStoreError) as caught:
        read_aws_secret(aws, full, "")
    problem = refused(caught)
    assert problem.code == "vault.deleted"
    assert problem.remedy.commands[0].endswith(f"--secret-id {full}")
