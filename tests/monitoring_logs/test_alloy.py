"""The log collector: its configuration in its own language, what becomes of a line on its way, and
the whole way from an engine's interface, through the filter, to the log store.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import alloy
import pytest
import socket_proxy
from alloy_components import check
from alloy_pipeline import Entry, run_stages
from alloy_syntax import parse
from standin import Refused

from tests.monitoring_logs.lab import LokiLab, wait_for
from tests.monitoring_logs.samples import access, audit, event

KEPT = {"deployment", "service", "role", "level"}


@pytest.fixture
def text(files: dict[str, bytes]) -> str:
    return files["alloy/config.alloy"].decode()


@pytest.fixture
def through(text: str) -> Callable[[str], Entry]:
    """A line after the rendered stages."""
    [process] = parse(text).all("loki.process")

    def run(line: str) -> Entry:
        labels = dict.fromkeys(KEPT, "x") | {"level": "unknown", "container": "x"}
        entry = Entry(time.time_ns(), line, labels)
        assert run_stages(entry, process.blocks)
        return entry

    return run


def test_the_configuration_is_one_that_alloy_loads(text: str) -> None:
    root = parse(text)
    check(root)
    names = {block.name for block in root.blocks}
    assert {"discovery.docker", "loki.source.docker", "loki.process", "loki.write"} <= names
    assert "/var/run/docker.sock" not in text


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("loki.source.docker", "loki.source.dokker", "cannot find the definition"),
        ("refresh_interval =", "refresh_intervall =", "unrecognized attribute"),
        ("loki.process.lines.receiver", "loki.process.line.receiver", "does not exist"),
        ("discovery.docker.ours.targets", "loki.write.store.receiver", "should be targets"),
        ("  filter {", "  fliter {", "unrecognized block"),
        ('"tcp://socket-proxy-logs:2375"', "2375", "should be text"),
        ("stage.label_keep {", "stage.label_kept {", "unrecognized block"),
        ('"15s"', '"soon"', "duration"),
        (r"(?i)^(warning|warn|w)$", r"(?i)^(?!warn)$", "look-around"),
        (r"(?i)^(warning|warn|w)$", r"(?i)^(warning", "error parsing regexp"),
        ('url = "http', 'address = "http', "unrecognized attribute"),
        ('filter {\n    name   = "label"\n', "filter {\n", "missing required attribute"),
        ("logging {", 'logging "ours" {', "must have one label"),
        ("logging {", "loki.process {", "must have one label"),
        ("// Every line", "# Every line", "illegal character"),
        ('values = {level = ""}', 'values = {level = ""', "expected"),
    ],
)
def test_a_configuration_that_alloy_refuses_is_refused(
    text: str, old: str, new: str, reason: str
) -> None:
    assert old in text
    with pytest.raises(Refused, match=reason):
        check(parse(text.replace(old, new, 1)))


LEVELS = [
    ('{"level":"warning","msg":"x"}', "warn"),
    ('{"lvl":"ERR","msg":"x"}', "error"),
    ('{"severity":"CRITICAL"}', "critical"),
    ('{"level":"surprise"}', "unknown"),
    ('{"msg":"x"}', "unknown"),
    ("ts=2026 level=debug msg=x", "debug"),
    ('time="x" level="info" msg="y"', "info"),
    ("2026/11/24 10:00:00 auth.go:230:SignIn() [W] Failed authentication attempt", "warn"),
    ("2026/11/24 10:00:00 cmd/web.go:1:run() [I] Starting", "info"),
    ("2026-11-24 10:00:00 UTC [31] FATAL:  password authentication failed", "critical"),
    ("2026-11-24 10:00:00 UTC [31] LOG:  checkpoint starting", "info"),
    ("INFO:     127.0.0.1 GET /health", "info"),
    ("an error without a level", "unknown"),
    ("", "unknown"),
]
SECRETS = [
    ('{"password":"hunter2 \\" x","a":"b"}', ["hunter2"]),
    ('{"client_secret": "abc", "msg": "kept"}', ["abc"]),
    ("GET /x?access_token=abc123&page=2", ["abc123"]),
    ("connect postgres://coder_1:p4ss@postgres:5432/coder", ["p4ss"]),
    ("Authorization: Bearer abcdefghijk.lmn-op", ["abcdefghijk"]),
    ("token hvs.CAESIJ0123456789abcdefghij used", ["CAESIJ"]),
    ("key sk-0123456789abcdef0123 and AKIAABCDEFGHIJKLMNOP", ["0123456789", "ABCDEFGHIJKLMNOP"]),
    ("eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", ["eyJzdWIiOiIx"]),
    ("-----BEGIN RSA PRIVATE KEY----- MIIEow", ["MIIEow"]),
    ('password="two words" user=ada', ["two words"]),
]
HARMLESS = [
    event("login_failed", {"username": "ada"}),
    access(401),
    "wrong password for ada",
    "https://coder.company.com/api/v2/users/me",
    "the token expired",
    "listening on 0.0.0.0:7080",
]


@pytest.mark.parametrize(("line", "level"), LEVELS)
def test_each_way_to_write_a_level_is_one_of_five_words(
    through: Callable[[str], Entry], line: str, level: str
) -> None:
    entry = through(line)
    assert entry.labels["level"] == level
    assert set(entry.labels) == KEPT
    assert entry.line == line


@pytest.mark.parametrize(("line", "values"), SECRETS)
def test_secrets_do_not_pass(through: Callable[[str], Entry], line: str, values: list[str]) -> None:
    passed = through(line).line
    assert "<redacted>" in passed
    assert [value for value in values if value in passed] == []


def test_lines_without_secrets_pass_as_they_are(through: Callable[[str], Entry]) -> None:
    assert [through(line).line for line in HARMLESS] == HARMLESS
    passed = json.loads(through(audit("kv/data/x", error="permission denied")).line)
    assert passed["request"]["path"] == "kv/data/x"
    assert passed["type"] == "response"


def test_what_is_too_old_for_the_store_is_left_out(text: str) -> None:
    [process] = parse(text).all("loki.process")
    old = Entry(time.time_ns() - 168 * 3600 * 10**9, "x", {})
    assert not run_stages(old, process.blocks)


def test_the_filter_lets_the_collector_read_and_nothing_more(services: Any) -> None:
    """HD-24: the compensation of the socket's row - calls of this client only, none that writes."""
    flags = socket_proxy.parse_flags(services["socket-proxy-logs"]["command"])
    rules = socket_proxy.compile_rules(flags)
    assert flags["allowfrom"] == "alloy"
    assert set(rules) == {"GET", "HEAD"}
    for path in ("/_ping", "/v1.47/containers/json", "/v1.47/containers/4e50/json",
                 "/v1.47/containers/4e50/logs", "/v1.47/networks"):  # fmt: skip
        assert socket_proxy.judge("GET", path, rules) == 200, path
    for path in ("/v1.47/secrets", "/v1.47/containers/4e50/archive", "/v1.47/images/json",
                 "/v1.47/containers/../info", "/v1.47/containers/4e50/attach/ws", "/v1.47/events",
                 "/v1.47/containers/4e50/export", "/v1.47/info"):  # fmt: skip
        assert socket_proxy.judge("GET", path, rules) == 403, path
    for method in ("POST", "PUT", "DELETE"):
        assert socket_proxy.judge(method, "/v1.47/containers/create", rules) == 405
    volumes = services["alloy"].get("volumes", [])
    assert not [v for v in volumes if "docker" in v["source"] or v["source"].startswith("/var/log")]


