"""A real engine with TLS on loopback, seen by the probe; one of its own, which carries nothing."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from installer.adapters import remote_engine
from installer.adapters.remote_engine import TlsEngineProbe
from installer.core.checks import RULES, judge_rule
from installer.core.workspace_engines import EngineAddress, EngineSight
from tests.preflight.builders import sound_facts, sound_needs
from tests.workspaces.lab import Authority

pytestmark = [pytest.mark.engine, pytest.mark.slow]
OURS, OTHER = Authority(), Authority("others")
START_S = 30
PARTS = {"cacert": "ca", "cert": "cert", "key": "key"}


@pytest.fixture(autouse=True)
def engine_program() -> None:
    """The engine's program, which root alone can start."""
    lacking = "root" if os.geteuid() else "" if shutil.which("dockerd") else "dockerd"
    if lacking and os.environ.get("DEVPLAT_REQUIRE_ENGINE") == "1":
        pytest.fail(f"{lacking} is needed for a real engine")
    if lacking:
        pytest.skip(f"no real engine without {lacking}")


@contextmanager
def run_engine(folder: Path, *options: str) -> Iterator[int]:
    """The port of an engine that lives as long as the block; it makes no network and no rule."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    server = OURS.issue("127.0.0.1")
    for name, text in {
        "ca": OURS.pem, "cert": server.certificate, "key": server.key, "daemon": "{}"
    }.items():  # fmt: skip
        (folder / name).write_text(text)
    places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid", "config-file": "daemon"}
    words = [f"--{option}={folder / place}" for option, place in places.items()]
    words += [f"--tls{place}={folder / part}" for place, part in PARTS.items()]
    # a bridge of its own: with none, an engine takes away that of the machine's other one
    words += ["--iptables=false", "--storage-driver=vfs", *options]
    with (folder / "log").open("wb") as log, _bridge() as bridge:
        engine = subprocess.Popen(
            ["dockerd", "-H", f"tcp://127.0.0.1:{port}", f"--bridge={bridge}", *words],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _wait_for(port, engine, folder / "log")
            yield port
        finally:
            engine.send_signal(signal.SIGTERM)
            engine.wait(START_S)


@contextmanager
def _bridge() -> Iterator[str]:
    name = f"dvws{os.getpid()}"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", "192.0.2.1/29", "dev", name], check=True)
        yield name
    finally:
        subprocess.run(["ip", "link", "delete", name], check=True)


def _wait_for(port: int, engine: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while engine.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"the engine does not come up: {log.read_text(errors='replace')[-800:]}")


def look(port: int, authority: Authority = OURS) -> EngineSight:
    trust = OURS.trust(authority.issue())
    probe = TlsEngineProbe(lambda: datetime.now(UTC))
    return probe.look(EngineAddress("127.0.0.1", port), trust)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(remote_engine, "PLAIN_PORT", 1)
    return tmp_path


def test_an_engine_that_verifies_clients_tells_itself_to_ours_alone(folder: Path) -> None:
    with run_engine(folder, "--tlsverify") as port:
        ours, theirs = look(port), look(port, OTHER)
    assert (ours.problem, ours.open_to) == (None, ())
    assert ours.host is not None
    assert ours.host.system == "linux"
    assert ours.host.cpus >= 1
    assert ours.host.memory_mib > 256
    assert ours.host.driver == "vfs"
    assert theirs.problem is not None
    assert theirs.problem.code == "workspaces.client_refused"
    needs = sound_needs()
    rules = [rule for rule in RULES if rule.id == "PF-WORKSPACES-KIND"]
    judged = judge_rule(rules[0], sound_facts(workspaces=(ours,)), needs)
    assert "workspaces.storage_driver" in {r.problem.code for r in judged if r.problem}


def test_an_engine_with_tls_that_asks_for_no_certificate_is_open_to_everybody(folder: Path) -> None:
    with run_engine(folder, "--tlsverify=false") as port:
        sight = look(port)
    assert sight.open_to == ("over TLS without a client's certificate",)
