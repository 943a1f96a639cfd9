"""The store in AWS Secrets Manager, as moto serves it: versions, races, deleted secrets.

Covers SE-15, SE-20 and SE-24 where only this store can break them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from installer.adapters.aws_store import LARGEST, AwsStore
from installer.core.errors import IntegrityError, SecretStoreError
from installer.core.secrets import Secret
from tests.secrets.aws_lab import NEW, never, problem_of, wrapped
from tests.secrets.store_kits import REGION, AwsKit
from tests.secrets.stores import ROOT, VALUE, spec


@pytest.fixture
def client(aws_kit: AwsKit) -> Iterator[Any]:
    made = boto3.client("secretsmanager", region_name=REGION, endpoint_url=aws_kit.endpoint)
    yield made
    made.close()


@pytest.fixture
def store(aws_kit: AwsKit) -> AwsStore:
    return aws_kit.open()  # type: ignore[return-value]


def test_what_lies_there_is_value_kind_purpose_and_version(
    aws_kit: AwsKit, store: AwsStore, client: Any
) -> None:
    store.ensure(spec(), lambda: VALUE)
    store.replace(spec(), NEW)
    name = f"{aws_kit.prefix}/db-password"
    described = client.describe_secret(SecretId=name)
    assert {"Key": "deployment", "Value": "devplat"} in described["Tags"]
    assert described["Description"] == "logs in to the database"
    for stage, value, version in (("AWSCURRENT", NEW, 2), ("AWSPREVIOUS", VALUE, 1)):
        found = client.get_secret_value(SecretId=name, VersionStage=stage)
        assert json.loads(found["SecretString"]) == {
            "value": value.reveal(),
            "kind": "password",
            "purpose": "logs in to the database",
            "version": version,
        }


def test_the_key_of_the_answers_encrypts_every_secret(aws_kit: AwsKit, client: Any) -> None:
    store = AwsStore(client, prefix=aws_kit.prefix, deployment="d", kms_key_id="alias/devplat")
    store.ensure(spec(), lambda: VALUE)
    found = client.describe_secret(SecretId=f"{aws_kit.prefix}/db-password")
    assert found["KmsKeyId"] == "alias/devplat"


def test_secrets_beside_and_below_the_prefix_are_not_its_names(
    aws_kit: AwsKit, store: AwsStore, client: Any
) -> None:
    store.ensure(spec("mine"), lambda: VALUE)
    for other in ("x/not-mine", "/below/not-mine", "-not-mine"):
        client.create_secret(Name=f"{aws_kit.prefix}{other}", SecretString="x")
    assert store.names() == {"mine"}


def test_a_secret_scheduled_for_deletion_is_neither_absent_nor_replaced(
    aws_kit: AwsKit, store: AwsStore, client: Any
) -> None:
    store.ensure(spec(), lambda: VALUE)
    name = f"{aws_kit.prefix}/db-password"
    client.delete_secret(SecretId=name, RecoveryWindowInDays=7)
    for use in (
        lambda: store.get("db-password"),
        lambda: store.ensure(spec(), never),
        lambda: store.replace(spec(), NEW),
    ):
        with pytest.raises(SecretStoreError) as caught:
            use()
        problem = problem_of(caught)
        assert problem.code == "vault.deleted"
        assert name in problem.summary
        command = f"aws secretsmanager restore-secret --region {REGION} --secret-id {name}"
        assert problem.remedy.commands == (command,)
    assert store.names() == frozenset()
    client.restore_secret(SecretId=name)
    assert store.ensure(spec(), never) == VALUE
    assert store.version("db-password") == 1


def test_a_secret_that_is_scheduled_while_it_is_made_is_told_apart(
    aws_kit: AwsKit, store: AwsStore, client: Any
) -> None:
    store.ensure(spec(), lambda: VALUE)

    def missing(**_: Any) -> Any:
        raise client.exceptions.ResourceNotFoundException({}, "GetSecretValue")

    def create(**_: Any) -> Any:
        raise client.exceptions.InvalidRequestException({}, "CreateSecret")

    client.delete_secret(SecretId=f"{aws_kit.prefix}/db-password", RecoveryWindowInDays=7)
    late = wrapped(client, aws_kit.prefix, get_secret_value=missing, create_secret=create)
    with pytest.raises(SecretStoreError) as caught:
        late.ensure(spec(), lambda: NEW)
    assert problem_of(caught).code == "vault.deleted"


@pytest.mark.parametrize(
    "content",
    [
        {"SecretString": "plain"},
        {"SecretString": "[1]"},
        {"SecretString": '{"user": "x"}'},
        {"SecretBinary": b"\1"},
    ],
)
def test_data_of_somebody_else_is_neither_used_nor_overwritten(
    aws_kit: AwsKit, store: AwsStore, client: Any, content: dict[str, Any]
) -> None:
    name = f"{aws_kit.prefix}/db-password"
    client.create_secret(Name=name, **content)
    for use in (lambda: store.ensure(spec(), never), lambda: store.replace(spec(), NEW)):
        with pytest.raises(IntegrityError) as caught:
            use()
        assert caught.value.problems[0].code == "vault.form"
    found = client.get_secret_value(SecretId=name)
    assert found.get("SecretString") == content.get("SecretString")


def test_a_request_that_arrives_twice_makes_one_version(
    aws_kit: AwsKit, store: AwsStore, client: Any
) -> None:
    def twice(call: Callable[..., Any]) -> Callable[..., Any]:
        def again(**named: Any) -> Any:
            call(**named)
            return call(**named)

        return again

    doubled = wrapped(
        client,
        aws_kit.prefix,
        create_secret=twice(client.create_secret),
        put_secret_value=twice(client.put_secret_value),
    )
    assert doubled.ensure(spec(), lambda: VALUE) == VALUE
    assert doubled.replace(spec(), NEW) == NEW
    assert (store.version("db-password"), store.previous("db-password")) == (2, VALUE)


def test_of_two_that_replace_at_once_one_is_refused(
    aws_kit: AwsKit, store: AwsStore, client: Any
) -> None:
    store.ensure(spec(), lambda: VALUE)
    faster = Secret("of somebody who was faster")

    def put(**named: Any) -> Any:
        store.replace(spec(), faster)
        return client.put_secret_value(**named)

    with pytest.raises(SecretStoreError) as caught:
        wrapped(client, aws_kit.prefix, put_secret_value=put).replace(spec(), NEW)
    assert problem_of(caught).code == "vault.cas"
    assert store.get("db-password") == faster
    assert store.version("db-password") == 2


def test_the_service_is_waited_for_until_it_agrees_with_itself(
    aws_kit: AwsKit, store: AwsStore, client: Any
) -> None:
    late = iter([True, True, True])  # the first look, and two after the write

    def get(**named: Any) -> Any:
        if next(late, False):
            raise client.exceptions.ResourceNotFoundException({}, "GetSecretValue")
        return client.get_secret_value(**named)

    slept: list[float] = []
    assert (
        wrapped(client, aws_kit.prefix, slept, get_secret_value=get).ensure(spec(), lambda: VALUE)
        == VALUE
    )
    assert slept == [0.5, 0.5]


def test_the_winner_of_a_race_is_waited_for_until_it_can_be_read(
    aws_kit: AwsKit, store: AwsStore, client: Any
) -> None:
    store.ensure(spec(), lambda: NEW)
    late = iter([True, True])

    def get(**named: Any) -> Any:
        if next(late, False):
            raise client.exceptions.ResourceNotFoundException({}, "GetSecretValue")
        return client.get_secret_value(**named)

    assert (
        wrapped(client, aws_kit.prefix, get_secret_value=get).ensure(spec(), lambda: VALUE) == NEW
    )


def test_a_value_that_comes_back_changed_is_damage(aws_kit: AwsKit, client: Any) -> None:
    first = iter([True])

    def get(**_: Any) -> Any:
        if next(first, False):
            raise client.exceptions.ResourceNotFoundException({}, "GetSecretValue")
        return {"SecretString": '{"value": "other", "version": 1}'}

    with pytest.raises(IntegrityError) as caught:
        wrapped(client, aws_kit.prefix, get_secret_value=get).ensure(spec(), lambda: VALUE)
    assert caught.value.problems[0].code == "vault.read_back"
    assert VALUE.reveal() not in str(caught.value)


def test_a_removal_ends_when_the_name_is_free(
    aws_kit: AwsKit, store: AwsStore, client: Any
) -> None:
    store.ensure(spec(), lambda: VALUE)
    still = iter([True, True, False])

    def describe(**_: Any) -> Any:
        if next(still):
            return {"Name": "x"}
        raise client.exceptions.ResourceNotFoundException({}, "DescribeSecret")

    slept: list[float] = []
    wrapped(client, aws_kit.prefix, slept, describe_secret=describe).remove("db-password")
    assert slept == [0.5, 0.5]
    assert store.names() == frozenset()


def test_a_value_that_is_too_long_is_refused_before_it_is_sent(store: AwsStore) -> None:
    with pytest.raises(SecretStoreError) as caught:
        store.ensure(spec(), lambda: Secret("é" * (LARGEST // 2)))
    problem = problem_of(caught)
    assert problem.code == "vault.value"
    assert str(LARGEST) in problem.summary
    assert store.names() == frozenset()


def test_without_the_library_the_way_to_it_is_said() -> None:
    code = """
