"""Network name spaces as containers and a host, and an engine that says which containers there are.

Everything lies in a name space of its own, without the machine's routes and filters; it is gone
when its processes are.
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from installer.core.segmentation.reach import Reach, parse_reach

ROOT = Path(__file__).parents[2]
LISTEN = (
    "import socket, sys, time\n"
    "held = []\n"
    "for text in sys.argv[1:]:\n"
    "    host, _, port = text.rpartition(':')\n"
    "    family = socket.AF_INET6 if ':' in host else socket.AF_INET\n"
    "    s = socket.socket(family); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
    "    s.bind((host, int(port))); s.listen(8); held.append(s)\n"
    "print('ready', flush=True)\n"
    "time.sleep(120)\n"
)
ENGINE = """#!/bin/sh
case $1 in
  network) cat {folder}/networks ;;
  ps) cat {folder}/ps ;;
  inspect) cat {folder}/inspect ;;
esac
"""


def require_namespaces() -> None:
    """Skip where none can be made."""
    tried = subprocess.run(["unshare", "-n", "true"], capture_output=True, text=True, check=False)
    if os.geteuid() != 0 or tried.returncode != 0:
        pytest.skip(f"network name spaces need root: {tried.stderr.strip() or 'not root'}")


@dataclass
class Lab:
    """A host's name space with bridges, and name spaces of containers on them."""

    folder: Path
    stack: ExitStack
    host: int = 0
    pids: dict[str, int] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)
    inspected: list[str] = field(default_factory=list)
    ends: int = 0

    def start(self) -> None:
        self.host = self._hold(["unshare", "-n", "sh", "-c", "echo ready; exec sleep 120"])
        self.do("ip link set lo up")

    def do(self, script: str, *, at: int | None = None) -> str:
        """A script in the host's name space, or in that of a process."""
        done = subprocess.run(
            ["nsenter", "-t", str(at or self.host), "-n", "sh", "-ec", script],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def bridge(self, name: str, *addresses: str) -> None:
        self.do(f"ip link add {name} type bridge; ip link set {name} up")
        for address in addresses:
            self.do(f"ip addr add {address} dev {name} nodad")

    def box(self, name: str, *listens: str, role: str = "", service: str = "") -> int:
        """A container of the project that listens on these."""
        pid = self._hold(
            ["nsenter", "-t", str(self.host), "-n", "unshare", "-n", "sh", "-c",
             'ip link set lo up; echo ready; exec sleep 120'],
        )  # fmt: skip
        self.pids[name] = pid
        if listens:
            self.listen(pid, *listens)
        self.tell(name, pid, service=service or name, role=role)
        return pid

    def tell(
        self, name: str, pid: int, *, service: str, role: str = "", project: str = "p"
    ) -> None:
        """What the engine says of a container."""
        self.rows.append(f"{name}%p_net%{project}%%{role}")
        said = {"name": f"/{name}", "project": project, "service": service, "role": role}
        self.inspected.append(f"{pid} {json.dumps(said)}")

    def listen(self, pid: int, *listens: str) -> None:
        self._hold(["nsenter", "-t", str(pid), "-n", "python3", "-c", LISTEN, *listens])

    def join(self, name: str, bridge: str, *addresses: str) -> None:
        self.ends += 1
        near, far = f"v{self.ends}", f"e{self.ends}"
        pid = self.pids[name]
        self.do(f"ip link add {near} type veth peer name {far}; ip link set {far} netns {pid}")
        self.do(f"ip link set {near} master {bridge} up")
        self.do(f"ip link set {far} up", at=pid)
        for address in addresses:
            self.do(f"ip addr add {address} dev {far} nodad", at=pid)

    def look(self, engine: str = ENGINE) -> subprocess.CompletedProcess[str]:
        """Run the script on the host, with such an engine."""
        (self.folder / "networks").write_text("p_net\n")
        (self.folder / "ps").write_text("".join(f"{row}\n" for row in self.rows))
        (self.folder / "inspect").write_text("".join(f"{row}\n" for row in self.inspected))
        client = self.folder / "bin" / "docker"
        client.parent.mkdir(exist_ok=True)
        client.write_text(engine.format(folder=self.folder))
        client.chmod(0o755)
        own_sysfs = "mount -t sysfs none /sys; exec bash -s -- p 0.6"
        return subprocess.run(
            ["nsenter", "-t", str(self.host), "-n", "unshare", "-m", "sh", "-c", own_sysfs],
            input=(ROOT / "assets/reach.sh").read_text(), capture_output=True, text=True,
            env={"PATH": f"{client.parent}:{os.environ['PATH']}"}, timeout=60, check=False,
        )  # fmt: skip

    def reach(self) -> Reach:
        done = self.look()
        assert done.stderr == ""
        return parse_reach(done.stdout, "target", "p")

    def _hold(self, argv: list[str]) -> int:
        """Start a process that says when it is ready, and end it with the lab."""
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        assert process.stdout is not None
        self.stack.callback(process.stdout.close)
        assert process.stdout.readline() == "ready\n"
        return process.pid
