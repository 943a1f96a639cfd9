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
