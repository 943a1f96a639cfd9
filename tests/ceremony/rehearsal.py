"""One run of the ceremony against a server on loopback; also as a program, to be killed.

Real: the steps, the journal, the rendered initialising script, the adapters, the sealed courier,
the server. In place of the target: a folder. In place of the engine: programs of this machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from installer.adapters.clock import SystemClock
from installer.adapters.custody import LocalCustody
from installer.adapters.filestore import create_store, open_store
from installer.adapters.internal_store import InternalStore
from installer.adapters.issuers import PrivateAuthority
from installer.adapters.local import LocalHost
from installer.adapters.service_authority import ServiceAuthority
from installer.adapters.snapshot_files import SnapshotFiles
from installer.adapters.vault_server import VaultServer
from installer.adapters.vault_session import VaultSession
from installer.adapters.vault_store import VaultStore
from installer.adapters.vault_transport import Address
from installer.core.errors import InstallError
from installer.core.events import Event
from installer.core.layout import Layout
from installer.core.secrets import Secret
from installer.core.store_rules import make_store_rules, store_prefix
from installer.job import Job
from installer.phases import authority, ceremony, deliver
from installer.phases.authority import INTERNAL
from installer.phases.journal import TargetJournal, TargetLock
from installer.phases.launch import active_project
from installer.phases.server import Server
from installer.phases.steps import run_steps
from installer.ports import Completed, Container, Ports, ServerPorts
from tests.golden.render import draw_up, write_lock

PASSPHRASE = Secret("a passphrase of the rehearsal, long enough")
ANSWERS: dict[str, Any] = {
    "version": 1,
    "domain": {"base": "apps.company.com"},
    "ssh": {"host": "192.0.2.10", "user": "root"},
    "admin": {"email": "admin@company.com"},
    "vault": {"mode": "bundled"},
    "waivers": {"vault.plain_shares": "a rehearsal", "vault.possession_unproven": "a rehearsal"},
}


@dataclass
class Rehearsal:
    """A folder that stands for the target and the bastion, and the server on loopback.

    Attributes:
        program: How the server's command line is called; linked as `vault` for the scripts.
        server: The server itself, in the test that started it.
    """

    folder: Path
    address: str
    ca_file: Path
    program: tuple[str, ...]
    server: Any = None

    def save(self, answers: dict[str, Any]) -> None:
        """Write what a process of its own needs."""
        for name in (
            "bin",
            "target/install/state",
            "target/data/vault/ceremony",
            "target/data/vault/logs",
            "run",
        ):
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        caller = self.folder / "bin" / "vault"
        words = " ".join(map(_quoted, self.program))
        caller.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        caller.chmod(0o755)
        (self.folder / "answers.yaml").write_text(yaml.safe_dump(answers))
        parts = {"address": self.address, "ca_file": str(self.ca_file), "program": self.program}
        (self.folder / "rehearsal.json").write_text(json.dumps(parts))

    @classmethod
    def load(cls, folder: Path) -> Rehearsal:
        parts = json.loads((folder / "rehearsal.json").read_text())
        return cls(folder, parts["address"], Path(parts["ca_file"]), tuple(parts["program"]))

    @property
    def layout(self) -> Layout:
        """The target's directories."""
        return Layout(f"{self.folder}/target/install", f"{self.folder}/target/data")

    def job(self) -> Job:
        lock = self.folder / "images.lock.yaml"
        return draw_up(self.folder / "answers.yaml", lock if lock.exists() else write_lock(lock))

    def courier(self) -> Any:
        path = self.folder / "run" / "secrets.store"
        return open_store(path, PASSPHRASE) if path.exists() else create_store(path, PASSPHRASE)

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("BAO_", "VAULT_"))}
        own = {"VAULT_ADDR": self.address, "VAULT_CACERT": str(self.ca_file)}
        bao = {f"BAO_{k.removeprefix('VAULT_')}": v for k, v in own.items()}
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return {**kept, **own, **bao, "PATH": path, "HOME": str(self.folder)}


