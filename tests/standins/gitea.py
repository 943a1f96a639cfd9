"""A stand-in for Gitea (rootless): the entry point turns GITEA__section__KEY(__FILE) into app.ini,
the server reads that file back, needs PostgreSQL and every Redis it is told to use, and answers
health, metrics and a little of the API. It refuses sections and keys that Gitea does not have.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import os
import re
import secrets
import socketserver
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gitea_keys import GONE, SECTIONS
from gitea_sources import read_flags, save_login_source
from gitea_storage import check_storage
from resp import check_redis
from standin import (
    Answer,
    App,
    Refused,
    Request,
    connect_postgres,
    exposition,
    parse_bool,
    query,
    read_secret,
    require_writable,
    run_program,
    say,
    serve,
    wait_for_signal,
)

VERSION = "1.27.3-stand-in"
SCHEMA = """
CREATE TABLE IF NOT EXISTS "user" (
  name text PRIMARY KEY, email text, passwd text, is_admin boolean, must_change boolean);
CREATE TABLE IF NOT EXISTS oauth2_application (id serial PRIMARY KEY, uid bigint, name text,
  client_id text UNIQUE, client_secret text, confidential_client boolean, redirect_uris text,
  skip_secondary_authorization boolean, created_unix bigint, updated_unix bigint);
CREATE TABLE IF NOT EXISTS login_source (id serial PRIMARY KEY, name text UNIQUE, cfg text)
"""
_LOCK = threading.Lock()


def read_environment(environment: Mapping[str, str]) -> configparser.ConfigParser:
    """What `gitea config edit-ini --apply-env` makes of the environment.

    Raises:
        Refused: for a section or key that Gitea does not have, or an unreadable file.
    """
    ini = _parser()
    for name, value in sorted(environment.items()):
        match = re.fullmatch(r"(?i)GITEA__(.+?)__(.+?)(__FILE)?", name)
        if not match:
            continue
        section, key = _decode(match[1]).lower(), _decode(match[2])
        check_key(section, key)
        if not ini.has_section(section):
            ini.add_section(section)
        ini[section][key] = read_secret(value, name) if match[3] else value
    return ini


def check_key(section: str, key: str) -> None:
    """Refuse a section or key that Gitea would silently ignore."""
    if (section, key) in GONE:
        raise Refused(f"[{section}] {key} was removed from Gitea")
    family = section.partition(".")[0]
    known = SECTIONS.get(section) or SECTIONS.get(f"{family}.*")
    if known is None:
        raise Refused(f"[{section}] is no section")
    if key not in known and "*" not in known:
        raise Refused(f"[{section}] {key} is no setting")


def _decode(name: str) -> str:
    return re.sub(r"_0[xX]([0-9a-fA-F]{2})_", lambda m: chr(int(m[1], 16)), name)


def _parser() -> configparser.ConfigParser:
    ini = configparser.ConfigParser(interpolation=None, default_section="")
    ini.optionxform = str  # type: ignore[assignment,method-assign]
    return ini


def set_up(environment: Mapping[str, str]) -> Path:
    """The entry point's work: directories, and app.ini rewritten; returns its path.

    Raises:
        Refused: where the real one could not write.
    """
    path = Path(environment.get("GITEA_APP_INI", "/etc/gitea/app.ini"))
    require_writable(environment.get("GITEA_WORK_DIR", "/var/lib/gitea"), "GITEA_WORK_DIR")
    require_writable(environment.get("GITEA_TEMP", "/tmp/gitea"), "GITEA_TEMP")
    require_writable(str(path.parent), "app.ini")
    ini = read_environment(environment)
    with path.open("w") as handle:
        ini.write(handle)
    path.chmod(0o600)
    return path


def read_ini(environment: Mapping[str, str]) -> configparser.ConfigParser:
    """app.ini as the server reads it."""
    ini = _parser()
    ini.read(environment.get("GITEA_APP_INI", "/etc/gitea/app.ini"))
    return ini


def check_ini(ini: configparser.ConfigParser) -> None:
    """Refuse what Gitea would not start with, or would only show its installation page for.

    Raises:
        Refused: for the first of them.
    """
    get = ini.get
    if get("database", "DB_TYPE", fallback="") != "postgres":
        raise Refused("[database] DB_TYPE: the stand-in has postgres only")
    if not parse_bool("INSTALL_LOCK", get("security", "INSTALL_LOCK", fallback="false")):
        raise Refused("[security] INSTALL_LOCK is false: anyone could install")
    for section, key in (("security", "SECRET_KEY"), ("security", "INTERNAL_TOKEN")):
        if not get(section, key, fallback=""):
            raise Refused(f"[{section}] {key} is empty: Gitea would make one up at every start")
    for section, key in (("oauth2", "JWT_SECRET"), ("server", "LFS_JWT_SECRET")):
        secret = get(section, key, fallback="")
        try:
            raw = base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))
        except ValueError:
            raw = b""
        if secret and len(raw) != 32:
            raise Refused(f"[{section}] {key}: want 32 bytes in base64url")
    if not get("server", "ROOT_URL", fallback="").startswith(("http://", "https://")):
        raise Refused("[server] ROOT_URL is no URL")


def redis_urls(ini: configparser.ConfigParser) -> dict[str, str]:
    """The Redis servers in use: which setting names them → connection string."""
    found = {}
    for section, kind, where in (
        ("cache", "ADAPTER", "HOST"),
        ("session", "PROVIDER", "PROVIDER_CONFIG"),
        ("queue", "TYPE", "CONN_STR"),
    ):
        if ini.get(section, kind, fallback="") in ("redis", "redis-cluster"):
            found[f"[{section}] {where}"] = ini.get(section, where, fallback="")
    return found


def connect(ini: configparser.ConfigParser) -> Any:
    """The database, with its tables."""
    host, _, port = ini.get("database", "HOST", fallback="127.0.0.1:5432").partition(":")
    connection = connect_postgres(
        20,
        host=host,
        port=port or "5432",
        dbname=ini.get("database", "NAME", fallback="gitea"),
        user=ini.get("database", "USER", fallback="root"),
        password=ini.get("database", "PASSWD", fallback=""),
        sslmode=ini.get("database", "SSL_MODE", fallback="disable"),
    )
    sql(connection, SCHEMA)
    return connection


def sql(connection: Any, text: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of a statement, one at a time."""
    with _LOCK:
        return query(connection, text, *values)


