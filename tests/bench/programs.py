"""Runs one program to its end and times it, with a clean environment and warm byte code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import ContenderError

ROOT = Path(__file__).resolve().parents[2]
KEPT = ("PATH", "LANG", "TERM", "TMPDIR")
TIME_LIMIT_S = 120


def environment(home: Path) -> dict[str, str]:
    """What a program gets: nothing of this machine's settings, a home of its own."""
    # PYTHONDONTWRITEBYTECODE, as some build machines set it, would be measured instead of us.
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}


def run(argv: Sequence[str], home: Path) -> tuple[float, str]:
    """Seconds from start to end, and what was printed.

    Raises:
        ContenderError: it failed, or took longer than two minutes.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(
        argv,
        env=environment(home),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, complaint = process.communicate(timeout=TIME_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise ContenderError(f"{argv[0]}: not done after {TIME_LIMIT_S} s") from error
    finally:
        if process.returncode is None:  # a pipeline's parts are ended with it
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    seconds = time.perf_counter() - begun
    if process.returncode != 0:
        said = complaint.strip()[-600:] or "no message"
        raise ContenderError(f"{' '.join(argv)[:200]}: status {process.returncode}: {said}")
    return seconds, printed


def product() -> list[str]:
    """The product's own command, as installed beside this interpreter."""
    script = Path(sys.executable).with_name("devplat-install")
    return [str(script)] if script.exists() else [sys.executable, "-m", "installer"]
