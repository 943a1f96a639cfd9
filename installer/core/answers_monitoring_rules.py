"""What the answers about alerts say of each other: a receiver is given whole, or not at all.

A rule sees the values that were acceptable by themselves and says nothing where one of its values
is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from installer.core.answers_findings import AnswersRule, Finding, Values
from installer.core.fields import Concern

_SECTION = "monitoring"
_NEEDS = (
    ("mail_to", "mail_host"),
    ("mail_host", "mail_to"),
    ("mail_from", "mail_to"),
    ("mail_user", "mail_to"),
    ("mail_user", "mail_password"),
    ("mail_password", "mail_user"),
    ("slack_channel", "slack_url"),
)
"""Answers of the section, and what each is nothing without."""


def _receivers_are_whole(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    for name, needed in _NEEDS:
        path, other = f"{_SECTION}.{name}", f"{_SECTION}.{needed}"
        if values.get(path) is not None and other in values and values[other] is None:
            concern = Concern(
                "monitoring.receiver",
                f"{name} is given and {needed} is not",
                f"write {other}, or delete {path}",
            )
            yield Finding(path, concern, (other,))


MONITORING_RULES: tuple[AnswersRule, ...] = (_receivers_are_whole,)
