"""Patterns of check ids: `*`, `?` and `[…]` as in a shell."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache


@lru_cache(maxsize=1 << 17)
def fits(id: str, pattern: str) -> bool:
    """Whether a check's id is one that the pattern means."""
    return _compiled(pattern).match(id) is not None


def literal_prefix(pattern: str) -> str:
    """What every id that fits the pattern begins with."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))
