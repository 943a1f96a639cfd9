"""The part of a bundle that is about logs and dashboards, and a log store that runs with it."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from installer.core.plan import Plan
from installer.core.rendering import render
from installer.stacks import load_templates
from tests.stacks.builders import ROOT, load, make_plan_for

sys.path.insert(0, str(ROOT / "tests/standins"))

from tests.monitoring_logs.lab import LokiLab

REAL_LOKI = os.environ.get("DEVPLAT_TEST_LOKI_BIN")


@functools.cache
def _rendered(emergency: bool) -> tuple[Plan, dict[str, bytes], Mapping[str, Any]]:
    section = {"enabled": True, "emergency_login": emergency}
    more = {"monitoring": section, "backup": {"enabled": False}}
    plan = make_plan_for(load(), more=more)
    bundle = render(plan, load_templates(ROOT, load()))
    files = {path: file.data for path, file in bundle.files.items()}
    return plan, files, bundle.document["services"]


@pytest.fixture
def plan() -> Plan:
    """The plan of a deployment with monitoring."""
    return _rendered(False)[0]


@pytest.fixture
def files() -> dict[str, bytes]:
    """Its files by their paths in the bundle."""
    return _rendered(False)[1]


@pytest.fixture
def services() -> Mapping[str, Any]:
    """Its compose services."""
    return _rendered(False)[2]


@pytest.fixture
def emergency_services() -> Mapping[str, Any]:
    """The same while the emergency login is on."""
    return _rendered(True)[2]


@pytest.fixture(scope="module", params=["stand-in", "real"])
def loki(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LokiLab]:
    """Loki with the rendered configuration and rules, and somebody to hear its alerts."""
    program = [sys.executable, "-c", _STAND_IN]
    if request.param == "real":
        if not REAL_LOKI:
            pytest.skip("DEVPLAT_TEST_LOKI_BIN names no Loki program")
        program = [REAL_LOKI]
    lab = LokiLab(program, _rendered(False)[1], tmp_path_factory.mktemp("loki"))
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()


_STAND_IN = (
    f"import sys; sys.path.insert(0, {str(ROOT / 'tests/standins')!r}); import loki;"
    " sys.exit(loki.main(['loki', *sys.argv[1:]]))"
)
