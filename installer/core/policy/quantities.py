"""Sizes and durations as Compose and the engine write them, as numbers."""

from __future__ import annotations

import re

from installer.core.policy.paths import Json

_SIZE = re.compile(r"(?i)(?P<number>\d+(\.\d+)?)\s*(?P<unit>[kmgtp]?)(i?b)?")
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION_PART = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_size(value: Json) -> Json:
    """Bytes of a size such as `512m`, `1g`, `536870912`; what is no size comes back as it is.

    Units are powers of 1024, as in docker/go-units `RAMInBytes`.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text == "-1":
        return -1
    match = _SIZE.fullmatch(text)
    if match is None:
        return value
    return int(float(match["number"]) * 1024 ** _POWER[match["unit"].lower()])


def parse_duration(value: Json) -> Json:
    """Seconds of a duration such as `1m30s`; what is no duration comes back as it is."""
    if not isinstance(value, str):
        return value
    parts = list(_DURATION_PART.finditer(value))
    if not parts or "".join(part[0] for part in parts) != value:
        return value
    return sum(float(part["number"]) * _SECONDS[part["unit"]] for part in parts)


def parse_number(value: Json) -> Json:
    """The number that a text is; what is no number comes back as it is."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value
