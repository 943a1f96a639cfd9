"""The edge as we render it, run on loopback: by the real program, or by the stand-in for it.

The rendered files are used as they are but for their places: directories of the container, ports,
and the services behind the edge are replaced by ones of this machine.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from installer.core.plan import Plan
from installer.core.rendering import render
from installer.stacks import load_templates
from tests.stacks.builders import ROOT, load, make_plan_for, services_of

TRAEFIK = "DEVPLAT_TEST_TRAEFIK_BIN"
HOSTS = ("coder.company.com", "git.company.com")


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Edge:
    """One edge: where its files are and how it is reached."""

    folder: Path
    plan: Plan
    command: list[str]
    environment: dict[str, str]
    ports: Mapping[str, int] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start, and wait until it answers for its own health."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log, cwd=self.folder
            )
        self.wait(lambda: self.fetch("internal", "x", "/ping")[0] == 200, "is healthy")

    def stop(self) -> None:
        """Stop as a container is stopped."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def wait(self, is_true: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Until it is so.

        Raises:
            AssertionError: the edge ended, or the time is over; with the end of its log.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process and self.process.poll() is None, f"it ended: {self.log[-2000:]}"
            try:
                if is_true():
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds} s: {what}\n{self.log[-3000:]}")

    def connect(
        self, host: str | None, roots: str | Path | None = None, **settings: Any
    ) -> ssl.SSLSocket:
        """A TLS connection under a name; verified by these roots, not at all without them."""
        context = ssl.create_default_context(cafile=roots)
        if roots is None:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for name, value in settings.items():
            setattr(context, name, value)
        raw = socket.create_connection(("127.0.0.1", self.ports["websecure"]), timeout=20)
        return context.wrap_socket(raw, server_hostname=host)

    def fetch(
        self,
        point: str,
        host: str,
        path: str = "/",
        *,
        method: str = "GET",
        roots: Path | None = None,
        body: bytes | None = None,
        **headers: str,
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body; names of headers are given with `_` for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[point], timeout=20)
        if point == "websecure":
            connection.sock = self.connect(host, roots)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body=body, headers={"Host": host, **sent})
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def certificate(self, host: str) -> bytes:
        """The server's own certificate, in DER."""
        with self.connect(host) as stream:
            return stream.getpeercert(binary_form=True) or b""


def make_edge(
    folder: Path,
    program: list[str],
    *,
    tls: Mapping[str, Any],
    backend: int,
    more: Mapping[str, Any] | None = None,
    secrets: Mapping[str, str] | None = None,
    change: Callable[[str, str], str] = lambda name, text: text,
) -> Edge:
    """Render with these answers and put the files below `folder`.

    `backend` is the port that stands for every service; `change` edits a file before it is written.
    """
    catalog = load()
    small = {"backup": {"enabled": False}, "monitoring": {"enabled": False}}
    plan = make_plan_for(catalog, "no-secret-server", {**small, "tls": tls, **(more or {})})
    bundle = render(plan, load_templates(ROOT, catalog))
    ports = {name: free_port() for name in ("web", "websecure", "internal")}
    places = {
        "/etc/traefik": f"{folder}/traefik",
        "/run/secrets": f"{folder}/secrets",
        '"/acme/': f'"{folder}/acme/',
        '":80"': f'"127.0.0.1:{ports["web"]}"',
        '":443"': f'"127.0.0.1:{ports["websecure"]}"',
        '":8082"': f'"127.0.0.1:{ports["internal"]}"',
    }
    for route in plan.routes:
        places[f"http://{route.service}:{route.port}"] = f"http://127.0.0.1:{backend}"

    def move(text: str) -> str:
        for old, new in places.items():
            text = text.replace(old, new)
        return text

    for part in ("secrets", "acme", "traefik/dynamic", "tmp"):
        (folder / part).mkdir(parents=True)
    for path, file in bundle.files.items():
        if path.startswith("traefik/"):
            (folder / path).write_text(change(path, move(file.data.decode())))
    for name, text in (secrets or {}).items():
        (folder / "secrets" / name).write_text(text)
    environment = services_of(bundle)["traefik"].get("environment", {})
    return Edge(
        folder,
        plan,
        [*program, f"--configFile={folder}/traefik/traefik.yml"],
        {"PATH": os.environ["PATH"], **{k: move(str(v)) for k, v in environment.items()}},
        ports,
    )


@contextmanager
def running(edge: Edge) -> Iterator[Edge]:
    """The edge, started; stopped whatever happens."""
    try:
        edge.start()
        yield edge
    finally:
        edge.stop()


def stand_in() -> list[str]:
    """How the stand-in is started."""
    code = "import sys, traefik; sys.exit(traefik.main(sys.argv))"
    path = str(ROOT / "tests/standins")
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {path!r}); {code}"]
