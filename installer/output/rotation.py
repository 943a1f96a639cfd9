"""What a rotation would do, as lines for a person who is about to consent to it."""

from __future__ import annotations

from collections.abc import Iterator

from installer.core.plan import Plan
from installer.core.rotation import Choice, databases_of, declaration_of, reload_order


def format_rotation(plan: Plan, choice: Choice) -> Iterator[str]:
    """Which secrets get a new value, which do not and why, and which services that interrupts."""
    for name in choice.names:
        yield f"~ secret  {name} ({declaration_of(plan, name).purpose})"
    for name, why in choice.skipped.items():
        yield f"  secret  {name} keeps its value: {why}"
    for database in databases_of(plan, choice.names):
        yield (
            f"~ logins  {database.database} in {database.provider}: a second one, then the old one"
            " is removed and what is connected by it disconnected"
        )
    for number, service in enumerate(reload_order(plan, choice.names), 1):
        yield f"~ restart {number:>2}. {service}"
    yield "each is waited for until it is healthy; if one is not, the old values are put back"
