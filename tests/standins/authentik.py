"""A stand-in for authentik: `ak server`, `ak worker`, `ak healthcheck`. Reads AUTHENTIK_* with
their `file://` and `env://` values, needs PostgreSQL; the worker migrates, makes `akadmin` and
applies blueprints as far as they name OAuth2 providers. It refuses unknown settings, and Redis's.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from standin import (
    Answer,
    App,
    Refused,
    Request,
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

VERSION = "2026.8.5-stand-in"
SETTINGS = """
avatars blueprints_dir cert_discovery_dir cookie_domain debug debugger disable_startup_analytics
disable_update_check http_timeout log_level secret_key
bootstrap_email bootstrap_password bootstrap_password_hash bootstrap_token
cache.timeout cache.timeout_flows cache.timeout_policies cache.url channel.url
compliance.fips.enabled
email.from email.host email.password email.port email.template_dir email.timeout email.use_ssl
email.use_tls email.username
error_reporting.enabled error_reporting.environment error_reporting.sample_rate
error_reporting.send_pii error_reporting.sentry_dsn
events.context_processors.asn events.context_processors.geoip
ldap.page_size ldap.task_timeout_hours ldap.tls.ciphers
listen.debug listen.debug_py listen.http listen.https listen.ldap listen.ldaps listen.metrics
listen.radius listen.trusted_proxy_cidrs log.http_headers
outposts.container_image_base outposts.disable_embedded_outpost outposts.discover
postgresql.conn_health_checks postgresql.conn_max_age postgresql.conn_options
postgresql.default_schema postgresql.disable_server_side_cursors postgresql.host postgresql.name
postgresql.password postgresql.port postgresql.sslcert postgresql.sslkey postgresql.sslmode
postgresql.sslrootcert postgresql.use_pool postgresql.pool_options postgresql.user
reputation.expiry reputation.lower_limit reputation.upper_limit sessions.unauthenticated_age
sources.kerberos.task_timeout_hours
storage.backend storage.file.path storage.file.url_expiry storage.media.backend
tenants.api_key tenants.enabled throttle.default throttle.providers.oauth2.device
web.path web.threads web.timeout_http_idle web.timeout_http_read web.timeout_http_read_header
web.timeout_http_write web.workers
worker.consumer_listen_timeout worker.processes worker.scheduler_interval
worker.task_default_time_limit worker.task_expiration worker.task_max_retries
worker.task_purge_interval worker.threads
""".split()
BOOLEANS = re.compile(r"debug|.*\.(enabled|use_tls|use_ssl|send_pii|discover|use_pool)|disable_.*")
NUMBERS = re.compile(
    r"postgresql\.port|email\.(port|timeout)|w(eb|orker)\.(workers|threads|processes)"
)
SCHEMA = """
CREATE TABLE IF NOT EXISTS authentik_core_user (
  username text PRIMARY KEY, email text, password text, token text);
CREATE TABLE IF NOT EXISTS authentik_blueprints_blueprintinstance (
  path text PRIMARY KEY, status text);
CREATE TABLE IF NOT EXISTS authentik_core_application (slug text PRIMARY KEY, client_id text)
"""
_LOCK = threading.Lock()


def read_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings by dotted name, with `file://` and `env://` resolved as authentik does.

    Raises:
        Refused: for an unknown setting, one of Redis, or a file that cannot be read.
    """
    settings: dict[str, str] = {}
    for name, value in sorted(environment.items()):
        if not name.startswith("AUTHENTIK_"):
            continue
        dotted = name.removeprefix("AUTHENTIK_").lower().replace("__", ".")
        if dotted.startswith(("redis.", "broker.", "result_backend.")):
            raise Refused(f"{name}: Redis is not used since 2025.10; drop it")
        if dotted not in SETTINGS and not dotted.startswith("postgresql.read_replicas."):
            raise Refused(f"{name}: no such setting")
        if value.startswith("file://") and dotted.startswith("bootstrap_"):
            raise Refused(f"{name}: file:// is not read for bootstrap values")
        settings[dotted] = _resolve(name, value, environment)
    for dotted, value in settings.items():
        if BOOLEANS.fullmatch(dotted):
            parse_bool(dotted, value)
        if NUMBERS.fullmatch(dotted) and not value.isdigit():
            raise Refused(f"{dotted}: {value!r} is no number")
    return settings


def _resolve(name: str, value: str, environment: Mapping[str, str]) -> str:
    if value.startswith("file://"):
        return read_secret(value.removeprefix("file://"), name)
    if value.startswith("env://"):
        return environment.get(value.removeprefix("env://"), "")
    return value


