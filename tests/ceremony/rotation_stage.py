"""Rotations on loopback, each in a process that may be killed; also the program that starts them.

Real: the steps, the journal, the stores, the secret server with its roles and policies, the
installer's own delivery, PostgreSQL. In place of containers: programs that read their secret files
when they are started, and log in to the database with them. What an agent or a shell on the target
has begun goes on when the installer is killed, as it would there.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import requests

from installer import stages
from installer.adapters.clock import SystemClock
from installer.adapters.local import LocalHost
from installer.core.errors import DeployError, InstallError, Problem, Remedy
from installer.core.secrets import Secret, expand, named_secrets
from installer.core.store_rules import store_prefix
from installer.job import Job
from installer.phases.deliver import MOUNT
from installer.phases.journal import TargetJournal, TargetLock
from installer.phases.steps import run_steps
from installer.ports import Completed, Container, Engine, Ports
from tests.ceremony.rehearsal import Rehearsal, set_up
from tests.phases.postgres import Cluster

NAMES = ("coder-database-password", "gitea-database-password")
CONSUMERS = {"coder": "coder", "gitea": "gitea"}
"""Service → its database."""

ROOTS_OF_EDGE = {"edge.roots.pem": Secret("PEM")}
"""What a consumer of the edge trusts; no rotation changes it."""


@dataclass
class Platform(Rehearsal):
    """The rehearsal's folder with a database server beside it."""

    cluster: Any = None

    @cached_property
    def drawn(self) -> Job:
        """Drawn up once, then moved into the folder, which no answers may name."""
        job, layout = super().job(), self.layout
        places = {"install_dir": layout.install_dir, "data_dir": layout.data_dir}
        answers = job.plan.answers
        moved = answers.model_copy(update={"target": answers.target.model_copy(update=places)})
        return replace(job, plan=replace(job.plan, answers=moved))

    def job(self) -> Job:
        return self.drawn

    def keep(self) -> None:
        """Write what `open` needs."""
        parts = {"address": self.address, "ca_file": str(self.ca_file), "program": self.program}
        cluster = [str(self.cluster.folder), str(self.cluster.programs), self.cluster.port]
        (self.folder / "platform.json").write_text(json.dumps({**parts, "cluster": cluster}))

    @classmethod
    def open(cls, folder: Path) -> Platform:
        parts = json.loads((folder / "platform.json").read_text())
        place, programs, port = parts["cluster"]
        cluster = Cluster(Path(place), Path(programs), port)
        return cls(
            folder, parts["address"], Path(parts["ca_file"]), tuple(parts["program"]),
            cluster=cluster,
        )  # fmt: skip

    @contextmanager
    def ports(self) -> Iterator[Ports]:
        """Everything of one run, opened."""
        engine = cast(Engine, StageEngine(self))
        if self.drawn.plan.server is None:
            yield Ports(
                host=LocalHost(), engine=engine, secrets=self.courier(), server=None,
                clock=SystemClock(), entropy=os.urandom,
                certificates=cast(Any, None), resolver=cast(Any, None), http=cast(Any, None),
            )  # fmt: skip
            return
        stage = set_up(self)
        access = stage.custody.access()
        assert access is not None and stage.ports.server is not None
        stage.ports.server.admin.log_in_as(access)
        try:
            yield replace(stage.ports, engine=engine)
        finally:
            stage.session.close()

    def rotate(self, *names: str) -> None:
        """One run.

        Raises:
            InstallError: of the step that failed.
        """
        job = self.drawn
        with self.ports() as ports:
            lock = TargetLock(ports.host, job.layout, job.owner, ports.clock, job.is_gone)
            journal = TargetJournal(ports.host, job.layout, lock, job.bundle.release)
            for _ in run_steps(stages.rotate_steps(job, ports, names), journal):
                pass

    # files and programs

    def rendered(self, service: str) -> Path:
        """Where a service's secret files lie."""
        if self.drawn.plan.agents:
            return self.folder / "rendered" / service
        return Path(self.drawn.layout.secrets) / service

    def files(self, service: str) -> dict[str, str]:
        """Those that its program would read if it were started now."""
        return {p.name: p.read_text() for p in sorted(self.rendered(service).glob("[!.]*"))}

    def start(self, service: str) -> None:
        """Its program starts, and reads them."""
        place = self.folder / "read" / service
        replace_text(place, json.dumps(self.files(service)))

    def read(self, service: str) -> dict[str, str]:
        """Those that its running program has read."""
        found: dict[str, str] = json.loads((self.folder / "read" / service).read_text())
        return found

    def bears(self, service: str) -> dict[str, str] | None:
        """The only files that its program comes up with; None when it takes any."""
        place = self.folder / "bears" / service
        return json.loads(place.read_text()) if place.exists() else None

    def login(self, service: str, files: Mapping[str, str]) -> tuple[str, str]:
        """User and password that these files say."""
        if service == "coder":
            url = urlsplit(files["CODER_PG_CONNECTION_URL"])
            return url.username or "", url.password or ""
        return files["database_user"], files["database_password"]

    def is_let_in(self, service: str, files: Mapping[str, str]) -> bool:
        """Whether the database takes what these files say."""
        done = self.cluster.log_in(*self.login(service, files), CONSUMERS[service])
        return bool(done.status == 0)

    def render(self, service: str, values: Mapping[str, Secret]) -> None:
        """What an agent does: each file is replaced in one step."""
        for file, text in self.drawn.plan.manifest(service).secret_files.items():
            replace_text(
                self.rendered(service) / file, expand(text, {**values, **ROOTS_OF_EDGE}).reveal()
            )


