"""An operator at the command line whose secrets are kept by somebody else, before any target.

The target is a port that tells whether anybody came.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from installer.core.redaction import find_secrets
from installer.core.secrets import Secret
from tests.contract.vault.servers import VaultServer
from tests.contract.vault.store_lab import make_token
from tests.golden.render import write_lock

TIMEOUT_S = 90
REACHED = "ssh.handshake"
"""What comes next when the store is in order: the target is asked, and hangs up."""


@dataclass
class Target:
    """A port of loopback in the target's place; `hangs_up` at once, or else never says a word."""

    port: int
    hangs_up: bool = True
    visitors: list[socket.socket] = field(default_factory=list)

    @property
    def was_contacted(self) -> bool:
        return bool(self.visitors)


@contextmanager
def watched_target(*, hangs_up: bool = True) -> Iterator[Target]:
    """Nothing can be done there; whoever comes is remembered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = Target(int(listener.getsockname()[1]), hangs_up)
        thread = threading.Thread(target=_receive, args=(listener, target))
        thread.start()
        yield target
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread up
        thread.join()
        for visitor in target.visitors:
            visitor.close()


def _receive(listener: socket.socket, target: Target) -> None:
    while True:
        try:
            visitor = listener.accept()[0]
        except OSError:
            return
        target.visitors.append(visitor)
        if target.hangs_up:
            visitor.close()


@dataclass(frozen=True)
class Said:
    """What a command said, and the first problem of it."""

    status: int
    out: str
    err: str

    @property
    def first(self) -> str:
        return self.err.partition("\n")[0]

    @property
    def code(self) -> str:
        return self._after("  code: ")

    @property
    def remedy(self) -> str:
        told = self._after("  what to do: ")
        return "\n".join([told, *(x for x in self.err.splitlines() if x.startswith("    $ "))])

    def _after(self, begin: str) -> str:
        lines = [line for line in self.err.splitlines() if line.startswith(begin)]
        return lines[0].removeprefix(begin) if lines else ""


@dataclass
class Operator:
    """Answers, an environment, a run directory; `secrets` must turn up nowhere."""

    folder: Path
    answers: dict[str, Any]
    target: Target
    environment: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    def keep(self, name: str, value: str) -> str:
        """A variable with a secret; the reference to it."""
        self.environment[name] = value
        self.secrets[name] = value
        return f"env:{name}"

    def argv(self, *words: str) -> list[str]:
        path = self.folder / "answers.yaml"
        path.write_text(yaml.safe_dump(self.answers, sort_keys=False))
        return ["--unattended", "--answers", str(path), "--run-dir", str(self.run_dir), *words]

    def env(self) -> dict[str, str]:
        dropped = ("DEVPLAT_", "AWS_", "VAULT_", "BAO_")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        return {**clean, "HOME": str(self.folder), **self.environment}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "installer", *self.argv(*words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.env(),
        )

    def run(self, *words: str) -> Said:
        process = self.start(*(words or ("plan",)))
        out, err = process.communicate(timeout=TIMEOUT_S)
        return Said(process.returncode, out, err)

    def check_refused(self, said: Said, status: int, code: str) -> None:
        """The class, and what holds for every refusal of a store: nobody was bothered with it."""
        assert (said.status, said.code) == (status, code), said.err
        assert said.first.startswith("vault: " if status == 12 else "answers_invalid: ")
        assert said.remedy
        assert "Traceback" not in said.err
        assert not self.target.was_contacted
        self.check_untold(said)

    def check_untold(self, said: Said) -> None:
        """No secret was said or written; what was written is the log and the answers."""
        values = {name: Secret(value) for name, value in self.secrets.items()}
        assert not list(find_secrets(f"{said.out}{said.err}".encode(), values))
        for path in (path for path in self.run_dir.rglob("*") if path.is_file()):
            assert path.name in ("answers.yaml", "events.jsonl"), path
            assert not list(find_secrets(path.read_bytes(), values)), path


@dataclass
class Lab:
    """An operator, and the server that all tests share; `prefix` is this test's own."""

    operator: Operator
    server: VaultServer
    prefix: str

    @property
    def vault(self) -> dict[str, Any]:
        vault: dict[str, Any] = self.operator.answers["vault"]
        return vault

    def take_token(self, policy: str, **options: Any) -> str:
        """Log in with a token of this policy from now on."""
        token = make_token(self.server, f"cli-{uuid.uuid4().hex[:8]}", policy, **options)
        self.vault["token"] = self.operator.keep("VAULT_TOKEN_OF_A_TEST", token.reveal())
        return token.reveal()


def make_operator(folder: Path, target: Target, vault: Mapping[str, Any], **more: Any) -> Operator:
    key = folder / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    lock = write_lock(folder / "lock.yaml")
    ssh = {"host": "127.0.0.1", "port": target.port, "user": "ops", "key_file": str(key)}
    answers = {
        "version": 1,
        "domain": {"base": "company.com"},
        "ssh": {**ssh, "agent": False, **more.pop("ssh", {})},
        "admin": {"email": "ops@company.com"},
        "vault": dict(vault),
        "images": {"lock_file": str(lock)},
        "waivers": {"ssh.host.loopback": "a test", **more.pop("waivers", {})},
        **more,
    }
    return Operator(folder, answers, target)


def tokens_of(server: VaultServer) -> dict[str, str]:
    """Accessor of every token that the server knows → the path that made it."""
    keys = server.ask("LIST", "auth/token/accessors").data["keys"]
    found = {}
    for each in keys:
        answer = server.ask("POST", "auth/token/lookup-accessor", {"accessor": each})
        if answer.status == 200:
            found[each] = str(answer.data["path"])
    return found


def allow_all(prefix: str = "devplat/devplat", mount: str = "secret") -> str:
    """The policy that the product prints for its owner to grant."""
    from installer.core.store_rules import external_policy

    return external_policy(mount, prefix)
