"""Rendering: the whole bundle of the small profile, against a bare loop over its templates.

The bare loop compiles them each time. The product is measured as a wheel or `make setup` installs
it, its templates compiled by the build, and once as after an edit of all of them since.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from installer.precompiled import compile_templates
from installer.resources import data_root
from tests.bench.figures import Row, take_turns
from tests.bench.programs import run
from tests.golden.render import HERE, write_lock

GOAL = 1.0
FLOOR = "bare jinja2 loop"
ANSWERS = HERE / "profiles" / "small.yaml"


def measure(home: Path, rounds: int) -> list[Row]:
    """A later render, and the first on a machine, which finds nothing of an earlier one."""
    compile_templates(data_root() / "stacks")
    lock = str(write_lock(home / "images.lock.yaml"))

    def timed(side: str, own: Path, *, fresh: bool = False) -> Callable[[], float]:
        own.mkdir(exist_ok=True)

        def once() -> float:
            if fresh:
                shutil.rmtree(own / "cache", ignore_errors=True)
            program = [sys.executable, "-m", "tests.bench.render_once"]
            return float(run([*program, side, str(ANSWERS), lock], own)[1])

        return once

    taken = take_turns(
        {
            FLOOR: timed("bare", home / "bare"),
            "later": timed("product", home / "later"),
            "first": timed("product", home / "first", fresh=True),
            "edited": timed("uncompiled", home / "edited", fresh=True),
        },
        rounds,
    )
    return [
        Row("render the small profile", FLOOR, taken[FLOOR], taken["later"], GOAL),
        Row("  the first time on a machine", FLOOR, taken[FLOOR], taken["first"], GOAL),
        Row("  the first time after an edit", FLOOR, taken[FLOOR], taken["edited"]),
    ]
