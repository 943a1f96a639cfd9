"""A compose project on a test host, and the engine adapter over SSH to it."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from installer.adapters.docker import ComposeEngine
from installer.adapters.ssh import SshHost
from installer.adapters.ssh_target import SshTarget
from installer.core.errors import InstallError
from installer.ports import Command, OutputLine, Project
from tests.testbed.hosts import Host as Machine

SLEEP = {"command": ["sh", "-c", "exec sleep 1000"], "init": True}


def target_of(machine: Machine, **changes: Any) -> SshTarget:
    values: dict[str, Any] = {
        "host": machine.address,
        "port": machine.port,
        "user": machine.user,
        "key_file": machine.key_file,
        "known_hosts_file": machine.known_hosts_file,
        "use_agent": False,
    }
    return SshTarget(**{**values, **changes})


class Lab:
    """One host, one engine; projects come and go."""

    def __init__(self, machine: Machine, image: str) -> None:
        self.machine = machine
        self.image = image
        self.host = SshHost(target_of(machine))
        self.engine = ComposeEngine(self.host, pauses_s=(0.2, 0.2))

    def close(self) -> None:
        self.engine.close()
        self.host.close()

    def root(self, script: str, stdin: bytes = b"") -> str:
        done = self.host.run(
            Command(script, stdin=(stdin,) if stdin else (), privileged=True, timeout_s=60)
        )
        assert done.status == 0, done.error_text
        return done.text

    def project(
        self, name: str, services: Mapping[str, Any], *, override: Mapping[str, Any] | None = None
    ) -> Project:
        """Write a project; services without an image get the one of the lab."""
        directory = f"/opt/{name}"
        files = {"compose.yaml": {"services": {}}}
        for service, body in services.items():
            files["compose.yaml"]["services"][service] = {"image": self.image, **body}
        if override is not None:
            files["compose.override.yaml"] = {"services": dict(override)}
        for file, document in files.items():
            text = yaml.safe_dump(json.loads(json.dumps(document)))
            self.root(f"mkdir -p {directory}; cat > {directory}/{file}", text.encode())
        return Project(name, directory, tuple(files))

    def start_registry(self) -> None:
        script = Path(__file__).with_name("faulty_registry.py").read_bytes()
        self.root("cat > /opt/registry.py", script)
        self.root(
            "python3 /opt/registry.py </dev/null >/opt/registry.log 2>&1 & "
            "until grep -q ready /opt/registry.log; do sleep 0.05; done"
        )


def drain(talk: Generator[OutputLine, None, Any]) -> list[str]:
    """The lines of a talk without heartbeats."""
    return [line.text for line in talk if line.stream != "beat"]


def text_of(error: InstallError) -> str:
    parts: list[str] = []
    for problem in error.problems:
        remedy = problem.remedy
        parts += [problem.summary, problem.detail or "", remedy.summary, *remedy.commands]
    return "\n".join(parts)


def states(engine: ComposeEngine, project: Project) -> Sequence[tuple[str, str, str | None]]:
    return sorted((c.service, c.state, c.health) for c in engine.containers(project))
