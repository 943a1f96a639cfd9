"""A stand-in for Grafana Alloy: reads its configuration in its own language, finds containers by
the engine's interface, asks every few seconds for what they have printed since, and hands the lines
over to Loki. The real one keeps a connection open for each container instead.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alloy_components import check
from alloy_pipeline import Entry, relabel, run_stages
from alloy_syntax import Block, Reference, parse
from standin import (
    Answer,
    App,
    Refused,
    Request,
    parse_bool,
    run_program,
    say,
    serve,
    wait_for_signal,
)

VERSION = "1.20.1-stand-in"
FLAGS = {
    "server.http.listen-addr": "127.0.0.1:12345", "server.http.ui-path-prefix": "/",
    "storage.path": "data-alloy/", "disable-reporting": "false", "stability.level": "x",
    "server.http.memory-addr": "", "cluster.enabled": "false",
}  # fmt: skip
SWITCHES = ("disable-reporting", "cluster.enabled")
PAUSE_S = 5
BATCH = 500


def parse_flags(words: list[str]) -> tuple[dict[str, str], str]:
    """Flags and the configuration's path.

    Raises:
        Refused: for a flag that Alloy has not, or without a path.
    """
    flags, paths, rest = dict(FLAGS), [], list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            paths.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if name not in FLAGS:
            raise Refused(f"unknown flag: --{name}")
        if name in SWITCHES:
            flags[name] = value or "true"
            parse_bool(name, flags[name])
        else:
            flags[name] = value if equals else (rest.pop(0) if rest else "")
    if len(paths) != 1:
        raise Refused("a config file or directory is required")
    return flags, paths[0]


def read_config(path: str) -> Block:
    """The configuration, checked.

    Raises:
        Refused: Alloy would not load it.
    """
    try:
        root = parse(Path(path).read_text())
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error
    except Refused as error:
        raise Refused(f"{path}:{error}") from error
    check(root)
    return root


class Engine:
    """The engine's interface, by TCP."""

    def __init__(self, host: str) -> None:
        where = urllib.parse.urlsplit(host)
        if where.scheme != "tcp":
            raise Refused(f"host {host!r}: the stand-in speaks tcp:// only")
        self.address = (where.hostname or "", where.port or 2375)
        self.prefix = ""

    def get(self, path: str, method: str = "GET", **query: Any) -> bytes:
        """A body.

        Raises:
            OSError: no answer, or not the one that was hoped for.
        """
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        try:
            asked = f"?{urllib.parse.urlencode(query)}" if query else ""
            connection.request(method, f"{self.prefix}{path}{asked}")
            answer = connection.getresponse()
            body = answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()
        if answer.status != 200:
            raise OSError(f"{method} {path}: status {answer.status}")
        if path == "/_ping" and answer.headers.get("Api-Version"):
            self.prefix = f"/v{answer.headers['Api-Version']}"
        return body

    def targets(self, filters: Mapping[str, list[str]]) -> list[dict[str, str]]:
        """The containers that pass, with their labels as Alloy names them."""
        if not self.prefix:
            self.get("/_ping", "HEAD")
        self.get("/networks")
        found = []
        for body in json.loads(self.get("/containers/json", filters=json.dumps(filters))):
            labels = {
                f"__meta_docker_container_label_{_sanitised(name)}": value
                for name, value in (body.get("Labels") or {}).items()
            }
            name = (body.get("Names") or ["/?"])[0]
            found.append(
                {
                    **labels,
                    "__meta_docker_container_id": body["Id"],
                    "__meta_docker_container_name": name,
                }
            )
        return found

    def lines(self, container: str, since: int) -> Iterator[tuple[int, str]]:
        """What a container has printed after a moment, each with its own."""
        tty = json.loads(self.get(f"/containers/{container}/json"))["Config"]["Tty"]
        seconds = f"{since // 10**9}.{since % 10**9:09d}"
        given = {"stdout": 1, "stderr": 1, "timestamps": 1, "since": seconds}
        raw = self.get(f"/containers/{container}/logs", **given)
        for text in (raw if tty else _unframed(raw)).decode("utf-8", "replace").splitlines():
            stamp, _, line = text.partition(" ")
            moment = _nanoseconds(stamp)
            if moment > since:
                yield moment, line


def _sanitised(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in name)


def _unframed(raw: bytes) -> bytes:
    """Both streams of a container without a terminal: frames of 8 bytes and a text."""
    found, at = b"", 0
    while at + 8 <= len(raw) and raw[at] in (0, 1, 2):
        size = int.from_bytes(raw[at + 4 : at + 8], "big")
        found += raw[at + 8 : at + 8 + size]
        at += 8 + size
    return found


def _nanoseconds(stamp: str) -> int:
    """RFC 3339 with up to nine digits, as the engine writes it."""
    whole, _, rest = stamp.rstrip("Z").partition(".")
    try:
        seconds = int(time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))) - time.timezone
    except ValueError:
        return 0
    return seconds * 10**9 + int((rest or "0").ljust(9, "0")[:9])