def check_settings(settings: Mapping[str, str]) -> None:
    """Refuse settings that authentik does not start with.

    Raises:
        Refused: for the first of them.
    """
    if len(settings.get("secret_key", "")) < 50:
        raise Refused("secret_key: want at least 50 characters")
    for name in ("postgresql.host", "postgresql.password"):
        if not settings.get(name):
            raise Refused(f"{name} is not set")
    if settings.get("bootstrap_password") and settings.get("bootstrap_password_hash"):
        raise Refused("bootstrap_password and bootstrap_password_hash exclude each other")


def connect(settings: Mapping[str, str]) -> Any:
    """The database."""
    optional = {
        key: settings[f"postgresql.{key}"]
        for key in ("sslmode", "sslrootcert", "sslcert", "sslkey")
        if settings.get(f"postgresql.{key}")
    }
    return connect_postgres(
        20,
        host=settings["postgresql.host"],
        port=settings.get("postgresql.port", "5432"),
        dbname=settings.get("postgresql.name", "authentik"),
        user=settings.get("postgresql.user", "authentik"),
        password=settings["postgresql.password"],
        **optional,
    )


def sql(connection: Any, text: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows of a statement, one at a time."""
    with _LOCK:
        return query(connection, text, *values)


def migrate(connection: Any, settings: Mapping[str, str]) -> None:
    """The worker's first work: tables, and `akadmin` with the bootstrap values, once."""
    sql(connection, "SELECT pg_advisory_lock(20260805)")
    sql(connection, SCHEMA)
    if not sql(connection, "SELECT 1 FROM authentik_core_user WHERE username='akadmin'"):
        sql(
            connection,
            "INSERT INTO authentik_core_user VALUES ('akadmin', %s, %s, %s)",
            settings.get("bootstrap_email", "root@example.com"),
            hash_password(settings.get("bootstrap_password") or secrets.token_hex(20)),
            settings.get("bootstrap_token"),
        )
    sql(connection, "SELECT pg_advisory_unlock(20260805)")


def hash_password(password: str) -> str:
    """A salted PBKDF2 hash in Django's form."""
    salt = secrets.token_hex(8)
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), 10_000)
    return f"pbkdf2_sha256$10000${salt}${made.hex()}"


def apply_blueprints(connection: Any, folder: Path) -> None:
    """Read every `*.yaml` below the folder; record its status, and the applications it declares."""
    for path in sorted(folder.rglob("*.yaml")):
        try:
            applications = read_blueprint(path.read_text())
            status = "successful"
        except (Refused, OSError, yaml.YAMLError) as error:
            say(f"blueprint {path}: {error}", error=True)
            applications, status = {}, "error"
        sql(
            connection,
            "INSERT INTO authentik_blueprints_blueprintinstance VALUES (%s, %s)"
            " ON CONFLICT (path) DO UPDATE SET status=EXCLUDED.status",
            str(path), status,
        )  # fmt: skip
        for slug, client in applications.items():
            sql(
                connection,
                "INSERT INTO authentik_core_application VALUES (%s, %s)"
                " ON CONFLICT (slug) DO UPDATE SET client_id=EXCLUDED.client_id",
                slug, client,
            )  # fmt: skip


class _Loader(yaml.SafeLoader):
    """YAML with authentik's tags; `!File` is read, the others stay opaque."""


def _file_tag(_: yaml.Loader, node: yaml.Node) -> str:
    return read_secret(str(node.value), "!File")


_Loader.add_constructor("!File", _file_tag)
for _tag in (
    "!KeyOf", "!Find", "!FindObject", "!Env", "!Context", "!Format", "!If", "!Condition",
    "!Enumerate", "!Index", "!Value", "!AtIndex",
):  # fmt: skip
    _Loader.add_constructor(_tag, lambda _, node: str(node.tag))


