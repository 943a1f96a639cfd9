"""Secret servers on loopback for tests: the stand-in of the test-bed, or a real program that
`DEVPLAT_TEST_VAULT_BIN` names. TLS by an authority of the test; nothing outlives `stop`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.contract.vault.authority import Authority

STANDINS = Path(__file__).resolve().parent.parent.parent / "standins"
START = "import sys; sys.path.insert(0, {folder!r}); import vault; sys.exit(vault.{main}(sys.argv))"
VARIABLE = "DEVPLAT_TEST_VAULT_BIN"
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Program:
    """A server program: how it is started and which product it is or stands in for.

    Attributes:
        kind: `stand-in` or `real`.
        flavour: `openbao` or `vault`.
    """

    kind: str
    flavour: str
    argv: tuple[str, ...]


def stand_in(flavour: str = "openbao") -> Program:
    """The stand-in of the test-bed, run by this interpreter."""
    text = START.format(folder=str(STANDINS), main="bao_main" if flavour == "openbao" else "main")
    return Program("stand-in", flavour, (sys.executable, "-B", "-c", text))


def real_program() -> Program | None:
    """The program that the environment names, or None."""
    path = os.environ.get(VARIABLE)
    if not path:
        return None
    said = subprocess.run([path, "version"], capture_output=True, text=True, check=True).stdout
    return Program("real", "openbao" if said.startswith("OpenBao") else "vault", (path,))


@dataclass(frozen=True)
class Options:
    """How a server is configured.

    Attributes:
        audit: File audit devices by name → path; None is one file below the server's folder.
            Only what takes them in its configuration (OpenBao) gets them.
        listener: More lines for the listener stanza.
        extra: More HCL at the end of the configuration.
    """

    default_ttl: str = "1h"
    max_ttl: str = "24h"
    audit: Mapping[str, str] | None = None
    listener: str = ""
    extra: str = ""


@dataclass
class Answer:
    """Status and JSON of an answer (an empty mapping when it has none)."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]
    content: bytes

    @property
    def data(self) -> dict[str, Any]:
        """The part of the answer that the endpoint gave."""
        return self.body.get("data") or {}

    @property
    def errors(self) -> list[str]:
        """The server's messages."""
        return self.body.get("errors") or []


