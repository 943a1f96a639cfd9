"""The machine's own container engine: found running, or installed and started here. It only carries
the target hosts and the registry; the product never talks to it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.testbed.commands import TestbedError, attempt, locked, run
from tests.testbed.places import Places

START_S = 30
NEEDED = {
    "dockerd": "docker.io",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "ssh": "openssh-client",
    "sshd": "openssh-server",
    "openssl": "openssl",
    "tmux": "tmux",
}
"""Program → the Debian package that brings it."""


def ensure_engine(places: Places) -> None:
    """Make `docker info` work for root: use a running engine, else install and start one.

    Raises:
        TestbedError: where that cannot be done; says what is missing and how to get it.
    """
    with locked(places.lock("engine")):
        if os.geteuid() != 0:
            raise TestbedError(
                "the test-bed makes network namespaces and mounts, which needs root; run it as root"
            )
        running = is_running()
        missing = [p for program, p in NEEDED.items() if not _present(program, running)]
        if missing:
            _install(missing)
        if not is_running():
            _start(places)


def is_running() -> bool:
    """Whether an engine answers this machine's `docker`."""
    return attempt(["docker", "info"], timeout=20)[0] == 0


def stop_engine(places: Places) -> bool:
    """End the engine that `ensure_engine` started, and no other; False when there is none."""
    record = places.engine / "engine.json"
    if not record.exists():
        return False
    known = json.loads(record.read_text())
    alive = bool(_started_at(known["pid"]) == known["started"])
    if alive:
        os.kill(known["pid"], signal.SIGTERM)
        deadline = time.monotonic() + START_S
        while _started_at(known["pid"]) == known["started"]:
            if time.monotonic() > deadline:
                raise TestbedError(f"the engine (pid {known['pid']}) does not end")
            time.sleep(0.1)
    record.unlink()
    return alive


def _present(program: str, running: bool) -> bool:
    return shutil.which(program) is not None or (running and program in {"dockerd", "iptables"})


def _install(packages: list[str]) -> None:
    kind = _distribution()
    if not kind & {"debian", "ubuntu"} or not shutil.which("apt-get"):
        raise TestbedError(
            f"missing here: {', '.join(packages)} (names of Debian's packages); install a container"
            " engine (20.10 or later) and start it; the target hosts are built with mmdebstrap and"
            " apt, so Debian or Ubuntu is needed for the rest"
        )
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], env=quiet)
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends"]
    run([*install, *packages, "debian-archive-keyring"], env=quiet)
    if not shutil.which("docker"):  # a package of its own from Debian 13 on
        run([*install, "docker-cli"], env=quiet)


def _distribution() -> set[str]:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except FileNotFoundError:
        return set()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return set(f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".replace('"', "").split())


def _start(places: Places) -> None:
    places.engine.mkdir(parents=True, exist_ok=True)
    log = places.engine / "dockerd.log"
    with log.open("ab") as sink:
        daemon = subprocess.Popen(
            ["dockerd"],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    record = {"pid": daemon.pid, "started": _started_at(daemon.pid)}
    (places.engine / "engine.json").write_text(json.dumps(record))
    deadline = time.monotonic() + START_S
    while not is_running():
        if daemon.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise TestbedError(f"dockerd does not come up here; {log} ends with:\n{tail}")
        time.sleep(0.2)


def _started_at(pid: int) -> str | None:
    """The start time of a process in clock ticks since boot: tells a reused pid apart."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]