class LoopbackEngine:
    """Runs the server's scripts on this machine, with the target's folders in their places."""

    def __init__(self, rehearsal: Rehearsal, job: Job) -> None:
        self._rehearsal = rehearsal
        self._job = job

    def containers(self, project: object) -> tuple[Container, ...]:
        del project
        state = {"StartedAt": datetime.now(UTC).isoformat()}
        server = self._job.plan.server
        assert server is not None
        return (Container(server.name, "running", "healthy", {"State": state}),)

    def exec(
        self, project: object, service: str, argv: Sequence[str], *, stdin: bytes = b""
    ) -> Completed:
        del project
        assert argv[:2] == ["/bin/sh", "/opt/devplat/init.sh"], argv
        text = self._job.bundle.files[f"{service}/init.sh"].data.decode()
        script = self._rehearsal.folder / "init.sh"
        places = {"/openbao/": f"{self._rehearsal.folder}/target/data/vault/"}
        places["/tmp/"] = f"{self._rehearsal.folder}/run/"
        script.write_text(re.sub(r"(?<=[= >])/(openbao|tmp)/", lambda m: places[m[0]], text))
        done = subprocess.run(
            ["/bin/sh", str(script), *argv[2:]],
            input=stdin, capture_output=True, env=self._rehearsal.environment(), check=False,
        )  # fmt: skip
        return Completed(done.returncode, done.stdout, done.stderr)


@dataclass
class Stage:
    """Everything of one run, opened."""

    server: Server
    ports: Ports
    session: VaultSession
    job: Job
    custody: LocalCustody


def set_up(rehearsal: Rehearsal, **changed: Any) -> Stage:
    """Open the ports. `changed` replaces parts of the custody (ask, references)."""
    job, courier, clock = rehearsal.job(), rehearsal.courier(), SystemClock()
    session = VaultSession(Address(rehearsal.address, rehearsal.ca_file))
    vault: Any = job.plan.answers.vault
    store = VaultStore(session, mount=vault.mount, prefix=store_prefix(job.plan.answers))
    how = {"ask": None, "references": tuple, "now": clock.now, **changed}
    custody = LocalCustody(courier, rehearsal.folder / "run" / "custody", vault.custodians, **how)
    internal = InternalStore(courier, store, INTERNAL, lambda: custody.access() is not None)
    common = {"deployment": "devplat", "profile": "modern", "now": clock.now, "entropy": os.urandom}
    engine: Any = LoopbackEngine(rehearsal, job)
    host = LocalHost()
    server_ports = ServerPorts(
        admin=VaultServer(session),
        custody=custody,
        certificates=PrivateAuthority(internal, domain="vault", **common),
        courier=courier,
        snapshots=SnapshotFiles(rehearsal.folder / "run" / "snapshots"),
    )
    ports = Ports(
        host=host,
        engine=engine,
        secrets=store,
        certificates=PrivateAuthority(store, domain="apps.company.com", **common),
        server=server_ports,
        resolver=None,  # type: ignore[arg-type]
        http=None,  # type: ignore[arg-type]
        clock=clock,
        entropy=os.urandom,
        services=ServiceAuthority(
            store, job.plan.secrets, deployment="devplat", now=clock.now, entropy=os.urandom
        ),
    )
    server = Server(
        plan=job.plan,
        layout=rehearsal.layout,
        project=active_project(job.plan, job.layout),
        host=host,
        engine=engine,
        ports=server_ports,
        clock=clock,
        rules=make_store_rules(job.plan),
    )
    return Stage(server, ports, session, job, custody)


def perform(stage: Stage) -> list[Event]:
    """The whole ceremony, with the secrets made into the server in between.

    Raises:
        InstallError: of the step that failed.
    """
    job, ports = stage.job, stage.ports
    assert ports.server is not None
    layout = stage.server.layout
    lock = TargetLock(ports.host, layout, job.owner, ports.clock, job.is_gone)
    journal = TargetJournal(ports.host, layout, lock, job.bundle.release)
    if stage.custody.access() is None:
        ports.server.certificates.ensure(("vault",))  # leaves a key in the courier, to be moved

    def steps() -> Any:
        yield from ceremony.opening_steps(stage.server)
        yield authority.move_step(job.plan, stage.server.ports.courier, ports.secrets)
        yield deliver.ensure_step(job.plan, ports)
        yield deliver.edge_step(job.plan, ports)
        yield ceremony.close_step(stage.server)

    return list(run_steps(steps(), journal))


def main(folder: Path) -> int:
    stage = set_up(Rehearsal.load(folder))
    try:
        perform(stage)
    except InstallError as error:
        print(error.problems[0].code, error.problems[0].summary)
        return int(error.exit_code)
    finally:
        stage.session.close()
    print("done")
    return 0


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