def read_blueprint(text: str) -> dict[str, str]:
    """The applications of a blueprint: slug → client id of the provider of the same name.

    Raises:
        Refused: when it is no blueprint, or a provider lacks what a login needs.
    """
    document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    if not isinstance(document, dict) or document.get("version") != 1:
        raise Refused("version is not 1")
    clients: dict[str, str] = {}
    slugs = []
    for entry in document.get("entries") or []:
        if not re.fullmatch(r"authentik_\w+\.\w+", str(entry.get("model"))):
            raise Refused(f"{entry.get('model')!r} is no model")
        attrs = {**(entry.get("identifiers") or {}), **(entry.get("attrs") or {})}
        if entry["model"] == "authentik_providers_oauth2.oauth2provider":
            for need in ("client_id", "grant_types", "redirect_uris", "invalidation_flow"):
                if not attrs.get(need):
                    raise Refused(f"provider {attrs.get('name')}: {need} is missing")
            clients[str(attrs.get("name"))] = str(attrs["client_id"])
        elif entry["model"] == "authentik_core.application":
            slugs.append(str(attrs["slug"]))
    return {slug: clients.get(slug, slug) for slug in slugs}


def make_app(connection: Any) -> App:
    """The routes of both processes."""
    app = App("authentik", VERSION)

    def ready(_: Request) -> Answer:
        try:
            sql(connection, "SELECT 1")
        except Exception:  # noqa: BLE001 - the driver's errors, whatever they are: not ready
            return Answer(503)
        return Answer(200)

    def discovery(request: Request) -> Answer:
        slug = request.path.split("/")[3]
        found = sql(connection, "SELECT 1 FROM authentik_core_application WHERE slug=%s", slug)
        host = request.headers.get("x-forwarded-host") or request.headers.get("host", "")
        base = f"{request.headers.get('x-forwarded-proto', 'http')}://{host}/application/o"
        if not found:
            return Answer(404)
        body = {"issuer": f"{base}/{slug}/", "authorization_endpoint": f"{base}/authorize/"}
        return Answer(200, {**body, "token_endpoint": f"{base}/token/"})

    def version(request: Request) -> Answer:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not sql(connection, "SELECT 1 FROM authentik_core_user WHERE token=%s", token):
            return Answer(403, {"detail": "Authentication credentials were not provided."})
        return Answer(200, {"version_current": VERSION})

    app.add("GET", "/-/health/live/", lambda _: Answer(200))
    app.add("GET", "/-/health/ready/", ready)
    app.add("GET", "/-/health/(live|ready)", lambda r: Answer(301, b"", {"Location": r.path + "/"}))
    app.add("GET", "/application/o/[^/]+/.well-known/openid-configuration", discovery)
    app.add("GET", "/api/v3/admin/version/", version)
    login = Answer(302, b"", {"Location": "/flows/-/default/authentication/?next=/"})
    app.add("GET", "/", lambda _: login)
    app.add("GET", "/(if/)?flow.*", lambda _: Answer(body=b"<title>authentik (stand-in)</title>"))
    return app


def run(process: str, environment: Mapping[str, str]) -> int:
    """`ak server` or `ak worker`."""
    settings = read_settings(environment)
    check_settings(settings)
    mode = Path(environment.get("TMPDIR", "/dev/shm"), "authentik-mode")
    mode.write_text(process)
    connection = connect(settings)
    migrate(connection, settings)
    if process == "worker":
        apply_blueprints(connection, Path(settings.get("blueprints_dir", "/blueprints")))
    serve(make_app(connection), settings.get("listen.http", "0.0.0.0:9000"))
    metrics = App("authentik", VERSION)
    text = b"authentik_tasks_workers 1\nauthentik_tasks_queued 0\n"
    metrics.add("GET", "/metrics", lambda _: Answer(body=text))
    serve(metrics, settings.get("listen.metrics", "0.0.0.0:9300"))
    say(json.dumps({"event": f"started {process} (stand-in)", "level": "info"}))
    return wait_for_signal()


def healthcheck(environment: Mapping[str, str]) -> int:
    """`ak healthcheck`: the process in this container answers."""
    mode = Path(environment.get("TMPDIR", "/dev/shm"), "authentik-mode")
    if not mode.exists():
        raise Refused("no process of authentik was started here")
    _, port = split_address(environment.get("AUTHENTIK_LISTEN__HTTP", "0.0.0.0:9000"))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/health/live/", timeout=5):
            return 0
    except OSError as error:
        raise Refused(f"{mode.read_text()}: {error}") from error


def main(argv: list[str]) -> int:
    """`ak`."""

    def body() -> int:
        command = argv[1] if len(argv) == 2 else ""
        if command in ("server", "worker"):
            return run(command, os.environ)
        if command == "healthcheck":
            return healthcheck(os.environ)
        if command == "dump_config":
            say(json.dumps(read_settings(os.environ), indent=1))
            return 0
        raise Refused(f"unknown command: {' '.join(argv[1:])}")

    return run_program("authentik", body)
