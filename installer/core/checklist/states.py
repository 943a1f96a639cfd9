"""How an item of a checklist can stand, and which of these let a run end well."""

from __future__ import annotations

from enum import StrEnum


class Result(StrEnum):
    """How an item stands; only the first five let a checklist end well."""

    PASS = "pass"  # measured, and as it should be
    ATTESTED = "attested"  # stated by a person
    WAIVED = "waived"  # failed, and accepted by name until a day
    NOT_MET_ACCEPTED = "not_met_accepted"  # not given here, and accepted by name until a day
    NOT_APPLICABLE = "not_applicable"  # its condition does not hold
    FAIL = "fail"
    NOT_MET = "not_met"  # the guide asks for it, and nothing here gives or shows it
    PENDING = "pending"  # not yet run, could not be run, or not yet answered
    STALE = "stale"  # too old, or of another release

    @property
    def is_good(self) -> bool:
        """Whether a checklist with this one can end well."""
        return self in _GOOD

    @property
    def is_accepted(self) -> bool:
        """Whether somebody took it upon himself; shown in red until its day."""
        return self in (Result.WAIVED, Result.NOT_MET_ACCEPTED)


_GOOD = frozenset(
    {
        Result.PASS,
        Result.ATTESTED,
        Result.WAIVED,
        Result.NOT_MET_ACCEPTED,
        Result.NOT_APPLICABLE,
    }
)
