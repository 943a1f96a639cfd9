"""A Vault-compatible server at work: audit, limits, standing by, ends of lives, identity tokens,
metrics, snapshots, TLS. On the stand-in and on a real one (`DEVPLAT_TEST_VAULT_BIN`).
"""

from __future__ import annotations

import gzip
import io
import json
import signal
import socket
import ssl
import tarfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from tests.contract.vault.authority import make_authority
from tests.contract.vault.servers import VaultServer, wait_until
from tests.contract.vault.steps import get, policy, post, run_steps, token

Launch = Callable[..., VaultServer]
CANARY = "Xq7canaryvalueXq7canaryvalue"
HASH = "hmac-sha256:"


def ensure_kv(server: VaultServer, path: str) -> None:
    """A mount of version 2 that takes writes (a real one is upgraded for a moment)."""
    body = {"type": "kv", "options": {"version": "2"}}
    assert server.ask("POST", f"sys/mounts/{path}", body).status == 204
    wait_until(lambda: server.ask("GET", f"{path}/config").status == 200, lambda: server.log)


def audit_lines(server: VaultServer) -> list[dict[str, Any]]:
    text = (server.folder / "audit.log").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def audited(fresh_vault: VaultServer) -> VaultServer:
    """A server with one file device, declared or, where it is done so, enabled."""
    server = fresh_vault
    body = {"type": "file", "options": {"file_path": str(server.folder / "audit.log")}}
    answer = server.ask("PUT", "sys/audit/by-api", body)
    if server.flavour == "openbao":
        assert answer.status == 400
        assert "cannot enable audit device via API" in answer.errors[0]
        assert server.ask("DELETE", "sys/audit/file").status == 400
    ensure_kv(server, "kv")
    return server


def test_every_request_and_answer_is_written_down_without_a_secret(audited: VaultServer) -> None:
    server = audited
    assert server.ask("POST", "kv/data/x", {"data": {"value": CANARY}}).status == 200
    assert server.ask("GET", "kv/data/x").data["data"] == {"value": CANARY}
    assert server.ask("GET", "kv/data/x", token="s.nobody").status == 403
    lines = [line for line in audit_lines(server) if line["request"]["path"] == "kv/data/x"]
    kinds = [(line["type"], line["request"]["operation"]) for line in lines]
    assert kinds[0] == ("request", kinds[1][1])
    assert [kind for kind, _ in kinds] == ["request", "response"] * 3
    assert lines[0]["request"]["data"]["data"]["value"].startswith(HASH)
    assert lines[0]["request"]["client_token"].startswith(HASH)
    assert "permission denied" in lines[-1]["error"]
    text = (server.folder / "audit.log").read_text()
    for secret in (CANARY, server.token, "s.nobody"):
        assert secret not in text
    assert (server.folder / "audit.log").stat().st_mode & 0o777 == 0o600


def test_a_value_is_found_in_the_audit_log_by_its_hash(audited: VaultServer) -> None:
    [device] = audited.ask("GET", "sys/audit").data
    answer = audited.ask("PUT", f"sys/audit-hash/{device.rstrip('/')}", {"input": CANARY})
    audited.ask("POST", "kv/data/x", {"data": {"value": CANARY}})
    assert answer.data["hash"] in (audited.folder / "audit.log").read_text()


def test_without_an_audit_log_nothing_is_served(launch_vault: Launch, tmp_path) -> None:
    """The only device is gone from under the server, and comes back."""
    folder = tmp_path / "logs"
    folder.mkdir()
    server = launch_vault(audit={"file": str(folder / "audit.log")}).initialise()
    if server.flavour == "vault":
        pytest.skip("Vault has no audit devices in its configuration")
    ensure_kv(server, "kv")
    assert server.ask("POST", "kv/data/x", {"data": {"value": "1"}}).status == 200
    folder.rename(tmp_path / "gone")
    folder.write_text("no folder")
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.ask("GET", "kv/data/x").status == 500, lambda: server.log)
    assert server.ask("GET", "kv/data/x").errors == ["internal error"]
    assert server.ask("POST", "kv/data/y", {"data": {"value": "2"}}).status == 500
    assert server.ask("PUT", "sys/seal").status == 500
    assert server.ask("GET", "sys/health", token="").status == 200
    folder.unlink()
    (tmp_path / "gone").rename(folder)
    wait_until(lambda: server.ask("GET", "kv/data/x").status == 200, lambda: server.log)
    assert server.ask("GET", "kv/data/y").status == 404


def test_a_log_that_was_moved_away_is_opened_anew_on_demand(audited: VaultServer) -> None:
    log = audited.folder / "audit.log"
    log.rename(audited.folder / "audit.log.1")
    assert audited.ask("GET", "kv/config").status == 200
    assert not log.exists()
    audited.process.send_signal(signal.SIGHUP)

    def is_new() -> bool:
        return audited.ask("GET", "kv/config").status == 200 and log.exists()

    wait_until(is_new, lambda: audited.log)


