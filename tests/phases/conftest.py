"""A target in a temporary directory: the phases' shell runs for real, on this machine."""

import os
from datetime import UTC, datetime

import pytest

from installer.adapters.local import LocalHost
from installer.core.layout import Layout


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def layout(tmp_path):
    (tmp_path / "opt").mkdir()
    return Layout(str(tmp_path / "opt"), str(tmp_path / "data"))


@pytest.fixture
def host():
    if os.geteuid() != 0:
        pytest.skip("the phases act as root; this test needs root")
    return LocalHost()
