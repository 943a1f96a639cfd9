"""Secret servers for tests: each test that uses them runs on the stand-in and, when
`DEVPLAT_TEST_VAULT_BIN` names a program, on that real server too.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.vault.authority import Authority, make_authority
from tests.contract.vault.servers import (
    KINDS,
    Options,
    Program,
    VaultServer,
    real_program,
    stand_in,
)
from tests.contract.vault.store_lab import ensure_mount

LaunchVault = Callable[..., VaultServer]


@pytest.fixture(scope="session")
def vault_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of the servers' certificates."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session", params=KINDS)
def vault_program(request: pytest.FixtureRequest) -> Program:
    """The program under test."""
    real = real_program() if request.param == "real" else None
    return real or stand_in()


@pytest.fixture
def launch_vault(
    vault_program: Program, vault_authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LaunchVault]:
    """Starts fresh servers, neither initialised nor unsealed: `launch_vault(max_ttl="5s")`."""
    servers: list[VaultServer] = []

    def launch(**options: Any) -> VaultServer:
        folder = tmp_path_factory.mktemp("vault")
        server = VaultServer(vault_program, folder, vault_authority, Options(**options))
        servers.append(server)
        return server.start()

    yield launch
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def vault_server(
    vault_program: Program, vault_authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VaultServer]:
    """A server that many tests share, initialised and unsealed: leave it so, use own paths."""
    folder = tmp_path_factory.mktemp("vault")
    server = VaultServer(vault_program, folder, vault_authority).start()
    try:
        yield server.initialise()
    finally:
        server.stop()


@pytest.fixture
def fresh_vault(launch_vault: LaunchVault) -> VaultServer:
    """A server of its own, initialised and unsealed, that a test may seal and break."""
    return launch_vault().initialise()


@pytest.fixture
def server(vault_server: VaultServer) -> VaultServer:
    """The shared server with the mount that the stores of these tests use."""
    ensure_mount(vault_server)
    return vault_server


@pytest.fixture
def prefix() -> str:
    """A path that only this test uses."""
    return f"stores/{uuid.uuid4().hex}"
