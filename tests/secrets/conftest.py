"""A store of one secret, at a path of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from installer.adapters.filestore import FileStore, create_store, open_store
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
