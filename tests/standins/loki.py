"""A stand-in for Loki: reads its configuration and rules, takes lines as JSON that is pushed,
answers queries in the part of LogQL that `loki_query` knows, and sends alerts to Alertmanager.
Lines are kept in one file below `common.path_prefix`.
"""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loki_config import read_config
from loki_query import Entry, QueryError, parse_log, parse_metric, seconds
from loki_rules import Group, Ruler, read_rules, rules_as_yaml
from standin import Answer, App, Refused, Request, run_program, say, serve, wait_for_signal

VERSION = "3.7.8-stand-in"
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
SWITCHES = ("verify-config", "print-config-stderr", "health", "version")
VALUES = ("config.file", "config.expand-env", "health.url", "target", "log.level")


def parse_flags(words: list[str]) -> dict[str, str]:
    """`-name=value` and `-name value`, with one dash or two.

    Raises:
        Refused: for what Loki has not.
    """
    flags: dict[str, str] = {}
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).lstrip("-").partition("=")
        if name in SWITCHES:
            flags[name] = value or "true"
        elif name in VALUES:
            flags[name] = value if equals else (rest.pop(0) if rest else "")
        else:
            raise Refused(f"flag provided but not defined: -{name}")
    return flags


class Store:
    """The lines, in memory and in a file."""

    def __init__(self, folder: Path, limits: Mapping[str, Any]) -> None:
        self.limits = limits
        self.entries: list[Entry] = []
        self.lock = threading.Lock()
        self.counts = {"received": 0, "discarded": 0}
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "stand-in.jsonl"
        if self.file.exists():
            for text in self.file.read_text().splitlines():
                moment, line, labels = json.loads(text)
                self.entries.append((moment, line, labels))

    def push(self, streams: list[Mapping[str, Any]]) -> str:
        """Keep lines; the reason when some are refused."""
        refused, kept = "", []
        for stream in streams:
            labels = stream.get("stream") or {"service_name": "unknown_service"}
            for moment, line, *_ in stream.get("values") or []:
                reason = self.refusal(labels, int(moment))
                if reason:
                    refused = reason
                    self.counts["discarded"] += 1
                else:
                    kept.append((int(moment), self.cut(line), dict(labels)))
        with self.lock:
            self.entries += kept
            self.entries.sort(key=lambda entry: entry[0])
            self.counts["received"] += len(kept)
            with self.file.open("a") as out:
                out.writelines(json.dumps(entry) + "\n" for entry in kept)
        return refused

    def refusal(self, labels: Mapping[str, str], moment: int) -> str:
        """Why a line is not taken."""
        if bad := [name for name in labels if not LABEL.fullmatch(name)]:
            return f"invalid labels: {bad[0]}"
        if len(labels) > int(self.limits.get("max_label_names_per_series", 15)):
            return "max label names per series exceeded"
        age = seconds(str(self.limits.get("reject_old_samples_max_age", "168h")))
        if self.limits.get("reject_old_samples", True) and moment < (time.time() - age) * 1e9:
            return "entry has timestamp too old"
        return ""

    def cut(self, line: str) -> str:
        """The line, not longer than allowed."""
        match = re.fullmatch(r"(\d+)(KB|MB)?", str(self.limits.get("max_line_size", "256KB")))
        unit = {"KB": 1024, "MB": 1024 * 1024}.get(match[2] or "", 1) if match else 1
        return line[: int(match[1]) * unit] if match else line

    def all(self) -> list[Entry]:
        """A copy of the lines, the oldest first."""
        with self.lock:
            return list(self.entries)


def query_range(store: Store, request: Request) -> Answer:
    """Lines or, for a metric query, its value at the end."""
    now = int(time.time() * 1e9)
    start = int(float(request.query.get("start") or now - 3600 * 10**9))
    end = int(float(request.query.get("end") or now))
    text = request.query.get("query", "")
    try:
        if not text.lstrip().startswith("{"):
            vector = parse_metric(text)(store.all(), end)
            result = [{"metric": dict(k), "value": [end / 1e9, str(v)]} for k, v in vector.items()]
            return _data({"resultType": "vector", "result": result})
        limit = int(request.query.get("limit") or 100)
        found = [e for e in parse_log(text).entries(store.all()) if start <= e[0] < end + 1]
    except QueryError as error:
        return Answer(400, f"{error}\n".encode())
    streams: dict[str, dict[str, Any]] = {}
    for moment, line, labels in found[-limit:]:
        stream = streams.setdefault(
            json.dumps(labels, sort_keys=True), {"stream": labels, "values": []}
        )
        stream["values"].insert(0, [str(moment), line])
    return _data({"resultType": "streams", "result": list(streams.values())})


