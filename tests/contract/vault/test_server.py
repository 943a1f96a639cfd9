"""What the product relies on in a Vault-compatible server. Every case runs on the stand-in and,
when `DEVPLAT_TEST_VAULT_BIN` names a program, on that server: what passes here is true of both.
"""

from __future__ import annotations

import zlib

import pytest

from tests.contract.vault import cases_access, cases_kv
from tests.contract.vault.servers import VaultServer
from tests.contract.vault.steps import Step, policy, run_steps

TABLES = {
    "kv": cases_kv.KV,
    "policy": cases_access.POLICIES,
    "token": cases_access.TOKENS,
    "approle": cases_access.APPROLE,
    "wrapping": cases_access.WRAPPING,
}
CASES = {
    f"{table}: {name}": steps for table, body in TABLES.items() for name, steps in body.items()
}


@pytest.fixture(scope="session")
def prepared(vault_server: VaultServer) -> VaultServer:
    """The shared server with the mounts that the cases use; others may have made them before."""
    wanted = [
        (f"sys/mounts/{path}", {"type": "kv", "options": {"version": version}})
        for path, version in (("kv", "2"), ("plain", "1"))
    ]
    for path, body in (*wanted, ("sys/auth/approle", {"type": "approle"})):
        made = vault_server.ask("POST", path, body)
        assert made.status == 204 or "already in use" in str(made.errors), made
    return vault_server


def own_path(request: pytest.FixtureRequest) -> str:
    """A path that only this case uses."""
    return f"case-{zlib.crc32(request.node.callspec.id.encode())}"


@pytest.mark.parametrize("steps", CASES.values(), ids=CASES)
def test_each_answer_is_as_the_case_says(prepared: VaultServer, steps: list[Step], request) -> None:
    run_steps(prepared, steps, own_path(request))


@pytest.mark.parametrize("text", cases_access.BAD_POLICIES.values(), ids=cases_access.BAD_POLICIES)
def test_a_policy_that_is_not_valid_is_refused_and_not_stored(
    prepared: VaultServer, text: str, request
) -> None:
    own = own_path(request)
    run_steps(prepared, [policy(own, text, 400, error="failed to parse policy")], own)
    assert prepared.ask("GET", f"sys/policies/acl/{own}").status == 404