import sys
sys.modules["boto3"] = None
from installer.core.errors import SecretStoreError
try:
    import installer.adapters.aws_store
except SecretStoreError as error:
    problem = error.problems[0]
    print(problem.code, "|", *problem.remedy.commands)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "vault.no_library | pip install 'devplat-install[aws]'"


def test_help_imports_neither_library() -> None:
    code = """
import runpy, sys
sys.argv = ["devplat-install", "--help"]
try:
    runpy.run_module("installer", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print("imported:", sorted({"hvac", "boto3", "botocore", "requests"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip().endswith("imported: []"), done.stdout[-300:]


def test_an_unused_prefix_is_empty(aws_kit: AwsKit, client: Any) -> None:
    other = AwsStore(client, prefix=f"/devplat/{uuid.uuid4().hex}/", deployment="d")
    assert other.names() == frozenset()
    other.ensure(spec(), lambda: VALUE)
    assert other.names() == {"db-password"}


@pytest.mark.parametrize(
    ("missing", "write"), [("CreateSecret", "ensure"), ("PutSecretValue", "replace")]
)
def test_f_055_what_was_written_before_a_denial_stays(
    aws_kit: AwsKit, store: AwsStore, client: Any, missing: str, write: str
) -> None:
    store.ensure(spec("first"), lambda: VALUE)

    def deny(**_: Any) -> Any:
        error = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
        raise client.exceptions.ClientError(error, missing)

    narrow = wrapped(client, aws_kit.prefix, create_secret=deny, put_secret_value=deny)
    with pytest.raises(SecretStoreError) as caught:
        if write == "ensure":
            narrow.ensure(spec("second"), lambda: NEW)
        else:
            narrow.replace(spec("first"), NEW)
    assert f"secretsmanager:{missing}" in problem_of(caught).summary
    assert store.ensure(spec("first"), never) == VALUE
    assert store.version("first") == 1
