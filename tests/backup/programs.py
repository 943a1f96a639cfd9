"""The programs of the backup's image, out of Debian's packages: restic, jq, busybox, tar.

They run with the C library that they were built for, whatever this machine's release is.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.testbed.commands import TestbedError
from tests.testbed.packages import SUITE, Apt, find_mirror
from tests.testbed.places import find_places

PACKAGES = ("restic", "jq", "busybox-static", "tar")
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def find_programs() -> Path:
    """A directory to put first on the path; skips, and says why, where there is no package source.

    Where the engine's tests are required, so are these.
    """
    try:
        return _fetch(find_places().cache / f"backup-programs-{SUITE}")
    except (TestbedError, OSError) as error:
        if os.environ.get("DEVPLAT_REQUIRE_ENGINE") == "1":
            raise
        pytest.skip(f"restic cannot be fetched: {error}")


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
    for name in names:
        subprocess.run(["dpkg-deb", "-x", apt.path(name), folder / "root"], check=True)
    made = folder / "bin.new"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    root = folder / "root"
    # Debian's busybox has no list of names for tar (-T), as the image's has: GNU's takes its place
    loader = next(root.glob("usr/lib*/**/ld-linux-x86-64.so.2"))
    for program in ("restic", "jq", "tar"):
        script = made / program
        script.write_text(
            f"#!/bin/sh\nexec {loader} --library-path {root / LIBRARIES}"
            f' {root}/usr/bin/{program} "$@"\n'
        )
        script.chmod(0o755)
    busybox = root / "usr/bin/busybox"
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    for applet in re.findall(r"\S+", listed.stdout):
        if not (made / applet).exists():
            (made / applet).symlink_to(busybox)
    # not an applet of this build, and one of the image's
    (made / "flock").symlink_to(shutil.which("flock") or "/usr/bin/flock")
    made.rename(folder / "bin")
