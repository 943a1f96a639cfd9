"""Backups of this machine's own directories, with the programs of the real image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backup.programs import find_programs
from tests.backup.world import World


@pytest.fixture(scope="session")
def programs() -> Path:
    return find_programs()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A little of everything: nested, empty, with blanks, linked."""
    folder = tmp_path / "data"
    (folder / "data/repositories/team/tool.git/objects/ab").mkdir(parents=True)
    (folder / "data/repositories/team/tool.git/refs/heads").mkdir(parents=True)
    (folder / "data/repositories/team/tool.git/refs/heads/main").write_text("ab12\n")
    (folder / "data/repositories/team/tool.git/objects/ab/12").write_bytes(b"object" * 500)
    (folder / "data/empty").mkdir()
    (folder / "data/a name with blanks").write_text("blank\n")
    (folder / "data/link").symlink_to("a name with blanks")
    return folder


@pytest.fixture
def world(tmp_path: Path, programs: Path, data: Path) -> Iterator[World]:
    made = World(tmp_path / "world", programs)
    try:
        made.serve_files(data)
        yield made
    finally:
        made.close()
