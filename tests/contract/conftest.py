"""Servers and hosts that the contract tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from installer.adapters.local import LocalHost
from installer.adapters.ssh import SshHost
from installer.ports import Host
from tests.contract.sshd import Sshd, make_key, why_no_sshd

Launch = Callable[..., Sshd]


@pytest.fixture(scope="session")
def user_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := why_no_sshd():
        if os.environ.get("DEVPLAT_REQUIRE_ENGINE") == "1":
            pytest.fail(f"no SSH server, and DEVPLAT_REQUIRE_ENGINE=1: {reason}")
        pytest.skip(reason)
    return make_key(tmp_path_factory.mktemp("key") / "id_ed25519")


@pytest.fixture(scope="session")
def launch(tmp_path_factory: pytest.TempPathFactory, user_key: Path) -> Iterator[Launch]:
    """Starts servers: `launch(extra="…", kinds=("ed25519",))`."""
    servers: list[Sshd] = []

    def start(extra: str = "", kinds: tuple[str, ...] = ("ed25519",)) -> Sshd:
        directory = tmp_path_factory.mktemp("sshd")
        keys = [make_key(directory / f"host_{kind}", kind) for kind in kinds]
        server = Sshd(directory, user_key, keys, extra).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def sshd(launch: Launch) -> Sshd:
    """An ordinary server."""
    return launch()


@pytest.fixture
def open_host(tmp_path: Path) -> Iterator[Callable[..., SshHost]]:
    """Makes hosts of a server, closed at the end: `open_host(server, **target changes)`."""
    hosts: list[SshHost] = []

    def make(server: Sshd, **changes: object) -> SshHost:
        known = str(changes.pop("known_hosts", "")) or server.known_hosts(tmp_path / "known_hosts")
        host = SshHost(server.target(known, **changes))
        hosts.append(host)
        return host

    yield make
    for host in hosts:
        host.close()


@pytest.fixture(params=["local", "ssh"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host of each kind."""
    if request.param == "local":
        yield LocalHost()
        return
    server: Sshd = request.getfixturevalue("sshd")
    yield request.getfixturevalue("open_host")(server)
