"""The section `host` of the answers: what a run may change of the host itself.

Nothing unless it is named: the host is its owner's.
"""

from __future__ import annotations

from typing import Annotated

from installer.core.answers_fields import Section, about
from installer.core.fields import Rule, Verdict, as_items, check_each, reject, trim, visible

HOST_CHANGES = ("daemon", "sysctl", "systemd")
"""The engine's daemon.json, kernel settings, a unit that starts the platform after a reboot."""


def check_host_changes(raw: object) -> Verdict:
    """What may be changed of the host; nothing is an answer too."""
    if raw is None or raw == "":
        return Verdict(())
    verdict = check_each(as_items(raw), _check_change)
    return Verdict(tuple(name for name in HOST_CHANGES if name in verdict.value))


def _check_change(raw: object) -> Verdict:
    text = trim(str(raw))
    if text not in HOST_CHANGES:
        raise reject(
            "host.apply",
            f"{visible(text)} is nothing that a run changes of a host; allowed:"
            f" {', '.join(HOST_CHANGES)}",
            "name what may be changed, or leave the list empty: then it is only proposed",
        )
    return Verdict(text)


class HostChanges(Section):
    """Consent to changes of the host that others use too."""

    apply: Annotated[tuple[str, ...], Rule(check_host_changes, takes="list")] = about(
        "May change",
        "What a run may change of the host: daemon (settings of the engine, in daemon.json), sysctl"
        " (kernel settings), systemd (a unit that starts the platform after a reboot). What is not"
        " named is proposed by preflight with the exact change.",
        ["daemon", "sysctl", "systemd"],
        default=(),
    )
