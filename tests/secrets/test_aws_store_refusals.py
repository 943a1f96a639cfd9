"""What AWS refuses, which moto does not: each refusal with its code and its remedy.

Covers F-055, F-056 and F-057 as far as they are the same there, and SE-24.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from installer.adapters.aws_store import AwsStore, open_aws_store
from installer.core.errors import IntegrityError, SecretStoreError
from installer.core.secrets import SecretKind, SecretSpec
from tests.contract.vault.authority import Authority, make_authority
from tests.contract.vault.servers import free_port
from tests.contract.vault.store_lab import Asked, Reply, ScriptedServer, scripted_server
from tests.secrets.aws_lab import never, problem_of
from tests.secrets.store_kits import AWS_ENVIRONMENT, REGION
from tests.secrets.stores import VALUE, spec


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> list[float]:
    """Credentials, the authority of the test, and no waiting between attempts."""
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.root))
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


def refusing(code: str, status: int = 400) -> Callable[[Asked], Reply]:
    def refuse(asked: Asked) -> Reply:
        said = f"not for you: {asked.body.decode()} {AWS_ENVIRONMENT['AWS_SECRET_ACCESS_KEY']}"
        return Reply(status, {"__type": code, "message": said, "Message": said})

    return refuse


def open_at(server: ScriptedServer) -> AwsStore:
    return open_aws_store(
        region=REGION, prefix="devplat/x", deployment="devplat", endpoint_url=server.address
    )


@pytest.mark.parametrize(
    ("use", "action"),
    [
        (lambda store: store.get("a"), "GetSecretValue"),
        (lambda store: store.names(), "ListSecrets"),
        (lambda store: store.remove("a"), "DeleteSecret"),
        (lambda store: store.ensure(spec("a"), never), "GetSecretValue"),
    ],
    ids=["get", "names", "remove", "ensure"],
)
def test_f_055_a_denied_action_is_named_with_its_resource_and_a_statement(
    account: list[float], authority: Authority, use: Callable[[AwsStore], object], action: str
) -> None:
    with (
        scripted_server(authority, refusing("AccessDeniedException")) as server,
        pytest.raises(SecretStoreError) as caught,
    ):
        use(open_at(server))
    problem = problem_of(caught)
    assert problem.code == "vault.permission"
    assert f"secretsmanager:{action}" in problem.summary
    assert "path" in problem.remedy.summary
    assert "capability" in problem.remedy.summary
    statement = json.loads(str(problem.detail))
    assert statement["Action"] == f"secretsmanager:{action}"
    listing = action == "ListSecrets"
    assert statement["Resource"] == (
        "*" if listing else f"arn:aws:secretsmanager:{REGION}:*:secret:devplat/x/a-*"
    )


@pytest.mark.parametrize(
    ("code", "ours", "words"),
    [
        ("ExpiredTokenException", "vault.token_expired", "log in again"),
        ("UnrecognizedClientException", "vault.token_refused", "clock"),
        ("InvalidSignatureException", "vault.token_refused", "clock"),
        ("DecryptionFailure", "vault.permission", "kms:Decrypt"),
        ("EncryptionFailure", "vault.permission", "kms:"),
        ("InvalidParameterException", "vault.unexpected", "API reference"),
        ("SomethingNewException", "vault.unexpected", "API reference"),
    ],
)
def test_refusals_are_told_apart_by_their_code(
    account: list[float], authority: Authority, code: str, ours: str, words: str
) -> None:
    with (
        scripted_server(authority, refusing(code)) as server,
        pytest.raises(SecretStoreError) as caught,
    ):
        open_at(server).ensure(SecretSpec("a", SecretKind.TOKEN, "p"), lambda: VALUE)
    problem = problem_of(caught)
    assert problem.code == ours
    assert words in problem.remedy.summary


def test_throttling_is_waited_for_within_bounds(account: list[float], authority: Authority) -> None:
    with (
        scripted_server(authority, refusing("ThrottlingException")) as server,
        pytest.raises(SecretStoreError) as caught,
    ):
        open_at(server).get("a")
    assert problem_of(caught).code == "vault.rate_limited"
    assert len(server.asked) == 5
    assert sum(account) < 60


@pytest.mark.parametrize(
    "reply", [Reply(200, b"<html>"), Reply(404, b"<html>"), Reply(302, b"")],
    ids=["page", "no page", "redirect"],
)  # fmt: skip
def test_another_web_server_at_the_endpoint_is_never_taken_for_the_service(
    account: list[float], authority: Authority, reply: Reply
) -> None:
    with (
        scripted_server(authority, lambda _: reply) as server,
        pytest.raises((SecretStoreError, IntegrityError)) as caught,
    ):
        open_at(server).ensure(spec(), never)
    assert caught.value.problems[0].code in ("vault.unexpected", "vault.form")


def test_f_057_a_certificate_of_an_unknown_authority_is_refused(
    account: list[float], authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(make_authority(tmp_path).root))
    with (
        scripted_server(authority, refusing("x")) as server,
        pytest.raises(SecretStoreError) as caught,
    ):
        open_at(server).get("a")
    problem = problem_of(caught)
    assert problem.code == "vault.ca"
    assert "CA" in problem.remedy.summary
    assert server.asked == []


def test_an_endpoint_where_nothing_listens_is_named_with_its_region(account: list[float]) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    store = open_aws_store(region=REGION, prefix="p", deployment="d", endpoint_url=endpoint)
    with pytest.raises(SecretStoreError) as caught:
        store.get("a")
    problem = problem_of(caught)
    assert problem.code == "vault.unreachable"
    assert endpoint in problem.summary
    assert REGION in problem.summary
    assert "vault.region" in problem.remedy.summary


@pytest.mark.parametrize("region", ["eu west 1", "eu-central-1/x", "-", "x" * 80])
def test_a_region_that_cannot_be_one_is_said_at_once(account: list[float], region: str) -> None:
    with pytest.raises(SecretStoreError) as caught:
        open_aws_store(region=region, prefix="p", deployment="d")
    problem = problem_of(caught)
    assert problem.code == "vault.region"
    assert problem.where == "vault.region"


def test_a_profile_that_does_not_exist_is_named(account: list[float]) -> None:
    with pytest.raises(SecretStoreError) as caught:
        open_aws_store(region=REGION, prefix="p", deployment="d", profile="no-such-profile")
    problem = problem_of(caught)
    assert problem.code == "vault.credentials"
    assert "no-such-profile" in problem.summary


def test_missing_credentials_are_told_from_refused_ones(
    account: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    store = open_aws_store(
        region=REGION, prefix="p", deployment="d", endpoint_url=f"http://127.0.0.1:{free_port()}"
    )
    with pytest.raises(SecretStoreError) as caught:
        store.get("a")
    problem = problem_of(caught)
    assert problem.code == "vault.credentials"
    assert "vault.profile" in problem.remedy.summary


def test_half_of_a_pair_of_keys_is_no_credential(
    account: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SecretStoreError) as caught:
        open_aws_store(region=REGION, prefix="p", deployment="d").get("a")
    assert problem_of(caught).code == "vault.credentials"
