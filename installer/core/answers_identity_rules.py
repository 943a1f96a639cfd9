"""What the answers about identity and the second factor say of each other.

A rule sees the values that were acceptable by themselves and says nothing where one is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from installer.core.answers_findings import AnswersRule, Finding, Values
from installer.core.fields import warn


def _second_factor_is_required(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    if values.get("mfa.required") is False:
        concern = warn(
            "mfa.not_required",
            "nobody has to have a second factor: a password alone opens every service",
            "write mfa.required: true",
        )
        yield Finding("mfa.required", concern)


def _somebody_asks_for_it(values: Values, given: Collection[str]) -> Iterator[Finding]:
    """What `mfa` says binds the platform's own provider only."""
    del given
    if values.get("identity.mode") == "external" and values.get("mfa.required"):
        concern = warn(
            "mfa.unknown",
            "whether a second factor is asked for is decided by the company's identity provider,"
            " and cannot be read from here",
            "make the provider ask for one, and record who has seen it in waivers",
        )
        yield Finding("identity.mode", concern, ("mfa.required",))


IDENTITY_RULES: tuple[AnswersRule, ...] = (_second_factor_is_required, _somebody_asks_for_it)
