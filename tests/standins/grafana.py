"""A stand-in for Grafana: reads `GF_*` variables and those that name files, provisioning files and
dashboards, refuses what it does not know, answers health and metrics, and shows nothing to somebody
who has not logged in. It draws nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import sqlite3
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from grafana_keys import SETTINGS, SWITCHES, names
from standin import (
    Answer,
    App,
    Refused,
    Request,
    parse_bool,
    run_program,
    say,
    serve,
    wait_for_signal,
)

VERSION = "13.2.3-stand-in"
PUBLIC_SECRET_KEY = "SW2YcwTIb9zpOOhoPsMm"
DEFAULTS = {
    "paths.provisioning": "/etc/grafana/provisioning", "paths.data": "/var/lib/grafana",
    "server.http_port": "3000", "auth.basic.enabled": "true", "security.admin_user": "admin",
}  # fmt: skip
Settings = Mapping[str, str]


def read_settings(words: list[str], environment: Mapping[str, str]) -> dict[str, str]:
    """`section.key` → value, of the variables, of files that they name, and of `cfg:` arguments.

    Raises:
        Refused: an unknown name, both forms of one, a missing file, or an impossible value.
    """
    known, found = names(), dict(DEFAULTS)
    for name, value in sorted(environment.items()):
        if not name.startswith("GF_"):
            continue
        plain = name.removesuffix("__FILE")
        if plain not in known:
            raise Refused(f"{name}: no such setting")
        if plain != name and plain in environment:
            raise Refused(f"both {plain} and {name} are set (but are exclusive)")
        found[".".join(known[plain])] = value if plain == name else _content(name, value)
    for word in words:
        path, equals, value = word.removeprefix("cfg:").partition("=")
        section, _, key = path.rpartition(".")
        is_known = key in SETTINGS.get(section, "").split()
        if not (word.startswith("cfg:") and equals and is_known):
            raise Refused(f"{word}: no such setting")
        found[path] = value
    check_settings(found)
    return found


def _content(name: str, path: str) -> str:
    try:
        return Path(path).read_text().rstrip("\n")
    except OSError as error:
        raise Refused(f"{name}: {path}: {error.strerror}") from error


def check_settings(found: Settings) -> None:
    """What Grafana refuses, and what the platform must not be without.

    Raises:
        Refused: says which setting.
    """
    for path, value in found.items():
        key = path.rpartition(".")[2]
        if key.startswith(SWITCHES) or key.endswith("enabled"):
            parse_bool(path, value)
    if found.get("security.secret_key", PUBLIC_SECRET_KEY) == PUBLIC_SECRET_KEY:
        raise Refused("security.secret_key: the default key is public")
    if found.get("auth.generic_oauth.enabled") == "true":
        for key in ("client_id", "client_secret", "auth_url", "token_url", "api_url"):
            if not found.get(f"auth.generic_oauth.{key}"):
                raise Refused(f"auth.generic_oauth.{key}: empty, and single sign-on is enabled")


def read_yaml(folder: Path, list_key: str) -> list[dict[str, Any]]:
    """The entries of every provisioning file of a folder.

    Raises:
        Refused: a file is no provisioning file.
    """
    found: list[dict[str, Any]] = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            document = yaml.safe_load(path.read_text())
        except yaml.YAMLError as error:
            raise Refused(f"{path}: {error}") from error
        if not isinstance(document, dict) or document.get("apiVersion") != 1:
            raise Refused(f"{path}: apiVersion must be 1")
        found += document.get(list_key) or []
    return found


def read_datasources(folder: Path) -> dict[str, dict[str, Any]]:
    """Data sources by uid.

    Raises:
        Refused: one is not complete, or two share a uid, or more than one is the default.
    """
    sources = read_yaml(folder, "datasources")
    for source in sources:
        if not {"name", "uid", "type", "url"} <= source.keys() or source.get("access") != "proxy":
            raise Refused(f"datasource {source.get('name')!r}: want name, uid, type, url, proxy")
    if sum(bool(source.get("isDefault")) for source in sources) > 1:
        raise Refused("datasource.yaml config is invalid. Only one datasource can be default")
    by_uid = {source["uid"]: source for source in sources}
    if len(by_uid) != len(sources):
        raise Refused("two data sources have the same uid")
    return by_uid


def read_dashboards(folder: Path, sources: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Dashboards by uid, from where the providers say.

    Raises:
        Refused: a provider or a dashboard is at fault.
    """
    found: dict[str, dict[str, Any]] = {}
    for provider in read_yaml(folder, "providers"):
        place = Path((provider.get("options") or {}).get("path") or "/nothing")
        if provider.get("type") != "file" or not place.is_dir():
            raise Refused(f"provider {provider.get('name')!r}: cannot read {place}")
        for path in sorted(place.glob("**/*.json")):
            model = _dashboard(path, sources)
            if model["uid"] in found:
                raise Refused(f"{path}: the same UID is used more than once: {model['uid']}")
            found[model["uid"]] = model
    return found


