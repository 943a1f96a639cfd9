"""Watches two machines while something runs: every argument, and environments of its children."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed.hosts import Host

EVERY_S = 0.01
ON_THE_TARGET = """
import os, sys, time
seen, samples = set(), {}
while True:
    pids = set(filter(str.isdigit, os.listdir("/proc")))
    samples = {pid: samples.get(pid, 0) + 1 for pid in pids}
    for pid in pids:
        # an old process seldom starts another program in its place; looking costs the target time
        if samples[pid] > 20 and samples[pid] % 100:
            continue
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read()
        except OSError:
            continue
        if words not in seen:
            seen.add(words)
            sys.stdout.buffer.write(words + b"\\n")
            sys.stdout.flush()
    time.sleep(0.01)
"""


@dataclass
class Seen:
    """What was seen: arguments of every process of the target; of the watched process and its
    children here, and the environments of those children.
    """

    target: bytes = b""
    arguments: set[bytes] = field(default_factory=set)
    environments: set[bytes] = field(default_factory=set)
    samples: int = 0


@contextmanager
def watching(host: Host, process: subprocess.Popen[str]) -> Iterator[Seen]:
    """Sample every 10 ms until the block ends."""
    seen, over = Seen(), threading.Event()
    remote = subprocess.Popen(
        host.ssh_argv("sudo timeout 900 python3 -c \"$(cat)\""),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert remote.stdin is not None and remote.stdout is not None
    remote.stdin.write(ON_THE_TARGET.encode())
    remote.stdin.close()
    parts: list[bytes] = []
    reader = threading.Thread(target=lambda: parts.extend(remote.stdout or ()), daemon=True)
    sampler = threading.Thread(target=_sample, args=(process.pid, seen, over), daemon=True)
    reader.start()
    sampler.start()
    try:
        yield seen
    finally:
        over.set()
        remote.terminate()
        sampler.join(10)
        reader.join(10)
        remote.wait(10)
        remote.stdout.close()
        seen.target = b"".join(parts)


def _sample(root: int, seen: Seen, over: threading.Event) -> None:
    while not over.is_set():
        for pid in _family(root):
            with suppress(OSError):
                seen.arguments.add(Path(f"/proc/{pid}/cmdline").read_bytes())
                if pid != root:
                    seen.environments.add(Path(f"/proc/{pid}/environ").read_bytes())
        seen.samples += 1
        time.sleep(EVERY_S)


def _family(root: int) -> Iterator[int]:
    """The process and all that come from it."""
    yield root
    with suppress(OSError):
        for thread in Path(f"/proc/{root}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _family(int(child))
