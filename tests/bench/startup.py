"""Start-up: how long `--help` and `--version` take, against an interpreter that does nothing."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.bench.figures import ContenderError, Row, take_turns
from tests.bench.programs import product, run

GOAL = 5.0
FLOOR = "python -c pass"
VENDORS = ("paramiko", "docker", "hvac", "textual", "pydantic", "yaml", "jinja2", "cryptography")
LOADED = """
import sys
from installer.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
print(*(name for name in sys.argv[1:] if name in sys.modules))
"""
"""A program whose last line names those of the modules it is given that `--help` loads."""


def measure(home: Path, rounds: int) -> list[Row]:
    """Both flags.

    Raises:
        ContenderError: `--help` loads a vendor library, or a program fails.
    """
    _refuse_vendors(home)
    taken = take_turns(
        {
            FLOOR: lambda: run([sys.executable, "-c", "pass"], home)[0],
            "--help": lambda: run([*product(), "--help"], home)[0],
            "--version": lambda: run([*product(), "--version"], home)[0],
        },
        rounds,
    )
    return [
        Row(f"devplat-install {flag}", FLOOR, taken[FLOOR], taken[flag], GOAL)
        for flag in ("--help", "--version")
    ]


def _refuse_vendors(home: Path) -> None:
    loaded = run([sys.executable, "-c", LOADED, *VENDORS], home)[1].splitlines()[-1].split()
    if loaded:
        raise ContenderError(f"--help loads {', '.join(loaded)}")
