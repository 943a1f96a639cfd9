"""An ACME authority on loopback: pebble, its DNS server, and the DNS provider `httpreq` of lego.

pebble asks its own DNS server, in which every name is 127.0.0.1, and connects to the edge's ports.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from installer.adapters.certificates import key_text
from installer.adapters.private_authority import issue_certificate, make_private_ca
from tests.tls.edge_lab import free_port

PEBBLE = "DEVPLAT_TEST_PEBBLE_BIN"
MAC_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@dataclass
class Authority:
    """A running authority."""

    folder: Path
    directory: str
    management: str
    provider: str
    dns: int

    @property
    def ca_file(self) -> Path:
        """Root of the directory's own certificate."""
        return self.folder / "ca.pem"

    @property
    def log(self) -> str:
        return (self.folder / "pebble.log").read_text(errors="replace")

    def count(self, handler: str) -> int:
        """How often a part of its API was called."""
        return self.log.count(f"POST {handler} -> calling handler()")

    def roots(self) -> Path:
        """The root that it issues below, in a file."""
        path = self.folder / "issued-below.pem"
        path.write_bytes(self._ask(f"{self.management}/roots/0"))
        return path

    def _ask(self, url: str) -> bytes:
        context = ssl.create_default_context(cafile=self.ca_file)
        with urllib.request.urlopen(url, timeout=10, context=context) as answer:
            return bytes(answer.read())


@contextmanager
def authority(
    folder: Path, bin_folder: Path, *, web: int, websecure: int, seconds: int, bound: bool = False
) -> Iterator[Authority]:
    """Start one that validates at these ports and issues for so many seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    listen, management, dns, provider, commands = (free_port() for _ in range(5))
    _make_certificate(folder)
    settings: dict[str, Any] = {
        "listenAddress": f"127.0.0.1:{listen}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(folder / "pebble.pem"),
        "privateKey": str(folder / "pebble.key"),
        "httpPort": web,
        "tlsPort": websecure,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": bound,
        "externalAccountMACKeys": {"kid-1": MAC_KEY} if bound else {},
        "profiles": {"default": {"description": "for tests", "validityPeriod": seconds}},
        "retryAfter": {"authz": 1, "order": 1},
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    programs = [
        [
            str(bin_folder / "pebble-challtestsrv"), "-management", f"127.0.0.1:{commands}",
            _dns_flag(bin_folder), f"127.0.0.1:{dns}", "-http01", "", "-https01", "",
            "-tlsalpn01", "", "-doh", "", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "",
        ],
        [
            str(bin_folder / "pebble"), "-config", str(folder / "pebble.json"),
            "-dnsserver", f"127.0.0.1:{dns}",
        ],
    ]  # fmt: skip
    environment = {
        "PEBBLE_VA_NOSLEEP": "1",
        "PEBBLE_WFE_NONCEREJECT": "5",
        "PEBBLE_AUTHZREUSE": "0",
    }
    server = _provider(provider, commands)
    started = []
    try:
        with (folder / "pebble.log").open("wb") as log:
            for program in programs:
                started.append(subprocess.Popen(program, env=environment, stdout=log, stderr=log))
        made = Authority(
            folder,
            f"https://127.0.0.1:{listen}/dir",
            f"https://127.0.0.1:{management}",
            f"http://127.0.0.1:{provider}",
            dns,
        )
        _wait(made)
        yield made
    finally:
        for process in started:
            process.terminate()
            process.wait(20)
        server.shutdown()
        server.server_close()


def _dns_flag(bin_folder: Path) -> str:
    """Until pebble 2.6 it is -dns01."""
    said = subprocess.run(
        [str(bin_folder / "pebble-challtestsrv"), "-help"], capture_output=True, check=False
    )
    return "-dnsserver" if b"-dnsserver" in said.stderr else "-dns01"


def _wait(made: Authority) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            made.roots()
            if "ACME directory available" in made.log:
                return
        except OSError:
            pass
        assert time.monotonic() < end, made.log
        time.sleep(0.05)


def _make_certificate(folder: Path) -> None:
    """A certificate of a private authority for the directory itself."""
    now = datetime.now(UTC)
    ca = make_private_ca("acme", ["127.0.0.1/32", "localhost"], now, os.urandom)
    issued = issue_certificate(ca, ["127.0.0.1", "localhost"], now, os.urandom, name="acme")
    (folder / "ca.pem").write_bytes(ca.certificate.public_bytes(Encoding.PEM))
    (folder / "pebble.pem").write_bytes(issued.certificate.public_bytes(Encoding.PEM))
    (folder / "pebble.key").write_text(key_text(issued.key).reveal())


def _provider(port: int, commands: int) -> ThreadingHTTPServer:
    """lego's `httpreq` provider, which sets records in the DNS server."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            present = self.path == "/present"
            command = {"host": asked["fqdn"], "value": asked["value"]}
            if not present:
                del command["value"]
            request = urllib.request.Request(
                f"http://127.0.0.1:{commands}/{'set' if present else 'clear'}-txt",
                json.dumps(command).encode(),
            )
            with urllib.request.urlopen(request, timeout=10):
                self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


def parse(der: bytes) -> x509.Certificate:
    """A certificate."""
    return x509.load_der_x509_certificate(der)
