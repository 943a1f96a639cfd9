"""Valkey's programs out of Debian's package, with the C library that they were built for."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from tests.testbed.commands import TestbedError
from tests.testbed.packages import SUITE, Apt, find_mirror
from tests.testbed.places import find_places

PACKAGES = ("valkey-server", "valkey-tools")
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def valkey() -> Path:
    """A directory with `valkey-server` and `valkey-cli`; skips where there is no package source.

    Where the engine's tests are required, so is this.
    """
    try:
        return _fetch(find_places().cache / f"valkey-{SUITE}")
    except (TestbedError, OSError) as error:
        if os.environ.get("DEVPLAT_REQUIRE_ENGINE") == "1":
            raise
        pytest.skip(f"valkey cannot be fetched: {error}")


def _fetch(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "bin").is_dir():
            _unpack(folder)
    return folder / "bin"


def _unpack(folder: Path) -> None:
    apt = Apt(folder / "apt", find_mirror())
    apt.update()
    names = apt.closure(PACKAGES)
    apt.download(PACKAGES)
    root, made = folder / "root", folder / "bin.new"
    for name in names:
        subprocess.run(["dpkg-deb", "-x", apt.path(name), root], check=True)
    made.mkdir(exist_ok=True)
    loader = next(root.glob("usr/lib*/**/ld-linux-x86-64.so.2"))
    for program in ("valkey-server", "valkey-cli"):
        real = root / "usr/bin" / program  # what it does goes by its name
        script = made / program
        script.write_text(
            f'#!/bin/sh\nexec {loader} --library-path {root / LIBRARIES} {real} "$@"\n'
        )
        script.chmod(0o755)
    made.rename(folder / "bin")
