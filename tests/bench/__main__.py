"""`python -m tests.bench`: start-up, screens, render and shipping as ratios to the plainest way.

Prints one table and ends with 0, whatever the ratios are; with 1 when a contender fails.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import netlab, rendering, screens, shipping, startup
from tests.bench.figures import ContenderError, Row, format_table

AREAS = ("startup", "screens", "render", "ship")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"of {', '.join(AREAS)}")
    parser.add_argument("-n", type=int, default=5, help="runs of each contender (default 5)")
    parser.add_argument("--rtt", type=int, nargs="+", default=[0, 50], help="round trips, in ms")
    args = parser.parse_args(argv)
    if unknown := set(args.areas) - set(AREAS):
        parser.error(f"no such area: {', '.join(sorted(unknown))}")
    areas = args.areas or AREAS
    # so that the lab is taken down whoever ends the run
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    rows: list[Row] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="devplat-bench-") as name:
        home = Path(name)
        measurements: dict[str, Callable[[], list[Row]]] = {
            "startup": lambda: startup.measure(home, 2 * args.n + 1),
            "screens": lambda: screens.measure(home, args.n),
            "render": lambda: rendering.measure(home, args.n),
            "ship": lambda: ship(home, args.n, args.rtt, notes),
        }
        try:
            for area in areas:
                print(f"measuring: {area}", file=sys.stderr, flush=True)
                rows += measurements[area]()
        except ContenderError as error:
            print(f"a contender failed: {error}", file=sys.stderr)
            return 1
    print(f"Ratios of medians, one run, contenders taking turns, n = {args.n}.")
    print("The milliseconds depend on the machine and its load; the ratios less so.\n")
    print("\n".join([*format_table(rows), *notes]))
    return 0


def ship(home: Path, rounds: int, rtts: Sequence[int], notes: list[str]) -> list[Row]:
    """The rows of shipping; notes say which are left out, and why."""
    if reason := netlab.why_no_lab():
        notes.append(f"left out: every row of shipping ({reason})")
        return []
    possible = list(rtts)
    if (reason := netlab.why_no_delay()) and any(rtts):
        notes.append(f"left out: shipping at a round trip above 0 ms ({reason})")
        possible = [0]
    directory = home / "lab"
    directory.mkdir()
    works = shipping.make_works(home)
    lab = netlab.Lab(directory, possible)
    try:
        lab.up()
        return shipping.measure(lab, home, works, rounds)
    finally:
        lab.down()


if __name__ == "__main__":
    sys.exit(main())