def test_more_requests_than_a_limit_allows_are_told_apart(vault_server: VaultServer) -> None:
    server, quota = vault_server, "sys/quotas/rate-limit/few"
    ensure_kv(server, "limited")
    made = server.ask("POST", quota, {"rate": 2, "interval": "60s", "path": "limited/"})
    assert made.status == 204, made
    answers = [server.ask("GET", "limited/data/x") for _ in range(4)]
    assert [answer.status for answer in answers] == [404, 404, 429, 429]
    assert "rate limit quota exceeded" in answers[-1].errors[0]
    assert server.ask("GET", "sys/mounts").status == 200
    assert server.ask("DELETE", quota).status == 204
    assert server.ask("GET", "limited/data/x").status == 404


def test_a_node_that_stands_by_says_so_and_takes_no_writes(fresh_vault: VaultServer) -> None:
    server = fresh_vault
    ensure_kv(server, "kv")
    assert server.ask("PUT", "sys/step-down").status == 204
    wait_until(lambda: server.ask("GET", "sys/health", token="").status == 429, lambda: server.log)
    health = server.ask("GET", "sys/health", token="", standbyok="true")
    assert (health.status, health.body["standby"], health.body["sealed"]) == (200, True, False)
    written = server.ask("POST", "kv/data/x", {"data": {"value": "1"}})
    assert written.status == 500
    assert "local node not active but active cluster node not found" in written.errors[0]


def test_what_has_an_end_ends(launch_vault: Launch) -> None:
    server = launch_vault(default_ttl="2s", max_ttl="4s").initialise()
    ensure_kv(server, "kv")
    made = server.ask("POST", "auth/token/create", {"policies": ["default"], "ttl": "1s"})
    short = made.body["auth"]["client_token"]
    wrapped = server.ask("GET", "kv/config", headers={"X-Vault-Wrap-TTL": "1s"})
    wrap = wrapped.body["wrap_info"]["token"]
    renewed = server.ask("POST", "auth/token/create", {"policies": ["default"]})
    long = renewed.body["auth"]["client_token"]
    assert renewed.body["auth"]["lease_duration"] == 2
    again = server.ask("POST", "auth/token/renew-self", {"increment": "1h"}, token=long)
    assert 2 <= again.body["auth"]["lease_duration"] <= 4

    def is_dead(name: str) -> bool:
        return server.ask("GET", "auth/token/lookup-self", token=name).status == 403

    wait_until(lambda: is_dead(short), lambda: "the token lives on")
    wait_until(
        lambda: server.ask("POST", "sys/wrapping/lookup", {"token": wrap}).status == 400,
        lambda: "the wrapping token lives on",
    )
    gone = server.ask("POST", "sys/wrapping/unwrap", {"token": wrap})
    assert gone.errors == ["wrapping token is not valid or does not exist"]
    wait_until(lambda: is_dead(long), lambda: "the renewed token outlives the limit")
    assert server.ask("GET", "kv/config").status == 200


def sign(key: ec.EllipticCurvePrivateKey, claims: dict[str, Any]) -> str:
    """An identity token with ES256."""

    def coded(content: bytes) -> str:
        return urlsafe_b64encode(content).rstrip(b"=").decode()

    head = coded(json.dumps({"alg": "ES256", "typ": "JWT"}).encode())
    text = f"{head}.{coded(json.dumps(claims).encode())}"
    r, s = utils.decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{coded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@pytest.fixture(scope="module")
def identity(vault_server: VaultServer) -> ec.EllipticCurvePrivateKey:
    """A key that the method `oidc` of the shared server trusts, and a role."""
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    server = vault_server
    assert server.ask("POST", "sys/auth/oidc", {"type": "jwt"}).status == 204
    refused = server.ask("POST", "auth/oidc/config", {"jwt_validation_pubkeys": ["nonsense"]})
    assert "error parsing public key" in refused.errors[0]
    config = {"jwt_validation_pubkeys": [pem], "bound_issuer": "issuer"}
    assert server.ask("POST", "auth/oidc/config", config).status == 204
    role = {
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"],
        "bound_claims": {"group": "dev"}, "token_policies": ["default"], "token_ttl": "5m",
    }  # fmt: skip
    unbound = {"role_type": "jwt", "user_claim": "sub"}
    assert "bound constraint" in server.ask("POST", "auth/oidc/role/r", unbound).errors[0]
    assert server.ask("POST", "auth/oidc/role/r", role).status == 204
    return key


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({}, ""),
        ({"aud": ["other", "vault"]}, ""),
        ({"aud": "other"}, "invalid audience (aud) claim"),
        ({"aud": None}, "invalid audience (aud) claim"),
        ({"iss": "another"}, "invalid issuer (iss) claim"),
        ({"exp": -3600}, "token is expired"),
        ({"nbf": 3600}, "token not yet valid"),
        ({"exp": None}, "no issued at (iat), not before (nbf), or expiration time (exp)"),
        ({"sub": None}, 'claim "sub" not found in token'),
        ({"group": None}, 'claim "group" is missing'),
        ({"group": "ops"}, "does not match any associated bound claim values"),
    ],
)
def test_a_login_by_an_identity_token(
    vault_server: VaultServer, identity, change: dict[str, Any], error: str
) -> None:
    now = int(time.time())
    claims = {"sub": "u", "aud": "vault", "iss": "issuer", "exp": 60, "group": "dev", **change}
    claims = {name: value for name, value in claims.items() if value is not None}
    claims |= {name: now + claims[name] for name in ("exp", "nbf") if name in claims}
    body = {"role": "r", "jwt": sign(identity, claims)}
    answer = vault_server.ask("POST", "auth/oidc/login", body, token="")
    if not error:
        assert (answer.status, answer.body["auth"]["lease_duration"]) == (200, 300)
        assert answer.body["auth"]["metadata"]["role"] == "r"
        return
    assert answer.status == 400
    assert error in answer.errors[0]


