"""A stand-in for authentik: `ak server`, `ak worker`, `ak healthcheck`. Reads AUTHENTIK_* with
their `file://` and `env://` values, needs PostgreSQL; the worker migrates, makes `akadmin` and
applies blueprints, the server logs people in by them. It refuses unknown settings, and Redis's.
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from authentik_blueprint import Blueprints
from authentik_flow import Flows
from authentik_oidc import Oidc
from authentik_store import Store, hash_password, new_object
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


def migrate(connection: Any, settings: Mapping[str, str]) -> Store:
    """The worker's first work: tables, and `akadmin` with the bootstrap values, once."""
    store = Store(connection)
    store.migrate()
    if store.first("authentik_core.user", username="akadmin") is None:
        Blueprints(store, Path("/nonexistent")).apply("authentik Bootstrap")
        admin = store.first("authentik_core.user", username="akadmin") or {}
        password = settings.get("bootstrap_password", "")
        store.write({
            **admin,
            "email": settings.get("bootstrap_email", "root@example.com"),
            "password": hash_password(password) if password else "!",
            "token": settings.get("bootstrap_token"),
        })  # fmt: skip
        # without one of these, every page leads to the first set-up
        if password or settings.get("bootstrap_token"):
            store.write(new_object("authentik_setup", done=True))
    return store


def make_app(
    connection: Any,
    settings: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.time,
) -> App:
    """The routes of both processes."""
    app, store = App("authentik", VERSION), Store(connection)
    flows = Flows(store, int((settings or {}).get("reputation.expiry", "86400")), clock)

    def ready(_: Request) -> Answer:
        try:
            query(connection, "SELECT 1")
        except Exception:  # noqa: BLE001 - the driver's errors, whatever they are: not ready
            return Answer(503)
        return Answer(200)

    def version(request: Request) -> Answer:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token or store.first("authentik_core.user", token=token) is None:
            return Answer(403, {"detail": "Authentication credentials were not provided."})
        return Answer(200, {"version_current": VERSION})

    def root(_: Request) -> Answer:
        done = store.first("authentik_setup") is not None
        to = "/flows/-/default/authentication/?next=/" if done else "/setup"
        return Answer(302, b"", {"Location": to})

    def default_flow(_: Request) -> Answer:
        brand = store.first("authentik_brands.brand", default=True) or {}
        flow = store.first("authentik_flows.flow", pk=brand.get("flow_authentication"))
        if flow is None:
            return Answer(404)
        return Answer(302, b"", {"Location": f"/if/flow/{flow['slug']}/"})

    app.add("GET", "/-/health/live/", lambda _: Answer(200))
    app.add("GET", "/-/health/ready/", ready)
    app.add("GET", "/-/health/(live|ready)", lambda r: Answer(301, b"", {"Location": r.path + "/"}))
    app.add("GET", "/api/v3/admin/version/", version)
    app.add("GET", "/", root)
    app.add("GET", "/(if/)?flow.*", lambda _: Answer(body=b"<title>authentik (stand-in)</title>"))
    app.add("GET", "/flows/-/default/authentication/", default_flow)
    for method in ("GET", "POST"):
        app.add(method, "/api/v3/flows/executor/[^/]+/", flows.execute)
    Oidc(flows).add_routes(app)
    return app


def apply_blueprints(connection: Any, folder: Path, paths: list[str]) -> int:
    """`ak apply_blueprint`: each by its path below the folder, until one fails."""
    blueprints = Blueprints(Store(connection), folder)
    names = {path: name for name, (path, _) in blueprints.documents().items()}
    for path in paths:
        if path not in names:
            raise Refused(f"{path}: no such blueprint")
        if error := blueprints.apply(names[path]):
            raise Refused(f"Blueprint invalid: {path}: {error}")
    return 0


def run(process: str, environment: Mapping[str, str]) -> int:
    """`ak server` or `ak worker`."""
    settings = read_settings(environment)
    check_settings(settings)
    mode = Path(environment.get("TMPDIR", "/dev/shm"), "authentik-mode")
    mode.write_text(process)
    connection = connect(settings)
    store = migrate(connection, settings)
    if process == "worker":
        Blueprints(store, Path(settings.get("blueprints_dir", "/blueprints"))).apply_all()
    serve(make_app(connection, settings), settings.get("listen.http", "0.0.0.0:9000"))
    metrics = App("authentik", VERSION)
    text = b"authentik_tasks_workers 1\nauthentik_tasks_queued 0\n"
    metrics.add("GET", "/metrics", lambda _: exposition(text))
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
        if argv[1:2] == ["apply_blueprint"] and len(argv) > 2:
            settings = read_settings(os.environ)
            folder = Path(settings.get("blueprints_dir", "/blueprints"))
            return apply_blueprints(connect(settings), folder, argv[2:])
        if command in ("server", "worker"):
            return run(command, os.environ)
        if command == "healthcheck":
            return healthcheck(os.environ)
        if command == "dump_config":
            say(json.dumps(read_settings(os.environ), indent=1))
            return 0
        raise Refused(f"unknown command: {' '.join(argv[1:])}")

    return run_program("authentik", body)
