"""Bundles for these tests: without backups, which need answers that are of no interest here."""

from __future__ import annotations

import functools

from installer.core.bundle import Bundle
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.stacks import load_templates
from tests.stacks.builders import ROOT, load, make_plan_for


@functools.cache
def make(variant: str) -> tuple[Plan, Bundle]:
    """Plan and bundle of one of the variants."""
    catalog = load()
    plan = make_plan_for(catalog, variant, {"backup": {"enabled": False}})
    return plan, render(plan, load_templates(ROOT, catalog))
