"""Rows of the table of rules: ports as a vantage point sees them."""

from __future__ import annotations

from installer.core.outside import Came, Knock
from tests.preflight.builders import HOST_ADDRESS
from tests.preflight.changes import outside

ROWS = [
    ("PF-OUTSIDE", "reached", {}, {}, ("pass",) * 2),
    ("PF-OUTSIDE", "no vantage point", {"rehearsal": None}, {}, ()),
    (
        "PF-OUTSIDE",
        "a firewall",
        outside(Knock(HOST_ADDRESS, 80, Came.SILENT), Knock(HOST_ADDRESS, 443, Came.REFUSED)),
        {},
        ("fail ports.unreached",) * 2,
    ),
    (
        "PF-OUTSIDE",
        "another machine behind the address",
        outside(Knock(HOST_ADDRESS, 443, Came.OPEN, "SSH-2.0-OpenSSH")),
        {},
        ("fail ports.elsewhere",),
    ),
    (
        "PF-OUTSIDE",
        "held by what runs already",
        outside(Knock(HOST_ADDRESS, 443, Came.OPEN), busy={443: "Address already in use"}),
        {},
        ("pass",),
    ),
    ("PF-OUTSIDE", "not tried", outside(why="no bash there"), {}, ("unknown",)),
]
