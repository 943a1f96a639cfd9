"""How people log in to the secret server, as it is rendered; and what leads it to the edge."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from installer.core.errors import AnswersError, StackError
from installer.core.sign_in import read_sign_in
from tests.backup.programs import find_programs
from tests.contract.vault.authority import Authority
from tests.contract.vault.oidc_provider import Provider
from tests.contract.vault.servers import Program, free_port, wait_until
from tests.contract.vault.test_sign_in import render_with, rendered

pytestmark = pytest.mark.slow


def test_nothing_of_it_is_rendered_unless_it_is_asked_for() -> None:
    plan, bundle = rendered()
    assert read_sign_in(plan, bundle) is None
    assert "identity-relay" not in plan.services
    assert not [path for path in bundle.files if "sign-in" in path or path.endswith("/vault.yaml")]
    assert "vault-oidc-secret" not in {spec.name for spec in plan.secrets}


def test_the_edge_and_the_secret_server_share_no_network() -> None:
    """SD-41: what leads to the public names stands between them, and answers for these names."""
    plan, bundle = rendered(single_sign_on=True)
    services = bundle.document["services"]
    assert not set(services["vault"]["networks"]) & set(services["traefik"]["networks"])
    network = services["identity-relay"]["networks"]["vault-to-identity-relay"]
    assert "auth.company.com" in network["aliases"]
    assert all(n.internal for n in plan.networks if "vault" in n.members)


COMPANY: dict[str, Any] = {
    "mode": "external",
    "issuer": "https://login.company.com/realms/platform",
    "client_ids": {"coder": "c", "gitea": "g", "vault": "secret-server"},
    "client_secrets": {"coder": "env:A", "gitea": "env:B", "vault": "env:C"},
    "admin_group": "devplat admins",
}


def test_a_companys_provider_is_asked_without_the_edge() -> None:
    """SD-58: the way out is declared, and there with this answer only."""
    plan, bundle = render_with({"vault": {"single_sign_on": True}, "identity": COMPANY})
    wanted = read_sign_in(plan, bundle)
    assert wanted is not None and wanted.trusts_edge is False
    assert wanted.config["oidc_discovery_url"] == COMPANY["issuer"]
    assert wanted.config["oidc_client_id"] == "secret-server"
    role = wanted.roles["operator"]
    assert role["bound_audiences"] == ["secret-server"]
    assert role["bound_claims"] == {"groups": ["devplat admins"]}
    assert "identity-relay" not in plan.services
    assert "vault-egress" in plan.networks_of["vault"]
    plan, _ = render_with({"identity": COMPANY})
    assert "vault-egress" not in plan.networks_of["vault"]
    missing = {**COMPANY, "client_ids": {"coder": "c", "gitea": "g"}}
    with pytest.raises(AnswersError, match="vault is installed"):
        render_with({"vault": {"single_sign_on": True}, "identity": missing})


def test_what_leads_to_the_edge_hands_on_what_is_encrypted(vault_authority: Authority) -> None:
    """With the rendered program: TLS from end to end, several at a time, nothing but the edge."""
    _, bundle = rendered(single_sign_on=True)
    service = bundle.document["services"]["identity-relay"]
    (script,) = service["command"]
    port, provider = free_port(), Provider(vault_authority)
    there = provider.base.rpartition(":")[2]
    moved = script.replace("traefik 443", f"127.0.0.1 {there}").replace("443", str(port), 1)
    assert moved != script
    relay = subprocess.Popen(
        [*service["entrypoint"], moved], env={"PATH": str(find_programs())},
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        wait_until(lambda: can_connect(port), lambda: "the relay does not listen")
        url = f"https://127.0.0.1:{port}{provider.path}.well-known/openid-configuration"
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(
                lambda _: requests.get(url, verify=str(vault_authority.root), timeout=10), range(8)
            )
            assert [answer.json()["issuer"] for answer in answers] == [provider.issuer] * 8
    finally:
        os.killpg(relay.pid, signal.SIGKILL)
        relay.communicate()
        provider.close()


def test_its_check_tells_an_edge_that_answers_from_one_that_does_not(
    vault_authority: Authority, vault_program: Program, tmp_path: Path
) -> None:
    provider = Provider(vault_authority)  # the edge answers 404 for a name that it does not know
    text = rendered(single_sign_on=True)[1].files["identity-relay/reaches.sh"].data.decode()
    script = text.replace("127.0.0.1:443", provider.base.removeprefix("https://"))
    caller = tmp_path / "bao"
    caller.write_text(f'#!/bin/sh\nexec {shlex.join(vault_program.argv)} "$@"\n')
    caller.chmod(0o755)

    def said() -> bytes:
        settings = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
        return subprocess.run(
            ["sh", "-c", script], env=settings, capture_output=True, check=False
        ).stdout

    assert said() == b"edge-answers\n"
    provider.close()
    assert said() == b""


def can_connect(port: int) -> bool:
    with socket.socket() as tried:
        tried.settimeout(1)
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_a_file_of_another_form_is_a_mistake_of_the_stack() -> None:
    plan, bundle = rendered(single_sign_on=True)
    path = "vault/sign-in.json"
    for data in (b"{", b'{"type": "oidc"}'):
        file = replace(bundle.files[path], data=data)
        broken = replace(bundle, files={**bundle.files, path: file})
        with pytest.raises(StackError, match="another form"):
            read_sign_in(plan, broken)
