"""SE-20, SE-21: rotations with a real database and secret server; SIGKILL at random instants."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from installer.core.manifest import DatabaseAction
from installer.core.rotation import databases_of
from installer.core.secrets import Secret
from installer.phases import bootstrap, deliver, ship
from installer.phases.authority import ROOTS
from installer.phases.bootstrap import login_of
from installer.phases.rotation_state import PROVEN
from installer.ports import Project
from tests.ceremony.rehearsal import ANSWERS, perform, set_up
from tests.ceremony.rotation_stage import CONSUMERS, NAMES, Platform, StageEngine, replace_text
from tests.contract.vault.authority import Authority
from tests.contract.vault.servers import KINDS, VaultServer, real_program, stand_in
from tests.phases.postgres import Cluster, run_cluster

SEED = int(os.environ.get("DEVPLAT_TEST_SEED") or random.SystemRandom().randrange(10**6))
KILLS = {"agents": 10, "installer": 10}
"""By the way of delivery; twenty in all, and more where a real server is named."""
MEMORY = Path("/dev/shm")
PROJECT = Project("devplat", "/nowhere")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with run_cluster() as running:
        yield running


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory, where the installer's own delivery wants to be."""
    found = subprocess.run(["stat", "-f", "-c", "%T", MEMORY], capture_output=True, text=True)
    if found.stdout.strip() != "tmpfs":
        pytest.skip(f"{MEMORY} is no tmpfs here")
    with tempfile.TemporaryDirectory(prefix="devplat-rotation-", dir=MEMORY) as path:
        yield Path(path)


@pytest.fixture(params=[*KINDS, "embedded"])
def platform(
    request: pytest.FixtureRequest, cluster: Cluster, folder: Path, vault_authority: Authority
) -> Iterator[Platform]:
    """An installed platform: secrets made, delivered, known to their databases, in use."""
    if request.param == "embedded":
        made, server = Platform(folder, "https://127.0.0.1:1", folder, ()), None
    else:
        program = real_program() if request.param == "real" else stand_in()
        assert program is not None
        (folder / "server").mkdir()
        server = VaultServer(program, folder / "server", vault_authority).start()
        made = Platform(folder, server.address, server.ca_file, program.argv)
    made.cluster = cluster
    try:
        made.save({**ANSWERS, "vault": {"mode": "bundled" if server else "embedded"}})
        made.keep()
        if server:
            made.courier().ensure(ROOTS, lambda: Secret(server.ca_file.read_text()))
            perform(set_up(made))
        install(made)
        yield made
        forget_databases(cluster)
    finally:
        if server:
            server.stop()


def forget_databases(cluster: Cluster) -> None:
    for database in CONSUMERS.values():
        cluster.superuser(f"DROP DATABASE {database}")
        for role in cluster.superuser(
            f"SELECT rolname FROM pg_roles WHERE rolname ~ '^{database}(_|$)'"
        ).splitlines():
            cluster.superuser(f"DROP ROLE {role}")


def install(platform: Platform) -> None:
    job = platform.drawn
    current = Path(job.layout.current)
    current.parent.mkdir(parents=True, exist_ok=True)
    current.symlink_to(f"releases/{job.bundle.release}")
    with platform.ports() as ports:
        for spec in job.plan.secrets:
            ports.secrets.ensure(spec, lambda name=spec.name: Secret(f"First0{name}"))
        values = deliver.read_secrets(job.plan, ports.secrets)
        for service in CONSUMERS:
            if job.plan.agents:
                platform.render(service, values)
                (folder := platform.folder / "agents").mkdir(exist_ok=True)
                (folder / job.plan.agents[service]).write_text("rendered")
        if not job.plan.agents:
            every = deliver.secret_files(job.plan, {**values, **edge()})
            list(ship.secrets_step(ports.host, job.layout, every).do())
        engine: Any = StageEngine(platform)
        for step in bootstrap.database_steps(engine, PROJECT, job.plan, values, os.urandom):
            if step.id.rpartition(".")[2] in CONSUMERS.values():
                list(step.do())
    for service in CONSUMERS:
        platform.start(service)


def edge() -> dict[str, Secret]:
    files = ("tls_fullchain.pem", "tls_key.pem", "roots.pem")
    return {f"edge.{file}": Secret("PEM") for file in files}


class Runner:
    """Runs of one platform, each in a process of its own."""

    def __init__(self, platform: Platform) -> None:
        argv = [sys.executable, "-m", "tests.ceremony.rotation_stage", str(platform.folder)]
        self._errors = platform.folder / "errors"
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0
            )
        assert self._line() == "ready", self._errors.read_text()

    def run(self, kill_after_s: float | None = None) -> int:
        """One run to its end, or until it is killed; its exit status, negative for a signal."""
        process = self.begin()
        if kill_after_s is not None and not self.has_ended(kill_after_s):
            os.kill(process, signal.SIGKILL)
        return self.end()

    def begin(self) -> int:
        """Start a run; the id of its process."""
        assert self._process.stdin
        self._process.stdin.write(" ".join(NAMES).encode() + b"\n")
        return int(self._line())

    def has_ended(self, within_s: float) -> bool:
        ended, _, _ = select.select([self._process.stdout], [], [], within_s)
        return bool(ended)

    def end(self) -> int:
        """Wait for the end of the run; its exit status."""
        return int(self._line())

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().decode().strip()


@pytest.fixture
def runner(platform: Platform) -> Iterator[Runner]:
    made = Runner(platform)
    yield made
    made.close()


