"""The stand-in for authentik refuses what authentik refuses, and names it."""

from __future__ import annotations

import authentik
import pytest
from authentik_blueprint import Blueprints
from standin import Refused


@pytest.fixture
def good(tmp_path):
    (tmp_path / "key").write_text("k" * 60 + "\n")
    return {
        "AUTHENTIK_SECRET_KEY": f"file://{tmp_path}/key",
        "AUTHENTIK_POSTGRESQL__HOST": "postgres",
        "AUTHENTIK_POSTGRESQL__PASSWORD": "env://THE_PASSWORD",
        "AUTHENTIK_ERROR_REPORTING__ENABLED": "false",
        "THE_PASSWORD": "s3cret",
    }


def check(environment):
    settings = authentik.read_settings(environment)
    authentik.check_settings(settings)
    return settings


def test_values_come_from_files_and_from_the_environment(good):
    settings = check(good)
    assert settings["secret_key"] == "k" * 60
    assert settings["postgresql.password"] == "s3cret"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("AUTHENTIK_REDIS__HOST", "redis", "not used since"),
        ("AUTHENTIK_POSTGRES__HOST", "postgres", "no such setting"),
        ("AUTHENTIK_SECRET_KEY", "short", "at least 50"),
        ("AUTHENTIK_SECRET_KEY", "file:///nowhere/key", "No such file"),
        ("AUTHENTIK_BOOTSTRAP_PASSWORD", "file:///run/secrets/x", "not read for bootstrap"),
        ("AUTHENTIK_POSTGRESQL__PORT", "pg", "no number"),
        ("AUTHENTIK_ERROR_REPORTING__ENABLED", "nope", "ParseBool"),
        ("AUTHENTIK_POSTGRESQL__HOST", "", "not set"),
    ],
)
def test_a_setting_that_is_wrong_is_refused(good, name, value, reason):
    with pytest.raises(Refused, match=reason):
        check({**good, name: value})


def test_readiness_follows_the_database(database, ask):
    app = authentik.make_app(database)
    assert ask(app, "GET", "/-/health/live/").status == 200
    assert ask(app, "GET", "/-/health/ready/").status == 200
    database._connection.connection.close()
    assert ask(app, "GET", "/-/health/ready/").status == 503
    assert ask(app, "GET", "/-/health/live/").status == 200
    assert ask(app, "GET", "/-/health/live").headers["Location"] == "/-/health/live/"


def test_the_bootstrap_token_opens_the_api_and_no_other_does(database, ask):
    authentik.migrate(database, {"bootstrap_token": "t0ken"})
    authentik.migrate(database, {"bootstrap_token": "later"})
    app = authentik.make_app(database)

    def status(token):
        headers = {"Authorization": f"Bearer {token}"}
        return ask(app, "GET", "/api/v3/admin/version/", headers=headers).status

    assert (status("t0ken"), status("later"), status("")) == (200, 403, 403)


BLUEPRINT = """
version: 1
metadata: {name: test - oidc coder}
entries:
  - model: authentik_providers_oauth2.oauth2provider
    id: provider
    identifiers: {name: coder}
    attrs:
      client_id: coder-id
      client_secret: !File %s
      grant_types: [authorization_code]
      authorization_flow: !Find
        - authentik_flows.flow
        - [slug, default-provider-authorization-implicit-consent]
      invalidation_flow: !Find [authentik_flows.flow, [slug, default-provider-invalidation-flow]]
      redirect_uris: [{matching_mode: strict, url: "https://coder.x/cb"}]
  - model: authentik_core.application
    identifiers: {slug: coder}
    attrs: {name: Coder, provider: !KeyOf provider}
"""


def apply(database, folder, text):
    (folder / "secret").write_text("s")
    (folder / "coder.yaml").write_text(text.replace("%s", str(folder / "secret")))
    (folder / "ignored.yml").write_text("not read: this ending is not looked for")
    blueprints = Blueprints(authentik.migrate(database, {}), folder)
    blueprints.apply_all()
    return blueprints


def test_a_blueprint_brings_its_application_into_being(database, ask, tmp_path):
    assert apply(database, tmp_path, BLUEPRINT).apply("test - oidc coder") == ""
    app = authentik.make_app(database)
    url = "/application/o/coder/.well-known/openid-configuration"
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "auth.x"}
    found = ask(app, "GET", url, headers=headers).body
    assert found["issuer"] == "https://auth.x/application/o/coder/"
    assert ask(app, "GET", url.replace("coder", "other")).status == 404


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("version: 1", "version: 2", "version"),
        ("grant_types: [authorization_code]", "grant_types: []", "grant_types"),
        ("grant_types: [authorization_code]", "grant_types: [code]", "not a valid choice"),
        ("slug, default-provider-invalidation-flow", "slug, nowhere", "invalidation_flow"),
        ("[slug, default-provider-inv", "[slog, default-provider-inv", "no field slog"),
        ("client_id: coder-id", "client_identity: coder-id", "no field client_identity"),
        ("client_id: coder-id", "client_id: 7", "no string"),
        ("authentik_core.application", "authentik_core.app", "no model"),
        ("!KeyOf provider", "!KeyOf nobody", "failed to find entry"),
        ("!KeyOf provider", "!Given provider", "no tag"),
        ("!File %s", "!File /nowhere", "No such file"),
    ],
)
def test_a_blueprint_that_could_not_log_anyone_in_is_refused(database, tmp_path, old, new, reason):
    """Its status is `error`, and nothing of it is kept."""
    blueprints = apply(database, tmp_path, BLUEPRINT.replace(old, new))
    error = blueprints.apply(next(iter(blueprints.documents())))
    assert reason in error
    status = blueprints.store.first("authentik_blueprints.blueprintinstance", path="coder.yaml")
    assert status["status"] == "error"
    assert blueprints.store.first("authentik_core.application") is None