def hash_password(password: str, salt: str = "") -> str:
    """A salted PBKDF2 hash, salt first."""
    salt = salt or secrets.token_hex(8)
    return (
        salt + ":" + hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 10_000).hex()
    )


def signed_in(connection: Any, request: Request) -> str | None:
    """The user whose name and password a request carries."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    name, _, password = base64.b64decode(value).decode("utf-8", "replace").partition(":")
    rows = sql(connection, 'SELECT passwd FROM "user" WHERE name=%s', name)
    if not rows or hash_password(password, rows[0][0].split(":")[0]) != rows[0][0]:
        return None
    return name


def make_app(ini: configparser.ConfigParser, connection: Any) -> App:
    """The server's routes."""
    app = App("gitea", VERSION)
    private = ini.get("service", "REQUIRE_SIGNIN_VIEW", fallback="false") in ("true", "expensive")

    def health(_: Request) -> Answer:
        try:
            sql(connection, "SELECT 1")
            for name, url in redis_urls(ini).items():
                check_redis(url, name)
        except Exception as error:  # noqa: BLE001 - the driver's errors, whatever they are: not healthy
            return Answer(503, {"status": "fail", "description": str(error)})
        return Answer(200, {"status": "pass", "description": "Gitea (stand-in)"})

    def metrics(request: Request) -> Answer:
        if ini.get("metrics", "ENABLED", fallback="false") != "true":
            return Answer(404)
        token = ini.get("metrics", "TOKEN", fallback="")
        if token and request.headers.get("authorization") != f"Bearer {token}":
            return Answer(401)
        count = sql(connection, 'SELECT count(*) FROM "user"')[0][0]
        return exposition(f"gitea_users {count}\ngitea_repositories 0\n".encode())

    def version(request: Request) -> Answer:
        if private and not signed_in(connection, request):
            return Answer(403, {"message": "Only signed in user is allowed to call APIs."})
        return Answer(body={"version": VERSION})

    def me(request: Request) -> Answer:
        name = signed_in(connection, request)
        if not name:
            return Answer(401, {"message": "token is required"})
        admin = sql(connection, 'SELECT is_admin FROM "user" WHERE name=%s', name)[0][0]
        return Answer(body={"login": name, "is_admin": admin})

    app.add("GET", "/api/healthz", health)
    app.add("GET", "/metrics", metrics)
    app.add("GET", "/api/v1/version", version)
    app.add("GET", "/api/v1/user", me)
    app.add("GET", "/user/login", lambda _: Answer(body=b"<title>Gitea (stand-in)</title>"))
    app.add("GET", "/", lambda _: Answer(303, b"", {"Location": "/user/login"}))
    return app


