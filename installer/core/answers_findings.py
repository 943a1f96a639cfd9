"""What a rule across fields is given and what it says: `Values` and `Finding`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from installer.core.fields import Concern

Values: TypeAlias = Mapping[str, Any]
"""The values that were acceptable by themselves, by dotted path, defaults among them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A concern about several fields; `where` is the one to change, `involves` are the others."""

    where: str
    concern: Concern
    involves: tuple[str, ...] = ()


class AnswersRule(Protocol):
    """A rule across fields; `given` are the paths that somebody set."""

    def __call__(self, values: Values, given: Collection[str]) -> Iterator[Finding]: ...
