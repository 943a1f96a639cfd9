"""Answers for workspaces on hosts of their own, and what is rendered of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "standins"))

from installer.core.bundle import Bundle
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.stacks import load_templates
from tests.stacks.builders import ROOT, load, make_plan_for

IMAGE = "docker.io/codercom/enterprise-base@sha256:" + "1" * 64
HOSTS = ("tcp://ws1.company.com:2376", "tcp://ws2.company.com:2377")
SEPARATE: Mapping[str, Any] = {
    "mode": "separate",
    "image": IMAGE,
    "hosts": list(HOSTS),
    "ca_file": "/secure/ws/ca.pem",
    "certificate": "file:/secure/ws/cert.pem",
    "key": "vault:kv/workspaces#key",
}
Render = Callable[..., tuple[Plan, Bundle]]


@pytest.fixture
def make_bundle() -> Render:
    """Plan and bundle of these answers of `workspaces`, other sections given by keyword."""

    def make(workspaces: Mapping[str, Any] = SEPARATE, **more: Any) -> tuple[Plan, Bundle]:
        catalog = load()
        answers = {"backup": {"enabled": False}, "workspaces": dict(workspaces), **more}
        plan = make_plan_for(catalog, "everything", answers)
        return plan, render(plan, load_templates(ROOT, catalog))

    return make
