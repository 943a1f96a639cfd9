"""Monitoring on a real engine: installed by the product, Prometheus has every target up.

CK-14, CK-16, CK-29, CK-53; SA-46 to SA-60, SA-70, SA-71.
"""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

import pytest

from tests.integration.operator import make_operator
from tests.monitoring.programs import wait_for

pytestmark = pytest.mark.engine


class Installed:
    """The deployed stack, asked from the host."""

    def __init__(self, host: Any, report: dict[str, Any]) -> None:
        self.host = host
        self.report = report

    def inside(self, service: str, command: str) -> str:
        text: str = self.host.ssh(f"docker exec trial-{service}-1 {command}")
        return text

    def prometheus(self, path: str) -> Any:
        return json.loads(self.inside("prometheus", f"wget -q -O - 'http://127.0.0.1:9090{path}'"))[
            "data"
        ]

    def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.prometheus(
            f"/api/v1/query?query={urllib.parse.quote(expression)}"
        )["result"]
        return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: Any, module_host: Any, testbed: Any) -> Installed:
    operator = make_operator(
        tmp_path_factory.mktemp("operator"),
        module_host,
        testbed.lock_file,
        monitoring={"enabled": True},
    )
    done = operator.install()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return Installed(module_host, operator.reports()[-1])


def test_every_target_is_up_and_every_service_with_metrics_is_one(installed: Installed) -> None:
    targets = installed.prometheus("/api/v1/targets?state=active")["activeTargets"]
    down = {t["labels"]["job"]: t["lastError"] for t in targets if t["health"] != "up"}
    assert down == {}
    jobs = {target["labels"]["job"] for target in targets}
    assert jobs >= {
        "ai-gateway", "alertmanager", "authentik-server", "authentik-worker", "coder", "gitea",
        "minio", "node-exporter", "postgres-exporter", "redis-exporter", "traefik", "uptime",
        "uptime-wildcard",
    }  # fmt: skip
    checks = {c["id"]: c["outcome"] for c in installed.report["checks"]}
    assert {v for k, v in checks.items() if k.endswith("metrics-targets")} == {"pass"}


def test_every_public_name_answers_with_a_verified_certificate(installed: Installed) -> None:
    # each name is asked once a minute, some for the first time while its service still started
    wait_for(lambda: not installed.query("probe_success == 0"), "each probe succeeds", 150)
    probes = installed.query("probe_success")
    assert len(probes) >= 5
    assert len(installed.query("probe_ssl_earliest_cert_expiry > time()")) == len(probes)


def test_rules_are_healthy_and_only_the_one_that_always_fires_does(installed: Installed) -> None:
    groups = installed.prometheus("/api/v1/rules")["groups"]
    unhealthy = [r["name"] for g in groups for r in g["rules"] if r["health"] == "err"]
    assert unhealthy == []
    wait_for(lambda: installed.query('ALERTS{alertname="Watchdog"}'), "an evaluation", 120)
    firing = {a["metric"]["alertname"] for a in installed.query('ALERTS{alertstate="firing"}')}
    host = {name for name in firing if name.startswith(("Node", "VaultAuditDisk"))}
    assert firing - host == {"Watchdog"}  # how full this machine is, is no matter


def test_the_exporters_measure_with_the_rights_of_pg_monitor_and_no_more(
    installed: Installed,
) -> None:
    """Role postgres-exporter of the hardening table."""
    assert [r["value"][1] for r in installed.query("pg_up")] == ["1"]
    assert [r["value"][1] for r in installed.query("redis_up")] == ["1"]
    rows = installed.inside(
        "postgres",
        'psql -XqAt -c "SELECT rolsuper OR rolcreaterole OR rolcreatedb,'
        " pg_has_role(oid, 'pg_monitor', 'MEMBER'), pg_has_role(oid, 'pg_read_all_data', 'MEMBER'),"
        " has_database_privilege(oid, 'coder', 'CONNECT')"
        " FROM pg_roles WHERE rolname LIKE 'metrics\\_%'\"",
    )
    assert rows.split() == ["f|t|f|f"]


def test_what_tells_of_people_is_refused_without_a_token(installed: Installed) -> None:
    seen = installed.inside("prometheus", "wget -S -q -O - http://gitea:3000/metrics 2>&1 || true")
    assert "401" in seen
