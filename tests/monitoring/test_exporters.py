"""Real exporters on loopback, started with the arguments of their containers."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring.authority import Authority
from tests.monitoring.bundles import bundle_of, command_of, names_in, write_service
from tests.monitoring.programs import fetch, free_port, program, running
from tests.monitoring.test_rules import (
    every_rule,
    find_unknown_metrics,
    further_names,
    published_names,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real node exporter, with the arguments of its container."""
    folder, port = tmp_path_factory.mktemp("node"), free_port()
    (folder / "devplat_backup.prom").write_text(
        "devplat_backup_last_success_timestamp_seconds 42\n"
    )
    changes = {
        "=/host/": "=/",
        "=/host": "=/",
        "=/textfile": f"={folder}",
        "0.0.0.0:9100": f"127.0.0.1:{port}",
    }
    argv = [
        str(program("prometheus-node-exporter")),
        *command_of("nobody", "node-exporter", changes),
    ]
    with running(argv, f"http://127.0.0.1:{port}/"):
        yield f"http://127.0.0.1:{port}/metrics"


def test_every_metric_that_an_alert_names_exists(host: str) -> None:
    """CK-16: in the published lists, or in what the program shows."""
    known = published_names() | further_names() | names_in(fetch(host))
    assert list(find_unknown_metrics(every_rule(), known)) == []


def test_the_host_is_measured_and_files_of_others_are_passed_on(host: str) -> None:
    text = fetch(host)
    assert "devplat_backup_last_success_timestamp_seconds 42" in text
    assert "node_textfile_scrape_error 0" in text
    kinds = set(re.findall(r'node_filesystem_size_bytes\{[^}]*fstype="([^"]+)"', text))
    assert not kinds & {"tmpfs", "overlay", "proc", "sysfs", "cgroup", "cgroup2"}
    assert "node_network_receive_bytes_total" not in text


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Authority, int]]:
    """A server with a certificate of a private authority for localhost; 404 but for /healthz."""
    folder = tmp_path_factory.mktemp("edge")
    authority = Authority()
    chain, key = authority.issue("localhost", folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *values: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield authority, server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("module", "path", "stranger", "success"),
    [
        ("healthy", "/healthz", False, "1"),
        ("healthy", "/nothing", False, "0"),
        ("served", "/nothing", False, "1"),
        ("healthy", "/healthz", True, "0"),
        ("served", "/healthz", True, "0"),
    ],
)
def test_a_probe_verifies_the_certificate_and_tells_when_it_ends(
    tmp_path: Path,
    edge: tuple[Authority, int],
    module: str,
    path: str,
    stranger: bool,
    success: str,
) -> None:
    """CK-53, TL: with the roots that the installer delivers, and no others."""
    authority, served = edge
    port = free_port()
    folder = write_service(bundle_of()[1], "blackbox-exporter", tmp_path)
    (folder / "edge_roots.pem").write_bytes((Authority() if stranger else authority).pem)
    changes = {"/etc/blackbox": str(folder), "0.0.0.0:9115": f"127.0.0.1:{port}"}
    argv = [
        str(program("prometheus-blackbox-exporter")),
        *command_of("nobody", "blackbox-exporter", changes),
    ]
    with running(argv, f"http://127.0.0.1:{port}/-/healthy"):
        address = f"http://127.0.0.1:{port}/probe?module={module}"
        text = fetch(f"{address}&target=https://localhost:{served}{path}")
    assert f"\nprobe_success {success}\n" in text
    assert ("probe_ssl_earliest_cert_expiry" in text) is not stranger


def test_an_alert_on_a_metric_that_the_program_does_not_have_is_found(host: str) -> None:
    rule = {"alert": "A", "labels": {"severity": "warning"}, "expr": "node_disk_usage > 0.7"}
    rules = {"x.yml": {"groups": [{"rules": [rule]}]}}
    known = names_in(fetch(host))
    assert list(find_unknown_metrics(rules, known)) == ["A/warning names node_disk_usage"]