class _SshBanner(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"SSH-2.0-stand-in-for-gitea\r\n")


def run_web(environment: Mapping[str, str]) -> int:
    """`gitea web`."""
    ini = read_ini(environment)
    check_ini(ini)
    for name, url in redis_urls(ini).items():
        check_redis(url, name)
    check_storage(ini)
    connection = connect(ini)
    if ini.get("server", "START_SSH_SERVER", fallback="true") == "true":
        port = int(ini.get("server", "SSH_LISTEN_PORT", fallback="2222"))
        ssh = socketserver.ThreadingTCPServer(("0.0.0.0", port), _SshBanner)
        threading.Thread(target=ssh.serve_forever, daemon=True).start()
    address = ini.get("server", "HTTP_ADDR", fallback="0.0.0.0")
    serve(make_app(ini, connection), f"{address}:{ini.get('server', 'HTTP_PORT', fallback='3000')}")
    say("Starting new Web server (stand-in)")
    return wait_for_signal()


def admin(environment: Mapping[str, str], words: list[str]) -> int:
    """`gitea admin …`: users and login sources, in the database."""
    flags = read_flags(words)
    connection = connect(read_ini(environment))
    if words[:2] == ["user", "create"]:
        password = flags.get("password") or (
            secrets.token_urlsafe(12) if "random-password" in flags else ""
        )
        if not (flags.get("username") and flags.get("email") and password):
            raise Refused("username, email and a password are required")
        if sql(connection, 'SELECT 1 FROM "user" WHERE name=%s', flags["username"]):
            raise Refused(f"CreateUser: user already exists [name: {flags['username']}]")
        change = flags.get("must-change-password", "true") != "false"
        row = (flags["username"], flags["email"], hash_password(password), "admin" in flags, change)
        sql(connection, 'INSERT INTO "user" VALUES (%s, %s, %s, %s, %s)', *row)
        say(f"New user '{flags['username']}' has been successfully created!")
    elif words[:2] == ["user", "list"]:
        say("ID   Username   Email   IsActive   IsAdmin")
        for number, row in enumerate(
            sql(connection, 'SELECT name, email, is_admin FROM "user"'), 1
        ):
            say(f"{number}    {row[0]}   {row[1]}   true   {str(row[2]).lower()}")
    elif words[:2] == ["auth", "list"]:
        say("ID   Name   Type   Enabled")
        for row in sql(connection, "SELECT id, name FROM login_source"):
            say(f"{row[0]}    {row[1]}   OAuth2   true")
    elif words[:2] in (["auth", "add-oauth"], ["auth", "update-oauth"]):
        save_login_source(lambda *asked: sql(connection, *asked), words[1], words[2:])
    else:
        raise Refused(f"unknown command: admin {' '.join(words)}")
    return 0


def entry(argv: list[str]) -> int:
    """`/usr/local/bin/docker-entrypoint.sh`: set up, then the server or what was asked for."""

    def body() -> int:
        set_up(os.environ)
        if len(argv) > 1:
            os.execvp(argv[1], argv[1:])  # noqa: S606 - what the image is told to run
        return run_web(os.environ)

    return run_program("gitea", body)


def main(argv: list[str]) -> int:
    """`gitea`."""
    words = argv[1:]
    while words[:1] in (["-c"], ["--config"]):
        words = words[2:]

    def body() -> int:
        if words in ([], ["web"]):
            return run_web(os.environ)
        if words[:1] == ["admin"]:
            return admin(os.environ, words[1:])
        if words[:2] == ["generate", "secret"]:
            say(secrets.token_urlsafe(32))
            return 0
        if words == ["--version"]:
            say(f"gitea version {VERSION}")
            return 0
        raise Refused(f"unknown command: {' '.join(words)}")

    return run_program("gitea", body)
