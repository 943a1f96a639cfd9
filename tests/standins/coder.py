"""A stand-in for Coder: `/opt/coder server` checks its environment against the documented options,
needs PostgreSQL and an executable cache directory, and answers the endpoints that an installer
asks. Unlike Coder it refuses unknown names, which Coder would silently ignore.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
import secrets
import subprocess
import threading
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coder_oidc import check_oidc, discover, login_methods
from coder_templates import Templates, run_command
from standin import (
    Answer,
    App,
    Refused,
    Request,
    check_duration,
    connect_postgres,
    exposition,
    parse_bool,
    query,
    run_program,
    say,
    serve,
    split_address,
    wait_for_signal,
)

DOCUMENTED = json.loads(Path(__file__).with_name("coder_env.json").read_text())
VERSION = DOCUMENTED["version"] + "-stand-in"
SCHEMA = """CREATE TABLE IF NOT EXISTS users (
  id serial PRIMARY KEY, username text UNIQUE NOT NULL, email text UNIQUE NOT NULL,
  hashed_password text NOT NULL, token text UNIQUE)"""


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse a `CODER_*` name that is not documented, and a value of the wrong type.

    Raises:
        Refused: for the first one, by name.
    """
    families = [
        (re.compile(re.escape(p).replace("<N>", r"\d+").replace("<KEY>", "(.+)")), set(keys))
        for p, keys in DOCUMENTED["families"].items()
    ]
    for name, value in sorted(environment.items()):
        if not name.startswith("CODER_") or name in DOCUMENTED["cli"]:
            continue
        if name in DOCUMENTED["renamed"]:
            raise Refused(
                f"{name} is deprecated or does not exist; use {DOCUMENTED['renamed'][name]}"
            )
        if name in DOCUMENTED["options"]:
            _check_type(name, DOCUMENTED["options"][name], value)
            continue
        matches = [(keys, m) for pattern, keys in families if (m := pattern.fullmatch(name))]
        if not any(match[1] in keys for keys, match in matches):
            raise Refused(f"{name} is no documented option")


def _check_type(name: str, kind: str, value: str) -> None:
    if not value:
        return
    if kind == "bool":
        parse_bool(name, value)
    elif kind == "int" and not re.fullmatch(r"-?\d+", value):
        raise Refused(f'{name}: strconv.ParseInt: parsing "{value}": invalid syntax')
    elif kind == "duration":
        check_duration(name, value)
    elif kind == "host:port":
        split_address(value)
    elif kind == "url" and urllib.parse.urlsplit(value).scheme not in ("http", "https", "postgres"):
        raise Refused(f"{name}: {value!r} is no URL")
    elif kind.startswith("enum:") and value not in kind[5:].split("|"):
        raise Refused(f"{name}: {value!r} is none of {kind[5:]}")


def read_flags(flags: Mapping[str, str]) -> dict[str, str]:
    """The environment that flags of `coder server` stand for.

    Raises:
        Refused: for a flag that is no option.
    """
    names = {flag: name for name, flag in DOCUMENTED["flags"].items()}
    values = {}
    for flag, value in flags.items():
        name = names.get(flag, "CODER_" + flag.upper().replace("-", "_"))
        if name not in DOCUMENTED["options"] or DOCUMENTED["flags"].get(name, flag) != flag:
            raise Refused(f"unknown flag: --{flag}")
        values[name] = value
    return values


def check_values(environment: Mapping[str, str]) -> None:
    """Refuse what parses but what the server would refuse at its start, or would not work with.

    Raises:
        Refused: for the first such value.
    """
    get = environment.get
    for name in ("CODER_ACCESS_URL", "CODER_PG_CONNECTION_URL", "CODER_HTTP_ADDRESS"):
        if not get(name):
            raise Refused(f"{name} is not set")
    if split_address(get("CODER_HTTP_ADDRESS", ""))[0].startswith("127."):
        raise Refused("CODER_HTTP_ADDRESS is a loopback address: the proxy cannot reach it")
    hsts = get("CODER_STRICT_TRANSPORT_SECURITY_OPTIONS", "")
    if set(filter(None, hsts.split(","))) - {"includeSubDomains", "preload"}:
        raise Refused(f'CODER_STRICT_TRANSPORT_SECURITY_OPTIONS: "{hsts}": invalid option')
    wildcard = get("CODER_WILDCARD_ACCESS_URL", "")
    if wildcard and not re.fullmatch(r"\*(--[a-z0-9-]+)?(\.[a-z0-9-]+)+(:\d+)?", wildcard):
        raise Refused(f'CODER_WILDCARD_ACCESS_URL: "{wildcard}" is no wildcard host')
    for origin in filter(None, get("CODER_PROXY_TRUSTED_ORIGINS", "").split(",")):
        try:
            ipaddress.ip_network(origin)
        except ValueError as error:
            raise Refused(f"CODER_PROXY_TRUSTED_ORIGINS: {error}") from error
    check_oidc(environment)
    secure = get("CODER_ACCESS_URL", "").startswith("https")
    if secure and get("CODER_REDIRECT_TO_ACCESS_URL") in ("true", "1"):
        raise Refused("CODER_REDIRECT_TO_ACCESS_URL behind a TLS proxy redirects for ever")