class Engine(ThreadingHTTPServer):
    """An engine with two containers of ours and one workspace, as the filter shows it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.printed = {"a1": ["[W] old", "[E] bad"], "b2": ['{"level":"info"}']}
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = engine.answer(urlsplit(self.path))
                self.send_response(200 if body is not None else 404)
                self.send_header("Api-Version", "1.41")
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body or b"")

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def answer(self, url: Any) -> bytes | None:
        path, query = url.path.removeprefix("/v1.41"), parse_qs(url.query)
        self.asked.append(path)
        if path in ("/_ping", "/networks"):
            return b"[]"
        if path == "/containers/json":
            wanted = json.loads(query["filters"][0])["label"][0]
            rows = [("a1", "gitea"), ("b2", "coder"), ("c3", "")]
            return json.dumps(
                [self.row(*row) for row in rows if row[1] or "=" not in wanted]
            ).encode()
        match = re.fullmatch(r"/containers/(\w+)/(json|logs)", path)
        if match is None:
            return None
        if match[2] == "json":
            return json.dumps({"Config": {"Tty": False}}).encode()
        since = float(query["since"][0])
        return b"".join(self.frames(match[1], since))

    def row(self, name: str, service: str) -> dict[str, Any]:
        labels = {"com.docker.compose.service": service, "devplat.role": service}
        return {
            "Id": name,
            "Names": [f"/{name}"],
            "Labels": labels | {"devplat.deployment": "devplat"},
        }

    def frames(self, name: str, since: float) -> Iterator[bytes]:
        for number, line in enumerate(self.printed[name]):
            moment = self.began + number
            if moment >= since:
                stamp = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")
                text = f"{stamp}.000000001Z {line}\n".encode()
                yield bytes([1 + number % 2, 0, 0, 0]) + len(text).to_bytes(4, "big") + text

    began = int(time.time()) - 60


def test_lines_of_every_container_reach_the_store_once(
    loki: LokiLab, text: str, services: Any, tmp_path: Path
) -> None:
    """CK-17: from the engine's interface to a query, with service and level."""
    engine = Engine()
    thread = threading.Thread(target=engine.serve_forever, args=(0.05,))
    thread.start()
    try:
        changed = text.replace("socket-proxy-logs:2375", f"127.0.0.1:{engine.server_address[1]}")
        changed = changed.replace("http://loki:3100", f"http://127.0.0.1:{loki.port}")
        (tmp_path / "config.alloy").write_text(changed)
        root = alloy.read_config(str(tmp_path / "config.alloy"))
        alloy.Agent(root, tmp_path / "data").round()
        query = '{service="gitea", level="error"} |= "[E] bad"'
        assert wait_for(lambda: loki.lines(query)) == ["[E] bad"]
        assert wait_for(lambda: loki.lines('{service="coder", role="coder", level="info"} |= "{"'))
        engine.printed["a1"].append("[E] bad again")
        again = alloy.Agent(root, tmp_path / "data")  # as after a restart
        again.round()
        assert again.counts == {"sent": 1, "dropped": 0}
        assert wait_for(lambda: len(loki.lines('{service="gitea"} |~ "bad"')) == 2)
        assert "/containers/c3/logs" not in engine.asked
        # and the filter in between lets through all that was asked
        flags = socket_proxy.parse_flags(services["socket-proxy-logs"]["command"])
        rules = socket_proxy.compile_rules(flags)
        asked = {path: socket_proxy.judge("GET", f"/v1.41{path}", rules) for path in engine.asked}
        assert set(asked.values()) == {200}, asked
    finally:
        engine.shutdown()
        engine.server_close()
        thread.join()


def test_the_program_refuses_what_alloy_refuses(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    (tmp_path / "good.alloy").write_text(text)
    (tmp_path / "bad.alloy").write_text(text.replace("loki.write", "loki.right"))
    assert alloy.main(["alloy", "validate", str(tmp_path / "good.alloy")]) == 0
    assert alloy.main(["alloy", "validate", str(tmp_path / "bad.alloy")]) == 1
    assert alloy.main(["alloy", "run", "--no-such-flag", "x"]) == 1
    assert alloy.main(["alloy", "serve"]) == 1
    said = capsys.readouterr().err
    assert "unknown flag" in said and "unknown command" in said and sys.version_info
