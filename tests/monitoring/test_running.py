"""The rendered configuration at work: a real Prometheus 3, a real Alertmanager and real exporters
on loopback, started with the command lines of the containers.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.bundles import bundle_of, command_of, names_in, write_service
from tests.monitoring.programs import fetch, free_port, in_its_place, running, wait_for
from tests.monitoring.test_rules import (
    HERE,
)

pytestmark = pytest.mark.slow


class Told:
    """A web hook: what it was told, by path."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.messages.append((self.path, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *values: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def alerts(self, path: str) -> set[tuple[str, str, str]]:
        """Name, severity and status of each alert told at a path."""
        return {
            (a["labels"]["alertname"], a["labels"].get("severity", ""), a["status"])
            for where, message in self.messages
            if where == path
            for a in message["alerts"]
        }

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Stack:
    """Prometheus and Alertmanager while they run."""

    def __init__(self, prometheus: int, alertmanager: int, told: Told) -> None:
        self.prometheus = f"http://127.0.0.1:{prometheus}"
        self.alertmanager = f"http://127.0.0.1:{alertmanager}"
        self.told = told

    def query(self, expression: str) -> list[dict[str, Any]]:
        text = urllib.request.quote(expression)  # type: ignore[attr-defined]
        found: list[dict[str, Any]] = json.loads(
            fetch(f"{self.prometheus}/api/v1/query?query={text}")
        )["data"]["result"]
        return found

    def raise_alert(self, **labels: str) -> None:
        """As Prometheus does it."""
        body = json.dumps([{"labels": labels, "startsAt": datetime.now(UTC).isoformat()}]).encode()
        request = urllib.request.Request(
            f"{self.alertmanager}/api/v2/alerts", body, {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Times are shortened; rules, routes and receivers are as rendered."""
    folder, told = tmp_path_factory.mktemp("monitoring"), Told()
    ports = {name: free_port() for name in ("prometheus", "alertmanager")}
    bundle = bundle_of("every")[1]
    alerts = write_service(bundle, "alertmanager", folder / "alertmanager")
    config = yaml.safe_load((alerts / "alertmanager.yml").read_text())
    operators = config["receivers"][0]
    for kind in ("email_configs", "slack_configs", "pagerduty_configs"):
        operators.pop(kind)  # they lead out of this machine
    for route in (config["route"], *config["route"]["routes"]):
        route["group_wait"] = "0s"
        if "group_interval" in route:
            route["group_interval"] = "1s"
    (alerts / "alertmanager.yml").write_text(yaml.safe_dump(config))
    (alerts / "webhook_url").write_text(f"{told.url}/operators\n")
    (alerts / "watchdog_url").write_text(f"{told.url}/watchdog\n")
    metrics = write_service(bundle, "prometheus", folder / "prometheus")
    for name in ("gitea_metrics_token", "ai_gateway_key", "secret-server.pem"):
        (metrics / name).touch()
    _shorten(metrics, ports)
    with ExitStack() as serving:
        serving.callback(told.close)
        for name, place in (("alertmanager", alerts), ("prometheus", metrics)):
            data = folder / f"{name}-data"
            changes = {
                f"/etc/{name}": str(place),
                f"=/{name}": f"={data}",
                "0.0.0.0:9090": f"127.0.0.1:{ports[name]}",
                "0.0.0.0:9093": f"127.0.0.1:{ports[name]}",
            }
            binary = {"alertmanager": "prometheus-alertmanager"}.get(name, name)
            argv = [*in_its_place(binary), *command_of("every", name, changes)]
            if name == "prometheus":  # the first is sent before it knows of an Alertmanager
                argv.append("--rules.alert.resend-delay=1s")
            serving.enter_context(running(argv, f"http://127.0.0.1:{ports[name]}/-/ready"))
        yield Stack(ports["prometheus"], ports["alertmanager"], told)


def _shorten(folder: Path, ports: dict[str, int]) -> None:
    """Looks every second, at nothing but the two programs that run."""
    main = folder / "prometheus.yml"
    text = re.sub(r"(scrape|evaluation)_interval: 30s", r"\1_interval: 1s", main.read_text())
    text = text.replace("scrape_timeout: 10s", "scrape_timeout: 1s")
    main.write_text(text.replace("alertmanager:9093", f"127.0.0.1:{ports['alertmanager']}"))
    for file in (folder / "scrape").glob("*.yml"):
        if file.stem not in ports:
            file.unlink()
            continue
        place = re.sub(
            r"(localhost|alertmanager):\d+", f"127.0.0.1:{ports[file.stem]}", file.read_text()
        )
        file.write_text(place)


def test_the_alert_that_always_fires_reaches_the_dead_mans_switch_and_nobody_else(
    stack: Stack,
) -> None:
    """CK-30."""
    wait_for(
        lambda: ("Watchdog", "none", "firing") in stack.told.alerts("/watchdog"), "Watchdog is told"
    )
    assert not [name for name, *_ in stack.told.alerts("/operators") if name == "Watchdog"]


def test_every_target_that_runs_is_up_and_every_rule_is_healthy(stack: Stack) -> None:
    """CK-14, CK-16."""
    wait_for(lambda: len(stack.query("up == 1")) == 2, "both are scraped")
    rules = json.loads(fetch(f"{stack.prometheus}/api/v1/rules"))["data"]["groups"]
    wait_for(
        lambda: {
            rule["health"]
            for group in json.loads(fetch(f"{stack.prometheus}/api/v1/rules"))["data"]["groups"]
            for rule in group["rules"]
        } == {"ok"},
        "each rule was worked out",
    )  # fmt: skip
    assert len(rules) >= 10


def test_people_are_told_of_the_worse_and_not_also_of_the_bad(stack: Stack) -> None:
    about = {"alertname": "NodeDiskUsageHigh", "job": "node-exporter", "instance": "h"}
    stack.raise_alert(**about, mountpoint="/", severity="critical")
    wait_for(
        lambda: ("NodeDiskUsageHigh", "critical", "firing") in stack.told.alerts("/operators"),
        "the critical alert is told",
    )
    stack.raise_alert(**about, mountpoint="/", severity="warning")
    stack.raise_alert(**about, mountpoint="/data", severity="warning")
    wait_for(
        lambda: ("NodeDiskUsageHigh", "warning", "firing") in stack.told.alerts("/operators"),
        "the warning of another file system is told",
    )
    told = [
        alert["labels"]["mountpoint"]
        for path, message in stack.told.messages
        for alert in message["alerts"]
        if path == "/operators" and alert["labels"]["severity"] == "warning"
    ]
    assert set(told) == {"/data"}


def test_a_name_behind_a_dead_edge_is_not_told_of(stack: Stack) -> None:
    stack.raise_alert(
        alertname="TargetDown", job="traefik", severity="critical", instance="traefik:8082"
    )
    wait_for(
        lambda: "TargetDown" in {n for n, *_ in stack.told.alerts("/operators")}, "the edge is told"
    )
    stack.raise_alert(
        alertname="PublicNameDown", job="uptime", severity="critical", instance="https://a"
    )
    found = json.loads(fetch(f"{stack.alertmanager}/api/v2/alerts?filter=alertname=PublicNameDown"))
    assert [alert["status"]["state"] for alert in found] == ["suppressed"]


@pytest.mark.parametrize(
    "path", ["/-/reload", "/-/quit", "/api/v1/admin/tsdb/snapshot", "/api/v1/write"]
)
def test_prometheus_cannot_be_changed_over_its_interface(stack: Stack, path: str) -> None:
    """Role prometheus of the hardening table."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(stack.prometheus + path, b"x"), timeout=10)
    assert refused.value.code in (403, 404, 500)
    assert re.search("not enabled|disabled|needs to be enabled", refused.value.read().decode())
    refused.value.close()


def test_metrics_of_prometheus_and_alertmanager_that_alerts_name_are_in_their_own(
    stack: Stack,
) -> None:
    """CK-16."""
    stack.raise_alert(alertname="X", severity="warning")
    shown = names_in(fetch(f"{stack.prometheus}/metrics")) | names_in(
        fetch(f"{stack.alertmanager}/metrics")
    )
    known = yaml.safe_load((HERE / "names.yaml").read_text())
    wanted = {
        n for names in known.values() for n in names if n.startswith(("prometheus_", "alertm"))
    }
    assert wanted - shown == set()
