"""What comes before and below the structure of a YAML file: its bytes, and its plain scalars.

Bytes must be UTF-8 text of a bounded size. Plain scalars resolve by a subset of the core schema of
YAML 1.2.2 (10.3.2) in which no two common readers disagree: everything else stays text.
"""

from __future__ import annotations

import re

from installer.core.errors import AnswersError, Mark, Problem, Remedy
from installer.core.fields import visible

MAX_BYTES = 256 * 1024
"""A complete answers file has some 10 KiB; a larger one is not one."""

_MAGIC = (b"\x7fELF", b"PK\x03\x04", b"\x1f\x8b", b"MZ", b"\x89PNG", b"%PDF", b"BZh", b"\xfd7zXZ")
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_TAB = re.compile(r"^[ ]*\t", re.MULTILINE)


def decode(data: bytes, file: str) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        AnswersError: it is too big, not UTF-8, or holds characters that no text has.
    """
    if len(data) > MAX_BYTES:
        raise AnswersError(
            make_problem(
                "file.too_big",
                f"the file has {len(data)} bytes; at most {MAX_BYTES} are read",
                "name the answers file; a complete one has some 10 KiB",
                Mark(file, 1, 1),
            )
        )
    wide = data.startswith(_WIDE)
    if not wide and (b"\0" in data or data.startswith(_MAGIC)):
        raise AnswersError(
            make_problem(
                "file.binary",
                "the file is no text: an executable, an archive or an image",
                "name the answers file",
                Mark(file, 1, 1),
            )
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        mark = Mark(file, before.count(b"\n") + 1, column)
        seen = "UTF-16" if wide else f"the byte 0x{data[error.start]:02x}"
        raise AnswersError(
            make_problem("file.encoding", f"{seen} is not UTF-8", "save the file as UTF-8", mark)
        ) from error
    _refuse_characters(text, file)
    return text


def _refuse_characters(text: str, file: str) -> None:
    problems: list[Problem] = []
    if found := _CONTROL.search(text):
        problems.append(
            make_problem(
                "file.control_char",
                f"the file holds the control character {visible(found[0])}",
                'delete it; inside double quotes it can be written as an escape: "\\x1b"',
                _place(text, found.start(), file),
            )
        )
    if found := _TAB.search(text):
        problems.append(
            make_problem(
                "file.tab",
                "a tab indents this line, and YAML allows blanks only",
                "replace tabs by blanks",
                _place(text, found.end() - 1, file),
            )
        )
    if problems:
        raise AnswersError(*problems)


def _place(text: str, offset: int, file: str) -> Mark:
    before = text[:offset]
    return Mark(file, before.count("\n") + 1, offset - before.rfind("\n"))


_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,14})", re.ASCII)
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15}", re.ASCII)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}


def resolve_plain(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar; octal, hexadecimal, exponents and 1.1 booleans stay text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and text != "-0":
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def make_problem(code: str, summary: str, remedy: str, mark: Mark) -> Problem:
    """A problem with a place in a file."""
    return Problem(code, summary, Remedy(remedy), mark=mark)
