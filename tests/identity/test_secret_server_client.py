"""The secret server's client at the identity provider: who gets a token that its role takes."""

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest

from tests.identity.conftest import bundle_with
from tests.identity.test_schema import SCHEMA, errors_of

PATH = "authentik-worker/blueprints/vault.yaml"
BACK = "http://localhost:8250/oidc/callback"
USER = "authentik_core.user"


@pytest.fixture
def world(make_world):
    return make_world(vault={"single_sign_on": True})


def code_for(browser, back=BACK):
    query = {
        "client_id": "vault", "response_type": "code", "state": "s", "nonce": "n",
        "redirect_uri": back, "scope": "openid profile",
    }  # fmt: skip
    answer = browser.ask("GET", f"/application/o/authorize/?{urllib.parse.urlencode(query)}")
    place = urllib.parse.urlsplit(str(answer.headers.get("Location")))
    return answer.status, dict(urllib.parse.parse_qsl(place.query)).get("code")


def claims_for(browser, code, shown="s-vault"):
    form = {
        "grant_type": "authorization_code", "client_id": "vault", "client_secret": shown,
        "code": code, "redirect_uri": BACK,
    }  # fmt: skip
    answer = browser.ask("POST", "/application/o/token/", urllib.parse.urlencode(form).encode())
    if answer.status != 200:
        return answer.status
    part = answer.body["id_token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_an_administrator_with_a_second_factor_gets_what_the_role_is_bound_to(world):
    """MF-05, MF-01: the claims are held against the rendered role and the rendered issuer."""
    browser = world.browser()
    challenge = browser.password()
    assert code_for(browser)[1] is None  # a password alone
    browser.enrol(challenge)
    claims = claims_for(browser, code_for(browser)[1])
    _, bundle = bundle_with(vault={"single_sign_on": True})
    wanted = json.loads(bundle.files["vault/sign-in.json"].data)
    role = wanted["roles"]["operator"]
    assert set(role["bound_claims"]["groups"]) & set(claims["groups"])
    assert [claims["aud"]] == role["bound_audiences"]
    assert claims["iss"] == wanted["config"]["oidc_discovery_url"]
    assert claims["nonce"] == "n" and claims[role["user_claim"]]
    assert "preferred_username" in claims
    assert claims_for(browser, code_for(browser)[1], shown="another") == 401


def test_who_only_uses_the_platform_is_not_let_through(world):
    """MF-05: at the provider already, before the secret server looks at the claim."""
    browser = world.browser()
    browser.enrol(browser.password())
    assert code_for(browser, "http://localhost:8250/elsewhere") == (400, None)
    users = world.pk("authentik_core.group", name="platform-users")
    world.change(USER, {"username": "platform-admin"}, groups=[users])
    assert browser.is_in()
    assert code_for(browser) == (403, None)


def test_the_client_is_there_with_single_sign_on_only():
    plan, bundle = bundle_with()
    assert PATH not in bundle.files
    assert "oidc_vault" not in plan.manifest("authentik-worker").secret_files
    plan, bundle = bundle_with(vault={"single_sign_on": True})
    assert PATH in bundle.files
    assert plan.manifest("authentik-worker").secret_files["oidc_vault"] == "${vault-oidc-secret}"


@pytest.mark.skipif(not SCHEMA.exists(), reason=f"{SCHEMA} is not there")
def test_mf_03_its_blueprint_is_one_of_the_published_schema():
    text = bundle_with(vault={"single_sign_on": True})[1].files[PATH].data.decode()
    assert errors_of(text) == []
