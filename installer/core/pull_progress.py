"""How far a pull is, from the lines in which Compose tells it for each layer.

They are made for people and differ between versions of Compose: what is not understood is no
progress, and never an error.
"""

from __future__ import annotations

import re

_LINE = re.compile(
    r"\s*(?P<layer>[0-9a-f]{12}) (?P<what>Pulling fs layer|Waiting|Downloading|Verifying Checksum"
    r"|Download complete|Extracting|Pull complete|Already exists)\b"
    r"(?:.*\s(?P<done>[0-9.]+)(?P<done_unit>[kMGT]?B)/(?P<total>[0-9.]+)(?P<unit>[kMGT]?B))?\s*"
)
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_ANNOUNCED = frozenset({"Pulling fs layer", "Waiting"})


class PullProgress:
    """Bytes that are downloaded, of those that the layers of all images have."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int] | None] = {}

    def hear(self, line: str) -> bool:
        """Take in a line; whether it told of a layer."""
        match = _LINE.fullmatch(line)
        if match is None:
            return False
        layer, what = match["layer"], match["what"]
        known = self._layers.get(layer)
        if what in _ANNOUNCED:
            self._layers[layer] = None
        elif what == "Downloading":
            if match["total"]:
                done = _parse_size(match["done"], match["done_unit"])
                self._layers[layer] = (done, _parse_size(match["total"], match["unit"]))
        else:  # past its download, whose size a small layer never tells
            size = known[1] if known else 0
            self._layers[layer] = (size, size)
        return True

    @property
    def done(self) -> int:
        """Bytes downloaded."""
        return sum(layer[0] for layer in self._layers.values() if layer)

    @property
    def total(self) -> int | None:
        """Bytes in all; None before any is known.

        The engine learns a layer's size when it begins it, a few at a time: until then a layer
        counts as the mean of those that are known.
        """
        sizes = [layer[1] for layer in self._layers.values() if layer and layer[1]]
        if not sizes:
            return None
        unknown = sum(layer is None for layer in self._layers.values())
        return sum(sizes) + unknown * sum(sizes) // len(sizes)


def _parse_size(number: str, unit: str) -> int:
    try:
        return round(float(number) * _UNITS[unit])
    except ValueError:
        return 0
