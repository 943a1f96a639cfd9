"""`vault.mode: aws-secrets-manager` at the command line, on moto's server and on refusals of AWS
that moto does not know.

Covers F-055, F-056 and F-057 as far as they are the same there, and SE-24; nobody is contacted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest

from tests.cli.stores import REACHED, Operator, make_operator, watched_target
from tests.contract.vault.authority import Authority, make_authority
from tests.contract.vault.servers import free_port
from tests.contract.vault.store_lab import Asked, Reply, scripted_server
from tests.secrets.store_kits import AWS_ENVIRONMENT, REGION, moto_server

pytestmark = pytest.mark.slow
HURRY = """
import socket, time
time.sleep = lambda seconds: None  # between the attempts of the library
find = socket.getaddrinfo
def look_up(host, *more, **named):
    if str(host).endswith("amazonaws.com"):
        raise socket.gaierror(socket.EAI_NONAME, "no name of AWS resolves in a test")
    return find(host, *more, **named)
socket.getaddrinfo = look_up
"""
MISSING = "raise ImportError('not installed, says a test')\n"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as found:
        yield found


@pytest.fixture
def operator(tmp_path: Path, endpoint: str) -> Iterator[Operator]:
    """An operator with an account, and whose library does not wait between attempts."""
    vault = {"mode": "aws-secrets-manager", "region": REGION, "endpoint_url": endpoint}
    with watched_target() as target:
        made = make_operator(tmp_path, target, vault)
        made.environment |= AWS_ENVIRONMENT
        made.secrets["key of the account"] = AWS_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"]
        put_module(made, "sitecustomize", HURRY)
        yield made


def put_module(operator: Operator, name: str, text: str) -> None:
    folder = operator.folder / "modules"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    operator.environment["PYTHONPATH"] = str(folder)


@dataclass(frozen=True)
class Case:
    """What is wrong, and what of it has to be said: in the first line, and in the remedy."""

    arrange: Callable[[Operator], object]
    code: str
    first: tuple[str, ...] = ()
    remedy: tuple[str, ...] = ()
    status: int = 12


def answer(name: str, value: object) -> Callable[[Operator], None]:
    def arrange(operator: Operator) -> None:
        vault = operator.answers["vault"]
        vault.pop(name) if value is None else vault.update({name: value})

    return arrange


def forget(*names: str) -> Callable[[Operator], None]:
    def arrange(operator: Operator) -> None:
        for name in names:
            del operator.environment[name]

    return arrange


def nobody_listens(operator: Operator) -> None:
    operator.answers["vault"]["endpoint_url"] = f"http://127.0.0.1:{free_port()}"


def region_of_nowhere(operator: Operator) -> None:
    operator.answers["vault"].pop("endpoint_url")
    operator.answers["vault"]["region"] = "eu-nowhere-9"


CASES = {
    "no library": Case(
        lambda operator: put_module(operator, "boto3", MISSING), "vault.no_library",
        ("boto3", "not installed"), ("$ pip install 'devplat-install[aws]'",),
    ),
    "nobody listens": Case(
        nobody_listens, "vault.unreachable", ("cannot be reached at http://127.0.0.1", REGION),
        ("vault.region", "vault.endpoint_url"),
    ),
    "a region that AWS does not have": Case(
        region_of_nowhere, "vault.unreachable", ("region eu-nowhere-9",), ("vault.region",)
    ),
    "a region that is none": Case(
        answer("region", "Frankfurt"), "vault.region_form", ("Frankfurt",), ("eu-central-1",), 3
    ),
    "no region": Case(answer("region", None), "answers.missing", (), (), 3),
    "an endpoint in clear": Case(
        answer("endpoint_url", "http://10.0.0.5:5000"), "vault.endpoint.plain",
        ("http://10.0.0.5:5000",), ("https",), 3,
    ),
    "no credentials": Case(
        forget("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "vault.credentials",
        ("no usable AWS credentials",), ("vault.profile", "$ aws sts get-caller-identity"),
    ),
    "half of the credentials": Case(
        forget("AWS_SECRET_ACCESS_KEY"), "vault.credentials", ("no usable AWS credentials",),
        ("vault.profile",),
    ),
    "a profile that does not exist": Case(
        answer("profile", "nobody"), "vault.credentials", ("no AWS profile nobody",),
        ("vault.profile", "$ aws configure list-profiles"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_wrong_is_said_with_a_remedy_and_nobody_was_contacted(
    operator: Operator, case: Case
) -> None:
    case.arrange(operator)
    said = operator.run()
    operator.check_refused(said, case.status, case.code)
    for words in case.first:
        assert words in said.first
    for words in case.remedy:
        assert words in said.remedy


REFUSALS: dict[str, tuple[str, str, str, tuple[str, ...], tuple[str, ...]]] = {
    "F-055 may not list": (
        "ListSecrets", "AccessDeniedException", "vault.permission",
        ("the capability secretsmanager:ListSecrets",), ("path", "capability"),
    ),
    "F-055 may not read": (
        "GetSecretValue", "AccessDeniedException", "vault.permission",
        ("the capability secretsmanager:GetSecretValue",), ("path", "capability"),
    ),
    "F-056 an expired session": (
        "ListSecrets", "ExpiredTokenException", "vault.token_expired", ("has expired",),
        ("log in again",),
    ),
    "unknown credentials": (
        "ListSecrets", "UnrecognizedClientException", "vault.token_refused",
        ("refuses the credentials",), ("profile", "region", "$ aws sts get-caller-identity"),
    ),
    "credentials for another region": (
        "ListSecrets", "InvalidSignatureException", "vault.token_refused",
        ("refuses the credentials",), ("region", "clock"),
    ),
    "a rate limit": (
        "ListSecrets", "ThrottlingException", "vault.rate_limited", ("limits the rate",),
        ("run again later",),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@contextmanager
def refusing(authority: Authority, operation: str, code: str) -> Iterator[Any]:
    """An account that lets everything be done but one thing, and talks too much."""

    def serve(asked: Asked) -> Reply:
        if asked.headers["x-amz-target"] == f"secretsmanager.{operation}":
            said = f"no: {asked.body.decode()} {AWS_ENVIRONMENT['AWS_SECRET_ACCESS_KEY']}"
            return Reply(400, {"__type": code, "message": said})
        if asked.headers["x-amz-target"] == "secretsmanager.ListSecrets":
            return Reply(200, {"SecretList": []})
        return Reply(400, {"__type": "ResourceNotFoundException", "message": "none"})

    with scripted_server(authority, serve) as server:
        yield server


@pytest.mark.parametrize(
    ("operation", "refusal", "code", "first", "remedy"), REFUSALS.values(), ids=REFUSALS.keys()
)
def test_what_aws_refuses_is_told_by_its_kind(
    operator: Operator,
    authority: Authority,
    operation: str,
    refusal: str,
    code: str,
    first: tuple[str, ...],
    remedy: tuple[str, ...],
) -> None:
    operator.environment["AWS_CA_BUNDLE"] = str(authority.root)
    with refusing(authority, operation, refusal) as server:
        operator.answers["vault"]["endpoint_url"] = server.address
        said = operator.run()
    operator.check_refused(said, 12, code)
    assert all(words in said.first for words in first)
    assert all(words in said.remedy for words in remedy)


def test_f_057_an_endpoint_of_an_unknown_ca_is_not_trusted(
    operator: Operator, authority: Authority
) -> None:
    with refusing(authority, "none", "none") as server:
        operator.answers["vault"]["endpoint_url"] = server.address
        said = operator.run()
    operator.check_refused(said, 12, "vault.ca")
    assert "is not trusted" in said.first
    assert "CA" in said.remedy and "AWS_CA_BUNDLE" in said.remedy
    assert server.asked == []


@contextmanager
def strict(endpoint: str) -> Iterator[None]:
    """Moto asks who somebody is, from now on."""

    def say(count: str) -> None:
        plain = {"Content-Type": "text/plain"}
        asked = Request(f"{endpoint}/moto-api/reset-auth", count.encode(), plain)
        with urlopen(asked) as answer:
            assert answer.status == 200

    say("0")
    try:
        yield
    finally:
        say("inf")


def test_credentials_that_nobody_gave_out_are_refused(operator: Operator, endpoint: str) -> None:
    with strict(endpoint):
        said = operator.run()
    operator.check_refused(said, 12, "vault.token_refused")
    assert "refuses the credentials" in said.first


def test_a_store_in_order_is_asked_before_the_target_and_nothing_is_written(
    operator: Operator, endpoint: str
) -> None:
    operator.environment |= dict.fromkeys(
        ("HTTP_PROXY", "http_proxy"), f"http://127.0.0.1:{free_port()}"
    )
    said = operator.run()
    assert said.code == REACHED, said.err
    assert operator.target.was_contacted
    operator.check_untold(said)
    client = boto3.client(
        "secretsmanager", region_name=REGION, endpoint_url=endpoint,
        aws_access_key_id="a", aws_secret_access_key="b",
    )  # fmt: skip
    names = [each["Name"] for each in client.list_secrets()["SecretList"]]
    client.close()
    assert not [name for name in names if name.startswith("devplat/")]


# references


def create(endpoint: str, name: str, text: str) -> None:
    client = boto3.client(
        "secretsmanager", region_name=REGION, endpoint_url=endpoint,
        aws_access_key_id="a", aws_secret_access_key="b",
    )  # fmt: skip
    client.create_secret(Name=name, SecretString=text)
    client.close()


def test_a_reference_to_aws_is_read_and_its_grant_is_printed(
    operator: Operator, endpoint: str
) -> None:
    create(endpoint, "team/bastion", json.dumps({"sudo": "Canary of AWS 123 !"}))
    operator.secrets["reference"] = "Canary of AWS 123 !"
    operator.answers["ssh"]["become_password"] = "aws:team/bastion#sudo"
    said = operator.run()
    assert said.code == REACHED, said.err
    operator.check_untold(said)
    said = operator.run("answers", "show", "--vault-policy")
    statements = {each["Sid"]: each for each in json.loads(said.out)["Statement"]}
    assert statements["References"] == {
        "Sid": "References",
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": [f"arn:aws:secretsmanager:{REGION}:*:secret:team/bastion-??????"],
    }


@pytest.mark.parametrize(
    ("reference", "code", "words"),
    [
        ("aws:team/nothing#sudo", "vault.reference", "aws:team/nothing#sudo: there is no such"),
        ("vault:team/bastion#sudo", "secret.vault_unavailable", "vault.mode: external"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told_with_its_answer(
    operator: Operator, reference: str, code: str, words: str
) -> None:
    operator.answers["ssh"]["become_password"] = reference
    said = operator.run()
    operator.check_refused(said, 12, code)
    assert "ssh.become_password" in said.first
    assert words in said.first
