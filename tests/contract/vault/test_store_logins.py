"""Logins to a Vault that already exists: machines, identity tokens, renewal, the end of a session.

Covers F-056 and SE-22 (the installer's token ends with the run).
"""

from __future__ import annotations

import json
import time
import uuid
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from installer.adapters.vault_client import Call
from installer.adapters.vault_session import JwtLogin, RoleLogin, TokenLogin, VaultSession
from installer.core.errors import SecretStoreError
from installer.core.secrets import Secret
from tests.contract.vault.authority import Authority
from tests.contract.vault.servers import VaultServer, wait_until
from tests.contract.vault.store_lab import (
    NEW,
    VALUE,
    Asked,
    HeldClock,
    Reply,
    ensure_mount,
    grant,
    make_token,
    never,
    open_session,
    open_store,
    problem_of,
    scripted_server,
    spec,
)


@pytest.fixture
def server(vault_server: VaultServer) -> VaultServer:
    ensure_mount(vault_server)
    for mount in ("approle", "machines"):
        made = vault_server.ask("POST", f"sys/auth/{mount}", {"type": "approle"})
        assert made.status == 204 or "already in use" in str(made.errors), made
    return vault_server


def make_role(
    server: VaultServer, prefix: str, mount: str = "approle", **options: Any
) -> RoleLogin:
    """A machine that may read and create below the prefix."""
    name = f"m-{uuid.uuid4().hex[:8]}"
    text = grant(f"secret/data/{prefix}/*", "create", "read")
    assert server.ask("PUT", f"sys/policies/acl/{name}", {"policy": text}).status == 204
    role = f"auth/{mount}/role/{name}"
    made = server.ask("POST", role, {"token_policies": [name], **options})
    assert made.status == 204, made
    role_id = server.ask("GET", f"{role}/role-id").data["role_id"]
    secret_id = server.ask("POST", f"{role}/secret-id", {}).data["secret_id"]
    return RoleLogin(role_id, Secret(secret_id), mount)


@pytest.mark.parametrize("mount", ["approle", "machines"])
def test_a_machine_logs_in_at_the_mount_of_its_login(
    server: VaultServer, prefix: str, mount: str
) -> None:
    login = make_role(server, prefix, mount)
    assert open_store(server, prefix, login).ensure(spec(), lambda: VALUE) == VALUE


def test_se_22_a_token_made_by_a_login_is_revoked_on_closing(
    server: VaultServer, prefix: str
) -> None:
    session = open_session(server, make_role(server, prefix))
    data = session.ask(Call("GET", "auth/token/lookup-self"))["data"]
    token = Secret(data["id"])
    assert session.is_valid(token)
    session.close()
    assert not open_session(server).is_valid(token)


def test_a_token_that_was_given_outlives_the_session(server: VaultServer) -> None:
    token = make_token(server, "given", grant("nothing", "read"))
    session = open_session(server, TokenLogin(token))
    session.log_in(TokenLogin(token))
    session.close()
    assert open_session(server).is_valid(token)


def test_another_login_ends_the_token_of_the_one_before(server: VaultServer, prefix: str) -> None:
    session = open_session(server, make_role(server, prefix))
    first = Secret(session.ask(Call("GET", "auth/token/lookup-self"))["data"]["id"])
    session.log_in(TokenLogin(Secret(server.token)))
    assert not session.is_valid(first)
    session.log_out()
    assert session.is_valid(Secret(server.token))


@pytest.mark.parametrize("wrong", ["secret id", "role id", "mount"])
def test_a_wrong_machine_login_is_refused_and_not_repeated_in_the_message(
    server: VaultServer, prefix: str, wrong: str
) -> None:
    good = make_role(server, prefix)
    canary = "c0ffee00-aaaa-bbbb-cccc-canarycanary"
    login = {
        "secret id": RoleLogin(good.role_id, Secret(canary)),
        "role id": RoleLogin(canary, good.secret_id),
        "mount": RoleLogin(good.role_id, good.secret_id, "no-such-mount"),
    }[wrong]
    with pytest.raises(SecretStoreError) as caught:
        open_store(server, prefix, login).ensure(spec(), never)
    problem = problem_of(caught, Secret(canary), good.secret_id)
    assert problem.code == "vault.token_refused"


