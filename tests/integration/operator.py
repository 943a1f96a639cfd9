"""An operator with an answers file, at the console script, without a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.testbed.hosts import Host

INSTALLER = Path(sys.executable).with_name("devplat-install")
REHEARSAL = "a throw-away host of the tests"
WAIVED = (
    "domain.not_public", "dns.missing", "dns.wildcard_missing", "dns.container", "host.cpus",
    "host.memory", "host.memory_share", "disk.space",
)  # fmt: skip
PASSPHRASE = "correct horse battery staple 9!"


@dataclass
class Operator:
    """Runs the installer against one host.

    Attributes:
        folder: Answers, run directory and what else belongs to this deployment.
        answers: The document; tests change it.
    """

    folder: Path
    answers: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    @property
    def answers_file(self) -> Path:
        path = self.folder / "answers.yaml"
        path.write_text(yaml.safe_dump(self.answers, sort_keys=False))
        return path

    def argv(self, *arguments: str) -> list[str]:
        where = ["--answers", str(self.answers_file), "--run-dir", str(self.run_dir)]
        return [str(INSTALLER), *where, *arguments]

    def run(self, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """A command to its end, standard input closed."""
        return subprocess.run(
            self.argv(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.env(),
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command that the test will end."""
        return subprocess.Popen(
            self.argv(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.env(),
        )

    def install(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("--unattended", "--yes", *arguments)

    def env(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("DEVPLAT_")}
        return {**clean, "DEVPLAT_STORE_PASSPHRASE": PASSPHRASE, **self.environment}

    def reports(self) -> list[dict[str, Any]]:
        """The reports of all runs, oldest first."""
        paths = sorted(self.run_dir.glob("runs/*/report.json"))
        return [json.loads(path.read_text()) for path in paths]


def make_operator(folder: Path, host: Host, lock: Path, **sections: Any) -> Operator:
    """An operator of the small profile on this host."""
    answers = {
        "version": 1,
        "deployment": {"name": "trial"},
        "domain": {"base": "trial.test"},
        "ssh": {
            "host": host.address,
            "port": host.port,
            "user": host.user,
            "key_file": host.key_file,
            "known_hosts_file": host.known_hosts_file,
            "agent": False,
        },
        "admin": {"email": "admin@trial.test"},
        "vault": {"mode": "embedded"},
        "images": {"lock_file": str(lock)},
        "monitoring": {"enabled": False},  # tests/monitoring installs with it
        "waivers": dict.fromkeys(WAIVED, REHEARSAL),
        **sections,
    }
    folder.mkdir(parents=True, exist_ok=True)
    return Operator(folder, answers)


CORE_ONLY: dict[str, Any] = {
    name: {"enabled": False} for name in ("redis", "minio", "drone", "ai_gateway")
}
"""The services without a switch: the smallest stack there is."""


def make_bundled_operator(
    folder: Path, host: Host, lock: Path, people: Mapping[str, str], threshold: int
) -> Operator:
    """An operator of a platform with a secret server of its own; `people` is name → public key."""
    vault = {
        "mode": "bundled",
        "key_shares": len(people),
        "key_threshold": threshold,
        "custodians": dict(people),
    }
    made = make_operator(folder, host, lock, vault=vault)
    made.answers["waivers"]["vault.possession_unproven"] = REHEARSAL
    return made


def rendered_secrets(host: Host) -> dict[str, str]:
    """`<consumer>/<file>` → content, of every secret file as its agent rendered it."""
    agents = host.ssh("docker ps --format {{.Names}}").split()
    found: dict[str, list[str]] = {}
    for agent in (name for name in agents if "-vault-agent-" in name):
        listing = host.ssh(f"docker exec {agent} sh -c 'cd /run/secrets && grep -r . . || :'")
        consumer = agent.removeprefix("trial-vault-agent-").removesuffix("-1")
        for line in listing.splitlines():
            path, _, value = line.partition(":")
            found.setdefault(f"{consumer}/{path.removeprefix('./')}", []).append(value)
    return {path: "\n".join(lines) for path, lines in found.items()}
