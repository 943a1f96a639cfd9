"""Runs a Loki program on loopback with the product's files, moved to a directory of the test."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

START_S = 90  # the real program waits 15 s before it calls itself ready
INTERVAL = "1s"


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], Any], limit: float = 30) -> Any:
    """The first true answer, or the last one."""
    until = time.monotonic() + limit
    pause = threading.Event()
    while not (answer := what()) and time.monotonic() < until:
        pause.wait(0.2)
    return answer


class LokiLab:
    """One running log store; `notified` is what its Alertmanager was told."""

    def __init__(self, program: Sequence[str], files: Mapping[str, bytes], folder: Path) -> None:
        self.program, self.folder = list(program), folder
        self.port = free_port()
        self.notified: list[dict[str, Any]] = []
        self.alertmanager = ThreadingHTTPServer(("127.0.0.1", 0), self._receiver())
        threading.Thread(target=self.alertmanager.serve_forever, args=(0.05,), daemon=True).start()
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump(self._moved(files["loki/config.yaml"])))
        for path, data in files.items():
            if path.startswith("loki/rules/"):
                target = folder / path.removeprefix("loki/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(yaml.safe_dump(_hurried(yaml.safe_load(data))))
        self.process: subprocess.Popen[bytes] | None = None

    def _moved(self, data: bytes) -> Any:
        """The configuration with this test's directories and ports, and nothing else changed."""

        def move(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: move(inner) for key, inner in value.items()}
            if isinstance(value, list):
                return [move(inner) for inner in value]
            if isinstance(value, str) and value.startswith("/etc/loki/rules"):
                return str(self.folder / "rules")
            if isinstance(value, str) and (value == "/loki" or value.startswith("/loki/")):
                return str(self.folder / "data") + value.removeprefix("/loki")
            return value

        document = move(yaml.safe_load(data))
        document["server"] |= {
            "http_listen_address": "127.0.0.1",
            "http_listen_port": self.port,
            "grpc_listen_port": free_port(),
        }
        assert document["ruler"]["alertmanager_url"] == "http://alertmanager:9093"
        port = self.alertmanager.server_address[1]
        document["ruler"]["alertmanager_url"] = f"http://127.0.0.1:{port}"
        return document

    def _receiver(self) -> type[BaseHTTPRequestHandler]:
        notified = self.notified

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/api/v2/alerts":
                    notified.extend(json.loads(body))
                self.send_response(200 if self.path == "/api/v2/alerts" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Receiver

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with (self.folder / "log").open("wb") as log:
            command = [*self.program, f"-config.file={self.config}"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        ready = wait_for(lambda: self.process.poll() is not None or self.is_ready(), START_S)  # type: ignore[union-attr]
        assert ready and self.process.poll() is None, (self.folder / "log").read_text()[-3000:]

    def is_ready(self) -> bool:
        try:
            return self.ask("GET", "/ready")[0] == 200
        except OSError:
            return False

    def stop(self) -> None:
        """End it; not asked to leave for longer than its grace period."""
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.alertmanager.shutdown()
        self.alertmanager.server_close()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Content-Type": "application/json"}
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def push(
        self, labels: Mapping[str, str], lines: Sequence[str], age: float = 1
    ) -> tuple[int, bytes]:
        """Hand lines over, each a microsecond after the one before."""
        start = int((time.time() - age) * 1e9)
        values = [[str(start + number * 1000), line] for number, line in enumerate(lines)]
        stream = {"stream": dict(labels), "values": values}
        return self.ask("POST", "/loki/api/v1/push", {"streams": [stream]})

    def lines(self, query: str) -> list[str]:
        """Lines of the last hour that a query finds."""
        start = int((time.time() - 3600) * 1e9)
        asked = urllib.parse.urlencode({"query": query, "limit": 1000, "start": start})
        status, body = self.ask("GET", f"/loki/api/v1/query_range?{asked}")
        assert status == 200, body
        result = json.loads(body)["data"]["result"]
        return [line for stream in result for _, line, *_ in stream["values"]]

    def query_error(self, query: str) -> str:
        """Why a query is refused; empty when it is not."""
        asked = urllib.parse.urlencode({"query": query})
        status, body = self.ask("GET", f"/loki/api/v1/query_range?{asked}")
        return "" if status == 200 else body.decode()

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        body = json.loads(self.ask("GET", "/prometheus/api/v1/alerts")[1])
        alerts = (body["data"] or {}).get("alerts") or []
        return {a["labels"]["alertname"] for a in alerts if a["state"].lower() == "firing"}

    def told(self) -> dict[str, dict[str, Any]]:
        """The alerts that Alertmanager heard of, by name."""
        return {alert["labels"]["alertname"]: alert for alert in list(self.notified)}


def _hurried(document: Any) -> Any:
    """Rules as they are, but evaluated every second and without waiting."""
    for group in document["groups"]:
        group["interval"] = INTERVAL
        for rule in group["rules"]:
            rule.pop("for", None)
    return document
