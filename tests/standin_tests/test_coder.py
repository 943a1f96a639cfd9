"""The stand-in for Coder refuses what Coder refuses, and names it."""

from __future__ import annotations

import json

import coder
import pytest
from standin import Refused

GOOD = {
    "CODER_ACCESS_URL": "https://coder.company.com",
    "CODER_WILDCARD_ACCESS_URL": "*.coder.company.com",
    "CODER_PG_CONNECTION_URL": "postgres://coder:x@postgres:5432/coder",
    "CODER_HTTP_ADDRESS": "0.0.0.0:7080",
    "CODER_SESSION_DURATION": "8h",
    "CODER_SECURE_AUTH_COOKIE": "true",
    "CODER_PROXY_TRUSTED_ORIGINS": "172.30.1.0/24",
    "CODER_STRICT_TRANSPORT_SECURITY": "31536000",
    "CODER_STRICT_TRANSPORT_SECURITY_OPTIONS": "includeSubDomains",
    "CODER_EXTERNAL_AUTH_0_TYPE": "gitea",
    "PATH": "/bin",
}


def check(**changes):
    environment = {**GOOD, **changes}
    coder.check_environment(environment)
    coder.check_values(environment)


def test_documented_settings_are_taken():
    check()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("CODER_MAX_SESSION_EXPIRY", "8h", "use CODER_SESSION_DURATION"),
        ("CODER_TELEMETRY", "false", "use CODER_TELEMETRY_ENABLE"),
        ("CODER_AIBRIDGE_ENABLED", "true", "use CODER_AI_GATEWAY"),
        ("CODER_NO_SUCH_THING", "1", "no documented option"),
        ("CODER_EXTERNAL_AUTH_0_COLOUR", "red", "no documented option"),
        ("CODER_STRICT_TRANSPORT_SECURITY", "true", "ParseInt"),
        ("CODER_STRICT_TRANSPORT_SECURITY_OPTIONS", "max-age=1", "invalid option"),
        ("CODER_SESSION_DURATION", "8", "invalid duration"),
        ("CODER_SECURE_AUTH_COOKIE", "yes", "ParseBool"),
        ("CODER_SAMESITE_AUTH_COOKIE", "strict", "none of"),
        ("CODER_HTTP_ADDRESS", "127.0.0.1:3000", "loopback"),
        ("CODER_HTTP_ADDRESS", "", "not set"),
        ("CODER_PG_CONNECTION_URL", "", "not set"),
        ("CODER_WILDCARD_ACCESS_URL", "coder.company.com", "no wildcard"),
        ("CODER_PROXY_TRUSTED_ORIGINS", "172.30.1.1/24", "host bits"),
        ("CODER_REDIRECT_TO_ACCESS_URL", "true", "redirects for ever"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_by_name(name, value, reason):
    with pytest.raises(Refused, match=reason) as refusal:
        check(**{name: value})
    assert name in str(refusal.value)


def test_flags_stand_for_their_variables():
    assert coder.read_flags({"max-token-lifetime": "168h"}) == {"CODER_MAX_TOKEN_LIFETIME": "168h"}
    assert coder.read_flags({"postgres-url": "x"}) == {"CODER_PG_CONNECTION_URL": "x"}
    with pytest.raises(Refused, match="--pg-connection-url"):
        coder.read_flags({"pg-connection-url": "x"})


def test_the_cache_must_take_files_and_run_them(tmp_path):
    coder.check_cache({"HOME": str(tmp_path)})
    assert not list((tmp_path / ".cache/coder").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="fork/exec"):
        coder.check_cache({"HOME": str(tmp_path), "CODER_CACHE_DIRECTORY": f"{tmp_path}/file/x"})


def test_the_first_user_can_be_made_once_and_can_log_in(database, ask):
    app = coder.make_app(GOOD, coder.Users(database))
    person = {"username": "platform-admin", "email": "a@company.com", "password": "long-enough-1"}
    assert ask(app, "GET", "/api/v2/users/first").status == 404
    assert ask(app, "POST", "/api/v2/users/first", body=json.dumps(person).encode()).status == 201
    assert ask(app, "GET", "/api/v2/users/first").status == 200
    assert ask(app, "POST", "/api/v2/users/first", body=json.dumps(person).encode()).status == 409
    login = ask(app, "POST", "/api/v2/users/login", body=json.dumps(person).encode())
    me = ask(
        app, "GET", "/api/v2/users/me", headers={"Coder-Session-Token": login.body["session_token"]}
    )
    assert me.body["username"] == "platform-admin"


def test_a_wrong_password_or_token_gets_nothing(database, ask):
    users = coder.Users(database)
    app = coder.make_app(GOOD, users)
    assert users.create("admin", "a@company.com", "long-enough-1") == ""
    wrong = json.dumps({"email": "a@company.com", "password": "other"}).encode()
    assert ask(app, "POST", "/api/v2/users/login", body=wrong).status == 401
    assert ask(app, "GET", "/api/v2/users/me").status == 401


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (("a b", "a@x.com", "long-enough-1"), "username"),
        (("admin", "nobody", "long-enough-1"), "email"),
        (("admin", "a@x.com", "short"), "password"),
        (("taken", "a@x.com", "long-enough-1"), "exists"),
    ],
)
def test_a_user_that_coder_would_not_make_is_refused(database, user, reason):
    users = coder.Users(database)
    users.create("taken", "t@x.com", "long-enough-1")
    assert reason in users.create(*user)


def test_creating_an_administrator_never_asks(database, monkeypatch):
    monkeypatch.setattr(coder, "connect_postgres", lambda *_: database)
    with pytest.raises(Refused, match="CODER_PASSWORD"):
        coder.create_admin({**GOOD, "CODER_USERNAME": "a", "CODER_EMAIL": "a@x.com"}, {})
    assert (
        coder.create_admin(
            {**GOOD, "CODER_USERNAME": "a", "CODER_EMAIL": "a@x.com"}, {"password": "long-enough-1"}
        )
        == 0
    )
