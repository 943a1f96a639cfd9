"""Object stores for these tests, and the stand-ins' modules on the path."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "standins"))

from installer.core.rendering import render
from installer.stacks import load_templates
from tests.stacks.builders import ROOT, load, make_plan_for
from tests.storage.world import CLIENT, SERVER, World


def find_programs(kind: str) -> tuple[str, str] | None:
    """Server and client; None for those of the stand-in."""
    if kind == "stand-in":
        return None
    named = (os.environ.get(SERVER), os.environ.get(CLIENT))
    if not all(named):
        pytest.skip(f"{SERVER} and {CLIENT} name no MinIO and no mc; the stand-in runs these cases")
    return (str(named[0]), str(named[1]))


@pytest.fixture(params=["stand-in", "real"], scope="module")
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two the case runs on."""
    return str(request.param)


def make_world(folder: Path, kind: str, **answers: Any) -> World:
    """A store that is not started yet, rendered for these answers."""
    catalog = load()
    plan = make_plan_for(catalog, "everything", answers)
    bundle = render(plan, load_templates(ROOT, catalog))
    return World(folder, bundle, plan.manifest("minio").secret_files, find_programs(kind))


@pytest.fixture(scope="module")
def sound(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A store whose consumers have their buckets, for cases that leave it as it is."""
    made = make_world(tmp_path_factory.mktemp("store"), kind)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def world(kind: str, tmp_path: Path) -> Iterator[World]:
    """The same, for one case."""
    made = make_world(tmp_path, kind)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def signing_on(kind: str, tmp_path: Path) -> Iterator[World]:
    """One with single sign-on, not started yet."""
    made = make_world(tmp_path, kind, minio={"single_sign_on": True})
    try:
        yield made
    finally:
        made.stop()
