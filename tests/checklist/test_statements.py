"""Statements are kept in a chain: who, when, about what; one that was changed is found."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from installer.core.checklist import Kind, Statement
from installer.core.checklist.statements import append, format_chain, parse_chain
from installer.core.errors import IntegrityError, LocalIoError
from installer.evidence_files import StatementFile


def statement(note: str = "rota in the wiki", **changes: str) -> Statement:
    fields = {
        "item": "CK-18", "by": "Ada", "account": "ada@bastion", "at": "2026-11-24T12:00:00+00:00",
        "until": "", "release": "0123456789ab", "target": "192.0.2.10", "product": "0.1.0",
        "evidence": "0" * 64,
    }  # fmt: skip
    return Statement(kind=Kind.ATTEST, note=note, **{**fields, **changes})


def chain_of(*notes: str) -> tuple[Statement, ...]:
    chain: tuple[Statement, ...] = ()
    for note in notes:
        chain = append(chain, statement(note))
    return chain


TEXT = format_chain(chain_of("one", "zwei €", "three"))


def test_a_chain_is_read_as_it_was_written() -> None:
    assert parse_chain(TEXT, "x") == chain_of("one", "zwei €", "three")
    assert parse_chain("", "x") == ()


def test_one_changed_byte_of_a_statement_is_found_with_its_line_cr_04() -> None:
    for index, character in enumerate(TEXT):
        spoilt = f"{TEXT[:index]}{chr(ord(character) ^ 1)}{TEXT[index + 1 :]}"
        with pytest.raises(IntegrityError, match="line"):
            parse_chain(spoilt, "checklist.jsonl")


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[1:],
        lambda lines: [lines[0], lines[2]],
        lambda lines: [lines[1], lines[0], lines[2]],
        lambda lines: [*lines, lines[2]],
        lambda lines: [*lines[:2], lines[2][:40]],
        lambda lines: [*lines, "{}\n"],
        lambda lines: [*lines, "\n"],
        lambda lines: [lines[0].replace('": ', '":'), *lines[1:]],
    ],
    ids=["first gone", "middle gone", "swapped", "twice", "cut", "empty", "blank", "layout"],
)
def test_a_chain_with_a_link_missing_or_moved_is_refused(change) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(IntegrityError):
        parse_chain("".join(change(TEXT.splitlines(keepends=True))), "x")


def test_the_file_is_for_its_owner_alone_and_made_by_the_first_statement(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    file = StatementFile(tmp_path / "checklist.jsonl")
    assert file.read() == ()
    file.add(statement("one"))
    file.add(statement("two"))
    assert [s.note for s in file.read()] == ["one", "two"]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    file.path.chmod(0o644)
    with pytest.raises(LocalIoError):
        file.read()


def test_two_who_state_something_at_once_are_both_kept(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    file = StatementFile(tmp_path / "checklist.jsonl")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: file.add(statement(f"note {n}")), range(8)))
    assert {s.note for s in file.read()} == {f"note {n}" for n in range(8)}


def test_an_altered_file_takes_no_further_statement(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    file = StatementFile(tmp_path / "checklist.jsonl")
    file.add(statement("one"))
    file.path.write_text(file.path.read_text().replace("one", "two"))
    with pytest.raises(IntegrityError):
        file.add(statement("three"))
    file.path.write_bytes(b"\xff\xfe")
    with pytest.raises(IntegrityError):
        file.read()