@dataclass(frozen=True)
class Kept:
    """What is in the store, for each name."""

    value: dict[str, Secret]
    previous: dict[str, Secret]
    version: dict[str, int]
    waiting: frozenset[str]


def look(platform: Platform) -> Kept:
    """What the next run would find."""
    with platform.ports() as ports:
        store: Any = ports.secrets
        waiting = frozenset(n for n in store.names() if n.endswith(".next") or n == PROVEN.name)
        return Kept(
            {name: store.get(name) for name in NAMES},
            {name: store.previous(name) for name in NAMES},
            {name: store.version(name) for name in NAMES},
            waiting,
        )


def insist_that_nobody_is_locked_out(platform: Platform, kept: Kept) -> None:
    """What a consumer has read, would read, and would read once the store's value is rendered."""
    tried = {
        login: why
        for service, database in CONSUMERS.items()
        for why, files in (
            (f"{service} as it runs", platform.read(service)),
            (f"{service} once restarted", platform.files(service)),
        )
        for login in [(*platform.login(service, files), database)]
    }
    for action in databases_of(platform.drawn.plan, NAMES):
        value = kept.value[action.secret]
        tried[login_of(action, value), value.reveal(), action.database] = "what is in the store"
    for login, why in tried.items():
        assert platform.cluster.log_in(*login).status == 0, (why, login[0])


def may_log_in(platform: Platform, action: DatabaseAction, user: str, value: Secret) -> bool:
    return bool(platform.cluster.log_in(user, value.reveal(), action.database).status == 0)


def insist_that_it_is_over(platform: Platform, kept: Kept) -> None:
    """One login, the old password refused with either name, everybody with the new one."""
    assert kept.waiting == frozenset()
    for action in databases_of(platform.drawn.plan, NAMES):
        query = f"SELECT rolname FROM pg_roles WHERE rolname ~ '^{action.role}_'"
        login = platform.cluster.superuser(query)
        new, old = kept.value[action.secret], kept.previous[action.secret]
        assert login == login_of(action, new)
        assert not may_log_in(platform, action, login_of(action, old), old)
        assert not may_log_in(platform, action, login, old)
    for service in CONSUMERS:
        assert platform.read(service) == platform.files(service)
        assert platform.is_let_in(service, platform.read(service))


def complete(runner: Runner) -> float:
    """A run that nobody kills; its seconds."""
    began = time.monotonic()
    assert runner.run() == 0, runner.errors
    return time.monotonic() - began


def test_killed_at_any_instant_nobody_is_locked_out_and_the_next_run_ends_it(
    platform: Platform, runner: Runner
) -> None:
    """SE-21."""
    chance = random.Random(SEED)
    took = complete(runner)
    after = look(platform)
    insist_that_it_is_over(platform, after)
    kills = KILLS["agents" if platform.drawn.plan.agents else "installer"]
    killed = 0
    for number in range(kills):
        before, instant = after, chance.uniform(0.0, took)
        status = runner.run(instant)
        print(f"seed {SEED}, kill {number} after {instant:.2f} s of {took:.2f}: status {status}")
        assert status in (0, -signal.SIGKILL), runner.errors
        killed += status != 0
        then = look(platform)
        insist_that_nobody_is_locked_out(platform, then)
        took = complete(runner)  # measured each time: others use this machine too
        after = look(platform)
        insist_that_it_is_over(platform, after)
        # no value was made in vain: another one only where the killed run had come to its end
        more = 1 if then.waiting or then.version == before.version else 2
        assert after.version == {name: n + more for name, n in before.version.items()}
    assert killed > kills // 4


def test_a_consumer_that_restarts_at_any_instant_is_let_in(
    platform: Platform, runner: Runner
) -> None:
    """SE-21. It reads what is there at that instant."""
    runner.begin()
    looks = 0
    while not runner.has_ended(0.0):
        for service in CONSUMERS:
            files = platform.files(service)
            let_in = platform.is_let_in(service, files)
            # what was read just before the next one came may be of the past when it is tried
            assert let_in or files != platform.files(service), f"{service}, look {looks}"
            looks += 1
    assert runner.end() == 0, runner.errors
    assert looks > 4


def test_a_consumer_that_does_not_bear_the_new_value_gets_the_old_one_back(
    platform: Platform, runner: Runner
) -> None:
    """SE-20: in the store, delivered, read, and the only one that the database knows."""
    others = {path: path.stat().st_ino for path in untouched(platform)}
    assert bool(others) is not bool(platform.drawn.plan.agents)
    before, read = look(platform), {service: platform.read(service) for service in CONSUMERS}
    bears = platform.folder / "bears" / "gitea"
    replace_text(bears, json.dumps(read["gitea"]))
    assert runner.run() == 15
    assert "gitea is unhealthy" in runner.errors
    assert "put back, delivered and taken into use again" in runner.errors
    after = look(platform)
    assert (after.value, after.waiting) == (before.value, frozenset())
    assert {service: platform.read(service) for service in CONSUMERS} == read
    assert {service: platform.files(service) for service in CONSUMERS} == read
    insist_that_nobody_is_locked_out(platform, after)
    insist_that_it_is_over(platform, after)
    bears.unlink()
    complete(runner)
    last = look(platform)
    insist_that_it_is_over(platform, last)
    assert last.previous == before.value
    assert {path: path.stat().st_ino for path in untouched(platform)} == others


def untouched(platform: Platform) -> list[Path]:
    """Files that the installer has delivered and that no rotation here is about."""
    places = [p for p in Path(platform.drawn.layout.secrets).glob("*/*") if p.is_file()]
    return [p for p in places if p.parent.name not in CONSUMERS]
