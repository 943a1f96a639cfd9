"""Medians, ratios and the table that shows them; knows nothing of what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


class ContenderError(Exception):
    """A contender did not do its work; its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes:
        work: What both did.
        floor: What the product is measured against.
        floor_s: Seconds of each run of the floor.
        product_s: Seconds of each run of the product.
        goal: Largest wanted ratio, or None for a row that only informs.
    """

    work: str
    floor: str
    floor_s: Sequence[float]
    product_s: Sequence[float]
    goal: float | None = None

    @property
    def ratio(self) -> float:
        """Median of the product over the median of the floor."""
        return statistics.median(self.product_s) / statistics.median(self.floor_s)

    @property
    def verdict(self) -> str:
        """Whether the goal is met; empty when there is none."""
        if self.goal is None:
            return ""
        return "met" if self.ratio <= self.goal else "MISSED"


def take_turns(
    contenders: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each contender; a first round is discarded, and every round another one begins.

    What disturbs the machine then disturbs all of them alike.
    """
    names = list(contenders)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            seconds = contenders[name]()
            if turn:
                taken[name].append(seconds)
    return taken


def format_table(rows: Sequence[Row]) -> list[str]:
    """The rows as aligned lines, ratios first."""
    head = ("ratio", "goal", "", "work", "floor", "[product / floor, ms]")
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _cells(row: Row) -> tuple[str, ...]:
    goal = "" if row.goal is None else f"<= {row.goal:.1f}"
    milliseconds = " / ".join(
        f"{statistics.median(taken) * 1000:.0f}" for taken in (row.product_s, row.floor_s)
    )
    return (f"{row.ratio:.2f}", goal, row.verdict, row.work, row.floor, f"[{milliseconds}]")
