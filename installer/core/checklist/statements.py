"""What people state about items: that one is met, or that its failure is accepted until a day.

Each statement names who and when, and carries the hash of the one before it, so that one that was
changed, moved or taken out of the middle is found. Nothing here reads a clock or a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from installer.core.errors import IntegrityError, Problem, Remedy, UsageError

LONGEST_NAME = 100
LONGEST_NOTE = 2000


class Kind(StrEnum):
    """What a statement says."""

    ATTEST = "attest"
    WAIVE = "waive"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of one person.

    Attributes:
        item: Id of the item whose statement this is.
        by: The name that was typed.
        account: The operator's account and machine.
        at: ISO 8601, UTC.
        note: What is stated, or why the failure is accepted.
        until: Last day of a waiver, ISO 8601; empty otherwise.
        release, target: What it was made about.
        product: Version of the program that recorded it.
        evidence: SHA-256 of what was measured of the item at that time.
        covers: The failures that a waiver accepts; one that comes later is not accepted.
        previous, hash: SHA-256 of the statement before, and over everything else of this one.
    """

    kind: Kind
    item: str
    by: str
    account: str
    at: str
    note: str
    until: str
    release: str
    target: str
    product: str
    evidence: str
    covers: tuple[str, ...] = ()
    previous: str = ""
    hash: str = ""

    @property
    def made(self) -> datetime:
        """When it was made."""
        return datetime.fromisoformat(self.at)

    def is_in_force(self, today: date) -> bool:
        """Whether a waiver has not ended."""
        return date.fromisoformat(self.until) >= today


def append(chain: Sequence[Statement], made: Statement) -> tuple[Statement, ...]:
    """The chain with one more statement, sealed."""
    linked = replace(made, previous=chain[-1].hash if chain else "", hash="")
    return (*chain, replace(linked, hash=_hash(linked)))


def check_chain(chain: Iterable[Statement], path: str) -> None:
    """Every statement is as it was recorded, and follows the one before it.

    Raises:
        IntegrityError: one is not.
    """
    before = ""
    for number, statement in enumerate(chain, 1):
        if statement.previous != before or statement.hash != _hash(replace(statement, hash="")):
            raise IntegrityError(_altered(path, number))
        before = statement.hash


def format_chain(chain: Iterable[Statement]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(asdict(s), ensure_ascii=False, sort_keys=True) + "\n" for s in chain)


def parse_chain(text: str, path: str) -> tuple[Statement, ...]:
    """The statements of a file, judged.

    Raises:
        IntegrityError: a line was altered, is cut short or is none of ours.
    """
    chain = []
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
        try:
            statement = _parse(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            raise IntegrityError(_altered(path, number)) from error
        if f"{line}\n" != format_chain([statement]):
            raise IntegrityError(_altered(path, number))
        chain.append(statement)
    check_chain(chain, path)
    return tuple(chain)


def clean_name(text: str) -> str:
    """The name of who states something.

    Raises:
        UsageError: it is empty, too long, or has characters that are not shown.
    """
    return _clean(text, "--by", LONGEST_NAME)


def clean_note(text: str, flag: str) -> str:
    """What is stated, in one line.

    Raises:
        UsageError: as `clean_name`.
    """
    return _clean(text, flag, LONGEST_NOTE)


def read_until(text: str, today: date, longest_days: int) -> str:
    """The last day of a waiver.

    Raises:
        UsageError: it is no date, is past, or is too far away.
    """
    try:
        until = date.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(_bad_day(f"{text.strip()[:40]!r} is no date", longest_days)) from error
    days = (until - today).days
    if days < 0:
        raise UsageError(_bad_day(f"{until} is past", longest_days))
    if days > longest_days:
        raise UsageError(_bad_day(f"{until} is {days} days away", longest_days))
    return until.isoformat()


def _parse(data: Any) -> Statement:
    if not isinstance(data, dict) or set(data) != {field.name for field in fields(Statement)}:
        raise ValueError("not a statement")
    covers = tuple(str(key) for key in data.pop("covers"))
    if not all(isinstance(value, str) for value in data.values()):
        raise ValueError("not a statement")
    statement = Statement(**{**data, "kind": Kind(data["kind"])}, covers=covers)
    datetime.fromisoformat(statement.at)
    if statement.until:
        date.fromisoformat(statement.until)
    return statement


def _hash(statement: Statement) -> str:
    content = {key: value for key, value in asdict(statement).items() if key != "hash"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _clean(text: str, flag: str, longest: int) -> str:
    cleaned = " ".join(text.split())
    if not cleaned or len(cleaned) > longest or not cleaned.isprintable():
        raise UsageError(
            Problem(
                "checklist.text",
                f"{flag} has {len(cleaned)} characters, or some that are not shown; allowed: 1 to"
                f" {longest} that are",
                Remedy("say it in plain words"),
                where=flag,
            )
        )
    return cleaned


def _bad_day(what: str, longest_days: int) -> Problem:
    return Problem(
        "checklist.until",
        f"{what}; allowed: a day as 2027-01-31, from today on, at most {longest_days} days away",
        Remedy("name the day on which it is looked at again"),
        where="--until",
    )


def _altered(path: str, number: int) -> Problem:
    return Problem(
        "checklist.altered",
        f"{path} line {number} is not as it was recorded, or a line before it is missing",
        Remedy(
            "restore the file from a backup of the run directory; without one, move it away and"
            " have everything stated anew"
        ),
        where=path,
    )
