"""A store of one secret at a path of the test's own, and the kits of the store contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from installer.adapters.filestore import FileStore, create_store, open_store
from tests.contract.vault.authority import make_authority
from tests.contract.vault.servers import VARIABLE, VaultServer, real_program, stand_in
from tests.secrets.store_kits import (
    AWS_ENVIRONMENT,
    KINDS,
    AwsKit,
    FileKit,
    Kit,
    VaultKit,
    moto_server,
)
from tests.secrets.stores import NOW, PASSPHRASE, VALUE, spec


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keep" / "secrets.store"


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of one store with one secret, made once: deriving a key is slow on purpose."""
    path = tmp_path_factory.mktemp("made") / "keep" / "secrets.store"
    create_store(path, PASSPHRASE, lambda: NOW).ensure(spec(), lambda: VALUE)
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


@pytest.fixture
def store(path: Path, files: dict[str, bytes]) -> FileStore:
    path.parent.mkdir(0o700)
    for name, data in files.items():
        file = path.with_name(name)
        file.touch(0o600)
        file.write_bytes(data)
    return open_store(path, PASSPHRASE, lambda: NOW)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("empty") / "keep" / "secrets.store"
    create_store(path, PASSPHRASE)
    return path.read_bytes()


@pytest.fixture(scope="session")
def vault_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], VaultServer]]:
    """The server of a kind, started when it is first needed: open, with KV version 2 at secret."""
    running: dict[str, VaultServer] = {}

    def find(kind: str) -> VaultServer:
        if kind not in running:
            program = stand_in() if kind == "vault stand-in" else real_program()
            if program is None:
                pytest.skip(f"{VARIABLE} names no real server")
            folder = tmp_path_factory.mktemp("vault")
            server = VaultServer(program, folder, make_authority(folder)).start()
            running[kind] = server
            server.initialise()
            made = server.ask(
                "POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}
            )
            assert made.status == 204, made
        return running[kind]

    yield find
    for server in running.values():
        server.stop()


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture
def aws_kit(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsKit]:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    kit = AwsKit(moto_endpoint)
    yield kit
    for opened in kit.opened:
        opened.close()


@pytest.fixture(params=KINDS)
def kit(request: pytest.FixtureRequest, path: Path) -> Iterator[Kit]:
    """An empty store of each kind."""
    if request.param == "aws":
        yield request.getfixturevalue("aws_kit")
    elif request.param == "file":
        path.parent.mkdir(0o700)
        path.touch(0o600)
        path.write_bytes(request.getfixturevalue("empty_store"))
        yield FileKit(path)
    else:
        kit = VaultKit(request.getfixturevalue("vault_of")(request.param), request.param)
        yield kit
        for opened in kit.opened:
            opened.close()
