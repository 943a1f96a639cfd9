"""People log in to the secret server through the identity provider: the rendered rules, our adapter
under the installer's own login, a provider on loopback. On the stand-in, and on a real server where
`DEVPLAT_TEST_VAULT_BIN` names one. SE-16, MF-05.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from installer.adapters.vault_server import VaultServer as Admin
from installer.core.bundle import Bundle
from installer.core.errors import SecretStoreError
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.core.secrets import Secret
from installer.core.sign_in import SignIn, mark_of, read_sign_in
from installer.core.store_rules import installer_role, make_store_rules
from installer.stacks import load_templates
from tests.contract.vault.authority import Authority, make_authority
from tests.contract.vault.oidc_provider import SECRET, Provider
from tests.contract.vault.servers import Answer, VaultServer
from tests.contract.vault.store_lab import admin_of
from tests.stacks.builders import BASE, OPTIONAL, ROOT, load, make_plan_for

pytestmark = pytest.mark.slow

REDIRECT = "http://localhost:8250/oidc/callback"
VALUE = "secret/data/devplat/devplat/word"


@functools.cache
def rendered(**vault: Any) -> tuple[Plan, Bundle]:
    return render_with({"vault": vault})


def render_with(more: dict[str, Any]) -> tuple[Plan, Bundle]:
    without = {name: {"enabled": False} for name in OPTIONAL}
    waivers = {**BASE["waivers"], "mfa.unknown": "seen by these tests"}
    plan = make_plan_for(load(), "everything", {**without, "waivers": waivers, **more})
    return plan, render(plan, load_templates(ROOT, load()))


@dataclass
class Desk:
    """An open server with the product's rules, the installer logged in to it, and a provider."""

    server: VaultServer
    admin: Admin
    provider: Provider
    plan: Plan
    wanted: SignIn

    @property
    def roots(self) -> str:
        return self.provider.authority.root.read_text()

    def configure(self) -> None:
        self.admin.sign_in.configure(self.wanted, Secret(SECRET), self.roots)

    def lacks(self, secret: str = SECRET) -> tuple[str, ...]:
        return self.admin.sign_in.lacks(self.wanted, Secret(secret), self.roots)

    def start(self, redirect: str = REDIRECT) -> str:
        """The address that the server sends somebody to; empty when it refuses."""
        body = {"role": "operator", "redirect_uri": redirect}
        answer = self.server.ask("POST", "auth/oidc/oidc/auth_url", body, token="")
        return str(answer.data.get("auth_url") or "")

    def log_in(self) -> Answer:
        brought = self.provider.log_in(self.start())
        return self.server.ask("GET", "auth/oidc/oidc/callback", token="", **brought)


@pytest.fixture
def desk(fresh_vault: VaultServer, vault_authority: Authority) -> Iterator[Desk]:
    plan, bundle = rendered(single_sign_on=True)
    provider = Provider(vault_authority)
    admin = admin_of(fresh_vault)
    try:
        admin.log_in(Secret(fresh_vault.token))
        admin.configure(make_store_rules(plan))
        admin.log_in_as(admin.issue(installer_role(plan.deployment), wrap_s=None))
        wanted = read_sign_in(plan, bundle)
        assert wanted is not None
        assert (
            wanted.config["oidc_discovery_url"] == "https://auth.company.com/application/o/vault/"
        )
        config = {**wanted.config, "oidc_discovery_url": provider.issuer}
        yield Desk(fresh_vault, admin, provider, plan, replace(wanted, config=config))
    finally:
        admin.close()
        provider.close()


def test_a_member_logs_in_and_may_look_but_reads_no_secret(desk: Desk) -> None:
    """SE-16, MF-05: by the installer's own login, without a root token."""
    assert desk.lacks() == ("login method auth/oidc",)
    desk.configure()
    assert desk.lacks() == ()
    assert desk.server.ask("POST", VALUE, {"data": {"value": "hidden"}}).status == 200
    answer = desk.log_in()
    assert answer.status == 200, answer
    auth = answer.body["auth"]
    assert auth["token_policies"] == ["devplat-operator"]
    assert auth["metadata"]["username"] == "ada"
    assert auth["lease_duration"] == 3600

    def status(method: str, path: str, body: object = None) -> int:
        return desk.server.ask(method, path, body, token=auth["client_token"]).status

    for method, path in (
        ("LIST", "secret/metadata/devplat/devplat"),
        ("GET", "secret/metadata/devplat/devplat/word"),
        ("GET", "sys/audit"),
        ("GET", "sys/auth"),
        ("GET", "sys/mounts"),
        ("LIST", "sys/policies/acl"),
        ("GET", "sys/policies/acl/devplat-operator"),
        ("LIST", "auth/approle/role"),
        ("GET", "auth/token/lookup-self"),
    ):
        assert status(method, path) == 200, path
    policy = {"policy": 'path "*" { capabilities = ["read"] }'}
    for method, path, body in (
        ("GET", VALUE, None),
        ("POST", VALUE, {"data": {"value": "other"}}),
        ("DELETE", "secret/metadata/devplat/devplat/word", None),
        ("GET", "sys/storage/raft/snapshot", None),
        ("PUT", "sys/seal", None),
        ("PUT", "sys/policies/acl/devplat-operator", policy),
        ("POST", "auth/approle/role/devplat-installer/secret-id", {}),
        ("POST", "auth/token/create", {}),
        ("DELETE", "sys/auth/oidc", None),
        ("POST", "auth/oidc/config", {}),
    ):
        assert status(method, path, body) == 403, path


