"""Stand-ins for the Woodpecker server and its agent, version 3: settings checked by name, secrets
from files, PostgreSQL for the server; the agent wants the engine, and the server with the secret.
"""

from __future__ import annotations

import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from drone import _patiently, ping_engine
from standin import (
    Answer,
    App,
    Refused,
    Request,
    check_duration,
    connect_postgres,
    parse_bool,
    query,
    read_secret,
    run_program,
    say,
    serve,
    split_address,
    wait_for_signal,
)

VERSION = "3.17.0-stand-in"
PREFIX = "WOODPECKER_"
BOTH = set("LOG_LEVEL LOG_FILE DEBUG_PRETTY DEBUG_NOCOLOR AGENT_SECRET".split())
SERVER = BOTH | set(
    "HOST SERVER_ADDR SERVER_ADDR_TLS SERVER_CERT SERVER_KEY GRPC_ADDR GRPC_SECRET ADMIN ORGS OPEN"
    " REPO_OWNERS DATABASE_DRIVER DATABASE_DATASOURCE DATABASE_MAX_CONNECTIONS GITEA GITEA_URL"
    " GITEA_CLIENT GITEA_SECRET GITEA_SKIP_VERIFY PROMETHEUS_AUTH_TOKEN METRICS_SERVER_ADDR"
    " AUTHENTICATE_PUBLIC_REPOS PLUGINS_PRIVILEGED PLUGINS_TRUSTED_CLONE DEFAULT_CLONE_PLUGIN"
    " SESSION_EXPIRES DISABLE_VERSION_CHECK DISABLE_USER_AGENT_REGISTRATION ENABLE_SWAGGER"
    " DEFAULT_PIPELINE_TIMEOUT MAX_PIPELINE_TIMEOUT FORGE_TIMEOUT ROOT_PATH".split()
)
AGENT = BOTH | set(
    "SERVER GRPC_SECURE GRPC_VERIFY HOSTNAME MAX_WORKFLOWS AGENT_CONFIG_FILE AGENT_LABELS BACKEND"
    " HEALTHCHECK HEALTHCHECK_ADDR BACKEND_DOCKER_HOST BACKEND_DOCKER_NETWORK"
    " BACKEND_DOCKER_VOLUMES BACKEND_DOCKER_LIMIT_MEM BACKEND_DOCKER_LIMIT_MEM_SWAP"
    " BACKEND_DOCKER_LIMIT_SHM_SIZE BACKEND_DOCKER_LIMIT_CPU_QUOTA BACKEND_DOCKER_LIMIT_CPU_SHARES"
    " BACKEND_DOCKER_LIMIT_CPU_SET".split()
)
FROM_FILES = set(
    "AGENT_SECRET GRPC_SECRET DATABASE_DATASOURCE GITEA_CLIENT GITEA_SECRET"
    " PROMETHEUS_AUTH_TOKEN".split()
)
BOOLEANS = set(
    "OPEN GITEA GITEA_SKIP_VERIFY AUTHENTICATE_PUBLIC_REPOS DISABLE_VERSION_CHECK ENABLE_SWAGGER"
    " DISABLE_USER_AGENT_REGISTRATION GRPC_SECURE GRPC_VERIFY HEALTHCHECK".split()
)


def read_settings(environment: Mapping[str, str], known: set[str]) -> dict[str, str]:
    """Settings by their name without the prefix; `…_FILE` is read.

    Raises:
        Refused: for a name that the program does not have, or a value that it cannot parse.
    """
    settings: dict[str, str] = {}
    for name, value in sorted(environment.items()):
        if not name.startswith(PREFIX):
            continue
        key = name.removeprefix(PREFIX)
        if key.removesuffix("_FILE") in FROM_FILES & known and key.endswith("_FILE"):
            settings[key.removesuffix("_FILE")] = read_secret(value, name)
            continue
        if key not in known:
            raise Refused(f"{name} is not read by this program")
        if key in BOOLEANS:
            parse_bool(name, value)
        if key == "SESSION_EXPIRES":
            check_duration(name, value)
        if ("LIMIT" in key or key == "MAX_WORKFLOWS") and not value.isdigit():
            raise Refused(f'{name}: strconv.ParseInt: parsing "{value}": invalid syntax')
        settings[key] = value
    return settings


def check_server(settings: Mapping[str, str]) -> None:
    """Refuse what the server does not start with, or what would open it.

    Raises:
        Refused: for the first of them.
    """
    get = settings.get
    host = get("HOST", "")
    if not host.startswith(("http://", "https://")) or host.endswith("/"):
        raise Refused("WOODPECKER_HOST must be <scheme>://<hostname> format, without a slash")
    if get("GITEA") not in ("true", "1") or not get("GITEA_URL"):
        raise Refused("forge not configured")
    for name in ("GITEA_CLIENT", "GITEA_SECRET", "AGENT_SECRET", "GRPC_SECRET"):
        if not get(name):
            raise Refused(f"{PREFIX}{name} is not set")
    if get("DATABASE_DRIVER") != "postgres":
        raise Refused("WOODPECKER_DATABASE_DRIVER: the stand-in has postgres only")
    if get("OPEN") in ("true", "1") and not get("ORGS"):
        raise Refused("WOODPECKER_OPEN without WOODPECKER_ORGS lets everybody in")
    if get("PLUGINS_PRIVILEGED"):
        raise Refused("WOODPECKER_PLUGINS_PRIVILEGED: a privileged build owns the host")


