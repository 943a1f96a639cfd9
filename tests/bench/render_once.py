"""One render in a fresh process: `render_once SIDE ANSWERS LOCK` prints its seconds.

Reading answers and making the plan come before and are not timed. The product's side is the whole
rendering, from reading the folder to the bundle, `product` with the templates that a build compiled
and `uncompiled` without; the `bare` one loads and renders the same templates.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import jinja2

from installer import drawing, precompiled
from installer.core.plan import Plan
from installer.core.rendering import FRAGMENT, Templates, render
from installer.core.templating import make_environment
from installer.stacks import load_stacks, load_templates
from tests.golden.render import draw_up


class _Stopped(Exception):
    """Carries what the renderer was called with."""


def plan_of(answers: Path, lock: Path) -> tuple[Plan, Templates]:
    """The plan that a job of these answers would render, and the templates; nothing is rendered."""

    def stop(plan: Plan, templates: Templates) -> None:
        raise _Stopped(plan, templates)

    with mock.patch.object(drawing, "render", stop):
        try:
            draw_up(answers, lock)
        except _Stopped as caught:
            plan, templates = caught.args
            return plan, templates
    raise AssertionError("drawing up a job renders no bundle any more")


def render_bare(plan: Plan, templates: Templates, folder: Path) -> None:
    """What jinja2 alone needs for the same templates, compiling included."""
    environment = make_environment(jinja2.FileSystemLoader(folder))
    for name, path in sources(plan, templates):
        manifest = plan.manifest(name)
        section = manifest.options_in
        options = plan.answers.options_of(section) if section else {}
        template = environment.get_template(f"{name}/{path}")
        template.render(plan=plan, service=manifest, options=options)


def sources(plan: Plan, templates: Templates) -> Iterator[tuple[str, str]]:
    """Service and path of every template that the product renders for this plan."""
    for name in plan.services:
        for path in templates.files[name]:
            if path == FRAGMENT or (path.startswith("config/") and path.endswith(".j2")):
                yield name, path


def main() -> None:
    """Time one side."""
    side, answers, lock = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    plan, templates = plan_of(answers, lock)
    stacks = load_stacks()
    if side == "uncompiled":
        precompiled.FOLDER = "none"
    begun = time.perf_counter()
    if side == "bare":
        render_bare(plan, templates, stacks.root / "stacks" / "compose")
    else:
        render(plan, load_templates(stacks.root, stacks.catalog))
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    main()
