"""Gives the terminal to another program until it has ended."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


def run_here(words: Sequence[str]) -> bool:
    """Run a program with this terminal as its own; whether it could be started."""
    try:
        subprocess.run(words, check=False)
    except OSError:
        return False
    return True