@dataclass
class VaultServer:
    """One server of a test.

    Attributes:
        address: `https://127.0.0.1:<port>`.
        token: The root token, once initialised.
        shares: The unseal shares in base64, once initialised.
        threshold: How many of them unseal it.
    """

    program: Program
    folder: Path
    authority: Authority
    options: Options = field(default_factory=Options)
    token: str = ""
    shares: list[str] = field(default_factory=list)
    threshold: int = 0
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def kind(self) -> str:
        """`stand-in` or `real`."""
        return self.program.kind

    @property
    def flavour(self) -> str:
        """`openbao` or `vault`."""
        return self.program.flavour

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.authority.root

    @property
    def log(self) -> str:
        """What the server wrote so far."""
        return (self.folder / "server.log").read_text(errors="replace")

    @property
    def environment(self) -> dict[str, str]:
        """Variables for its command line; the token only when there is one."""
        prefix = "BAO" if self.flavour == "openbao" else "VAULT"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("BAO_", "VAULT_"))}
        made = {f"{prefix}_ADDR": self.address, f"{prefix}_CACERT": str(self.ca_file)}
        token = {f"{prefix}_TOKEN": self.token} if self.token else {}
        return {**kept, **made, **token, "HOME": str(self.folder)}

    def start(self) -> VaultServer:
        """Run it with its storage as it is, until it answers.

        Raises:
            AssertionError: with its log, when it ends or does not answer.
        """
        (self.folder / "data").mkdir(exist_ok=True)
        self.port = self.port or free_port()
        config = self.folder / "server.hcl"
        config.write_text(render_config(self))
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.program.argv, "server", f"-config={config}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, env=self.environment,
            )  # fmt: skip
        wait_until(self._answers, lambda: f"the server does not answer: {self.log[-2000:]}")
        return self

    def stop(self, *, kill: bool = False) -> None:
        """End the process, by SIGKILL if so asked; its storage stays."""
        if self.process is None:
            return
        self.process.kill() if kill else self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.process = None

    def restart(self, *, kill: bool = False) -> None:
        """End and start it; it comes back sealed, at the same address."""
        self.stop(kill=kill)
        self.start()

    def initialise(self, shares: int = 5, threshold: int = 3) -> VaultServer:
        """Initialise and unseal it; keeps shares and root token."""
        body = {"secret_shares": shares, "secret_threshold": threshold}
        made = self.ask("PUT", "sys/init", body, token="")
        assert made.status == 200, made
        self.shares, self.threshold = made.body["keys_base64"], threshold
        self.token = made.body["root_token"]
        self.unseal()
        return self

    def unseal(self) -> None:
        """Give as many shares as it takes, and wait until it serves."""
        for share in self.shares[: self.threshold]:
            given = self.ask("PUT", "sys/unseal", {"key": share}, token="")
            assert given.status == 200, given
        wait_until(
            lambda: self.ask("GET", "sys/health", token="").status == 200,
            lambda: f"not active after unsealing: {self.log[-2000:]}",
        )

    def seal(self) -> None:
        """Seal it with the root token."""
        sealed = self.ask("PUT", "sys/seal")
        assert sealed.status == 204, sealed

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> Answer:
        """One request to `/v1/<path>`; with the root token unless another (or "") is given."""
        token = self.token if token is None else token
        sent = {**({"X-Vault-Token": token} if token else {}), **(headers or {})}
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(
                method, f"{self.address}/v1/{path}", params=query, headers=sent, json=body,
                verify=str(self.ca_file), timeout=PATIENCE_S,
            )  # fmt: skip
        kind = answer.headers.get("Content-Type", "")
        document = answer.json() if answer.content and "json" in kind else {}
        return Answer(
            answer.status_code, document if document else {}, answer.headers, answer.content
        )

    def run(self, *words: str, stdin: bytes = b"", **environment: str) -> Completed:
        """Its command line with the address, the authority and the token in the environment.

        A variable given as empty is taken away.
        """
        variables = {**self.environment, **environment}
        done = subprocess.run(
            [*self.program.argv, *words],
            input=stdin, capture_output=True, timeout=PATIENCE_S, check=False,
            env={k: v for k, v in variables.items() if v}, cwd=self.folder,
        )  # fmt: skip
        return Completed(done.returncode, done.stdout.decode(), done.stderr.decode())

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended: {self.log[-2000:]}"
        try:
            return self.ask("GET", "sys/seal-status", token="").status == 200
        except requests.ConnectionError:
            return False


@dataclass(frozen=True)
class Completed:
    """What a command left behind."""

    status: int
    out: str
    err: str


def render_config(server: VaultServer) -> str:
    """The configuration, close to what the product renders."""
    options, tls = server.options, server.authority
    parts = [
        "ui = false",
        f'api_addr = "{server.address}"',
        f'cluster_addr = "https://127.0.0.1:{server.port + 1}"',
        'log_format = "json"',
        f'default_lease_ttl = "{options.default_ttl}"',
        f'max_lease_ttl = "{options.max_ttl}"',
        f'storage "raft" {{\n  path = "{server.folder}/data"\n  node_id = "node1"\n'
        "  performance_multiplier = 1\n}",
        f'listener "tcp" {{\n  address = "127.0.0.1:{server.port}"\n'
        f'  cluster_address = "127.0.0.1:{server.port + 1}"\n'
        f'  tls_cert_file = "{tls.certificate}"\n  tls_key_file = "{tls.key}"\n'
        f'  tls_min_version = "tls12"\n{options.listener}\n}}',
        'telemetry {\n  prometheus_retention_time = "24h"\n  disable_hostname = true\n}',
    ]
    if server.flavour == "vault":
        parts.append("disable_mlock = true")
    else:
        given = options.audit
        devices = {"file": f"{server.folder}/audit.log"} if given is None else given
        parts += [
            f'audit "file" "{name}" {{\n  options {{\n    file_path = "{path}"\n'
            '    mode = "0600"\n  }\n}'
            for name, path in devices.items()
        ]
    return "\n".join([*parts, options.extra]) + "\n"


def free_port() -> int:
    """A port of loopback that is free, and so is the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def wait_until(met: Callable[[], bool], complaint: Callable[[], str]) -> None:
    """Look every 50 ms until a condition is met.

    Raises:
        AssertionError: with the complaint, after 30 seconds.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.05)


KINDS = ("stand-in", "real") if os.environ.get(VARIABLE) else ("stand-in",)
"""Tests run on both where the environment names a real program."""
