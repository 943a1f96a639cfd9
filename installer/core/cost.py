"""A monthly estimate of what a deployment costs on AWS, by list prices with their date.

What no list has is asked for and left out of the total, never guessed. Nothing here is an offer: an
estimate carries its region, its date and the words that say so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from installer.core.cost_bills import MACHINE, bill_host, bill_scale, bill_workspaces
from installer.core.cost_table import Item, Part, Pricing
from installer.core.errors import AnswersError, Problem, Remedy, StackError
from installer.core.scaling import ScaleOut
from installer.core.sizing import HostRequirements

_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Ask:
    """A price that no list has: its key in `Pricing.given`, and what to ask for, in words."""

    key: str
    words: str


@dataclass(frozen=True, slots=True)
class Line:
    """One row: USD a month, or None when a price must be asked for.

    Attributes:
        guide_usd: What the guide says of the same row, when it has one.
        asks: The prices that are missing.
    """

    resource: str
    specification: str
    usd: Decimal | None
    guide_usd: Decimal | None = None
    note: str = ""
    asks: tuple[Ask, ...] = ()

    @property
    def difference(self) -> Decimal | None:
        """List price now minus the guide's figure."""
        if self.usd is None or self.guide_usd is None:
            return None
        return self.usd - self.guide_usd


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate for a month, in USD."""

    lines: tuple[Line, ...]
    region: str
    as_of: date
    guide_total: Decimal | None = None

    @property
    def total(self) -> Decimal:
        """Sum of all rows whose price is known."""
        return sum((line.usd for line in self.lines if line.usd is not None), Decimal(0))

    @property
    def asks(self) -> tuple[Ask, ...]:
        """Prices that are missing from the total."""
        return tuple(dict.fromkeys(ask for line in self.lines for ask in line.asks))

    @property
    def heading(self) -> str:
        """What must stand beside the total."""
        return f"estimate, list price, {self.region}, as of {self.as_of.isoformat()}"

    @property
    def difference_note(self) -> str:
        """How the total compares with the guide's, and what it lacks; empty for custom sizes."""
        if self.guide_total is None:
            return ""
        change = self.total - self.guide_total
        words = "; ".join(ask.words for ask in self.asks)
        without = f", without: {words}" if words else ""
        return f"guide {self.guide_total}, list price now {self.total} ({change:+}){without}"


def estimate_profile(pricing: Pricing, profile: str, region: str | None = None) -> Estimate:
    """The guide's table of a profile at today's list prices, side by side.

    Raises:
        AnswersError: there is no price list for the region, or no such profile.
    """
    _check_region(pricing, region)
    bill = pricing.table.profiles.get(profile)
    if bill is None:
        known = ", ".join(pricing.table.profiles)
        raise AnswersError(
            Problem(
                code="cost.unknown_profile",
                summary=f"{profile!r} has no bill in the guide; there are {known}",
                where="sizing.profile",
                remedy=Remedy("estimate a custom size by its figures instead"),
            )
        )
    return _estimate(pricing, bill.items, bill.guide_total_usd)


def estimate_host(
    pricing: Pricing, host: HostRequirements, users: int, region: str | None = None
) -> Estimate:
    """One machine that carries platform and workspaces, with disk, address, transfer, backups.

    Raises:
        AnswersError: there is no price list for the region.
    """
    _check_region(pricing, region)
    return _estimate(pricing, bill_host(pricing, host, users))


def estimate_workspaces(
    pricing: Pricing, scale: ScaleOut, disk_gib: int, region: str | None = None
) -> Estimate:
    """Machines for workspaces beside the platform's host, with `disk_gib` of disk for them all.

    Raises:
        AnswersError: there is no price list for the region.
    """
    _check_region(pricing, region)
    return _estimate(pricing, bill_workspaces(pricing, scale, disk_gib))


def estimate_scale(
    pricing: Pricing, scale: ScaleOut, home_gib_per_user: int, region: str | None = None
) -> Estimate:
    """Control plane, database and workspaces on machines of their own.

    Args:
        pricing: Prices to go by.
        scale: Counts and sizes of the machines.
        home_gib_per_user: Disk of each user's home.
        region: Must be the price list's.

    Raises:
        AnswersError: there is no price list for the region.
    """
    _check_region(pricing, region)
    return _estimate(pricing, bill_scale(pricing, scale, home_gib_per_user))


def _check_region(pricing: Pricing, region: str | None) -> None:
    if region in (None, pricing.prices.region):
        return
    raise AnswersError(
        Problem(
            code="cost.unknown_region",
            summary=f"there are list prices for {pricing.prices.region} only, not for {region}",
            remedy=Remedy(
                f"estimate for {pricing.prices.region}, or ask AWS for the price list of {region}"
            ),
        )
    )


def _estimate(
    pricing: Pricing, items: Iterable[Item], guide_total: Decimal | None = None
) -> Estimate:
    prices = pricing.prices
    lines = tuple(_line(pricing, item) for item in items)
    return Estimate(lines, prices.region, prices.as_of, guide_total)


def _line(pricing: Pricing, item: Item) -> Line:
    asks = tuple(
        Ask(part.price, words)
        for part in item.parts
        if (words := _missing(pricing, part.price)) is not None
    )
    usd = None
    if not asks:
        usd = sum((_amount(pricing, part) for part in item.parts), Decimal(0))
        usd = usd.quantize(_CENT, ROUND_HALF_UP)
    return Line(item.resource, item.specification, usd, item.guide_usd, item.note, asks)


def _missing(pricing: Pricing, key: str) -> str | None:
    """What to ask for when a price is not known.

    Raises:
        StackError: a bill names a price that is neither in the list nor one to ask for.
    """
    if key in pricing.given or key in pricing.prices.prices:
        return None
    if key in pricing.table.asked:
        return pricing.table.asked[key]
    if key.startswith(MACHINE):
        return f"USD an hour of a machine with {key.removeprefix(MACHINE)}"
    raise StackError(
        Problem(
            code="stack.asset",
            summary=f"assets/cost.yaml: price {key} is not in assets/aws-prices.yaml",
            remedy=Remedy("correct assets/cost.yaml, or install devplat-install again"),
        )
    )


def _amount(pricing: Pricing, part: Part) -> Decimal:
    known = {**pricing.prices.prices, **pricing.given}
    hours = pricing.prices.hours_per_month if part.hours == "month" else 1
    factor = known[part.factor] if part.factor else Decimal(1)
    return known[part.price] * part.count * hours * factor
