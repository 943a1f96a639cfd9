"""Runs the probe script for real, beside stand-in tools."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from installer.core.facts_parse import parse_facts
from installer.core.probe import format_parameters

PLACES = (Path("/dev/shm"), Path("/run"), Path("/tmp"))


def parameters(tmp_path, *more):
    return format_parameters(
        [("install", f"{tmp_path}/host/opt/dev plat"), ("data", f"{tmp_path}/host/data"), *more]
    )


def tools(tmp_path, **scripts):
    """A directory of stand-in tools that come first in the path."""
    directory = tmp_path / "bin"
    directory.mkdir(exist_ok=True)
    for name, body in scripts.items():
        tool = directory / name.replace("_", "-")
        tool.write_text(f"#!/bin/sh\n{body}\n")
        tool.chmod(0o755)
    return directory


def environment(tmp_path, directory=None):
    path = os.environ["PATH"]
    return {
        "HOME": str(tmp_path / "home"),
        "PATH": f"{directory}:{path}" if directory else path,
        "DOCKER_HOST": f"unix://{tmp_path}/no.sock",
    }


def look(script, stdin, *, env, shell=("sh",), timeout=60):
    sent = datetime.now(UTC)
    done = subprocess.run(
        [*shell, "-c", script],
        input=stdin,
        capture_output=True,
        env=env,
        timeout=timeout,
        check=False,
    )
    return done, parse_facts(done.stdout.decode(), "here", sent=sent, received=datetime.now(UTC))


def snapshot(root):
    """Every name below a directory with what `stat` says of it, access times apart."""
    return {
        str(path): (s.st_mode, s.st_uid, s.st_gid, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        for path in (root, *root.rglob("*"))
        for s in (path.lstat(),)
    }


def leftovers():
    return {p for place in PLACES if place.is_dir() for p in place.glob("devplat-probe.*")}