def check_cache(environment: Mapping[str, str]) -> None:
    """Write a file to the cache directory and run it, as Coder does with Terraform's providers.

    Raises:
        Refused: when the directory cannot be written, or nothing there can be executed.
    """
    home = environment.get("HOME", "/home/coder")
    folder = Path(environment.get("CODER_CACHE_DIRECTORY") or f"{home}/.cache/coder")
    program = folder / "provider-probe"
    try:
        Path(home, ".config", "coderv2").mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o700)
        subprocess.run([program], check=True)
    except OSError as error:
        raise Refused(f"fork/exec {program}: {error.strerror}") from error
    finally:
        if program.exists():
            program.unlink()


class Users:
    """The accounts, in the database; passwords are kept as scrypt hashes."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.lock = threading.Lock()
        self.query(SCHEMA)

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.lock:
            return query(self.connection, sql, *values)

    def exist(self) -> bool:
        """Whether there is a first user."""
        return self.query("SELECT count(*) FROM users")[0][0] > 0

    def create(self, username: str, email: str, password: str) -> str:
        """Add a user; returns what is wrong with the request, or nothing."""
        if not re.fullmatch(r"[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*", username) or len(username) > 32:
            return "username must be alphanumeric with hyphens"
        if "@" not in email:
            return "email is not valid"
        if len(password) < 8:
            return "password is too weak"
        taken = self.query("SELECT 1 FROM users WHERE username=%s OR email=%s", username, email)
        if taken:
            return "user already exists"
        self.query(
            "INSERT INTO users (username, email, hashed_password) VALUES (%s, %s, %s)",
            username, email, hash_password(password),
        )  # fmt: skip
        return ""

    def login(self, email: str, password: str) -> str | None:
        """A session token, or None."""
        rows = self.query("SELECT id, hashed_password FROM users WHERE email=%s", email)
        if not rows or not is_password(password, rows[0][1]):
            return None
        token = secrets.token_hex(16)
        self.query("UPDATE users SET token=%s WHERE id=%s", token, rows[0][0])
        return token

    def by_token(self, token: str) -> tuple[str, str] | None:
        """Name and e-mail of a session's user."""
        rows = self.query("SELECT username, email FROM users WHERE token=%s", token)
        return (rows[0][0], rows[0][1]) if rows else None


def hash_password(password: str) -> str:
    """A salted scrypt hash, salt first."""
    salt = secrets.token_bytes(16)
    return (salt + hashlib.scrypt(password.encode(), salt=salt, n=1024, r=8, p=1)).hex()


def is_password(password: str, stored: str) -> bool:
    """Whether a password is the stored one."""
    raw = bytes.fromhex(stored)
    made = hashlib.scrypt(password.encode(), salt=raw[:16], n=1024, r=8, p=1)
    return secrets.compare_digest(made, raw[16:])


