"""The terms in which a field is judged: `Concern`, `FieldError`, `Verdict`, and `Rule`.

The checks themselves are pure functions in the `fields_*` modules; each takes raw text or a typed
value, so that screen, file and environment get the same verdict. Nothing here knows an answer path.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

SHOWN = 80
"""Characters of a value that a message shows at most (BR-03)."""
LONGEST_LIST = 64
"""Elements of a list that are looked at; no list of the answers needs more."""


class Severity(StrEnum):
    """Whether a recorded decision can let the value pass."""

    REJECT = "reject"
    WARN = "warn"  # acceptable once somebody has said so


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing to say about a value; `index` is the element it is about, in a list."""

    code: str
    summary: str
    remedy: str
    severity: Severity = Severity.REJECT
    index: int | None = None


class FieldError(ValueError):
    """The value is not acceptable; carries at least one concern."""

    def __init__(self, *concerns: Concern) -> None:
        self.concerns = concerns
        super().__init__("; ".join(concern.summary for concern in concerns))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The value to store, in its one normal form, and what has to be confirmed before it counts."""

    value: Any
    concerns: tuple[Concern, ...] = ()


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file of this machine: `head` is its first 4 KiB, undecodable bytes replaced."""

    is_file: bool
    mode: int
    head: str


Check = Callable[[object], Verdict]
FileCheck = Callable[[str, FileFacts | None], None]
Takes = Literal["text", "number", "switch", "list", "secret", "mapping"]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a field is judged; stands in the `Annotated` type of a field of the model.

    Attributes:
        check: Raw text or typed value to verdict; raises `FieldError`. Its results pass unchanged.
        takes: What the check is given. A text field gets what is written, whatever it looks like.
        choices: All values, where they can be listed.
        private: The value is never shown.
        probe: Judges the file of this machine that the value names.
        check_key: Judges a key, for a field that is a mapping of free keys.
        join_key: Makes one key of the segments of a path, for such a field.
    """

    check: Check
    takes: Takes = "text"
    choices: tuple[str, ...] = ()
    private: bool = False
    probe: FileCheck | None = None
    check_key: Check | None = None
    join_key: Callable[[Sequence[str]], str] | None = None

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The model applies the same check, so that no other way leads to an instance."""
        return core_schema.no_info_before_validator_function(self._normalise, handler(source))

    def judge(self, raw: object) -> Verdict:
        """The verdict on a value, or on one value of a mapping.

        Raises:
            FieldError: the value is not acceptable, or it is a secret in a field that is not.
        """
        if not self.private:
            for item in as_items(raw):
                refuse_secret(str(item))
        return self.check(raw)

    def judge_key(self, key: str) -> str:
        """The stored form of a key of a mapping. Raises `FieldError`."""
        refuse_secret(key)
        return str(self.check_key(key).value) if self.check_key else key

    def _normalise(self, raw: object) -> object:
        if raw is None:
            return None
        if self.takes == "mapping":
            items = dict(raw).items() if isinstance(raw, Mapping) else ()
            return {self.judge_key(key): self.judge(value).value for key, value in items}
        return self.judge(raw).value


def reject(code: str, summary: str, remedy: str) -> FieldError:
    """The error for one plain refusal."""
    return FieldError(Concern(code, summary, remedy))


def warn(code: str, summary: str, remedy: str) -> Concern:
    """A concern that a recorded decision can lift."""
    return Concern(code, summary, remedy, Severity.WARN)


def visible(value: object) -> str:
    """The value in quotes for a message: control characters visible, at most 80 characters."""
    text = str(value)
    shown = "".join(_visible_char(char) for char in text[: SHOWN + 1])
    if len(text) > SHOWN or len(shown) > SHOWN:
        shown = shown[: SHOWN - 1] + "…"
    return f"'{shown}'"