def test_f_056_a_machine_logs_in_again_when_its_token_has_ended(
    server: VaultServer, prefix: str
) -> None:
    session = open_session(server, make_role(server, prefix))
    session.ask(Call("GET", "auth/token/lookup-self"))
    first = str(session.ask(Call("GET", "auth/token/lookup-self"))["data"]["id"])
    assert server.ask("POST", "auth/token/revoke", {"token": first}).status == 204
    second = str(session.ask(Call("GET", "auth/token/lookup-self"))["data"]["id"])
    assert second != first


def test_f_056_a_machine_whose_token_lives_a_second_goes_on_for_longer(
    server: VaultServer, prefix: str
) -> None:
    login = make_role(server, prefix, token_ttl="1s", token_max_ttl="1s")
    store = open_store(server, prefix, login)
    start, count = time.monotonic(), 0

    def goes_on() -> bool:
        nonlocal count
        count += 1
        store.ensure(spec(f"s{count}"), lambda: Secret(f"value {count}"))
        return time.monotonic() - start > 2.5

    wait_until(goes_on, lambda: "it did not go on")
    root = open_store(server, prefix)
    assert root.names() == {f"s{i}" for i in range(1, count + 1)}
    assert {root.version(name) for name in root.names()} == {1}


def test_f_056_a_login_for_one_use_stops_the_run_with_what_it_wrote(
    server: VaultServer, prefix: str
) -> None:
    login = make_role(server, prefix, secret_id_num_uses=1)
    store = open_store(server, prefix, login)
    store.ensure(spec("before"), lambda: VALUE)
    for each in server.ask("LIST", "auth/token/accessors").data["keys"]:
        found = server.ask("POST", "auth/token/lookup-accessor", {"accessor": each}).data
        if (found.get("meta") or {}).get("role_name") and prefix_policy(server, prefix, found):
            server.ask("POST", "auth/token/revoke-accessor", {"accessor": each})
    with pytest.raises(SecretStoreError) as caught:
        store.ensure(spec("after"), lambda: NEW)
    assert problem_of(caught, login.secret_id).code == "vault.token_expired"
    assert open_store(server, prefix).ensure(spec("before"), never) == VALUE


def prefix_policy(server: VaultServer, prefix: str, token: dict[str, Any]) -> bool:
    names = [name for name in token["policies"] if name != "default"]
    texts = [server.ask("GET", f"sys/policies/acl/{name}").data.get("policy") for name in names]
    return any(prefix in (text or "") for text in texts)


def test_a_token_that_may_not_look_at_itself_is_used_all_the_same(
    server: VaultServer, prefix: str
) -> None:
    # what such a token's state is told by
    assert server.ask("GET", "sys/internal/ui/mounts", token="s.nobody").status == 403
    policy = grant(f"secret/data/{prefix}/*", "create", "read")
    token = make_token(server, "blind", policy, no_default_policy=True)
    store = open_store(server, prefix, TokenLogin(token))
    assert store.ensure(spec(), lambda: VALUE) == VALUE
    with pytest.raises(SecretStoreError) as caught:
        store.names()
    assert problem_of(caught, token).code == "vault.permission"
    assert server.ask("POST", "auth/token/revoke", {"token": token.reveal()}).status == 204
    with pytest.raises(SecretStoreError) as caught:
        store.get("db-password")
    assert problem_of(caught, token).code == "vault.token_expired"


def make_jwt(key: ec.EllipticCurvePrivateKey, **claims: Any) -> Secret:
    def part(data: bytes) -> str:
        return urlsafe_b64encode(data).rstrip(b"=").decode()

    head = part(b'{"alg":"ES256","typ":"JWT"}')
    now = int(time.time())
    body = {"iss": "test", "sub": "runner", "aud": "devplat", "iat": now, "nbf": now - 60}
    signed = f"{head}.{part(json.dumps({**body, 'exp': now + 300, **claims}).encode())}"
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return Secret(f"{signed}.{part(r.to_bytes(32) + s.to_bytes(32))}")


