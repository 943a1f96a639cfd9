"""Reads a recording as the phase reads the output of the probe script."""

from __future__ import annotations

from datetime import UTC, datetime

from installer.core.facts_parse import parse_facts

SENT = datetime.fromtimestamp(1795000000, UTC)
RECEIVED = datetime.fromtimestamp(1795000002, UTC)


def parse(text):
    """Facts of a recording that was asked for within two seconds."""
    return parse_facts(text, "target", sent=SENT, received=RECEIVED)
