"""Grafana with the rendered environment, provisioning and dashboards, on the stand-in: it starts,
sends people to single sign-on, and shows nothing to somebody who has not logged in.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grafana
import pytest
import yaml
from standin import Answer, App, Refused, Request

from installer.core.plan import Plan

SECRETS = ("emergency_password", "secret_key", "oidc_secret")


@pytest.fixture
def run(tmp_path: Path, files: Mapping[str, bytes]) -> Iterator[Callable[..., App]]:
    """An app from a service's environment and command, with files where they would be mounted."""
    for name in SECRETS:
        (tmp_path / name).write_text(f"value-of-{name}\n")
    for path, data in files.items():
        if path.startswith("grafana/"):
            target = tmp_path / path.removeprefix("grafana/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    provider = tmp_path / "provisioning/dashboards/devplat.yaml"
    document = yaml.safe_load(provider.read_text())
    assert document["providers"][0]["options"]["path"] == "/etc/grafana/dashboards"
    document["providers"][0]["options"]["path"] = str(tmp_path / "dashboards")
    provider.write_text(yaml.safe_dump(document))

    def start(service: Mapping[str, Any], **changed: str | None) -> App:
        environment = {**service["environment"], **changed}
        environment = {
            name: value.replace("/run/secrets", str(tmp_path))
            for name, value in environment.items()
            if value is not None
        }
        settings = grafana.read_settings(service["command"][1:], environment)
        sources = grafana.read_datasources(tmp_path / "provisioning/datasources")
        boards = grafana.read_dashboards(tmp_path / "provisioning/dashboards", sources)
        return grafana.make_app(settings, sources, boards)

    yield start


def ask(app: App, path: str, password: str = "", user: str = "emergency") -> Answer:
    """An answer, with or without a password."""
    headers = {}
    if password:
        given = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers = {"authorization": f"Basic {given}"}
    return app.answer(Request("GET", path, {}, headers, b""))


def test_it_starts_with_every_data_source_and_dashboard(
    run: Callable[..., App], emergency_services: Mapping[str, Any]
) -> None:
    app = run(emergency_services["grafana"])
    password = "value-of-emergency_password"
    assert ask(app, "/api/health").body["database"] == "ok"
    sources = ask(app, "/api/datasources", password).body
    assert {s["uid"]: s["url"] for s in sources} == {
        "prometheus": "http://prometheus:9090",
        "loki": "http://loki:3100",
        "alertmanager": "http://alertmanager:9093",
    }
    assert not any(source["editable"] for source in sources)
    assert len(ask(app, "/api/search", password).body) == 4
    assert b"grafana_stat_totals_dashboard 4" in ask(app, "/metrics").body


def test_nothing_is_shown_without_a_login(
    run: Callable[..., App], services: Mapping[str, Any]
) -> None:
    """MF-06: no way past single sign-on, the emergency account's password included."""
    app = run(services["grafana"])
    for path in ("/api/search", "/api/datasources", "/api/admin/settings"):
        assert ask(app, path).status == 401, path
        assert ask(app, path, "value-of-emergency_password").status == 401, path
    assert ask(app, "/d/devplat-overview").status == 302
    assert b"<form>" not in ask(app, "/login").body


def test_the_emergency_account_gets_in_while_it_is_let_in(
    run: Callable[..., App], emergency_services: Mapping[str, Any]
) -> None:
    app = run(emergency_services["grafana"])
    assert b"<form>" in ask(app, "/login").body
    assert ask(app, "/api/search", "value-of-emergency_password").status == 200
    assert ask(app, "/api/search", "wrong").status == 401
    assert ask(app, "/api/search", "admin", "admin").status == 401


def test_people_are_sent_to_single_sign_on(
    run: Callable[..., App], services: Mapping[str, Any]
) -> None:
    answer = ask(run(services["grafana"]), "/login/generic_oauth")
    place = urlsplit(answer.headers["Location"])
    query = {name: values[0] for name, values in parse_qs(place.query).items()}
    assert place.netloc == "auth.company.com"
    assert query["redirect_uri"] == "https://grafana.company.com/login/generic_oauth"
    assert query["code_challenge_method"] == "S256"
    assert "openid" in query["scope"].split()
    assert "Secure" in answer.headers["Set-Cookie"]


def test_who_is_in_no_group_is_refused(services: Mapping[str, Any]) -> None:
    environment = services["grafana"]["environment"]
    roles = environment["GF_AUTH_GENERIC_OAUTH_ROLE_ATTRIBUTE_PATH"]
    assert roles.split(" || ")[0].endswith("&& 'Admin'")
    assert all("contains(groups" in part for part in roles.split(" || "))  # nothing for everybody
    assert environment["GF_AUTH_GENERIC_OAUTH_ROLE_ATTRIBUTE_STRICT"] == "true"
    assert environment["GF_AUTH_GENERIC_OAUTH_ALLOW_ASSIGN_GRAFANA_ADMIN"] == "false"


def test_hardening_is_as_the_catalogue_wants(services: Mapping[str, Any]) -> None:
    """Row `grafana` of the hardening table; MF-14 for the session's end."""
    environment = services["grafana"]["environment"]
    wanted = {
        "GF_AUTH_ANONYMOUS_ENABLED": "false",
        "GF_USERS_ALLOW_SIGN_UP": "false",
        "GF_SECURITY_DISABLE_GRAVATAR": "true",
        "GF_SECURITY_COOKIE_SECURE": "true",
        "GF_AUTH_BASIC_ENABLED": "false",
        "GF_AUTH_DISABLE_LOGIN_FORM": "true",
        "GF_AUTH_LOGIN_MAXIMUM_LIFETIME_DURATION": "8h",
        "GF_AUTH_LOGIN_MAXIMUM_INACTIVE_LIFETIME_DURATION": "1h",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    }
    assert {name: environment.get(name) for name in wanted} == wanted
    plain = [n for n in environment if n.endswith(("PASSWORD", "SECRET", "SECRET_KEY"))]
    assert plain == []
    assert services["grafana"]["command"][0] == "/run.sh"  # what reads __FILE


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"GF_SECURITY_COOKIES_SECURE": "true"}, "no such setting"),
        ({"GF_SECURITY_COOKIE_SECURE": "yes"}, "ParseBool"),
        ({"GF_SECURITY_ADMIN_PASSWORD": "x"}, "are exclusive"),
        ({"GF_SECURITY_SECRET_KEY__FILE": None}, "default key is public"),
        ({"GF_SECURITY_SECRET_KEY__FILE": "/run/secrets/nothing"}, "No such file"),
        ({"GF_AUTH_GENERIC_OAUTH_AUTH_URL": None}, "auth_url: empty"),
    ],
)
def test_a_wrong_environment_is_refused(
    run: Callable[..., App], services: Mapping[str, Any], changed: Any, reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        run(services["grafana"], **changed)


@pytest.mark.parametrize(
    ("path", "old", "new", "reason"),
    [
        ("provisioning/datasources/devplat.yaml", "apiVersion: 1", "apiVersion: 2", "apiVersion"),
        ("provisioning/datasources/devplat.yaml", "access: proxy", "access: direct", "proxy"),
        ("provisioning/datasources/devplat.yaml", "uid: loki", "uid: prometheus", "same uid"),
        ("provisioning/datasources/devplat.yaml", "uid: loki", "uid: logs", "no data source"),
        ("dashboards/security.json", "devplat-security", "devplat-overview", "more than once"),
        ("dashboards/security.json", '"panels": [', '"panels": [[', "security.json"),
    ],
)
def test_wrong_files_are_refused(
    run: Callable[..., App],
    services: Mapping[str, Any],
    tmp_path: Path,
    path: str,
    old: str,
    new: str,
    reason: str,
) -> None:
    text = (tmp_path / path).read_text()
    assert old in text
    (tmp_path / path).write_text(text.replace(old, new))
    with pytest.raises(Refused, match=reason):
        run(services["grafana"])


def test_the_edge_refuses_what_is_not_for_the_public(plan: Plan) -> None:
    [route] = [route for route in plan.routes if route.service == "grafana"]
    assert route.host == "grafana.company.com"
    assert "/metrics" in route.deny
    assert "/login" in route.login_paths


def test_the_program_says_what_it_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("GF_")]:
        monkeypatch.delenv(name)
    assert grafana.main(["/run.sh"]) == 1
    assert "secret_key" in capsys.readouterr().err
