"""Fixtures of the preflight tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RECORDED = Path(__file__).parent / "recorded"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def probe_script() -> str:
    return (ROOT / "assets" / "probe.sh").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], str]:
    def read(name: str) -> str:
        return (RECORDED / f"{name}.txt").read_text(encoding="utf-8")

    return read


@pytest.fixture
def host_tree(tmp_path):
    """A directory with the remains of an installation, and nothing of an engine."""
    install = tmp_path / "host" / "opt" / "dev plat"
    for name in ("releases/3f2a", "state", "secrets"):
        (install / name).mkdir(parents=True)
    (install / "current").symlink_to("releases/3f2a")
    (install / "state" / "lock").write_text('{"pid": 1}')
    data = tmp_path / "host" / "data"
    (data / "postgres" / "data").mkdir(parents=True)
    (data / "redis" / "data").mkdir(parents=True)
    (data / "postgres" / "data" / "PG_VERSION").write_text("17")
    (tmp_path / "home").mkdir()
    return tmp_path
