"""Birth, sealing, unsealing and restarts of a Vault-compatible server, on the stand-in and on a
real one (`DEVPLAT_TEST_VAULT_BIN`).

Covers what F-050 to F-053 and F-057 rest on: what the server itself promises about its one answer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pysequoia
import pytest
import requests

from tests.contract.vault.servers import Answer, VaultServer, wait_until

Launch = Callable[..., VaultServer]
SEALED = "Vault is sealed"
LOST = "failed to decrypt keys from storage: cipher: message authentication failed"
WRONG = base64.b64encode(bytes(32) + b"\x09").decode()
BOOTSTRAPPED = "cluster already has state"


def init(server: VaultServer, **body: Any) -> Answer:
    return server.ask("PUT", "sys/init", {"secret_shares": 3, "secret_threshold": 2, **body})


def give(server: VaultServer, key: str, **more: Any) -> Answer:
    return server.ask("PUT", "sys/unseal", {"key": key, **more}, token="")


def is_initialised(server: VaultServer) -> bool:
    return bool(server.ask("GET", "sys/init", token="").body["initialized"])


@pytest.fixture(scope="module")
def key() -> pysequoia.Tsk:
    """A key to encrypt to, as the product makes one."""
    return pysequoia.Tsk.generate("transport", profile=pysequoia.Profile.RFC4880)


def public(key: pysequoia.Tsk) -> bytes:
    return bytes(key.extract_certificate())


def signing_only(key: pysequoia.Tsk) -> bytes:
    """The certificate without its subkeys, so that nothing can be encrypted to it."""
    octets = public(key)
    at = 0
    kept = b""
    while at < len(octets):
        tag, size = octets[at] & 0x3F, octets[at + 1]
        assert octets[at] & 0xC0 == 0xC0, "packets of the newer form"
        head = 2
        if size >= 192:
            size, head = ((size - 192) << 8) + octets[at + 2] + 192, 3
        if tag == 14:  # a subkey, and what follows belongs to it
            break
        kept += octets[at : at + head + size]
        at += head + size
    return kept


def test_a_fresh_server_says_that_it_is_not_initialised(launch_vault: Launch) -> None:
    server = launch_vault()
    assert not is_initialised(server)
    status = server.ask("GET", "sys/seal-status", token="")
    assert (status.body["initialized"], status.body["sealed"]) == (False, True)
    assert (status.body["n"], status.body["t"], status.body["type"]) == (0, 0, "shamir")
    assert server.ask("GET", "sys/health", token="").status == 501
    assert give(server, WRONG).errors == ["Vault is not initialized"]
    assert server.ask("GET", "secret/data/x", token="").errors == [SEALED]
    assert server.run("status").status == 2


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"secret_threshold": 5}, "threshold cannot be larger than shares"),
        ({"secret_shares": 0, "secret_threshold": 0}, "shares must be at least one"),
        ({"secret_threshold": 1}, "threshold must be greater than one for multiple shares"),
        ({"secret_shares": 300}, "shares must be less than 256"),
        ({"secret_shares": "3"}, "cannot unmarshal string into Go struct field"),
        ({"recovery_shares": 5}, "not applicable to seal type shamir"),
        ({"pgp_keys": ["a", "b"]}, "count mismatch between number of provided PGP keys"),
        ({"pgp_keys": ["a", "b", "c"]}, "error decoding given PGP key: illegal base64 data"),
        ({"pgp_keys": ["anVuaw=="] * 3}, "error parsing given PGP key"),
    ],
)
def test_a_request_that_cannot_be_leaves_the_server_uninitialised(
    unborn: VaultServer, body: dict[str, Any], error: str
) -> None:
    answer = init(unborn, **body)
    assert answer.status == 400
    assert error in answer.errors[0]
    assert not is_initialised(unborn)


@pytest.fixture(scope="module")
def unborn(vault_program, vault_authority, tmp_path_factory):
    """A server that stays as it is."""
    folder = tmp_path_factory.mktemp("vault")
    server = VaultServer(vault_program, folder, vault_authority).start()
    yield server
    server.stop()


def test_it_is_initialised_once_and_stays_sealed(launch_vault: Launch) -> None:
    server = launch_vault()
    made = init(server)
    assert made.status == 200
    assert len(made.body["keys"]) == len(made.body["keys_base64"]) == 3
    for text, coded in zip(made.body["keys"], made.body["keys_base64"], strict=True):
        assert bytes.fromhex(text) == base64.b64decode(coded)
        assert len(base64.b64decode(coded)) == 33
    assert made.body["root_token"].startswith("s." if server.flavour == "openbao" else "hvs.")
    again = init(server)
    assert (again.status, again.errors) == (400, ["Vault is already initialized"])
    assert server.ask("GET", "sys/health", token="").status == 503
    assert server.run("operator", "init", "-format=json").status == 2


def test_the_answer_is_encrypted_to_the_given_keys(
    launch_vault: Launch, key: pysequoia.Tsk, tmp_path: Path
) -> None:
    server = launch_vault()
    file = tmp_path / "key"
    file.write_text(base64.b64encode(public(key)).decode())
    done = server.run(
        "operator", "init", "-format=json", "-key-shares=3", "-key-threshold=2",
        f"-pgp-keys={file},{file},{file}", f"-root-token-pgp-key={file}",
    )  # fmt: skip
    assert done.status == 0, done.err
    answer = json.loads(done.out)
    assert (answer["unseal_shares"], answer["unseal_threshold"]) == (3, 2)

    def opened(text: str) -> str:
        decryptor = key.decryptor()
        return bytes(pysequoia.decrypt(base64.b64decode(text), decryptor).bytes).decode()

    shares = [opened(text) for text in answer["unseal_keys_b64"]]
    assert all(len(bytes.fromhex(share)) == 33 for share in shares)
    assert len(set(shares)) == 3
    for share in shares[1:]:
        assert give(server, share).status == 200
    server.token = opened(answer["root_token"])
    wait_until(
        lambda: server.ask("GET", "auth/token/lookup-self").status == 200, lambda: server.log
    )
    assert server.token not in server.log


def test_a_key_that_cannot_be_encrypted_to_spoils_the_storage(
    launch_vault: Launch, key: pysequoia.Tsk
) -> None:
    """So that whoever calls it must know its key to be good: there is no second try."""
    server = launch_vault()
    bad = base64.b64encode(signing_only(key)).decode()
    answer = init(server, pgp_keys=[bad] * 3)
    assert answer.status == 400
    assert "no valid encryption keys" in answer.errors[0]
    assert not is_initialised(server)
    assert BOOTSTRAPPED in init(server).errors[0]
    server.restart()
    assert BOOTSTRAPPED in init(server).errors[0]


@pytest.mark.parametrize("given", ["zz", None], ids=["no base64", "signs only"])
def test_a_root_token_key_that_is_none_loses_every_share(
    launch_vault: Launch, key: pysequoia.Tsk, given: str | None
) -> None:
    """Initialised, and nobody has the answer."""
    server = launch_vault()
    given = given or base64.b64encode(signing_only(key)).decode()
    assert init(server, root_token_pgp_key=given).status == 400
    assert is_initialised(server)


def test_an_audit_device_that_cannot_write_loses_every_share(launch_vault: Launch) -> None:
    """OpenBao starts its devices at the end of an initialisation, when it cannot go back."""
    server = launch_vault(audit={"file": "/proc/nowhere/audit.log"})
    if server.flavour == "vault":
        pytest.skip("Vault has no audit devices in its configuration")
    answer = init(server)
    assert answer.status == 400
    assert "failed to create new audit device" in answer.errors[0]
    assert is_initialised(server)
    assert init(server).errors == ["Vault is already initialized"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "secret/data/x"),
        ("POST", "auth/approle/login"),
        ("GET", "auth/token/lookup-self"),
        ("POST", "sys/wrapping/unwrap"),
        ("GET", "sys/mounts"),
        ("GET", "sys/leader"),
        ("GET", "nonsense"),
    ],
)
def test_a_sealed_server_serves_nobody(sealed: VaultServer, method: str, path: str) -> None:
    answer = sealed.ask(method, path, {} if method == "POST" else None)
    assert (answer.status, answer.errors) == (503, [SEALED])


@pytest.fixture(scope="module")
def sealed(vault_program, vault_authority, tmp_path_factory):
    """A server that is sealed whenever a test begins."""
    folder = tmp_path_factory.mktemp("vault")
    server = VaultServer(vault_program, folder, vault_authority).start().initialise()
    server.seal()
    yield server
    server.stop()


def test_shares_are_counted_once_and_forgotten_on_demand(sealed: VaultServer) -> None:
    first, second = sealed.shares[:2]
    assert give(sealed, first).body["progress"] == 1
    nonce = give(sealed, first).body["nonce"]
    assert nonce
    later = give(sealed, base64.b64decode(second).hex())
    assert (later.body["progress"], later.body["nonce"]) == (2, nonce)
    reset = give(sealed, "", reset=True)
    assert (reset.status, reset.body["progress"], reset.body["nonce"]) == (200, 0, "")
    assert reset.body["sealed"]


def test_a_wrong_share_shows_only_at_the_threshold(sealed: VaultServer) -> None:
    assert give(sealed, WRONG).body["progress"] == 1
    assert give(sealed, sealed.shares[0]).body["progress"] == 2
    answer = give(sealed, sealed.shares[1])
    assert answer.status == 400
    assert LOST in answer.errors[0]
    status = sealed.ask("GET", "sys/seal-status", token="").body
    assert (status["sealed"], status["progress"]) == (True, 0)


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ("", "'key' must be specified in request body as JSON"),
        ("zz!!", "'key' must be a valid hex or base64 string"),
        ("AAAA", "key is shorter than minimum 16 bytes"),
        ("00" * 34, "key is longer than maximum 33 bytes"),
    ],
)
def test_what_is_no_share_is_refused_and_not_counted(
    sealed: VaultServer, key: str, error: str
) -> None:
    answer = give(sealed, key)
    assert answer.status == 400
    assert error in answer.errors[0]
    assert sealed.ask("GET", "sys/seal-status", token="").body["progress"] == 0


def test_shares_of_unequal_length_are_refused_at_the_threshold(sealed: VaultServer) -> None:
    for key in (WRONG, sealed.shares[0]):
        assert give(sealed, key).status == 200
    answer = give(sealed, base64.b64encode(bytes(30)).decode())
    assert answer.status == 400
    assert "all parts must be the same length" in answer.errors[0]


def test_any_shares_up_to_the_threshold_open_it_and_more_do_nothing(fresh_vault: VaultServer):
    server = fresh_vault
    server.seal()
    server.shares.reverse()
    server.unseal()
    status = give(server, server.shares[3]).body
    assert (status["sealed"], status["progress"]) == (False, 0)
    assert server.ask("GET", "sys/seal-status", token="").body["cluster_name"]


@pytest.mark.parametrize("kill", [False, True], ids=["ended", "killed"])
def test_it_comes_back_sealed_with_everything_it_had(fresh_vault: VaultServer, kill: bool) -> None:
    server = fresh_vault
    body = {"type": "kv", "options": {"version": "2"}}
    assert server.ask("POST", "sys/mounts/kv", body).status == 204
    wait_until(
        lambda: server.ask("POST", "kv/data/x", {"data": {"value": "v"}}).status == 200,
        lambda: server.log,
    )
    token = server.ask("POST", "auth/token/create", {"ttl": "1h"}).body["auth"]["client_token"]
    server.restart(kill=kill)
    assert server.ask("GET", "sys/health", token="").status == 503
    assert is_initialised(server)
    server.unseal()
    assert server.ask("GET", "kv/data/x").data["data"] == {"value": "v"}
    assert server.ask("GET", "auth/token/lookup-self", token=token).status == 200


def test_what_is_stored_is_not_readable_on_the_disk(fresh_vault: VaultServer) -> None:
    server = fresh_vault
    assert server.ask("POST", "sys/mounts/kv", {"type": "kv"}).status == 204
    assert server.ask("POST", "kv/x", {"value": "Xq7canaryvalueXq7"}).status == 204
    for path in (server.folder / "data").rglob("*"):
        if path.is_file():
            assert b"Xq7canary" not in path.read_bytes(), path
            assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({}, 2, ""),
        ({"CACERT": "/nowhere"}, 1, "Error loading CA File"),
        ({"CACERT": requests.certs.where()}, 1, "certificate signed by unknown authority"),
        ({"ADDR": "https://127.0.0.1:1"}, 1, "connection refused"),
        ({"ADDR": "nonsense"}, 1, "unsupported protocol scheme"),
    ],
    ids=["sealed", "no authority file", "another authority", "nobody there", "no address"],
)
def test_the_status_of_the_command_line_tells_sealed_from_unreachable(
    sealed: VaultServer, change: dict[str, str], status: int, error: str
) -> None:
    prefix = "BAO" if sealed.flavour == "openbao" else "VAULT"
    done = sealed.run("status", **{f"{prefix}_{name}": text for name, text in change.items()})
    assert done.status == status, done
    assert error in done.err


def test_the_command_line_of_either_name_of_variables(sealed: VaultServer) -> None:
    """OpenBao reads the names of Vault; an empty value takes a name away here."""
    names = {"VAULT_ADDR": sealed.address, "VAULT_CACERT": str(sealed.ca_file)}
    done = sealed.run("status", "-format=json", **names, BAO_ADDR="", BAO_CACERT="")
    assert done.status == 2
    assert '"initialized": true' in done.out
    assert '"sealed": true' in done.out
