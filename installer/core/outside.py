"""What came of trying a TCP connection, and what is seen of a host's ports from somewhere else.

Data only; who tries is `phases.outside`, and the rules about it are `rules_outside`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Came(StrEnum):
    """What came of a try: of TCP's answers, only the first lets anybody in."""

    OPEN = "open"
    REFUSED = "refused"  # a reset, or a firewall that says no
    UNREACHABLE = "unreachable"  # no way there, as the kernel or a router says
    SILENT = "silent"  # no answer within the limit
    STRANGE = "strange"


@dataclass(frozen=True, slots=True)
class Knock:
    """What came of one try from outside; `greeting` is what the other end said, if it was asked."""

    address: str
    port: int
    came: Came
    greeting: str = ""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Ports tried before anything is installed, with a listener of our own behind them.

    Attributes:
        vantage: Where they were tried from.
        knocks: What came of it.
        nonce: What our listener says.
        busy: Port → why our listener could not have it; whoever holds it answers instead.
        why: Why nothing could be tried, else empty.
    """

    vantage: str
    knocks: tuple[Knock, ...] = ()
    nonce: str = ""
    busy: Mapping[int, str] = field(default_factory=dict)
    why: str = ""
