"""The stand-in for Gitea makes app.ini from the environment and refuses what Gitea ignores."""

from __future__ import annotations

import base64
import configparser

import gitea
import pytest
from standin import Refused

SECRET = base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")
GOOD = {
    "GITEA__database__DB_TYPE": "postgres",
    "GITEA__security__INSTALL_LOCK": "true",
    "GITEA__security__SECRET_KEY": "x" * 40,
    "GITEA__security__INTERNAL_TOKEN": "y" * 40,
    "GITEA__oauth2__JWT_SECRET": SECRET,
    "GITEA__server__ROOT_URL": "https://git.company.com/",
    "GITEA__cron_0X2E_update_checker__ENABLED": "false",
    "GITEA__metrics__ENABLED": "true",
    "GITEA__metrics__TOKEN": "m3trics",
    "GITEA__service__REQUIRE_SIGNIN_VIEW": "true",
}


def check(environment):
    ini = gitea.read_environment(environment)
    gitea.check_ini(ini)
    return ini


def test_the_environment_becomes_sections_and_keys(tmp_path):
    (tmp_path / "password").write_text("s3cret\n")
    ini = check({**GOOD, "GITEA__database__PASSWD__FILE": str(tmp_path / "password")})
    assert ini["database"]["PASSWD"] == "s3cret"
    assert ini["cron.update_checker"]["ENABLED"] == "false"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("GITEA__server__OFFLINE_MODE", "true", "removed"),
        ("GITEA__server__ROOT_ADDRESS", "x", "no setting"),
        ("GITEA__databse__HOST", "x", "no section"),
        ("GITEA__database__PASSWD__FILE", "/nowhere/password", "No such file"),
        ("GITEA__database__DB_TYPE", "sqlite3", "postgres only"),
        ("GITEA__security__INSTALL_LOCK", "false", "anyone could install"),
        ("GITEA__security__INTERNAL_TOKEN", "", "is empty"),
        ("GITEA__oauth2__JWT_SECRET", "c2hvcnQ", "32 bytes"),
        ("GITEA__server__ROOT_URL", "git.company.com", "no URL"),
    ],
)
def test_a_setting_that_is_wrong_is_refused(name, value, reason):
    with pytest.raises(Refused, match=reason):
        check({**GOOD, name: value})


def test_setting_up_writes_app_ini_for_its_owner_only(tmp_path):
    places = {
        "GITEA_WORK_DIR": str(tmp_path / "work"),
        "GITEA_TEMP": str(tmp_path / "temp"),
        "GITEA_APP_INI": str(tmp_path / "etc" / "app.ini"),
    }
    path = gitea.set_up({**GOOD, **places})
    assert path.stat().st_mode & 0o777 == 0o600
    assert gitea.read_ini(places)["server"]["ROOT_URL"] == "https://git.company.com/"
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="GITEA_TEMP"):
        gitea.set_up({**GOOD, **places, "GITEA_TEMP": str(tmp_path / "file" / "x")})


def test_every_redis_in_use_is_found_and_no_other():
    ini = configparser.ConfigParser()
    ini.optionxform = str
    ini.read_dict(
        {
            "cache": {"ADAPTER": "redis", "HOST": "redis://a"},
            "session": {"PROVIDER": "db", "PROVIDER_CONFIG": "redis://b"},
            "queue": {"TYPE": "redis", "CONN_STR": "redis://c"},
        }
    )
    assert set(gitea.redis_urls(ini).values()) == {"redis://a", "redis://c"}


def test_health_follows_the_database(database, ask):
    app = gitea.make_app(check(GOOD), database)
    assert ask(app, "GET", "/api/healthz").body["status"] == "pass"
    database._connection.connection.close()
    assert ask(app, "GET", "/api/healthz").status == 503


def test_metrics_and_api_ask_for_their_secrets(database, ask, monkeypatch, capsys):
    monkeypatch.setattr(gitea, "connect", lambda _: database)
    gitea.sql(database, gitea.SCHEMA)
    words = ["user", "create", "--admin", "--username", "root-admin", "--email", "a@x.com"]
    assert gitea.admin({}, [*words, "--password", "long-enough"]) == 0
    with pytest.raises(Refused, match="already exists"):
        gitea.admin({}, [*words, "--password=other"])
    app = gitea.make_app(check(GOOD), database)

    def status(path, authorization=""):
        return ask(app, "GET", path, headers={"Authorization": authorization}).status

    basic = "Basic " + base64.b64encode(b"root-admin:long-enough").decode()
    wrong = "Basic " + base64.b64encode(b"root-admin:other").decode()
    assert (status("/metrics"), status("/metrics", "Bearer m3trics")) == (401, 200)
    assert (status("/api/v1/version"), status("/api/v1/version", basic)) == (403, 200)
    assert (status("/api/v1/user", wrong), status("/api/v1/user", basic)) == (401, 200)
    assert gitea.admin({}, ["user", "list"]) == 0
    assert "root-admin" in capsys.readouterr().out
