"""Shipping: the release step over paramiko, against `tar | ssh tar` and one ssh exec.

Every run begins without a connection, in a fresh process: its start and its imports count, and a
second row says what it is without them, as in a run that has long begun. What was shipped is
compared with its source, file by file.
"""

from __future__ import annotations

import random
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import ContenderError, Row, take_turns
from tests.bench.netlab import PORT, Lab
from tests.bench.programs import run
from tests.golden.render import HERE, draw_up, write_bundle, write_lock

GOAL = 1.2
SHIP_FLOOR = "tar | ssh tar"
CHECK_FLOOR = "ssh, one manifest command"
RELEASE = "0123456789ab"
FILES, FILE_BYTES = 100, 50_000


@dataclass(frozen=True, slots=True)
class Work:
    """A tree to ship."""

    name: str
    source: Path


def make_works(directory: Path) -> list[Work]:
    """The tree of 5 MB in 100 files, which nothing can compress, and the bundle of the small
    profile."""
    tree, bundle = directory / "tree", directory / "bundle"
    content = random.Random(1)
    for number in range(FILES):
        path = tree / f"service{number % 10}" / f"file{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.randbytes(FILE_BYTES))
    lock = write_lock(directory / "images.lock.yaml")
    job = draw_up(HERE / "profiles" / "small.yaml", lock)
    write_bundle(job.bundle, bundle)
    for path, file in job.bundle.files.items():
        (bundle / path).chmod(file.mode)
    size = sum(len(file.data) for file in job.bundle.files.values()) // 1000
    return [
        Work(f"{FILES} files of 5 MB", tree),
        Work(f"the small bundle ({len(job.bundle.files)} files, {size} kB)", bundle),
    ]


def measure(lab: Lab, home: Path, works: list[Work], rounds: int) -> list[Row]:
    """Each tree at each round-trip time: first ship, then nothing to do."""
    rows: list[Row] = []
    with lab.entered():
        for work in works:
            for rtt in lab.rtts:
                contest = _Contest(lab, home, work, rtt)
                rows += contest.ship(rounds)
                rows += contest.check(rounds)
    return rows


class _Contest:
    """One tree over one link."""

    def __init__(self, lab: Lab, home: Path, work: Work, rtt: int) -> None:
        self._lab = lab
        self._home = home
        self._work = work
        self._rtt = rtt
        self._root = lab.host_directory
        self._release = self._root / "releases" / RELEASE
        self._inside: list[float] = []

    def ship(self, rounds: int) -> list[Row]:
        """Nothing is there; afterwards everything is."""
        return self._rows(
            f"ship {self._work.name}, RTT {self._rtt} ms",
            SHIP_FLOOR,
            self._shipped(self._tar),
            self._shipped(self._product("ship")),
            rounds,
        )

    def check(self, rounds: int) -> list[Row]:
        """Everything is there; the same is found."""
        self._shipped(self._product("ship"))()
        return self._rows(
            f"no-op, {self._work.name}, RTT {self._rtt} ms",
            CHECK_FLOOR,
            self._manifest,
            self._product("check"),
            rounds,
        )

    def _rows(
        self,
        name: str,
        floor: str,
        plain: Callable[[], float],
        product: Callable[[], float],
        rounds: int,
    ) -> list[Row]:
        self._inside.clear()
        taken = take_turns({"floor": plain, "product": product}, rounds)
        return [
            Row(name, floor, taken["floor"], taken["product"], GOAL),
            Row("  without start and imports", floor, taken["floor"], self._inside[1:]),
        ]

    def _shipped(self, once: Callable[[], float]) -> Callable[[], float]:
        def from_nothing() -> float:
            shutil.rmtree(self._root)
            self._root.mkdir()
            seconds = once()
            self._compare()
            return seconds

        return from_nothing

    def _tar(self) -> float:
        there = shlex.quote(str(self._release))
        pipeline = (
            f"tar -C {shlex.quote(str(self._work.source))} -cf - . | "
            f"{shlex.join(self._lab.ssh(self._rtt))} "
            + shlex.quote(f"mkdir -p {there} && tar -C {there} -xpf -")
        )
        return run(["sh", "-c", pipeline], self._home)[0]

    def _manifest(self) -> float:
        script = (
            f"cd {shlex.quote(str(self._release))} && find . -type f -exec sha256sum {{}} + && "
            "find . -type f -exec stat -c '%a %n' {} +"
        )
        return run([*self._lab.ssh(self._rtt), script], self._home)[0]

    def _product(self, mode: str) -> Callable[[], float]:
        lab = self._lab
        argv = [sys.executable, "-m", "tests.bench.ship_once", mode, lab.address(self._rtt),
                str(PORT), str(lab.key), str(lab.known_hosts), str(self._work.source),
                str(self._root), RELEASE]  # fmt: skip

        def once() -> float:
            seconds, printed = run(argv, self._home)
            self._inside.append(float(printed))
            return seconds

        return once

    def _compare(self) -> None:
        wanted, found = _contents(self._work.source), _contents(self._release)
        if wanted != found:
            paths = sorted(
                path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path)
            )
            raise ContenderError(f"{len(paths)} files are not as shipped, first {paths[0]}")


def _contents(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.relative_to(root).as_posix(): (path.stat().st_mode & 0o777, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }
