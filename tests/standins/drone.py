"""Stand-ins for the Drone server and its Docker runner: environment (or `--env-file`) checked by
name, PostgreSQL for the server; for the runner the engine's API, and the server's RPC with the same
secret.
"""

from __future__ import annotations

import http.client
import os
import re
import secrets
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from drone_keys import BOOLEANS, RUNNER, SERVER
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
    read_secret,
    run_program,
    say,
    serve,
    wait_for_signal,
)

SERVER_VERSION = "2.25.0-stand-in"
RUNNER_VERSION = "1.8.4-stand-in"
NUMBERS = ("DRONE_RUNNER_CAPACITY", "DRONE_MEMORY_LIMIT", "DRONE_CPU_QUOTA")
FORGES = ("GITEA_SERVER", "GITHUB_CLIENT_ID", "GITLAB_CLIENT_ID", "GOGS_SERVER", "STASH_SERVER")


def read_environment(environment: Mapping[str, str], env_file: str = "") -> dict[str, str]:
    """The environment, with what a dotenv file adds; names already set win, as godotenv has it."""
    values = dict(environment)
    if env_file:
        for number, line in enumerate(read_secret(env_file, "--env-file").splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            match = re.fullmatch(r"\s*(?:export\s+)?(\w[\w.]*)\s*[=:]\s*(.*)", line)
            if not match:
                raise Refused(f"{env_file}:{number}: can't separate key from value")
            values.setdefault(match[1], _unquote(match[2].strip()))
    return values


def _unquote(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value.partition(" #")[0].rstrip()


def check_environment(values: Mapping[str, str], known: frozenset[str]) -> None:
    """Refuse `DRONE_*` names that the program does not read, and values that it cannot parse.

    Raises:
        Refused: for the first of them.
    """
    for name, value in sorted(values.items()):
        if not name.startswith("DRONE_"):
            continue
        if name not in known:
            raise Refused(f"{name} is not read by this program")
        if name in BOOLEANS and value:
            parse_bool(name, value)
        if name in ("DRONE_COOKIE_TIMEOUT", "DRONE_CLEANUP_INTERVAL"):
            check_duration(name, value)
        if name in NUMBERS and not value.isdigit():
            raise Refused(f'{name}: strconv.ParseInt: parsing "{value}": invalid syntax')


def check_server(values: Mapping[str, str]) -> None:
    """Refuse what the server does not start with.

    Raises:
        Refused: for the first of them.
    """
    if not any(values.get(f"DRONE_{name}") for name in FORGES):
        raise Refused("main: source code management system not configured")
    if values.get("DRONE_GITEA_SERVER") and not values.get("DRONE_GITEA_CLIENT_ID"):
        raise Refused("DRONE_GITEA_CLIENT_ID is empty: nobody could log in")
    if len(values.get("DRONE_RPC_SECRET", "")) < 16:
        raise Refused("DRONE_RPC_SECRET: want a secret of at least 16 characters")
    if values.get("DRONE_DATABASE_DRIVER") != "postgres":
        raise Refused("DRONE_DATABASE_DRIVER: the stand-in has postgres only")
    if len(values.get("DRONE_DATABASE_SECRET", "")) not in (0, 16, 24, 32):
        raise Refused("DRONE_DATABASE_SECRET: crypto/aes: invalid key size")


def make_server(values: Mapping[str, str], connection: Any) -> App:
    """The server's routes."""
    app = App("drone", SERVER_VERSION)
    runners: set[str] = set()

    def ping(request: Request) -> Answer:
        token = request.headers.get("x-drone-token", "")
        if not secrets.compare_digest(token.encode(), values["DRONE_RPC_SECRET"].encode()):
            return Answer(401)
        runners.add(request.client)
        return Answer(204)

    def metrics(request: Request) -> Answer:
        anonymous = values.get("DRONE_PROMETHEUS_ANONYMOUS_ACCESS", "false") in ("true", "1")
        create = dict(
            part.split(":", 1)
            for part in values.get("DRONE_USER_CREATE", "").split(",")
            if part.count(":") == 1
        )
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not anonymous and not (bearer and bearer == create.get("token")):
            return Answer(401)
        text = f"drone_pending_jobs 0\ndrone_running_jobs 0\ndrone_runners {len(runners)}\n"
        return exposition(text.encode())

    def health(_: Request) -> Answer:
        query(connection, "SELECT 1")
        return Answer(body=b"OK")

    app.add("GET", "/healthz", health)
    app.add("GET", "/metrics", metrics)
    app.add("POST", "/rpc/v2/ping", ping)
    app.add("GET", "/login", lambda _: Answer(303, b"", {"Location": _authorize(values)}))
    app.add("GET", "/(welcome)?", lambda _: Answer(body=b"<title>Drone (stand-in)</title>"))
    return app


def _authorize(values: Mapping[str, str]) -> str:
    server = values.get("DRONE_GITEA_SERVER", "").rstrip("/")
    return f"{server}/login/oauth/authorize?client_id={values.get('DRONE_GITEA_CLIENT_ID', '')}"


def run_server(environment: Mapping[str, str], env_file: str) -> int:
    """`drone-server`."""
    values = read_environment(environment, env_file)
    check_environment(values, SERVER)
    check_server(values)
    source = values.get("DRONE_DATABASE_DATASOURCE", "")
    if not source.startswith(("postgres://", "postgresql://")):
        raise Refused(f"DRONE_DATABASE_DATASOURCE: {source!r} is no address of PostgreSQL")
    require_log_bucket(values)
    connection = connect_postgres(20, source)
    query(connection, "CREATE TABLE IF NOT EXISTS users (user_id serial PRIMARY KEY, login text)")
    serve(make_server(values, connection), values.get("DRONE_SERVER_PORT", ":8080"))
    say("starting the http server (stand-in)")
    return wait_for_signal()


def require_log_bucket(values: Mapping[str, str]) -> None:
    """Refuse to run without the bucket of logs; Drone itself would lose them later.

    Raises:
        Refused: for a missing setting, or with what the store says.
    """
    if not values.get("DRONE_S3_BUCKET"):
        return
    from s3 import require_bucket  # in the server's image only

    named = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
    if missing := [name for name in named if not values.get(name)]:
        raise Refused(f"DRONE_S3_BUCKET needs {missing[0]}")
    endpoint = values.get("DRONE_S3_ENDPOINT") or "https://s3.amazonaws.com"
    keys = (values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"])
    require_bucket(f"{endpoint}/{values['DRONE_S3_BUCKET']}", keys, values["AWS_REGION"])


def ping_engine(host: str) -> None:
    """HEAD, then GET /_ping at `DOCKER_HOST`, as the engine's Go client does.

    Raises:
        Refused: when no engine (or proxy before it) answers 200.
    """
    where = urllib.parse.urlsplit(host)
    if where.scheme == "unix":
        connection = http.client.HTTPConnection("localhost", timeout=5)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.connect(where.path)
    elif where.scheme == "tcp" and where.hostname:
        connection = http.client.HTTPConnection(where.hostname, where.port or 2375, timeout=5)
    else:
        raise Refused(f"DOCKER_HOST: {host!r}: want unix:///path or tcp://host:port")
    with closing(connection):
        for method in ("HEAD", "GET"):
            connection.request(method, "/_ping")
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                return
    raise Refused(f"cannot ping the docker daemon: status {answer.status}")


def ping_server(values: Mapping[str, str]) -> None:
    """Ping the server's RPC with the shared secret.

    Raises:
        Refused: when it does not answer, or refuses the secret.
    """
    url = f"{values.get('DRONE_RPC_PROTO', 'http')}://{values['DRONE_RPC_HOST']}/rpc/v2/ping"
    headers = {"X-Drone-Token": values["DRONE_RPC_SECRET"]}
    try:
        request = urllib.request.Request(url, data=b"", headers=headers, method="POST")
        urllib.request.urlopen(request, timeout=5).close()
    except (urllib.error.URLError, OSError) as error:
        raise Refused(f"cannot ping the remote server: {error}") from error


def run_runner(environment: Mapping[str, str], env_file: str) -> int:
    """`drone-runner-docker daemon`."""
    values = read_environment(environment, env_file)
    check_environment(values, RUNNER)
    for name in ("DRONE_RPC_HOST", "DRONE_RPC_SECRET"):
        if not values.get(name):
            raise Refused(f"required key {name} missing value")
    _patiently(lambda: ping_engine(values.get("DOCKER_HOST", "unix:///var/run/docker.sock")), 10)
    _patiently(lambda: ping_server(values), 60)
    app = App("drone-runner-docker", RUNNER_VERSION)
    app.add("GET", "/healthz", lambda _: Answer(body=b"OK"))
    serve(app, values.get("DRONE_HTTP_BIND", ":3000"))
    say("successfully pinged the remote server (stand-in)")
    return wait_for_signal()


def _patiently(attempt: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except (Refused, OSError) as error:
            if time.monotonic() > deadline:
                raise Refused(str(error)) from error
            say(str(error), error=True)
            time.sleep(1)


def main(argv: list[str]) -> int:
    """`/bin/drone-server [--env-file PATH]`."""

    def body() -> int:
        words = argv[1:]
        if words and words[0] in ("--env-file", "-env-file") and len(words) == 2:
            return run_server(os.environ, words[1])
        if len(words) == 1 and re.match(r"--?env-file=", words[0]):
            return run_server(os.environ, words[0].partition("=")[2])
        if words:
            raise Refused(f"flag provided but not defined: {words[0]}")
        return run_server(os.environ, "")

    return run_program("drone-server", body)


def runner_main(argv: list[str]) -> int:
    """`/bin/drone-runner-docker [daemon [ENVFILE]]`."""

    def body() -> int:
        words = argv[1:] or ["daemon"]
        if words[0] != "daemon" or len(words) > 2:
            raise Refused(f"unexpected {' '.join(words)}")
        return run_runner(os.environ, words[1] if len(words) == 2 else "")

    return run_program("drone-runner-docker", body)
