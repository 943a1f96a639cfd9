"""The object store's client at the identity provider: who gets the claim of a policy. MF-05."""

from __future__ import annotations

import base64
import json
import urllib.parse

from tests.identity.conftest import bundle_with

BACK = "http://127.0.0.1:8250/oidc/callback"
USER = "authentik_core.user"


def code_for(browser):
    query = {
        "client_id": "minio", "response_type": "code", "state": "s", "redirect_uri": BACK,
        "scope": "openid profile", "code_challenge": "v" * 43,
    }  # fmt: skip
    answer = browser.ask("GET", f"/application/o/authorize/?{urllib.parse.urlencode(query)}")
    place = urllib.parse.urlsplit(str(answer.headers.get("Location")))
    return answer.status, dict(urllib.parse.parse_qsl(place.query)).get("code")


def claims_for(browser, code, verifier="v" * 43):
    form = {
        "grant_type": "authorization_code", "client_id": "minio", "code": code,
        "redirect_uri": BACK, "code_verifier": verifier,
    }  # fmt: skip
    answer = browser.ask("POST", "/application/o/token/", urllib.parse.urlencode(form).encode())
    if answer.status != 200:
        return answer.status
    part = answer.body["id_token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_administrators_alone_get_the_policy_and_need_no_secret(make_world):
    world = make_world(minio={"single_sign_on": True})
    browser = world.browser()
    browser.enrol(browser.password())
    claims = claims_for(browser, code_for(browser)[1])
    assert (claims["policy"], claims["aud"]) == (["consoleAdmin"], "minio")
    assert claims_for(browser, code_for(browser)[1], verifier="x" * 43) == 400
    # who leaves the group between the login and the token has no claim, and then no login
    code = code_for(browser)[1]
    users = world.pk("authentik_core.group", name="platform-users")
    world.change(USER, {"username": "platform-admin"}, groups=[users])
    assert "policy" not in claims_for(browser, code)
    assert code_for(browser) == (403, None)


def test_the_client_is_there_with_single_sign_on_only():
    path = "authentik-worker/blueprints/minio.yaml"
    plan, bundle = bundle_with()
    assert path not in bundle.files
    assert "config.env" not in plan.manifest("minio").secret_files
    plan, bundle = bundle_with(minio={"single_sign_on": True})
    text = bundle.files[path].data.decode()
    assert "client_type: public" in text
    assert "client_secret" not in text
    named = plan.manifest("minio").secret_files["config.env"]
    assert named == "MINIO_IDENTITY_OPENID_CLIENT_SECRET=${minio-oidc-secret}\n"
