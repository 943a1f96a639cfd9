"""The machine of these tests: its directories, and the programs that stand in for its own.

The stand-ins are honest where it matters: `dockerd --validate` reads the file and refuses what the
engine refuses, `sysctl --system` applies what the files say in their order, and the engine answers
only when it was started with a configuration that it bears.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installer.adapters.local import LocalHost
from installer.core.events import CheckFinished, CheckResult, Event
from installer.core.layout import Layout
from installer.phases.host_changes import HostPaths
from installer.phases.steps import Step, run_steps

KNOWN = (
    "default-address-pools default-ulimits icc live-restore log-driver log-opts no-new-privileges"
    " storage-driver userland-proxy insecure-registries debug labels"
)

DOCKERD = """#!/usr/bin/env python3
import json, sys
known = set({known!r}.split())
path = sys.argv[sys.argv.index("--config-file") + 1]
assert "--validate" in sys.argv
try:
    document = json.load(open(path))
except ValueError as error:
    sys.exit("unable to configure the Docker daemon with file " + path + ": " + str(error))
unknown = sorted(set(document) - known)
if unknown:
    sys.exit("the following directives don't match any configuration option: " + unknown[0])
print("configuration OK", file=sys.stderr)
"""
DOCKER = """#!/bin/sh
[ -e {root}/engine-up ] || {{ echo 'Cannot connect to the Docker daemon' >&2; exit 1; }}
case "$*" in
  "ps -q") cat {root}/running ;;
  "info --format"*) cat {root}/live ;;
  info) echo Server ;;
  *) echo "docker $*" >>{root}/log; exec {root}/docker-more "$@" ;;
esac
"""
# Starts with what lies in the file, unless that is what it does not bear.
SERVICE = """#!/bin/sh
echo "service $*" >>{root}/log
rm -f {root}/engine-up
if [ -e {root}/spoiled ] && grep -qs "$(cat {root}/spoiled)" {root}/etc/docker/daemon.json; then
  exit 1
fi
touch {root}/engine-up
"""
SYSCTL = """#!/usr/bin/env python3
import pathlib, sys
assert sys.argv[1:] == ["--system"], sys.argv
root = pathlib.Path({root!r})
for file in sorted((root / "etc/sysctl.d").glob("*.conf")):
    for line in file.read_text().splitlines():
        if line.strip() and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            setting = root / "proc" / name.strip().replace(".", "/")
            if setting.exists():
                setting.write_text(value.strip() + "\\n")
"""
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >>{root}/log
case $1 in
  is-enabled) [ -e {root}/enabled-"$2" ] && echo enabled || {{ echo disabled; exit 1; }} ;;
  enable) [ -e {root}/etc/systemd/system/"$2" ] && touch {root}/enabled-"$2" ;;
  daemon-reload) ;;
  *) exit 1 ;;
esac
"""


class Dead(BaseException):
    """The run was killed."""


@dataclass
class Journal:
    """Remembers what was begun and ended."""

    lines: list[str]

    def begin(self, step: str) -> None:
        self.lines.append(f"begin {step}")

    def end(self, step: str) -> None:
        self.lines.append(f"end {step}")

    def undone(self, step: str) -> None:
        self.lines.append(f"undone {step}")


@dataclass
class Machine:
    """Everything lies below `root`."""

    root: Path
    host: LocalHost
    layout: Layout

    @property
    def programs(self) -> Path:
        return self.root / "bin"

    @property
    def paths(self) -> HostPaths:
        return HostPaths(
            daemon_json=str(self.daemon_json),
            sysctl_dir=str(self.root / "etc/sysctl.d"),
            proc=str(self.root / "proc"),
            unit_dir=str(self.root / "etc/systemd/system"),
        )

    @property
    def daemon_json(self) -> Path:
        return self.root / "etc/docker/daemon.json"

    @property
    def record(self) -> dict[str, Any]:
        """What is known of the host before us."""
        document: dict[str, Any] = json.loads((self.root / "opt/state/host.json").read_text())
        return document

    def prepare(self) -> None:
        """A machine whose engine runs with nothing configured, and no container."""
        for name in ("opt/state", "etc/docker", "etc/sysctl.d", "etc/systemd/system", "bin"):
            (self.root / name).mkdir(parents=True)
        self.program("dockerd", DOCKERD.format(known=KNOWN))
        self.program("docker", DOCKER.format(root=self.root))
        self.program("sysctl", SYSCTL.format(root=str(self.root)))
        self.program("systemctl", SYSTEMCTL.format(root=self.root))
        (self.root / "engine-up").touch()
        self.containers(0)
        self.live(on=False)

    def program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def containers(self, count: int) -> None:
        (self.root / "running").write_text("".join(f"{n:064x}\n" for n in range(count)))

    def live(self, *, on: bool) -> None:
        (self.root / "live").write_text(f"{str(on).lower()}\n")

    def spoil(self, text: str) -> None:
        """The engine does not start with this text in its configuration."""
        (self.root / "spoiled").write_text(text)

    def setting(self, name: str, value: int) -> None:
        path = self.root / "proc" / name.replace(".", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")

    def value(self, name: str) -> int:
        return int((self.root / "proc" / name.replace(".", "/")).read_text())

    def restartable(self, monkeypatch: Any) -> None:
        """The engine is started by the program `service` of this machine, however it is here."""
        from installer.phases import engine_settings

        self.program("service", SERVICE.format(root=self.root))
        text = engine_settings._RESTART.replace("/run/systemd/system", "/nowhere")
        text = text.replace("/etc/init.d/docker", str(self.programs / "service"))
        text = text.replace("/run/docker.pid", f"{self.root}/docker.pid")
        monkeypatch.setattr(engine_settings, "_RESTART", text)
        monkeypatch.setattr(engine_settings, "BACK_S", 3)

    def log(self) -> list[str]:
        path = self.root / "log"
        return path.read_text().splitlines() if path.exists() else []

    def tree(self) -> dict[str, bytes]:
        """Every file below the host's own directories."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in (self.root / "etc").rglob("*")
            if path.is_file()
        }


def carry_out(steps: Sequence[Step]) -> list[Event]:
    """Run steps as an apply does."""
    return list(run_steps(steps, Journal([])))


def findings(events: Iterable[Event]) -> list[CheckResult]:
    return [event.result for event in events if isinstance(event, CheckFinished)]
