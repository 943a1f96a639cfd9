"""Rows of the table of rules: a database outside. TL-17."""

from __future__ import annotations

from installer.core.facts import Installation
from tests.preflight.changes import network

ROWS = [
    ("PF-DATABASE", "none outside", network(database="N"), {"database": ""}, ()),
    ("PF-DATABASE", "takes TLS", network(database="S"), {}, ("pass",)),
    (
        "PF-DATABASE",
        "clear text only",
        network(database="N"),
        {},
        ("fail database.clear_text",),
    ),
    (
        "PF-DATABASE",
        "not reached",
        network(database=""),
        {},
        ("fail database.unreachable",),
    ),
    (
        "PF-DATABASE",
        "another protocol",
        network(database="H"),
        {},
        ("fail database.unreachable",),
    ),
    (
        "PF-DATABASE",
        "the platform's own has data",
        {"installation": Installation(data={"postgres/data": True, "redis/data": True})},
        {"replaced": ("postgres",)},
        ("fail database.left_behind", "pass"),
    ),
    (
        "PF-DATABASE",
        "the platform's own is empty",
        {"installation": Installation(data={"postgres/data": False, "redis/data": True})},
        {"replaced": ("postgres",)},
        ("pass",),
    ),
    ("PF-DATABASE", "not asked", network(database=None), {}, ("unknown",)),
]
