"""Logins to a store of somebody else, as the command line uses them: once, in order, to their end.

Covers SE-22 (the installer's token ends with the run) and F-056 through the product's own wiring.
"""

from __future__ import annotations

import json
import signal
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from installer.core import draft
from installer.core.answers import Answers
from installer.core.errors import SecretStoreError
from installer.core.redaction import Redactor
from installer.core.secrets import Secret
from installer.secret_reader import SecretReader
from installer.store_access import StoreAccess
from tests.cli.stores import REACHED, Lab, allow_all, tokens_of, watched_target
from tests.contract.vault.authority import Authority
from tests.contract.vault.servers import VaultServer, free_port, wait_until
from tests.contract.vault.store_lab import KV2, Asked, Reply, make_token, scripted_server, spec
from tests.golden.render import draw_up

pytestmark = pytest.mark.slow


def use_role(lab: Lab, mount: str = "approle", **options: Any) -> tuple[str, str]:
    """Log in as a machine; the role's path, and the secret id."""
    ask = lab.server.ask
    made = ask("POST", f"sys/auth/{mount}", {"type": "approle"})
    assert made.status == 204 or "already in use" in str(made.errors), made
    name = f"cli-{uuid.uuid4().hex[:8]}"
    assert ask("PUT", f"sys/policies/acl/{name}", {"policy": allow_all(lab.prefix)}).status == 204
    path = f"auth/{mount}/role/{name}"
    assert ask("POST", path, {"token_policies": [name], **options}).status == 204
    secret_id = ask("POST", f"{path}/secret-id", {}).data["secret_id"]
    lab.vault.pop("token", None)
    lab.vault["role_id"] = ask("GET", f"{path}/role-id").data["role_id"]
    lab.vault["secret_id"] = lab.operator.keep("SECRET_ID_OF_A_TEST", secret_id)
    if mount != "approle":
        lab.vault["auth_mount"] = mount
    return path, secret_id


def is_used_up(server: VaultServer, path: str, secret_id: str) -> bool:
    found = server.ask("POST", f"{path}/secret-id/lookup", {"secret_id": secret_id})
    return not found.data


def log_ins(server: VaultServer, mount: str) -> int:
    """How many tokens a login method has made, by the server's own log of what it was asked."""
    text = (server.folder / "audit.log").read_text()
    entries = (json.loads(line) for line in text.splitlines())
    path = f"auth/{mount}/login"
    return sum(e["type"] == "response" and e["request"]["path"] == path for e in entries)


@pytest.mark.parametrize("mount", ["approle", "machines"])
def test_se_22_a_machine_logs_in_once_and_its_token_is_gone_after_a_failure(
    lab: Lab, mount: str
) -> None:
    """The secret id is good for one login: with a second one the run would not come so far."""
    path, secret_id = use_role(lab, mount, secret_id_num_uses=1)
    before = tokens_of(lab.server)
    said = lab.operator.run()
    assert said.code == REACHED, said.err
    assert lab.operator.target.was_contacted
    assert is_used_up(lab.server, path, secret_id)
    assert tokens_of(lab.server) == before
    lab.operator.check_untold(said)


def test_se_22_the_token_is_gone_when_the_store_itself_does_not_do(lab: Lab) -> None:
    path, secret_id = use_role(lab, secret_id_num_uses=1)
    lab.vault["mount"] = "old"
    before = tokens_of(lab.server)
    said = lab.operator.run()
    lab.operator.check_refused(said, 12, "vault.permission")
    assert is_used_up(lab.server, path, secret_id)
    assert tokens_of(lab.server) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_se_22_the_token_is_gone_after_a_signal(lab: Lab, number: signal.Signals) -> None:
    use_role(lab)
    before = tokens_of(lab.server)
    with watched_target(hangs_up=False) as target:
        lab.operator.answers["ssh"]["port"] = target.port
        process = lab.operator.start("plan")
        try:
            wait_until(lambda: target.was_contacted, lambda: "the target was not contacted")
            assert len(tokens_of(lab.server)) == len(before) + 1
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 128 + number, err
    assert tokens_of(lab.server) == before
    assert "Traceback" not in out + err