def make_app(environment: Mapping[str, str], users: Users) -> App:
    """The server's routes."""
    app = App("coder", VERSION)

    def first(request: Request) -> Answer:
        if users.exist():
            return Answer(409, {"message": "The initial user has already been created."})
        asked = request.json()
        wrong = users.create(*(str(asked.get(k, "")) for k in ("username", "email", "password")))
        return Answer(400, {"message": wrong}) if wrong else Answer(201, {"user_id": "1"})

    def login(request: Request) -> Answer:
        asked = request.json()
        token = users.login(str(asked.get("email", "")), str(asked.get("password", "")))
        if token is None:
            return Answer(401, {"message": "Incorrect email or password."})
        return Answer(201, {"session_token": token})

    def me(request: Request) -> Answer:
        user = users.by_token(request.headers.get("coder-session-token", ""))
        if user is None:
            return Answer(401, {"message": "You are signed out or your session has expired."})
        return Answer(200, {"username": user[0], "email": user[1]})

    def has_first(_: Request) -> Answer:
        if users.exist():
            return Answer(200, {"message": "The initial user has already been created!"})
        return Answer(404, {"message": "The initial user has not been created!"})

    def logout(request: Request) -> Answer:
        token = request.headers.get("coder-session-token", "")
        users.query("UPDATE users SET token=NULL WHERE token=%s", token)
        return Answer(200, {"message": "Logged out!"})

    about = {
        "version": VERSION,
        "external_url": "stand-in",
        "dashboard_url": environment["CODER_ACCESS_URL"],
        "telemetry": environment.get("CODER_TELEMETRY_ENABLE", "true") in ("true", "1"),
    }
    app.add("GET", "/healthz", lambda _: Answer(body=b"OK"))
    app.add("GET", "/latency-check", lambda _: Answer(body=b"OK"))
    app.add("GET", "/api/v2/buildinfo", lambda _: Answer(body=about))
    methods = login_methods(environment)
    app.add("GET", "/api/v2/users/authmethods", lambda _: Answer(body=methods))
    app.add("GET", "/api/v2/users/first", has_first)
    app.add("POST", "/api/v2/users/first", first)
    app.add("POST", "/api/v2/users/login", login)
    app.add("POST", "/api/v2/users/logout", logout)
    app.add("GET", "/api/v2/users/me", me)
    Templates(users.query).add_routes(app, lambda request: me(request).status == 200)
    app.add("GET", "/(login|setup)?", lambda _: Answer(body=b"<title>Coder (stand-in)</title>"))
    return app


def run_server(environment: Mapping[str, str]) -> int:
    """`coder server`."""
    check_environment(environment)
    check_values(environment)
    check_cache(environment)
    discover(environment)
    users = Users(connect_postgres(20, environment["CODER_PG_CONNECTION_URL"]))
    serve(make_app(environment, users), environment["CODER_HTTP_ADDRESS"])
    if environment.get("CODER_PROMETHEUS_ENABLE") in ("true", "1"):
        metrics = App("coder", VERSION)
        text = (
            b"coderd_api_active_users_duration_hour 0\ncoderd_api_websocket_durations_seconds 0\n"
        )
        metrics.add("GET", ".*", lambda _: exposition(text))
        serve(metrics, environment.get("CODER_PROMETHEUS_ADDRESS", "127.0.0.1:2112"))
    say(f"Started HTTP listener at http://{environment['CODER_HTTP_ADDRESS']} (stand-in)")
    return wait_for_signal()


def create_admin(environment: Mapping[str, str], flags: Mapping[str, str]) -> int:
    """`coder server create-admin-user`: from flags, else from the environment."""

    def given(flag: str, name: str) -> str:
        value = flags.get(flag) or environment.get(name, "")
        if not value:
            raise Refused(f"--{flag} or {name} is required: no terminal to ask on")
        return value

    users = Users(connect_postgres(5, given("postgres-url", "CODER_PG_CONNECTION_URL")))
    wrong = users.create(
        given("username", "CODER_USERNAME"),
        given("email", "CODER_EMAIL"),
        given("password", "CODER_PASSWORD"),
    )
    if wrong:
        raise Refused(wrong)
    say("User created successfully.")
    return 0


def parse_flags(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Commands, and flags as `--name value` or `--name=value`."""
    commands: list[str] = []
    flags: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            commands.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if name in ("activate", "yes"):
            flags[name] = "true"
            continue
        flags[name] = value if equals else (rest.pop(0) if rest else "")
    return commands, flags


def main(argv: list[str]) -> int:
    """`/opt/coder`."""
    commands, flags = parse_flags(argv[1:])

    def body() -> int:
        if commands == ["server"]:
            return run_server({**os.environ, **read_flags(flags)})
        if commands == ["server", "create-admin-user"]:
            return create_admin(os.environ, flags)
        if commands[:2] in (["templates", "push"], ["templates", "versions"]):
            return run_command(commands, flags)
        if commands == ["version"]:
            say(f"Coder {VERSION} (a stand-in)")
            return 0
        raise Refused(f"unknown command: {' '.join(argv[1:])}")

    return run_program("coder", body)
