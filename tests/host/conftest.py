"""A host in a temporary directory: our shell runs for real, beside stand-in programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from installer.adapters.local import LocalHost
from installer.core.layout import Layout
from tests.host.machine import Machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    if os.geteuid() != 0:
        pytest.skip("the phases act as root; this test needs root")
    made = Machine(tmp_path, LocalHost(), Layout(str(tmp_path / "opt"), str(tmp_path / "data")))
    made.prepare()
    monkeypatch.setenv("PATH", f"{made.programs}:{os.environ['PATH']}")
    return made
