"""Whom the token of an existing Vault is sent to: addresses, certificates, what else answers.

Covers F-057 and SE-24.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from installer.adapters.vault_session import TokenLogin, VaultSession
from installer.adapters.vault_store import VaultStore
from installer.adapters.vault_transport import Address
from installer.core.errors import IntegrityError, SecretStoreError
from installer.core.secrets import Secret
from tests.contract.vault.authority import Authority, make_authority
from tests.contract.vault.servers import VaultServer, free_port
from tests.contract.vault.store_lab import (
    ABSENT,
    KV2,
    VALUE,
    Asked,
    HeldClock,
    Reply,
    grant,
    link_to,
    make_token,
    never,
    open_store,
    problem_of,
    scripted_server,
    spec,
)


def test_f_057_a_certificate_of_an_unknown_authority_is_refused(
    server: VaultServer, prefix: str, tmp_path: Path
) -> None:
    stranger = make_authority(tmp_path)
    for ca_file in (stranger.root, None):
        session = VaultSession(Address(server.address, ca_file), TokenLogin(Secret(server.token)))
        with pytest.raises(SecretStoreError) as caught:
            VaultStore(session, mount="secret", prefix=prefix).ensure(spec(), never)
        problem = problem_of(caught, Secret(server.token))
        assert problem.code == "vault.ca"
        assert "CA" in problem.remedy.summary
        assert "vault.ca_file" in problem.remedy.summary
        assert problem.where == "vault.ca_file"
    assert open_store(server, prefix).names() == frozenset()


def test_f_057_a_certificate_for_another_name_is_refused(
    server: VaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = socket.getaddrinfo

    def look_up(host: str, *more: Any, **named: Any) -> Any:
        return find("127.0.0.1" if host == "other.example" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    other = Address(f"https://other.example:{server.port}", server.ca_file)
    with pytest.raises(SecretStoreError) as caught:
        VaultSession(other).is_valid(Secret("t"))
    problem = problem_of(caught)
    assert problem.code == "vault.ca"
    assert "the name that the certificate is for" in problem.remedy.summary


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_f_057_a_ca_file_that_is_none_is_said_before_anything_is_sent(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SecretStoreError) as caught:
        VaultSession(Address("https://127.0.0.1:1", path))
    problem = problem_of(caught)
    assert problem.code == "vault.ca"
    assert str(path) in problem.summary


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8200", "HTTP://vault", "vault.example:8200", "ftp://v", "", "//v"]
)
def test_an_address_without_tls_is_refused(url: str) -> None:
    with pytest.raises(SecretStoreError) as caught:
        VaultSession(Address(url))
    problem = problem_of(caught)
    assert problem.code == "vault.addr.plain"
    assert "https" in problem.remedy.summary


def test_nothing_listening_at_the_address_is_said_with_the_address() -> None:
    address = f"https://127.0.0.1:{free_port()}"
    with pytest.raises(SecretStoreError) as caught:
        VaultSession(Address(address), TokenLogin(Secret("t"))).log_in(TokenLogin(Secret("t")))
    problem = problem_of(caught)
    assert problem.code == "vault.unreachable"
    assert address in problem.summary
    assert "connection refused" in problem.summary
    assert "vault.addr" in problem.remedy.summary


def test_a_name_that_does_not_resolve_is_said() -> None:
    session = VaultSession(Address("https://user:canarypass@no-such-host.invalid:8200"))
    with pytest.raises(SecretStoreError) as caught:
        session.is_valid(Secret("t"))
    problem = problem_of(caught, Secret("canarypass"))
    assert problem.code == "vault.unreachable"
    assert "does not resolve" in problem.summary


def test_a_server_without_tls_at_an_https_address_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        plain.settimeout(10)
        port = plain.getsockname()[1]
        session = VaultSession(Address(f"https://127.0.0.1:{port}"))
        import threading

        def answer() -> None:
            peer, _ = plain.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SecretStoreError) as caught:
            session.is_valid(Secret("t"))
        thread.join()
    problem = problem_of(caught)
    assert problem.code == "vault.unreachable"
    assert "TLS" in problem.summary


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>welcome</html>"),
        Reply(404, b"<html>not found</html>"),
        Reply(403, b"forbidden by policy"),
        Reply(400, b"bad"),
        Reply(204),
        Reply(200, ["a", "list"]),
        Reply(404, ["errors"]),
        Reply(404, b"\xff\xfe{"),
        Reply(502, b"bad gateway"),
        Reply(418, {"errors": [{"code": 7}]}),
        Reply(500, {"errors": "a text"}),
        Reply(200, {"message": "JSON of another API"}),
    ],
    ids=lambda reply: f"{reply.status} {str(reply.body)[:12]}",
)
def test_another_web_server_at_the_address_is_never_taken_for_a_vault(
    vault_authority: Authority, reply: Reply
) -> None:
    with scripted_server(vault_authority, lambda _: reply) as other:
        session = other.open(TokenLogin(Secret("s.canaryTokenCanaryToken")), HeldClock().pace())
        store = VaultStore(session, mount="secret", prefix="p")
        with pytest.raises((SecretStoreError, IntegrityError)) as caught:
            store.ensure(spec(), never)
    problem = caught.value.problems[0]
    assert problem.code in ("vault.unexpected", "vault.no_mount", "vault.token_refused")
    assert "canaryToken" not in str(problem)


def test_what_a_server_repeats_of_a_request_is_not_repeated_further(
    vault_authority: Authority,
) -> None:
    def echo(asked: Asked) -> Reply:
        if asked.method == "GET":
            return Reply(200, KV2) if "mounts" in asked.path else ABSENT
        said = f"cannot store {asked.body.decode()} for {asked.headers['x-vault-token']}"
        return Reply(400, {"errors": [said]})

    token = Secret("s.canaryTokenCanaryToken12")
    with scripted_server(vault_authority, echo) as other:
        session = other.open(TokenLogin(token), HeldClock().pace())
        store = VaultStore(session, mount="secret", prefix="p")
        with pytest.raises(SecretStoreError) as caught:
            store.ensure(spec(), lambda: VALUE)
    problem = problem_of(caught, token)
    assert problem.code == "vault.unexpected"
    assert "cannot store" in str(problem.detail)


def test_a_namespace_goes_with_every_request(vault_authority: Authority) -> None:
    with scripted_server(vault_authority, lambda _: Reply(200, {"data": {"ttl": 0}})) as server:
        link = Address(server.address, vault_authority.root, namespace="team/a")
        VaultSession(link).log_in(TokenLogin(Secret("t")))
    assert {each.headers["x-vault-namespace"] for each in server.asked} == {"team/a"}


def test_no_token_of_this_machines_environment_is_ever_sent(
    server: VaultServer, prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = make_token(server, "harmless", grant("nothing", "read"))
    (tmp_path / ".vault-token").write_text(server.token)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAULT_TOKEN", server.token)
    monkeypatch.setenv("VAULT_ADDR", "https://elsewhere.example")
    with pytest.raises(SecretStoreError) as caught:
        open_store(server, prefix, TokenLogin(token)).get("x")
    assert problem_of(caught).code == "vault.permission"
    session = VaultSession(link_to(server))
    with pytest.raises(SecretStoreError) as caught:
        VaultStore(session, mount="secret", prefix=prefix).get("x")
    assert problem_of(caught).code == "vault.token_refused"


def test_a_password_of_this_machines_netrc_is_not_sent(
    vault_authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("default login a password canarynetrc\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with scripted_server(vault_authority, lambda _: Reply(200, {"data": {"ttl": 0}})) as server:
        server.open().log_in(TokenLogin(Secret("t")))
    assert [each.headers.get("authorization") for each in server.asked] == [None]


def test_opening_a_session_sends_nothing(vault_authority: Authority) -> None:
    with scripted_server(vault_authority, lambda _: Reply(500)) as server:
        session = server.open(TokenLogin(Secret("t")))
        VaultStore(session, mount="secret", prefix="p").close()
    assert server.asked == []