class StageEngine:
    """The engine of the platform, as far as a rotation uses it."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._plan = platform.drawn.plan

    def containers(self, project: object) -> tuple[Container, ...]:
        return tuple(Container(s, "running", self._health(s), {}) for s in self._plan.services)

    def _health(self, service: str) -> str:
        agents = self._plan.agents.values()
        return "healthy" if service not in agents or self._marker(service).exists() else "starting"

    def restart(self, project: object, services: Sequence[str]) -> Iterator[Any]:
        for service in services:
            if service in self._plan.agents.values():
                self._marker(service).unlink(missing_ok=True)
            else:
                self._platform.start(service)
        return iter(())

    def up(self, project: object, services: Sequence[str], *, wait_s: int | None) -> Iterator[Any]:
        for service in services:
            if not self._is_well(service):
                problem = Problem("deploy.unhealthy", f"{service} is unhealthy", Remedy("none"))
                raise DeployError(problem)
        return iter(())

    def _is_well(self, service: str) -> bool:
        read, bears = self._platform.read(service), self._platform.bears(service)
        return bears in (None, read) and self._platform.is_let_in(service, read)

    def exec(
        self, project: object, service: str, argv: Sequence[str], *, stdin: bytes = b""
    ) -> Completed:
        if service == "postgres":
            return cast(Completed, self._platform.cluster.exec(project, service, argv, stdin=stdin))
        if argv[0] == "sha256sum":
            return self._digests(service, argv[1:])
        assert tuple(argv) == self._plan.manifest(service).agent.receive  # type: ignore[union-attr]
        self._log_in(service, stdin)
        return Completed(0, b"", b"")

    def _digests(self, agent: str, paths: Sequence[str]) -> Completed:
        consumer = self._plan.manifest(agent).consumer
        assert consumer is not None
        found = self._platform.files(consumer.name)
        lines = [
            f"{hashlib.sha256(found[file].encode()).hexdigest()}  {MOUNT}/{file}\n"
            for file in (path.removeprefix(f"{MOUNT}/") for path in paths)
            if file in found
        ]
        return Completed(0, "".join(lines).encode(), b"")

    def _marker(self, agent: str) -> Path:
        return self._platform.folder / "agents" / agent

    def _log_in(self, agent: str, stdin: bytes) -> None:
        """An agent gets its login, and renders in a process that no kill of the run reaches."""
        process = os.fork()
        if process == 0:
            status = 1
            try:
                self._render_as(agent, take_blocks(stdin))
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(process, 0)
        assert status == 0, agent

    def _render_as(self, agent: str, login: Sequence[bytes]) -> None:
        """With the consumer's own role, and with what its policy lets it read."""
        role_id, wrapped, _ = (block.decode() for block in login)
        plan = self._plan
        consumer = plan.manifest(agent).consumer
        assert consumer is not None
        names = {n for text in consumer.secret_files.values() for n in named_secrets(text)}
        place = f"{plan.answers.at('vault.mount')}/data/{store_prefix(plan.answers)}"
        with requests.Session() as session:
            session.trust_env, session.verify = False, str(self._platform.ca_file)
            ask = partial(_ask, session, f"{self._platform.address}/v1/")
            unwrapped = ask("PUT", "sys/wrapping/unwrap", wrapped)["data"]
            ids = {"role_id": role_id, "secret_id": unwrapped["secret_id"]}
            token = ask("PUT", "auth/approle/login", "", ids)["auth"]["client_token"]
            values = {
                name: Secret(ask("GET", f"{place}/{name}", token)["data"]["data"]["value"])
                for name in names
            }
        self._platform.render(consumer.name, values)
        replace_text(self._marker(agent), "rendered")


def _ask(
    session: requests.Session, base: str, method: str, path: str, token: str, body: object = None
) -> Any:
    headers = {"X-Vault-Token": token} if token else {}
    answer = session.request(method, base + path, json=body, headers=headers, timeout=10)
    answer.raise_for_status()
    return answer.json()


def take_blocks(data: bytes) -> list[bytes]:
    """What an agent gets on its standard input: blocks, each after a line with its length."""
    blocks = []
    while data:
        length, _, data = data.partition(b"\n")
        blocks.append(data[: int(length)])
        data = data[int(length) :]
    return blocks


def replace_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.rename(path)


def run(platform: Platform, names: Sequence[str]) -> int:
    """One run; its exit status."""
    try:
        platform.rotate(*names)
    except InstallError as error:
        for problem in error.problems:
            print(problem.code, problem.summary, problem.detail or "", file=sys.stderr, flush=True)
        return int(error.exit_code)
    return 0


def main(folder: Path) -> None:
    """For each line of input, a run in a process of its own: tells its id, then how it ended.

    The end is told when everything that the run has started on the target has ended too.
    """
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER (prctl(2)): orphans come here
    platform = Platform.open(folder)
    assert platform.drawn.plan.services
    print("ready", flush=True)
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            status = 70
            try:
                status = run(platform, line.split())
            finally:
                os._exit(status)
        print(process, flush=True)
        _, ended = os.waitpid(process, 0)
        while True:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        print(os.waitstatus_to_exitcode(ended), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