class Agent:
    """The pipeline that the configuration describes."""

    def __init__(self, root: Block, folder: Path) -> None:
        self.parts = {(*b.name.split("."), b.label): b for b in root.blocks}
        [self.source] = [b for b in root.blocks if b.name == "loki.source.docker"]
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "positions.json"
        self.positions: dict[str, int] = (
            json.loads(self.file.read_text()) if self.file.exists() else {}
        )
        self.counts = {"sent": 0, "dropped": 0}
        self.healthy = True

    def part(self, reference: Reference) -> Block:
        """The component that a reference leads to."""
        return self.parts[reference.path[:-1]]

    def targets(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Container and labels of each target, as often as the engine has one."""
        block = self.part(self.source.attributes["targets"])
        rules = []
        while block.name == "discovery.relabel":
            rules = block.all("rule") + rules
            block = self.part(block.attributes["targets"])
        filters = {f.attributes["name"]: f.attributes["values"] for f in block.all("filter")}
        for found in Engine(block.attributes["host"]).targets(filters):
            labels = relabel(found, rules)
            if labels is not None:
                public = {k: v for k, v in labels.items() if not k.startswith("__")}
                yield found["__meta_docker_container_id"], public

    def round(self) -> None:
        """Ask every container once.

        Raises:
            OSError: the engine or the store is away.
        """
        engine = Engine(self.source.attributes["host"])
        engine.get("/_ping", "HEAD")
        for container, labels in self.targets():
            entries = [
                Entry(moment, line, dict(labels))
                for moment, line in engine.lines(container, self.positions.get(container, 0))
            ]
            for start in range(0, len(entries), BATCH):
                self.forward(entries[start : start + BATCH])
            if entries:
                self.positions[container] = entries[-1].moment
        self.file.write_text(json.dumps(self.positions))

    def forward(self, entries: list[Entry]) -> None:
        """Through the stages to the store."""
        block = self.part(self.source.attributes["forward_to"][0])
        while block.name == "loki.process":
            entries = [entry for entry in entries if run_stages(entry, block.blocks)]
            block = self.part(block.attributes["forward_to"][0])
        streams: dict[str, dict[str, Any]] = {}
        for entry in entries:
            key = json.dumps(entry.labels, sort_keys=True)
            stream = streams.setdefault(key, {"stream": entry.labels, "values": []})
            stream["values"].append([str(entry.moment), entry.line])
        if streams:
            url = block.all("endpoint")[0].attributes["url"]
            self.push(url, {"streams": list(streams.values())}, len(entries))

    def push(self, url: str, body: Any, count: int) -> None:
        """Hand lines over.

        Raises:
            OSError: the store is away, and they are to be handed over again.
        """
        where = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=20)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", where.path, json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        finally:
            connection.close()
        if answer.status >= 500:
            raise OSError(f"{url}: status {answer.status}")
        self.counts["sent" if answer.status == 204 else "dropped"] += count
        if answer.status != 204:
            say(json.dumps({"level": "error", "msg": "final error sending batch", "error": text}))

    def run(self) -> None:
        """Never ends."""
        while True:
            try:
                self.round()
                self.healthy = True
            except (OSError, ValueError) as error:
                self.healthy = False
                say(json.dumps({"level": "warn", "msg": "round failed", "err": str(error)}))
            time.sleep(PAUSE_S)


def make_app(agent: Agent) -> App:
    """Readiness and metrics."""
    app = App("alloy", VERSION)

    def metrics(_: Request) -> Answer:
        kind = "healthy" if agent.healthy else "unhealthy"
        lines = (
            f"loki_write_sent_entries_total {agent.counts['sent']}",
            f"loki_write_dropped_entries_total {agent.counts['dropped']}",
            f'alloy_component_controller_running_components{{health_type="{kind}"}} 5',
            "",
        )
        return Answer(body="\n".join(lines).encode(), headers={"Content-Type": "text/plain"})

    app.add("GET", "/-/(ready|healthy)", lambda _: Answer(body=b"Alloy is ready.\n"))
    app.add("GET", "/metrics", metrics)
    return app


def main(argv: list[str]) -> int:
    """`/bin/alloy`."""

    def body() -> int:
        command, *words = argv[1:] or [""]
        if command not in ("run", "validate"):
            raise Refused(f'unknown command "{command}" for "alloy"')
        flags, path = parse_flags(words)
        root = read_config(path)
        if command == "validate":
            return 0
        agent = Agent(root, Path(flags["storage.path"]))
        serve(make_app(agent), flags["server.http.listen-addr"])
        threading.Thread(target=agent.run, daemon=True).start()
        say(json.dumps({"level": "info", "msg": "now listening for http traffic (stand-in)"}))
        return wait_for_signal()

    return run_program("alloy", body)
