"""Runs an agent as its container would: with the scripts and the configuration that the product
renders, paths and address moved to a temporary directory and a server of the test.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from installer.core.bundle import Bundle
from installer.core.plan import Plan
from installer.core.secrets import Secret
from installer.core.store_rules import consumer_role, make_store_rules
from tests.contract.vault.servers import VaultServer, wait_until

WRAP_S = "300"


def prepare_server(server: VaultServer, plan: Plan, values: Mapping[str, Secret]) -> None:
    """Mount, policies and roles as the product's rules say, and the secrets."""
    rules = make_store_rules(plan)
    _expect(
        server.ask("POST", f"sys/mounts/{rules.mount}", {"type": "kv", "options": {"version": "2"}})
    )
    _expect(server.ask("POST", "sys/auth/approle", {"type": "approle"}))
    for name, text in rules.policies.items():
        _expect(server.ask("PUT", f"sys/policies/acl/{name}", {"policy": text}))
    for name, role in rules.roles.items():
        body = {
            "token_policies": [role.policy],
            "token_period": role.token_period_s,
            "secret_id_num_uses": role.secret_id_uses,
            "secret_id_ttl": role.secret_id_ttl_s,
        }
        _expect(server.ask("POST", f"auth/approle/role/{name}", body))
    for name, value in values.items():
        put_secret(server, plan, name, value)


def put_secret(server: VaultServer, plan: Plan, name: str, value: Secret) -> None:
    """A new version of a secret."""
    rules = make_store_rules(plan)
    body = {"data": {"value": value.reveal(), "kind": "test", "purpose": "test"}}
    # a fresh mount is upgraded for a moment, and says so
    wait_until(
        lambda: server.ask("POST", f"{rules.mount}/data/{rules.prefix}/{name}", body).status == 200,
        lambda: f"{name} cannot be written",
    )


@dataclass
class Agent:
    """One consumer's agent.

    Attributes:
        interval: How often it looks at the server.
    """

    server: VaultServer
    plan: Plan
    bundle: Bundle
    consumer: str
    folder: Path
    interval: str = "5m"
    process: subprocess.Popen[bytes] | None = None
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def secrets(self) -> Path:
        """What the consumer sees as /run/secrets."""
        return self.folder / "secrets"

    @property
    def room(self) -> Path:
        """What the agent sees as /run/agent."""
        return self.folder / "agent"

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def is_healthy(self) -> bool:
        """By the health check of the rendered document."""
        [kind, script] = self.bundle.document["services"][self.name]["healthcheck"]["test"]
        assert kind == "CMD-SHELL"
        done = subprocess.run(["sh", "-c", self._move(script)], check=False)
        return done.returncode == 0

    @property
    def name(self) -> str:
        return self.plan.agents[self.consumer]

    def start(self) -> Agent:
        """Run its entry point, which waits for a login."""
        for directory in (self.folder / "bin", self.secrets, self.room):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
        program = self.folder / "bin" / "vault"
        program.write_text(f'#!/bin/sh\nexec {shlex.join(self.server.program.argv)} "$@"\n')
        program.chmod(0o755)
        for name in ("agent.hcl", "agent.sh", "receive.sh"):
            text = self.bundle.files[f"{self.name}/{name}"].data.decode()
            (self.folder / name).write_text(self._move(text))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["sh", str(self.folder / "agent.sh")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment,
            )  # fmt: skip
        return self

    def stop(self) -> int:
        """End it as the engine does; its status."""
        if self.process is None:
            return 0
        self.process.terminate()
        status = self.process.wait(20)
        self.process = None
        return status

    def receive(self, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
        """Run the program that takes a login."""
        return subprocess.run(
            ["sh", str(self.folder / "receive.sh")],
            input=stdin, capture_output=True, check=False, env=self._environment, timeout=60,
        )  # fmt: skip

    def make_login(self) -> tuple[bytes, bytes, bytes]:
        """Role id, wrapped secret id, authority."""
        role = f"auth/approle/role/{consumer_role(self.plan.deployment, self.consumer)}"
        role_id = self.server.ask("GET", f"{role}/role-id").data["role_id"]
        wrapped = self.server.ask(
            "POST", f"{role}/secret-id", headers={"X-Vault-Wrap-TTL": WRAP_S}
        ).body["wrap_info"]["token"]
        return role_id.encode(), wrapped.encode(), self.server.ca_file.read_bytes()

    def log_in(self) -> None:
        """Give it a fresh login, and wait until it has rendered."""
        done = self.receive(join_blocks(*self.make_login()))
        assert done.returncode == 0, done.stderr
        wait_until(lambda: self.is_healthy, lambda: f"not rendered: {self.log[-3000:]}")

    def rendered(self) -> dict[str, bytes]:
        """File → what is in it."""
        return {path.name: path.read_bytes() for path in self.secrets.iterdir()}

    def _move(self, text: str) -> str:
        places = {
            "https://vault:8200": self.server.address,
            "/run/secrets": str(self.secrets),
            "/run/agent": str(self.room),
            "/etc/agent": str(self.folder),
            '"5m"': f'"{self.interval}"',
        }
        for old, new in places.items():
            text = text.replace(old, new)
        return text

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
        }


def join_blocks(*blocks: bytes) -> bytes:
    """A login as `receive.sh` reads it."""
    return b"".join(b"%d\n%s" % (len(block), block) for block in blocks)


def _expect(answer: object) -> None:
    status = getattr(answer, "status", None)
    assert status in (200, 204), answer