def is_good(given: str, wanted: str) -> bool:
    """Whether a bearer token is the one."""
    return secrets.compare_digest(given.removeprefix("Bearer ").encode(), wanted.encode())


def make_server(settings: Mapping[str, str], connection: Any) -> App:
    """The server's routes."""
    app = App("woodpecker", VERSION)

    def health(_: Request) -> Answer:
        query(connection, "SELECT 1")
        return Answer(204)

    def metrics(request: Request) -> Answer:
        token = settings.get("PROMETHEUS_AUTH_TOKEN", "")
        if not token or not is_good(request.headers.get("authorization", ""), token):
            return Answer(401)
        text = b"woodpecker_pending_steps 0\nwoodpecker_running_steps 0\n"

        return Answer(200, text, {"Content-Type": "text/plain; version=0.0.4"})

    where = f"{settings['GITEA_URL']}/login/oauth/authorize?client_id={settings['GITEA_CLIENT']}"
    app.add("GET", "/healthz", health)
    app.add("GET", "/metrics", metrics)
    app.add("GET", "/api/user", lambda _: Answer(401, {"message": "User not authorized"}))
    app.add("GET", "/authorize", lambda _: Answer(303, b"", {"Location": where}))
    app.add("GET", "/(login)?", lambda _: Answer(body=b"<title>Woodpecker (stand-in)</title>"))
    return app


def make_queue(settings: Mapping[str, str]) -> App:
    """Where agents come: plain HTTP in the place of gRPC."""
    app = App("woodpecker-queue", VERSION)

    def join(request: Request) -> Answer:
        good = is_good(request.headers.get("authorization", ""), settings["AGENT_SECRET"])
        return Answer(204 if good else 401)

    app.add("POST", "/join", join)
    return app


def run_server(environment: Mapping[str, str]) -> int:
    """`woodpecker-server`."""
    settings = read_settings(environment, SERVER)
    check_server(settings)
    connection = connect_postgres(20, settings["DATABASE_DATASOURCE"])
    query(connection, "CREATE TABLE IF NOT EXISTS users (id serial PRIMARY KEY, login text)")
    serve(make_queue(settings), settings.get("GRPC_ADDR", ":9000"))
    serve(make_server(settings, connection), settings.get("SERVER_ADDR", ":8000"))
    say("starting Woodpecker server (stand-in)")
    return wait_for_signal()


def join_server(settings: Mapping[str, str]) -> None:
    """Join the server's queue with the shared secret.

    Raises:
        Refused: when it does not answer, or refuses the secret.
    """
    headers = {"Authorization": f"Bearer {settings['AGENT_SECRET']}"}
    url = f"http://{settings['SERVER']}/join"
    try:
        asked = urllib.request.Request(url, data=b"", headers=headers, method="POST")
        urllib.request.urlopen(asked, timeout=5).close()
    except (urllib.error.URLError, OSError) as error:
        raise Refused(f"agent could not auth: {error}") from error


def run_agent(environment: Mapping[str, str]) -> int:
    """`woodpecker-agent`."""
    settings = read_settings(environment, AGENT)
    for name in ("SERVER", "AGENT_SECRET"):
        if not settings.get(name):
            raise Refused(f"{PREFIX}{name} is not set")
    if not settings.get("BACKEND_DOCKER_LIMIT_MEM"):
        raise Refused("WOODPECKER_BACKEND_DOCKER_LIMIT_MEM: steps without a limit")
    engine = settings.get("BACKEND_DOCKER_HOST", "unix:///var/run/docker.sock")
    _patiently(lambda: ping_engine(engine), 10)
    _patiently(lambda: join_server(settings), 60)
    app = App("woodpecker-agent", VERSION)
    app.add("GET", "/healthz", lambda _: Answer(200))
    serve(app, settings.get("HEALTHCHECK_ADDR", ":3000"))
    say("starting Woodpecker agent (stand-in)")
    return wait_for_signal()


def ping(address: str) -> int:
    """`ping`: whether the health endpoint of this container answers.

    Raises:
        Refused: when it does not.
    """
    port = split_address(address)[1]
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
    except OSError as error:
        raise Refused(f"ping: {error}") from error
    return 0


def main(argv: list[str]) -> int:
    """`/bin/woodpecker-server`."""

    def body() -> int:
        if argv[1:] == ["ping"]:
            return ping(os.environ.get("WOODPECKER_SERVER_ADDR", ":8000"))
        if argv[1:]:
            raise Refused(f"unknown command {argv[1]}")
        return run_server(os.environ)

    return run_program("woodpecker-server", body)


def agent_main(argv: list[str]) -> int:
    """`/bin/woodpecker-agent`."""

    def body() -> int:
        if argv[1:] == ["ping"]:
            return ping(os.environ.get("WOODPECKER_HEALTHCHECK_ADDR", ":3000"))
        if argv[1:] not in ([], ["agent"]):
            raise Refused(f"unknown command {argv[1]}")
        return run_agent(os.environ)

    return run_program("woodpecker-agent", body)
