"""The programs that read what is rendered: Prometheus 3, Alertmanager and the exporters, unpacked
from Debian packages into the test-bed's cache. Nothing is installed on this machine.
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.testbed.commands import TestbedError, locked, run
from tests.testbed.packages import Apt, find_mirror
from tests.testbed.places import find_places

SUITE = "forky"
"""The first suite with Prometheus 3; its programs need no newer C library than bookworm has."""
PACKAGES = (
    "prometheus",
    "promtool",
    "prometheus-alertmanager",
    "prometheus-blackbox-exporter",
    "prometheus-node-exporter",
    "prometheus-postgres-exporter",
    "prometheus-redis-exporter",
)


def program(name: str) -> Path:
    """The path of a program; the test is skipped, or fails, where it cannot be had."""
    try:
        return _folder() / "usr/bin" / name
    except TestbedError as error:
        if os.environ.get("DEVPLAT_REQUIRE_ENGINE") == "1":
            pytest.fail(f"no {name}, and DEVPLAT_REQUIRE_ENGINE=1: {error}")
        pytest.skip(f"no {name}: {error}")


@functools.cache
def _folder() -> Path:
    places = find_places()
    folder = places.cache / f"monitoring-{SUITE}"
    done = folder / "complete"
    places.cache.mkdir(parents=True, exist_ok=True)
    with locked(places.lock("monitoring")):
        if done.exists():
            return folder / "root"
        for tool in ("apt-get", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise TestbedError(f"{tool} is not here; it unpacks Debian packages")
        apt = Apt(folder / "apt", find_mirror(), SUITE)
        apt.update()
        names = [f for f in apt.closure(PACKAGES) if f.startswith(("prom", "libprom"))]
        apt.download(PACKAGES)
        for file in names:
            run(["dpkg-deb", "-x", str(apt.path(file)), str(folder / "root")])
        shutil.rmtree(folder / "apt")
        done.write_text("\n".join(names))
    return folder / "root"


def in_its_place(name: str) -> list[str]:
    """A program that looks for its files below /usr/share, in a mount namespace that has them."""
    path = program(name)
    files = path.parents[2] / "usr/share/prometheus"
    script = (
        "mount -t tmpfs none /usr/share && mkdir /usr/share/prometheus"
        f' && mount --bind {files} /usr/share/prometheus && exec "$@"'
    )
    return ["unshare", "-rm", "sh", "-c", script, "sh", str(path)]


def check(*argv: str | Path) -> tuple[bool, str]:
    """Whether a reader takes its file, and all that it says."""
    done = subprocess.run(
        [str(word) for word in argv], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(argv: list[str], ready: str, env: dict[str, str] | None = None) -> Iterator[None]:
    """A program while it serves; `ready` is the address that answers 200 by then.

    Raises:
        AssertionError: it ends, or does not answer within 30 s; with what it said.
    """
    with subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(env or {})},
    ) as process:
        try:
            wait_for(lambda: process.poll() is not None or _answers(ready), f"{argv[0]} serves")
            if process.poll() is not None:
                said = process.stdout.read() if process.stdout else ""
                raise AssertionError(f"{argv[0]} ended: {said[-2000:]}")
            yield
        finally:
            process.terminate()
            try:
                process.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def wait_for(condition: object, what: str, limit_s: float = 40) -> None:
    """Until a condition holds.

    Raises:
        AssertionError: it does not within the limit.
    """
    end = time.monotonic() + limit_s
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s:g} s: {what}")
        time.sleep(0.1)


def fetch(url: str) -> str:
    """The body of an address of loopback."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body.decode()


def _answers(url: str) -> bool:
    try:
        fetch(url)
    except (urllib.error.URLError, OSError):
        return False
    return True