def _visible_char(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")


def first_invisible(text: str) -> str | None:
    """The first character that is no part of a line of text, made visible, or None.

    That is: control, format, surrogate, private, unassigned; line and paragraph separators.
    """
    for char in text:
        category = unicodedata.category(char)
        if category[0] == "C" or category in {"Zl", "Zp"}:
            return char.encode("unicode_escape").decode("ascii")
    return None


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `word`, or None when none is near."""
    found = difflib.get_close_matches(word[:SHOWN], list(candidates), n=1, cutoff=0.6)
    return found[0] if found else None


_PRIVATE_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
_TOKENS = re.compile(
    r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}|\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_[A-Za-z0-9_]{50,}"
    r"|\bglpat-[A-Za-z0-9_-]{20,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAGE-SECRET-KEY-1[A-Z0-9]{20,}"
)


def looks_secret(text: str) -> bool:
    """Whether a private key or a well-known form of token is in the text."""
    return bool(_PRIVATE_BLOCK.search(text) or _TOKENS.search(text))


def refuse_secret(text: str) -> None:
    """Raise `FieldError` when a value that is not secret holds a secret; never shows it."""
    if looks_secret(text):
        raise reject(
            "file.secret_in_public",
            "the value holds a private key or a token, and this field is not secret",
            "take it out, and replace that key or token: it has been written in the clear",
        )


def check_each(items: Sequence[Any], check: Check) -> Verdict:
    """Judge every element of a list; all concerns at once, each with its index."""
    if len(items) > LONGEST_LIST:
        raise reject(
            "list.too_long",
            f"there are {len(items)} elements; at most {LONGEST_LIST} are possible",
            "shorten the list",
        )
    values: list[Any] = []
    refused: list[Concern] = []
    concerns: list[Concern] = []
    for index, item in enumerate(items):
        try:
            verdict = check(item)
        except FieldError as error:
            refused += [replace(concern, index=index) for concern in error.concerns]
            continue
        values.append(verdict.value)
        concerns += [replace(concern, index=index) for concern in verdict.concerns]
    if refused:
        raise FieldError(*refused)
    return Verdict(tuple(values), tuple(concerns))


def as_items(raw: object) -> tuple[object, ...]:
    """The elements of a list as a check is given it; a single value is a list of one."""
    return tuple(raw) if isinstance(raw, list | tuple) else (raw,)


def trim(text: str) -> str:
    """Without blanks at both ends; what pasting leaves there carries no meaning."""
    return text.strip(" ")


def check_text(limit: int = 1000) -> Check:
    """A check for one line of any text, at most `limit` characters."""

    def check(raw: object) -> Verdict:
        text = str(raw)
        if len(text) > limit:
            raise reject(
                "text.too_long",
                f"{visible(text)} has {len(text)} characters; at most {limit} are possible",
                "shorten it",
            )
        if bad := first_invisible(text):
            raise reject(
                "text.bad_char",
                f"{visible(text)} holds the control character {bad}",
                "write one line of visible characters",
            )
        return Verdict(text)

    return check


def check_choice(*choices: str, code: str = "choice.unknown") -> Check:
    """A check for one of a few words."""

    def check(raw: object) -> Verdict:
        text = trim(str(raw))
        if text in choices:
            return Verdict(text)
        near = nearest(text.lower(), choices)
        raise reject(
            code,
            f"{visible(text)} is not one of {', '.join(choices)}",
            f"write {near!r}" if near else f"choose one of {', '.join(choices)}",
        )

    return check


def check_switch(raw: object) -> Verdict:
    """True or false. The yes, no, on and off of YAML 1.1 are text in YAML 1.2 (10.3.2)."""
    if isinstance(raw, bool):
        return Verdict(raw)
    text = trim(str(raw)).lower()
    if text in {"true", "false"}:
        return Verdict(text == "true")
    raise reject("switch.form", f"{visible(raw)} is neither true nor false", "write true or false")


def to_text(value: object) -> str:
    """A stored value as text for people, and as a screen or a variable would give it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
