"""Signs beside words: never the only way a state is told, and plain where the terminal is plain."""

from __future__ import annotations

import locale
import os
from collections.abc import Mapping

_PLAIN = {"done": "+", "here": ">", "open": "!", "fail": "x", "wait": ".", "unknown": "?"}
_DRAWN = {"done": "✓", "here": "▸", "open": "!", "fail": "✗", "wait": "·", "unknown": "?"}
_OF_OUTCOME = {
    "pass": "done",
    "warn": "open",
    "fail": "fail",
    "unknown": "unknown",
    "waived": "open",
    "unmet": "open",
}


def is_plain(environment: Mapping[str, str]) -> bool:
    """Whether the terminal is promised ASCII alone (F-077)."""
    if environment.get("DEVPLAT_ASCII"):
        return True
    named = environment.get("LC_ALL") or environment.get("LC_CTYPE") or environment.get("LANG", "")
    encoding = named.partition(".")[2] or locale.getpreferredencoding(False)
    return "utf" not in encoding.lower()


def sign(state: str) -> str:
    """The sign of a state of a step, or of an outcome."""
    table = _PLAIN if is_plain(os.environ) else _DRAWN
    return table[_OF_OUTCOME.get(state, state)]