def test_an_identity_token_logs_in_and_is_read_again_for_the_next_login(
    server: VaultServer, prefix: str
) -> None:
    made = server.ask("POST", "sys/auth/jwt", {"type": "jwt"})
    if made.status != 204 and "already in use" not in str(made.errors):
        pytest.skip(f"this server offers no login by JWT: {made.errors}")
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    config = {"jwt_validation_pubkeys": [public.decode()], "bound_issuer": "test"}
    assert server.ask("POST", "auth/jwt/config", config).status in (200, 204)
    text = grant(f"secret/data/{prefix}/*", "create", "read")
    assert server.ask("PUT", "sys/policies/acl/jwt-test", {"policy": text}).status == 204
    role = {
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["devplat"],
        "token_policies": ["jwt-test"],
    }  # fmt: skip
    assert server.ask("POST", "auth/jwt/role/installer", role).status in (200, 204)
    read: list[int] = []

    def again() -> Secret:
        read.append(1)
        return make_jwt(key)

    login = JwtLogin("installer", make_jwt(key), again=again)
    session = open_session(server, login)
    first = Secret(session.ask(Call("GET", "auth/token/lookup-self"))["data"]["id"])
    open_store(server, prefix, login).ensure(spec(), lambda: VALUE)
    assert server.ask("POST", "auth/token/revoke", {"token": first.reveal()}).status == 204
    second = Secret(session.ask(Call("GET", "auth/token/lookup-self"))["data"]["id"])
    assert second != first
    assert read == [1]
    for wrong in (make_jwt(key, aud="other"), make_jwt(key, exp=1), Secret("no.jwt.canaryAtAll")):
        with pytest.raises(SecretStoreError) as caught:
            open_session(server, JwtLogin("installer", wrong)).ask(Call("GET", "sys/mounts"))
        assert problem_of(caught, wrong).code == "vault.token_refused"


@pytest.mark.parametrize(
    ("ttl", "renewable", "at", "renewed"),
    [(60, True, 39, 0), (60, True, 41, 1), (60, False, 41, 0), (0, False, 10_000, 0)],
)
def test_f_056_a_token_is_renewed_after_two_thirds_of_its_life(
    vault_authority: Authority, ttl: int, renewable: bool, at: int, renewed: int
) -> None:
    def serve(asked: Asked) -> Reply:
        if "renew-self" in asked.path:
            return Reply(200, {"auth": {"lease_duration": 60, "renewable": True}})
        return Reply(200, {"data": {"ttl": ttl, "renewable": renewable}})

    clock = HeldClock()
    with scripted_server(vault_authority, serve) as server:
        session = server.open(TokenLogin(Secret("s.canary")), clock.pace())
        session.ask(Call("GET", "sys/mounts"))
        clock.at += at
        session.ask(Call("GET", "sys/mounts"))
        session.ask(Call("GET", "sys/mounts"))
        paths = [each.path for each in server.asked]
    assert sum("renew-self" in path for path in paths) == renewed
    assert sum("lookup-self" in path for path in paths) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 500])  # 500 at a token's longest life
def test_a_renewal_that_is_refused_is_tried_once_and_the_token_used_up(
    vault_authority: Authority, status: int
) -> None:
    def serve(asked: Asked) -> Reply:
        if "renew-self" in asked.path:
            return Reply(status, {"errors": ["past the max TTL, cannot renew"]})
        return Reply(200, {"data": {"ttl": 60, "renewable": True}})

    clock = HeldClock()
    with scripted_server(vault_authority, serve) as server:
        session = server.open(TokenLogin(Secret("s.canary")), clock.pace())
        session.ask(Call("GET", "sys/mounts"))
        for _ in range(2):
            clock.at += 25
            session.ask(Call("GET", "sys/mounts"))
        assert sum("renew-self" in each.path for each in server.asked) == 1
        clock.at += 25
        before = len(server.asked)
        with pytest.raises(SecretStoreError) as caught:
            session.ask(Call("GET", "sys/mounts"))
        assert problem_of(caught).code == "vault.token_expired"
        assert len(server.asked) == before


def test_a_session_that_cannot_reach_the_server_still_closes(vault_authority: Authority) -> None:
    def serve(asked: Asked) -> Reply:
        if "login" in asked.path:
            auth = {"client_token": "s.canary", "lease_duration": 60, "renewable": True}
            return Reply(200, {"auth": auth})
        return Reply(500, b"")

    with scripted_server(vault_authority, serve) as server:
        session = server.open(RoleLogin("r", Secret("s")), HeldClock().pace())
        session.log_in(RoleLogin("r", Secret("s")))
    session.close()
    assert isinstance(session, VaultSession)
    assert [each.path for each in server.asked].count("/v1/auth/approle/login") == 1