def set_groups(provider: Provider) -> None:
    provider.groups = ("platform-users",)


def set_no_groups(provider: Provider) -> None:
    provider.claims = {"groups": None}


def set_audience(provider: Provider) -> None:
    provider.claims = {"aud": "grafana"}


def set_issuer(provider: Provider) -> None:
    provider.claims = {"iss": f"{provider.base}/application/o/grafana/"}


def set_nonce(provider: Provider) -> None:
    provider.claims = {"nonce": "of-another-login"}


def set_age(provider: Provider) -> None:
    provider.claims = {"exp": 1700000000, "iat": 1699999000}


def set_key(provider: Provider) -> None:
    provider.stranger = True


def set_secret(provider: Provider) -> None:
    provider.secret = "another-secret-of-the-client"


@pytest.mark.parametrize(
    "bend",
    [set_groups, set_no_groups, set_audience, set_issuer, set_nonce, set_age, set_key, set_secret],
    ids=["no member", "no groups", "audience", "issuer", "nonce", "age", "key", "secret"],
)
def test_nobody_else_is_let_in(desk: Desk, bend: Callable[[Provider], None]) -> None:
    """SE-16: a member was let in a moment ago, so it is the bent part that is refused."""
    desk.configure()
    assert desk.log_in().status == 200
    bend(desk.provider)
    answer = desk.log_in()
    assert answer.status in (400, 403), answer
    assert "auth" not in answer.body


def test_a_login_comes_back_to_its_own_address_only_and_once(desk: Desk) -> None:
    desk.configure()
    # the port of a loopback address is whatever the command line could get (RFC 8252, section 7.3)
    for other in ("http://localhost:8250/elsewhere", "https://evil.example/oidc/callback"):
        assert desk.start(other) == ""
    assert desk.start() != ""
    brought = desk.provider.log_in(desk.start())
    path = "auth/oidc/oidc/callback"
    assert desk.server.ask("GET", path, token="", **brought).status == 200
    assert desk.server.ask("GET", path, token="", **brought).status == 400
    assert desk.server.ask("GET", path, token="", code="x", state="y").status == 400


def test_what_differs_is_named_and_made_and_a_second_run_changes_nothing(desk: Desk) -> None:
    desk.configure()
    before = desk.server.ask("GET", "sys/auth").data["oidc/"]["accessor"]
    assert desk.lacks("a new secret of the client, long enough") == (
        "secret of the client of auth/oidc",
    )
    role = "auth/oidc/role/operator"
    changed = {**desk.wanted.roles["operator"], "bound_claims": {"groups": ["everybody"]}}
    assert desk.server.ask("POST", role, changed).status in (200, 204)
    wide = {"policy": 'path "*" { capabilities = ["read"] }'}
    assert desk.server.ask("PUT", "sys/policies/acl/devplat-operator", wide).status == 204
    assert desk.lacks() == ("policy devplat-operator", "role operator of auth/oidc")
    desk.configure()
    assert desk.lacks() == ()
    assert desk.server.ask("GET", "sys/auth").data["oidc/"]["accessor"] == before
    assert desk.log_in().status == 200


def test_a_provider_that_is_away_or_shown_by_another_authority_is_refused(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """TLS to the provider is verified by the edge's roots."""
    other = make_authority(tmp_path_factory.mktemp("other")).root.read_text()
    with pytest.raises(SecretStoreError) as caught:
        desk.admin.sign_in.configure(desk.wanted, Secret(SECRET), other)
    assert caught.value.problems[0].code == "vault.sign_in_refused"
    assert SECRET not in str(caught.value)
    desk.provider.close()
    with pytest.raises(SecretStoreError) as caught:
        desk.configure()
    assert caught.value.problems[0].code == "vault.sign_in_refused"


def test_it_is_taken_away_with_its_tokens_and_policy(desk: Desk) -> None:
    desk.configure()
    token = desk.log_in().body["auth"]["client_token"]
    mark = mark_of(desk.plan)
    assert desk.admin.sign_in.is_there("oidc", mark)
    desk.admin.sign_in.remove("oidc", mark, "devplat-")
    assert not desk.admin.sign_in.is_there("oidc", mark)
    assert "oidc/" not in desk.server.ask("GET", "sys/auth").data
    assert desk.server.ask("GET", "auth/token/lookup-self", token=token).status == 403
    names = desk.server.ask("LIST", "sys/policies/acl").data["keys"]
    assert "devplat-operator" not in names and "devplat-installer" in names
    desk.admin.sign_in.remove("oidc", mark, "devplat-")


def test_a_method_of_somebody_else_is_left_untouched(desk: Desk) -> None:
    body = {"type": "oidc", "description": "made by hand"}
    assert desk.server.ask("POST", "sys/auth/oidc", body).status == 204
    with pytest.raises(SecretStoreError) as caught:
        desk.configure()
    assert caught.value.problems[0].code == "vault.sign_in_taken"
    assert not desk.admin.sign_in.is_there("oidc", mark_of(desk.plan))
    desk.admin.sign_in.remove("oidc", mark_of(desk.plan), "devplat-")
    found = desk.server.ask("GET", "sys/auth").data["oidc/"]
    assert found["description"] == "made by hand"
