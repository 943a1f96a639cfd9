"""Checks of whole numbers, memory, CPUs and schedules.

Numbers are decimal digits and nothing else: what one YAML reader takes for a number and another for
text (`1e3`, `0022`, `0x10`, `1_000`) is refused rather than guessed.
"""

from __future__ import annotations

import re

from installer.core.fields import Check, Verdict, check_text, reject, trim, visible, warn

_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_DIGITS = 15
"""Digits beyond which a number is out of every range; keeps conversions cheap."""

SINGLE_HOST_USERS = 50
"""Users up to which one host with Compose is recommended by the platform's guide."""


def check_whole(prefix: str, low: int, high: int, what: str, *, typed: bool = False) -> Check:
    """A check for a whole number from `low` to `high`.

    Args:
        prefix: Of the codes: `<prefix>.form`, `<prefix>.range`, `<prefix>.type`.
        low: Smallest value.
        high: Largest value.
        what: What is counted, for messages.
        typed: A number with a fraction is of the wrong type, rather than badly written.
    """
    allowed = f"a whole number from {low} to {high}"

    def check(raw: object) -> Verdict:
        if isinstance(raw, bool) or (typed and isinstance(raw, float)):
            kind = "true or false" if isinstance(raw, bool) else "a number with a fraction"
            raise reject(f"{prefix}.type", f"{what} is {kind}: {visible(raw)}", f"write {allowed}")
        text = trim(str(raw))
        if not _WHOLE.fullmatch(text) or text == "-0":
            raise reject(
                f"{prefix}.form",
                f"{visible(text)} is not a whole number; {what} is {allowed}",
                f"write {allowed}, digits only, without leading zeros",
            )
        if len(text) > _DIGITS or not low <= int(text) <= high:
            raise reject(
                f"{prefix}.range",
                f"{visible(text)} is out of range; {what} is {allowed}",
                f"write {allowed}",
            )
        return Verdict(int(text))

    return check


check_port = check_whole("port", 1, 65535, "a port", typed=True)
check_workspaces = check_whole("size", 1, 100_000, "concurrent workspaces")
check_retention = check_whole("retention", 1, 3650, "retention in days")
check_shares = check_whole("vault.shares", 1, 255, "the number of key shares")
check_threshold = check_whole("vault.threshold", 1, 255, "the threshold of key shares")
_check_users = check_whole("size", 1, 100_000, "the number of users")


def check_users(raw: object) -> Verdict:
    """People with an account; more than one host is recommended for asks for a decision."""
    verdict = _check_users(raw)
    if verdict.value <= SINGLE_HOST_USERS:
        return verdict
    return Verdict(
        verdict.value,
        (
            warn(
                "size.beyond_compose",
                f"{verdict.value} users are beyond the {SINGLE_HOST_USERS} that one host with"
                " Compose is recommended for",
                "spread the platform over a cluster, or accept slower builds and one point of"
                " failure",
            ),
        ),
    )


def check_key_shares(raw: object) -> Verdict:
    """Parts that the unseal key is split into; a single one asks for a decision."""
    verdict = check_shares(raw)
    if verdict.value > 1:
        return verdict
    return Verdict(
        1,
        (
            warn(
                "vault.single_share",
                "with a single key share one person holds everything",
                "have at least 3 shares, held by different people",
            ),
        ),
    )


_MEMORY = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,6}))?\s?([A-Za-z]*)", re.ASCII)
_UNITS = {"k": 1, "m": 1024, "g": 1024**2, "t": 1024**3}
"""Unit to KiB; the engine counts in powers of 1024 whichever way the unit is spelled."""
_LEAST_KIB = 16 * 1024
_MOST_KIB = 1024**3
"""1 TiB for one service is beyond every host that this deployment is meant for."""


def check_memory(raw: object) -> Verdict:
    """An amount of memory with its unit, stored as the engine writes it: `512M`, `4G`."""
    text = trim(str(raw))
    match = _MEMORY.fullmatch(text)
    if isinstance(raw, bool) or not match:
        raise reject(
            "size.form",
            f"{visible(text)} is not an amount of memory",
            "write a number and a unit: 512M or 4G",
        )
    whole, fraction, unit = match[1], match[2] or "", match[3].lower()
    if not unit:
        raise reject(
            "size.unit",
            f"{visible(text)} has no unit; the engine would take it for bytes",
            f"write the unit: {whole}M or {whole}G",
        )
    scale = _UNITS.get(unit.removesuffix("b").removesuffix("i"))
    if scale is None or unit in {"i", "ib"}:
        raise reject(
            "size.unit",
            f"{visible(text)} has an unknown unit; allowed: M, G",
            "write the unit as M (MiB) or G (GiB)",
        )
    kib = int(whole) * scale + int(fraction or 0) * scale // 10 ** len(fraction)
    return Verdict(_store_memory(kib, text))