def _data(data: Any) -> Answer:
    return Answer(body={"status": "success", "data": data})


def make_app(store: Store, groups: list[Group], ruler: Ruler | None) -> App:
    """Loki's routes."""
    app = App("loki", VERSION)

    def push(request: Request) -> Answer:
        if not request.headers.get("content-type", "").startswith("application/json"):
            return Answer(415, b"the stand-in takes JSON only\n")
        refused = store.push(request.json().get("streams") or [])
        return Answer(400, f"{refused}\n".encode()) if refused else Answer(204)

    def labels(_: Request) -> Answer:
        return _data(sorted({name for _, _, stream in store.all() for name in stream}))

    def values(request: Request) -> Answer:
        name = request.path.split("/")[-2]
        return _data(sorted({stream[name] for _, _, stream in store.all() if name in stream}))

    def metrics(_: Request) -> Answer:
        lines = [
            'loki_build_info{version="stand-in"} 1',
            f"loki_distributor_lines_received_total {store.counts['received']}",
            f'loki_discarded_samples_total{{reason="refused"}} {store.counts["discarded"]}',
            'loki_request_duration_seconds_count{status_code="200"} 1',
            "loki_prometheus_rule_evaluation_failures_total " + str(ruler.failures if ruler else 0),
        ]
        return Answer(body="\n".join([*lines, ""]).encode(), headers={"Content-Type": "text/plain"})

    app.add("GET", "/ready", lambda _: Answer(body=b"ready\n"))
    app.add("GET", "/metrics", metrics)
    app.add("POST", "/loki/api/v1/push", push)
    app.add("GET", "/loki/api/v1/query(_range)?", lambda request: query_range(store, request))
    app.add("GET", "/loki/api/v1/labels", labels)
    app.add("GET", "/loki/api/v1/label/[^/]+/values", values)
    app.add("GET", "/loki/api/v1/rules", lambda _: Answer(body=rules_as_yaml(groups)))
    app.add("GET", "/prometheus/api/v1/alerts", lambda _: _data(ruler.alerts() if ruler else {}))
    return app


def ask_health(url: str) -> int:
    """`loki -health`."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return 0
    except OSError as error:
        raise Refused(f"health check: {url}: {error}") from error


def start(config: Mapping[str, Any]) -> None:
    """Begin to serve.

    Raises:
        Refused: Loki would not start.
    """
    common, ruling = config.get("common") or {}, config.get("ruler") or {}
    store = Store(Path(common.get("path_prefix") or "/loki"), config.get("limits_config") or {})
    folder = ((ruling.get("storage") or {}).get("local") or {}).get("directory")
    groups = read_rules(Path(folder)) if folder else []
    ruler = None
    if groups:
        Path(ruling.get("rule_path") or "/rules").mkdir(parents=True, exist_ok=True)
        ruler = Ruler(groups, store.all, ruling.get("alertmanager_url") or "")
        threading.Thread(target=ruler.run, daemon=True).start()
    server = config.get("server") or {}
    address = f"{server.get('http_listen_address', '')}:{server.get('http_listen_port', 80)}"
    serve(make_app(store, groups, ruler), address)
    say(json.dumps({"level": "info", "msg": "Loki started", "note": "stand-in", "addr": address}))


def main(argv: list[str]) -> int:
    """`/usr/bin/loki`."""

    def body() -> int:
        flags = parse_flags(argv[1:])
        if "health" in flags:
            return ask_health(flags.get("health.url", "http://localhost:3100/ready"))
        config = read_config(Path(flags.get("config.file", "")))
        if "verify-config" in flags:
            say("config is valid")
            return 0
        if config.get("auth_enabled", True):
            raise Refused("the stand-in has no tenants: auth_enabled must be false")
        start(config)
        return wait_for_signal()

    return run_program("loki", body)