@pytest.mark.parametrize(
    ("role", "jwt", "error"),
    [
        ("r", "x", "compact JWS format must have three parts"),
        ("none", "x", 'role "none" could not be found'),
        ("", "x", "missing role"),
        ("r", "", "missing token"),
        ("r", None, "no known key successfully validated the token signature"),
    ],
)
def test_what_is_no_identity_token_is_refused(
    vault_server: VaultServer, identity, role: str, jwt: str | None, error: str
) -> None:
    if jwt is None:
        other = ec.generate_private_key(ec.SECP256R1())
        jwt = sign(other, {"sub": "u", "aud": "vault", "exp": int(time.time()) + 60})
    answer = vault_server.ask("POST", "auth/oidc/login", {"role": role, "jwt": jwt}, token="")
    assert answer.status == 400
    assert error in answer.errors[0]


def test_metrics_are_for_those_who_may(vault_server: VaultServer) -> None:
    run_steps(
        vault_server,
        [
            policy("metrics", 'path "sys/metrics" { capabilities = ["read"] }'),
            token("metrics"),
            get("sys/metrics", 403, by="", error="permission denied"),
            get("sys/metrics", by="token"),
        ],
        "",
    )
    shown = vault_server.ask("GET", "sys/metrics", format="prometheus")
    assert shown.status == 200
    assert shown.headers["Content-Type"].startswith("text/plain")
    assert b"vault_core_unsealed" in shown.content


def test_a_snapshot_is_an_archive_without_a_readable_secret(vault_server: VaultServer) -> None:
    server, path = vault_server, "sys/storage/raft/snapshot"
    ensure_kv(server, "kept")
    assert server.ask("POST", "kept/data/x", {"data": {"value": CANARY}}).status == 200
    run_steps(
        server,
        [token("default"), get(path, 403, by="token"), get(path, 403, by="", error="permission")],
        "",
    )
    answer = server.ask("GET", path)
    assert answer.status == 200
    assert CANARY.encode() not in gzip.decompress(answer.content)
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        assert {"meta.json", "state.bin", "SHA256SUMS"} <= set(archive.getnames())


def test_openbao_makes_no_root_token_for_whoever_has_shares_alone(vault_server) -> None:
    if vault_server.flavour == "vault":
        pytest.skip("Vault does, on this path")
    for path in ("sys/generate-root/attempt", "sys/rekey/init"):
        answer = vault_server.ask("GET", path, token="")
        assert (answer.status, answer.errors) == (405, ["unsupported operation"])
    path = "sys/generate-root-token/attempt"
    assert vault_server.ask("GET", path, token="").status == 403
    assert vault_server.ask("GET", path).data["started"] is False


def test_clear_text_and_other_authorities_are_refused(vault_server, tmp_path) -> None:
    answer = requests.get(
        vault_server.address.replace("https", "http") + "/v1/sys/health", timeout=9
    )
    assert answer.status_code == 400
    assert "Client sent an HTTP request to an HTTPS server." in answer.text
    other = make_authority(tmp_path)
    with pytest.raises(requests.exceptions.SSLError, match="certificate verify failed"):
        requests.get(f"{vault_server.address}/v1/sys/health", verify=str(other.root), timeout=9)


def test_old_protocols_are_refused(vault_server: VaultServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(vault_server.ca_file)
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", vault_server.port), timeout=9) as plug,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plug, server_hostname="vault").close()


def test_a_body_that_is_no_object_is_refused(vault_server: VaultServer) -> None:
    url, headers = f"{vault_server.address}/v1/sys/policies/acl/x", {"X-Vault-Token": "s.x"}
    for body in (b"{bad", b"[1]", b'"x"'):
        answer = requests.put(
            url, data=body, headers=headers, verify=str(vault_server.ca_file), timeout=9
        )
        assert answer.status_code == 400
        assert "failed to decode JSON input" in answer.json()["errors"][0]
    answer = vault_server.ask("GET", "sys/mounts", headers={"X-Vault-Namespace": "nowhere"})
    assert (answer.status, answer.errors) == (404, ["namespace not found"])
    run_steps(vault_server, [post("sys/mounts/x", {}, 400, error="backend type must be")], "")