def _store_memory(kib: int, text: str) -> str:
    if kib < _LEAST_KIB:
        raise reject(
            "size.range",
            f"{visible(text)} is less than a container can run with",
            f"write at least {_LEAST_KIB // 1024}M",
        )
    if kib > _MOST_KIB:
        raise reject(
            "size.exceeds_host",
            f"{visible(text)} is more than any host has that this deployment is meant for",
            f"write at most {_MOST_KIB // 1024**2}G, and no more than the host has",
        )
    if kib % 1024**2 == 0 and not text.lower().rstrip("b").rstrip("i").endswith("m"):
        return f"{kib // 1024**2}G"
    return f"{kib // 1024}M"


def memory_mib(stored: str) -> int:
    """MiB of a stored amount of memory (`512M`, `4G`)."""
    return int(stored[:-1]) * (1024 if stored[-1] == "G" else 1)


_CPUS = re.compile(r"(0|[1-9][0-9]{0,5})(\.[0-9]{1,3})?", re.ASCII)
_MOST_CPUS = 256


def check_cpus(raw: object) -> Verdict:
    """CPUs that a container may use, in cores; 0 would mean no limit to the engine."""
    text = trim(f"{raw:g}" if isinstance(raw, float) else str(raw))
    if isinstance(raw, bool) or not _CPUS.fullmatch(text.removeprefix("-")):
        raise reject(
            "size.form",
            f"{visible(raw)} is not a number of CPUs",
            "write a decimal number: 0.5, 2 or 2.5",
        )
    cores = float(text)
    if cores > _MOST_CPUS:
        raise reject(
            "size.exceeds_host",
            f"{visible(text)} CPUs are more than any host has that this deployment is meant for",
            f"write at most {_MOST_CPUS}, and no more than the host has",
        )
    if cores < 0.01:
        raise reject(
            "size.range",
            f"{visible(text)} is out of range; 0 would mean no limit to the engine",
            f"write a number from 0.01 to {_MOST_CPUS}",
        )
    return Verdict(cores)


_CRON_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    (
        "month",
        1,
        12,
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ),
    ("day of the week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_CRON_PART = re.compile(r"(\*|\w{1,4})(?:-(\w{1,4}))?(?:/([1-9][0-9]?))?", re.ASCII)
_check_line = check_text(200)


def check_schedule(raw: object) -> Verdict:
    """Five fields of crontab(5), as `0 3 * * *`; one that never comes is refused."""
    text = trim(_check_line(raw).value)
    fields = text.split()
    if len(fields) != len(_CRON_FIELDS):
        raise reject(
            "schedule.form",
            f"{visible(text)} has {len(fields)} fields instead of {len(_CRON_FIELDS)}",
            "write minute, hour, day, month, day of the week: 0 3 * * *",
        )
    values = expand_schedule(text)
    days, months = values[2], values[3]
    if fields[4] == "*" and min(days) > max(_DAYS_IN_MONTH[month - 1] for month in months):
        raise reject(
            "schedule.never",
            f"{visible(text)} names a day that none of its months has",
            "choose a day that exists",
        )
    return Verdict(" ".join(fields))


def expand_schedule(text: str) -> list[set[int]]:
    """The minutes, hours, days, months and weekdays of five fields; Sunday is 0, and 7 too."""
    return [
        _cron_values(written, *limits)
        for written, limits in zip(text.split(), _CRON_FIELDS, strict=True)
    ]


def _cron_values(written: str, name: str, low: int, high: int, names: tuple[str, ...]) -> set[int]:
    values: set[int] = set()
    for part in written.split(","):
        match = _CRON_PART.fullmatch(part)
        first, last = _cron_range(match, low, high, names) if match else (None, None)
        if match is None or first is None or last is None or not low <= first <= last <= high:
            raise reject(
                "schedule.form",
                f"{visible(written)} is no {name}; allowed: {low} to {high}, *, lists, ranges,"
                " steps",
                "write minute, hour, day, month, day of the week: 0 3 * * *",
            )
        values |= set(range(first, last + 1, int(match[3] or 1)))
    return values


def _cron_range(
    match: re.Match[str], low: int, high: int, names: tuple[str, ...]
) -> tuple[int | None, int | None]:
    if match[1] == "*":
        return (None, None) if match[2] else (low, high)
    first = _cron_number(match[1], low, names)
    if match[2]:
        return first, _cron_number(match[2], low, names)
    # a step without a range runs to the end, as in crontab(5)
    return first, high if match[3] else first


def _cron_number(word: str, low: int, names: tuple[str, ...]) -> int | None:
    if word.lower() in names:
        return names.index(word.lower()) + low
    return int(word) if word.isdigit() and word.isascii() else None