def test_a_token_that_was_given_stays_what_it_is(lab: Lab) -> None:
    token = lab.take_token(allow_all(lab.prefix))
    assert lab.operator.run().code == REACHED
    assert lab.server.ask("GET", "auth/token/lookup-self", token=token).status == 200


def make_jwt(key: ec.EllipticCurvePrivateKey) -> str:
    def part(data: bytes) -> str:
        return urlsafe_b64encode(data).rstrip(b"=").decode()

    now = int(time.time())
    claims = {"iss": "test", "sub": uuid.uuid4().hex, "aud": "devplat", "exp": now + 300}
    claims |= {"iat": now, "nbf": now - 60}
    head = b'{"alg":"ES256","typ":"JWT"}'
    signed = f"{part(head)}.{part(json.dumps(claims).encode())}"
    r, s = utils.decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{part(r.to_bytes(32) + s.to_bytes(32))}"


def use_jwt(lab: Lab) -> ec.EllipticCurvePrivateKey:
    """Log in by statements of a provider of identities; its key."""
    ask = lab.server.ask
    made = ask("POST", "sys/auth/identities", {"type": "jwt"})
    if made.status != 204 and "already in use" not in str(made.errors):
        pytest.skip(f"this server offers no login by JWT: {made.errors}")
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    config = {"jwt_validation_pubkeys": [public], "bound_issuer": "test"}
    assert ask("POST", "auth/identities/config", config).status in (200, 204)
    policy = {"policy": allow_all(lab.prefix)}
    assert ask("PUT", "sys/policies/acl/cli-identities", policy).status == 204
    role = {
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["devplat"],
        "token_policies": ["cli-identities"],
    }  # fmt: skip
    assert ask("POST", "auth/identities/role/installer", role).status in (200, 204)
    lab.vault.pop("token", None)
    lab.vault.update(auth_mount="identities", jwt_role="installer")
    return key


def test_se_22_a_statement_of_an_identity_provider_logs_in_and_its_token_is_gone(lab: Lab) -> None:
    key = use_jwt(lab)
    lab.vault["jwt"] = lab.operator.keep("JWT_OF_A_TEST", make_jwt(key))
    before, made = tokens_of(lab.server), log_ins(lab.server, "identities")
    said = lab.operator.run()
    assert said.code == REACHED, said.err
    assert log_ins(lab.server, "identities") == made + 1
    assert tokens_of(lab.server) == before
    lab.operator.check_untold(said)


# F-056: a login that ends while the run goes on


def access_of(lab: Lab) -> StoreAccess:
    """The store as the command line opens it, by the answers of the operator."""
    path = Path(lab.operator.argv()[2])
    given = draft.from_file(path.read_bytes(), str(path), 0o600)
    answers: Answers = draft.validate(draft.merge(given), draw_up_catalog()).answers
    reader = SecretReader(Redactor(), None)
    return StoreAccess(answers, reader)


def draw_up_catalog() -> Any:
    from installer.stacks import load_stacks

    return load_stacks().catalog


def open_store(lab: Lab, access: StoreAccess) -> Any:
    job = draw_up(Path(lab.operator.argv()[2]), Path(lab.operator.answers["images"]["lock_file"]))
    return access.open(job.plan)


def write_private(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text)


def test_f_056_another_token_in_the_file_goes_on_and_the_same_one_stops(lab: Lab) -> None:
    first, second = (
        make_token(lab.server, f"cli-{n}", allow_all(lab.prefix)).reveal() for n in range(2)
    )
    file = lab.operator.folder / "token"
    write_private(file, f"{first}\n")
    lab.vault["token"] = f"file:{file}"
    access = access_of(lab)
    store = open_store(lab, access)
    store.ensure(spec("before"), lambda: Secret("made before the token ended"))

    assert lab.server.ask("POST", "auth/token/revoke", {"token": first}).status == 204
    write_private(file, second)
    store.ensure(spec("after"), lambda: Secret("made after the token ended"))
    assert {store.version("before"), store.version("after")} == {1}

    assert lab.server.ask("POST", "auth/token/revoke", {"token": second}).status == 204
    with pytest.raises(SecretStoreError) as caught:
        store.get("before")
    problem = caught.value.problems[0]
    assert problem.code == "vault.token_expired"
    assert "expired" in problem.remedy.summary
    access.close()


