"""A target in a temporary directory, and an engine whose things are files there."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from installer.adapters.local import LocalHost
from installer.core.layout import Layout
from tests.upkeep.engine import FakeEngine


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "opt/state").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    return Layout(str(tmp_path / "opt"), str(tmp_path / "data"))


@pytest.fixture
def host() -> LocalHost:
    if os.geteuid() != 0:
        pytest.skip("the phases act as root; this test needs root")
    return LocalHost()


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """Stands before the machine's own; `mountpoint` and `umount` of the secrets are its as well."""
    made = FakeEngine(tmp_path / "engine")
    made.install()
    monkeypatch.setenv("PATH", f"{made.root}/bin:{os.environ['PATH']}")
    return made
