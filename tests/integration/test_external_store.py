"""Secrets in a store of somebody else, on a real engine; in the order written.

A server on loopback of this machine, which is the bastion; then moto's server with the same
secrets. Covers SE-01, SE-02, SE-04, SE-15, SE-22 for `vault.mode` external and aws-secrets-manager.
"""

import json
import re
import uuid

import pytest

from installer.adapters.aws_store import open_aws_store
from installer.adapters.vault_session import TokenLogin, VaultSession
from installer.adapters.vault_store import VaultStore
from installer.adapters.vault_transport import Address
from installer.core.redaction import find_secrets
from installer.core.secrets import Secret, SecretKind, SecretSpec
from tests.cli.stores import allow_all, tokens_of
from tests.contract.vault.authority import make_authority
from tests.contract.vault.servers import VaultServer, real_program, stand_in
from tests.contract.vault.store_lab import ensure_mount
from tests.integration.operator import CORE_ONLY, make_operator
from tests.secrets.store_kits import AWS_ENVIRONMENT, REGION, moto_server

pytestmark = pytest.mark.engine
PREFIX = "devplat/trial"
WORD = re.compile(r"[A-Za-z0-9_.~-]{16,}")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Open, with a KV engine and a machine's login that may what the product asks for."""
    folder = tmp_path_factory.mktemp("vault")
    made = VaultServer(real_program() or stand_in(), folder, make_authority(folder)).start()
    try:
        made.initialise()
        ensure_mount(made)
        assert made.ask("POST", "sys/auth/approle", {"type": "approle"}).status == 204
        policy = {"policy": allow_all(PREFIX)}
        assert made.ask("PUT", "sys/policies/acl/bastion", policy).status == 204
        role = {"token_policies": ["bastion"], "token_ttl": "20s", "token_max_ttl": "30s"}
        assert made.ask("POST", "auth/approle/role/bastion", role).status == 204
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def operator(tmp_path_factory, module_host, testbed, server):
    role = "auth/approle/role/bastion"
    secret_id = server.ask("POST", f"{role}/secret-id", {}).data["secret_id"]
    vault = {
        "mode": "external",
        "addr": server.address,
        "ca_file": str(server.ca_file),
        "role_id": server.ask("GET", f"{role}/role-id").data["role_id"],
        "secret_id": "env:BASTION_SECRET_ID",
    }
    made = make_operator(
        tmp_path_factory.mktemp("operator"),
        module_host,
        testbed.lock_file,
        vault=vault,
        **CORE_ONLY,
    )
    made.environment["BASTION_SECRET_ID"] = secret_id
    return made


@pytest.fixture(scope="module")
def installed(operator, server):
    before = tokens_of(server)
    done = operator.install("--log-format", "json", "--verbose")
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    assert tokens_of(server) == before  # SE-22
    return done


@pytest.fixture(scope="module")
def store(server):
    session = VaultSession(
        Address(server.address, server.ca_file), TokenLogin(Secret(server.token))
    )
    yield VaultStore(session, mount="secret", prefix=PREFIX)
    session.close()


def values_of(store):
    return {name: store.get(name).reveal() for name in sorted(store.names())}


def test_every_secret_is_in_the_server_in_its_first_version(installed, store):
    """SE-15."""
    names = store.names()
    assert {"coder-database-password", "postgres-superuser-password", "gitea-secret-key"} <= names
    assert [name for name in names if name.startswith("tls-authority")]
    assert {store.version(name) for name in names} == {1}


def test_nothing_of_them_is_on_the_bastion_or_where_others_see_it(
    installed, operator, store, module_host
):
    """SE-01, SE-02, SE-04: run directory, what was said, bundle, environments of containers."""
    texts = "\n".join(values_of(store).values())
    canaries = {word[:6]: Secret(word) for word in WORD.findall(texts)}
    canaries["secret id"] = Secret(operator.environment["BASTION_SECRET_ID"])
    assert len(canaries) > 10
    files = [path for path in operator.folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"events.jsonl", "report.json", "answers.yaml"}
    assert not [path for path in files if "store" in path.name]
    places = {str(path): path.read_bytes() for path in files}
    places["said"] = (installed.stdout + installed.stderr).encode()
    ids = module_host.ssh("docker ps -aq").split()
    places["inspect"] = module_host.ssh(f"docker inspect {' '.join(ids)}").encode()
    found = "sudo sh -c 'find /opt/devplat/releases /opt/devplat/state -type f -exec cat {} +'"
    places["releases"] = module_host.ssh(found).encode()
    for place, data in places.items():
        assert [str(hit) for hit in find_secrets(data, canaries)] == [], place
    one = next(iter(canaries.values()))
    assert find_secrets(f"x {one.reveal()}".encode(), canaries)  # it would be seen


def test_a_second_run_changes_nothing(installed, operator, store, server):
    before = values_of(store)
    tokens = tokens_of(server)
    done = operator.install()
    assert done.returncode == 0, done.stderr[-2000:]
    assert "no changes" in done.stdout
    assert values_of(store) == before
    assert {store.version(name) for name in before} == {1}
    assert tokens_of(server) == tokens


def test_a_sealed_server_stops_a_run_and_the_platform_goes_on(installed, operator, server):
    """F-049: what the installer cannot read, consumers have long been given."""
    server.seal()
    done = operator.install()
    assert done.returncode == 12
    assert "is sealed" in done.stderr and "unseal" in done.stderr
    server.unseal()


@pytest.fixture(scope="module")
def account():
    with moto_server() as endpoint:
        yield endpoint


def use_aws(operator, endpoint, prefix):
    operator.environment |= AWS_ENVIRONMENT
    vault = {"mode": "aws-secrets-manager", "region": REGION, "endpoint_url": endpoint}
    operator.answers["vault"] = {**vault, "prefix": prefix}


def names_in(endpoint, prefix, monkeypatch):
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    made = open_aws_store(region=REGION, prefix=prefix, deployment="trial", endpoint_url=endpoint)
    return made, made.names()


def test_an_empty_store_beside_old_data_is_a_decision_and_stays_empty(
    installed, operator, account, monkeypatch
):
    """Invariant 3: never a new password over an old volume."""
    prefix = f"devplat/{uuid.uuid4().hex}"
    use_aws(operator, account, prefix)
    done = operator.install()
    assert done.returncode == 18, done.stderr[-2000:]
    assert "secrets are not in the store" in done.stderr
    made, names = names_in(account, prefix, monkeypatch)
    made.close()
    assert names == frozenset()


def test_the_same_secrets_in_aws_are_the_same_platform(
    installed, operator, store, account, module_host, monkeypatch
):
    made, _ = names_in(account, "devplat/trial", monkeypatch)
    for name, value in values_of(store).items():
        made.ensure(
            SecretSpec(name, SecretKind.TOKEN, "moved by a test"), lambda v=value: Secret(v)
        )
    use_aws(operator, account, "devplat/trial")
    started = module_host.ssh("docker inspect -f {{.State.StartedAt}} trial-coder-1")
    done = operator.install()
    assert done.returncode == 0, done.stderr[-2000:]
    assert "no changes" in done.stdout
    assert module_host.ssh("docker inspect -f {{.State.StartedAt}} trial-coder-1") == started

    made.replace(
        SecretSpec("coder-database-password", SecretKind.PASSWORD, "changed by a test"),
        Secret("AnotherPasswordOfATest123"),
    )
    done = operator.run("plan", "--unattended")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "secret files are delivered again" in done.stdout
    made.close()
    report = json.dumps(operator.reports())
    assert "AnotherPasswordOfATest123" not in report + done.stdout + done.stderr
