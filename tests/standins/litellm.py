"""A stand-in for LiteLLM's proxy: reads config.yaml with `os.environ/NAME` references, wants a
master key that starts with `sk-`, lets itself in where rate limits are counted, answers health,
metrics, and models for the key. It calls none.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import ssl
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from resp import check_redis
from standin import (
    Answer,
    App,
    Refused,
    Request,
    connect_postgres,
    exposition,
    query,
    run_program,
    say,
    serve,
    wait_for_signal,
)

VERSION = "1.108.11-stand-in"
SECTIONS = {
    "model_list", "litellm_settings", "general_settings", "router_settings",
    "environment_variables",
}  # fmt: skip
COORDINATION = {
    "host", "port", "username", "password", "ssl", "ssl_cert_reqs", "ssl_check_hostname",
    "ssl_ca_certs", "namespace",
}  # fmt: skip
"""Keys of redis-py and of LiteLLM's own, as far as they are used."""
FLAGS = {"config", "port", "host", "num_workers", "detailed_debug", "debug"}


def read_config(path: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The configuration with its references to the environment resolved.

    Raises:
        Refused: when it cannot be read, has an unknown section, or a reference to nothing.
    """
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise Refused(f"--config {path}: {error}") from error
    if not isinstance(document, dict) or set(document) - SECTIONS:
        raise Refused(f"--config {path}: unknown section {sorted(set(document) - SECTIONS)}")
    for model in document.get("model_list") or []:
        if not model.get("model_name") or not (model.get("litellm_params") or {}).get("model"):
            raise Refused("model_list: every entry wants model_name and litellm_params.model")
    resolved = _resolve(document, environment)
    assert isinstance(resolved, dict)
    return resolved


def _resolve(node: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _resolve(value, environment) for key, value in node.items()}
    if isinstance(node, list):
        return [_resolve(item, environment) for item in node]
    if isinstance(node, str) and node.startswith("os.environ/"):
        name = node.removeprefix("os.environ/")
        if not environment.get(name):
            raise Refused(f"{node}: the environment has no {name}")
        return environment[name]
    return node


def master_key(config: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """The key that everything asks for.

    Raises:
        Refused: when there is none, or it is not one.
    """
    settings = config.get("general_settings") or {}
    key = str(settings.get("master_key") or environment.get("LITELLM_MASTER_KEY", ""))
    if not key.startswith("sk-") or len(key) < 20:
        raise Refused("LITELLM_MASTER_KEY: want a key that starts with sk-")
    return key


def check_coordination(config: Mapping[str, Any]) -> None:
    """Let in where `coordination_redis` says; the server verified as redis-py does with these keys.

    Raises:
        Refused: by the server, for its certificate, or for a key that redis-py does not have.
    """
    given = (config.get("general_settings") or {}).get("coordination_redis")
    if given is None:
        return
    if set(given) - COORDINATION or not given.get("host"):
        raise Refused(f"coordination_redis: {sorted(set(given) - COORDINATION) or 'no host'}")
    trust = None
    if given.get("ssl"):
        try:
            trust = ssl.create_default_context(cafile=given.get("ssl_ca_certs"))
        except (OSError, ssl.SSLError) as error:
            raise Refused(f"coordination_redis: {given['ssl_ca_certs']}: {error}") from error
        trust.check_hostname = bool(given.get("ssl_check_hostname", True))
        if given.get("ssl_cert_reqs", "required") != "required":
            raise Refused("coordination_redis: the stand-in talks to nobody unverified")
    user, password = (urllib.parse.quote(str(given[k]), "") for k in ("username", "password"))
    scheme, port = "rediss" if given.get("ssl") else "redis", given.get("port", 6379)
    url = f"{scheme}://{user}:{password}@{given['host']}:{port}"
    check_redis(url, "coordination_redis", trust)


def load_teams(path: Path, config: Mapping[str, Any], master: str) -> dict[str, str]:
    """Key → team, by the program that `custom_auth` names; it lies beside the configuration.

    Raises:
        Refused: when it, or what it reads, is not there.
    """
    named = (config.get("general_settings") or {}).get("custom_auth")
    if not named:
        return {}
    program = path.with_name(named.partition(".")[0] + ".py")
    try:
        source = program.read_text().partition("\nif __name__")[0]
        parts: dict[str, Any] = {"__file__": str(program), "__name__": "teams"}
        exec(compile(source, str(program), "exec"), parts)  # noqa: S102 - as LiteLLM does
        teams = json.loads(parts["SETTINGS"].read_text())["teams"]
        return {parts["key_of"](team, master): team for team in teams}
    except (OSError, SyntaxError, KeyError, ValueError) as error:
        raise Refused(f"custom_auth {named}: {error}") from error


def make_app(
    config: Mapping[str, Any], key: str, connection: Any, teams: Mapping[str, str] | None = None
) -> App:
    """The proxy's routes."""
    app = App("litellm", VERSION)
    settings = config.get("litellm_settings") or {}

    def allowed(request: Request) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return secrets.compare_digest(given.encode(), key.encode())

    def ready(_: Request) -> Answer:
        if connection is None:
            return Answer(body={"status": "healthy", "db": "Not connected"})
        query(connection, "SELECT 1")
        return Answer(body={"status": "healthy", "db": "connected"})

    def is_team(request: Request) -> bool:
        return request.headers.get("authorization", "").removeprefix("Bearer ") in (teams or {})

    def information(request: Request) -> Answer:
        if allowed(request):
            return Answer(body={"data": config.get("model_list") or []})
        return Answer(403 if is_team(request) else 401)

    def models(request: Request) -> Answer:
        if not allowed(request) and not is_team(request):
            return Answer(401, {"error": {"message": "Authentication Error", "code": "401"}})
        names = [model["model_name"] for model in config.get("model_list") or []]
        return Answer(body={"data": [{"id": name, "object": "model"} for name in names]})

    def metrics(request: Request) -> Answer:
        if settings.get("require_auth_for_metrics_endpoint", True) and not allowed(request):
            return Answer(401)
        if "prometheus" not in (settings.get("callbacks") or []):
            return Answer(404)
        return exposition(b"litellm_proxy_total_requests_metric_total 0\n")

    app.add("GET", "/health/(liveliness|liveness)", lambda _: Answer(body="I'm alive!"))
    app.add("GET", "/health/readiness", ready)
    app.add("GET", "/health", models)
    app.add("GET", "/(v1/)?models", models)
    app.add("GET", "/metrics/?", metrics)
    app.add("GET", "/model/info", information)
    return app


def parse_flags(words: list[str]) -> dict[str, str]:
    """`--name value` and `--name=value`.

    Raises:
        Refused: for an option that the proxy does not have.
    """
    flags: dict[str, str] = {}
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).removeprefix("--").partition("=")
        if name not in FLAGS:
            raise Refused(f"no such option: --{name}")
        flags[name] = value if equals else (rest.pop(0) if rest else "")
    return flags


def main(argv: list[str]) -> int:
    """The image's entry point."""

    def body() -> int:
        flags = parse_flags(argv[1:])
        path = Path(flags.get("config", ""))
        config = read_config(path, os.environ)
        key = master_key(config, os.environ)
        check_coordination(config)
        url = (config.get("general_settings") or {}).get("database_url") or os.environ.get(
            "DATABASE_URL", ""
        )
        connection = connect_postgres(20, re.sub(r"\?.*", "", url)) if url else None
        serve(
            make_app(config, key, connection, load_teams(path, config, key)),
            f"{flags.get('host', '0.0.0.0')}:{flags.get('port', '4000')}",
        )
        say("Uvicorn running (stand-in)")
        return wait_for_signal()

    return run_program("litellm", body)