def _dashboard(path: Path, sources: Mapping[str, Any]) -> dict[str, Any]:
    try:
        model = json.loads(path.read_text())
    except ValueError as error:
        raise Refused(f"{path}: {error}") from error
    if "__inputs" in model or not model.get("title") or not model.get("uid"):
        raise Refused(f"{path}: want a model with title and uid, and without __inputs")
    for panel in model.get("panels", []):
        uid = (panel.get("datasource") or {}).get("uid")
        if panel.get("type") != "row" and uid not in sources:
            raise Refused(f"{path}: {panel.get('title')}: no data source {uid!r}")
    return dict(model)


def authorization_url(found: Settings, state: str, verifier: str) -> str:
    """Where somebody who logs in is sent."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    query = {
        "client_id": found["auth.generic_oauth.client_id"],
        "redirect_uri": f"{found['server.root_url'].rstrip('/')}/login/generic_oauth",
        "response_type": "code",
        "scope": found.get("auth.generic_oauth.scopes", "user:email"),
        "state": state,
    }
    if found.get("auth.generic_oauth.use_pkce") == "true":
        query |= {"code_challenge": challenge.decode(), "code_challenge_method": "S256"}
    return f"{found['auth.generic_oauth.auth_url']}?{urllib.parse.urlencode(query)}"


def may_enter(request: Request, found: Settings) -> bool:
    """Whether a request has the emergency account's password, where that is asked for."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme != "Basic" or found.get("auth.basic.enabled") != "true":
        return found.get("auth.anonymous.enabled") == "true"
    account = f"{found['security.admin_user']}:{found.get('security.admin_password', 'admin')}"
    return secrets.compare_digest(given, base64.b64encode(account.encode()).decode())


def make_app(found: Settings, sources: Mapping[str, Any], boards: Mapping[str, Any]) -> App:
    """Grafana's routes."""
    app = App("grafana", VERSION)

    def closed(show: Any) -> Any:
        def handler(request: Request) -> Answer:
            if not may_enter(request, found):
                return Answer(401, {"message": "Unauthorized", "messageId": "auth.unauthorized"})
            return Answer(body=show)

        return handler

    def log_in(_: Request) -> Answer:
        if found.get("auth.generic_oauth.enabled") != "true":
            return Answer(404, {"message": "OAuth not enabled"})
        state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
        secure = "; Secure" if found.get("security.cookie_secure") == "true" else ""
        cookie = f"oauth_state={state}; Path=/; HttpOnly; SameSite=Lax{secure}"
        place = authorization_url(found, state, verifier)
        return Answer(302, headers={"Location": place, "Set-Cookie": cookie})

    def form(_: Request) -> Answer:
        shown = found.get("auth.disable_login_form") != "true"
        return Answer(body=b"<form>" if shown else b"<a href=/login/generic_oauth>")

    def metrics(_: Request) -> Answer:
        if found.get("metrics.enabled", "true") != "true":
            return Answer(404)
        text = f"grafana_stat_totals_dashboard {len(boards)}\n"
        text += 'grafana_build_info{version="stand-in"} 1\n'
        return Answer(body=text.encode(), headers={"Content-Type": "text/plain"})

    listed = [{"uid": uid, "title": b["title"], "type": "dash-db"} for uid, b in boards.items()]
    app.add("GET", "/.*", lambda _: Answer(302, headers={"Location": "/login"}))
    app.add("*", "/api/.*", closed({}))
    app.add("GET", "/api/search", closed(listed))
    app.add("GET", "/api/datasources", closed(list(sources.values())))
    app.add("GET", "/api/health", lambda _: Answer(body={"database": "ok", "version": VERSION}))
    app.add("GET", "/login", form)
    app.add("GET", "/login/generic_oauth", log_in)
    app.add("GET", "/metrics", metrics)
    return app


def main(argv: list[str]) -> int:
    """`/run.sh`."""

    def body() -> int:
        found = read_settings(argv[1:], os.environ)
        provisioning = Path(found["paths.provisioning"])
        sources = read_datasources(provisioning / "datasources")
        boards = read_dashboards(provisioning / "dashboards", sources)
        home = found.get("dashboards.default_home_dashboard_path")
        if home and not Path(home).is_file():
            raise Refused(f"dashboards.default_home_dashboard_path: {home}: no such file")
        with sqlite3.connect(Path(found["paths.data"]) / "grafana.db") as database:
            database.execute("CREATE TABLE IF NOT EXISTS stand_in (word text)")
        database.close()
        serve(make_app(found, sources, boards), f"0.0.0.0:{found['server.http_port']}")
        say(json.dumps({"level": "info", "msg": "HTTP Server Listen (stand-in)"}))
        return wait_for_signal()

    return run_program("grafana", body)
