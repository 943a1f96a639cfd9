"""Bundles for these tests, and the stand-ins' modules on the path."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "standins"))

import standin

from installer.core.bundle import Bundle
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.stacks import load_templates
from tests.stacks.builders import ROOT, load, make_plan_for
from tests.standin_tests.conftest import Database

IMAGE = "docker.io/codercom/enterprise-base@sha256:" + "1" * 64
BASE: Mapping[str, Any] = {"backup": {"enabled": False}, "workspaces": {"image": IMAGE}}

Render = Callable[..., tuple[Plan, Bundle]]


@pytest.fixture
def make_bundle() -> Render:
    """Plan and bundle of these answers, sections given by keyword."""

    def make(**more: Any) -> tuple[Plan, Bundle]:
        catalog = load()
        plan = make_plan_for(catalog, "everything", {**BASE, **more})
        return plan, render(plan, load_templates(ROOT, catalog))

    return make


@pytest.fixture
def database() -> Iterator[standin.Postgres]:
    made = Database()
    yield standin.Postgres(lambda: made, (ConnectionError,))
    made.connection.close()