def test_f_056_another_statement_in_the_file_goes_on(lab: Lab) -> None:
    key, file = use_jwt(lab), lab.operator.folder / "jwt"
    write_private(file, make_jwt(key))
    lab.vault["jwt"] = f"file:{file}"
    before = tokens_of(lab.server)
    access = access_of(lab)
    store = open_store(lab, access)
    (made,) = tokens_of(lab.server).keys() - before.keys()
    ended = lab.server.ask("POST", "auth/token/revoke-accessor", {"accessor": made})
    assert ended.status == 204
    write_private(file, make_jwt(key))
    assert store.get("nothing") is None
    access.close()
    assert tokens_of(lab.server) == before


# what goes with every request


def test_a_namespace_goes_with_every_request_of_a_run(lab: Lab, vault_authority: Authority) -> None:
    def serve(asked: Asked) -> Reply:
        if "mounts" in asked.path:
            return Reply(200, KV2)
        if asked.path.endswith("/login"):
            auth = {"client_token": "hvs.OfANamespaceOfATest", "lease_duration": 60}
            return Reply(200, {"auth": auth})
        return Reply(404, {"errors": []}) if asked.method == "LIST" else Reply(200, {"data": {}})

    use_role(lab)
    with scripted_server(vault_authority, serve) as server:
        lab.vault.update(addr=server.address, namespace="org/team-a")
        said = lab.operator.run()
    assert said.code == REACHED, said.err
    asked = [each.path for each in server.asked]
    assert asked[0] == "/v1/auth/approle/login"
    assert asked[-1] == "/v1/auth/token/revoke-self"
    assert {each.headers.get("x-vault-namespace") for each in server.asked} == {"org/team-a"}


def test_a_namespace_of_a_server_that_has_them(lab: Lab) -> None:
    made = lab.server.ask("POST", "sys/namespaces/team-b", {})
    if made.status != 200:
        pytest.skip(f"this server has no namespaces: {made.errors}")
    inside = {"X-Vault-Namespace": "team-b"}
    kv = {"type": "kv", "options": {"version": "2"}}
    ask = lab.server.ask
    assert ask("POST", "sys/mounts/secret", kv, headers=inside).status == 204
    policy = {"policy": allow_all(lab.prefix)}
    assert ask("PUT", "sys/policies/acl/inside", policy, headers=inside).status == 204
    token = ask("POST", "auth/token/create", {"policies": ["inside"]}, headers=inside)
    text = str(token.body["auth"]["client_token"])
    lab.vault["token"] = lab.operator.keep("VAULT_TOKEN_OF_A_TEST", text)
    lab.operator.check_refused(lab.operator.run(), 12, "vault.permission")
    lab.vault["namespace"] = "team-b"
    assert lab.operator.run().code == REACHED


# an address in clear, on this machine only


@contextmanager
def plain_door(server: VaultServer) -> Iterator[str]:
    """An address of this machine without TLS that leads to the server."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or b"null")
            token = self.headers.get("X-Vault-Token", "")
            path = self.path.removeprefix("/v1/")
            answer = server.ask(self.command, path, body, token=token)
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_LIST = pass_on

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    door = Quiet(("127.0.0.1", 0), Door)
    thread = Thread(target=door.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{door.server_port}"
    finally:
        door.shutdown()
        thread.join()
        door.server_close()


def test_an_address_in_clear_on_this_machine_is_used_once_confirmed_and_by_no_proxy(
    lab: Lab,
) -> None:
    del lab.vault["ca_file"]
    nobody = f"http://127.0.0.1:{free_port()}"
    lab.operator.environment |= dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), nobody)
    with plain_door(lab.server) as address:
        lab.vault["addr"] = address
        lab.operator.check_refused(lab.operator.run(), 3, "vault.addr.plain")
        lab.operator.answers["waivers"]["vault.addr.plain"] = "an agent of this machine listens"
        said = lab.operator.run()
    assert said.code == REACHED, said.err
    lab.operator.check_untold(said)


def test_a_list_of_cas_in_the_environment_does_not_replace_the_one_of_the_answers(
    lab: Lab, tmp_path: Path
) -> None:
    import certifi

    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        lab.operator.environment[name] = certifi.where()
    assert lab.operator.run().code == REACHED
