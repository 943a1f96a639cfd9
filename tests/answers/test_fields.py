"""Neighbours of the catalogue's cases: the classes of input, rather than its examples."""

from __future__ import annotations

import pytest

from installer.core import draft
from installer.core.fields import FileFacts, visible
from tests.answers import cases
from tests.answers.conftest import make_catalog
from tests.answers.neighbours import ACCEPTED, NORMALISED, REFUSED, WARNED

CATALOG = make_catalog()


def judge(path: str, value: object) -> cases.Outcome:
    return cases.judge_screen(path, value, CATALOG)


@pytest.mark.parametrize(("path", "value", "code"), REFUSED)
def test_is_refused(path, value, code) -> None:
    outcome = judge(path, value)
    assert (outcome.verdict, outcome.codes) == ("reject", {code}), outcome.message


@pytest.mark.parametrize(("path", "value", "code"), WARNED)
def test_asks_for_a_decision(path, value, code) -> None:
    outcome = judge(path, value)
    assert (outcome.verdict, outcome.codes) == ("warn", {code}), outcome.message


@pytest.mark.parametrize(("path", "value", "stored"), NORMALISED)
def test_is_stored_in_its_one_form(path, value, stored) -> None:
    outcome = judge(path, value)
    assert (outcome.verdict, outcome.stored) == ("normalise", stored), outcome.message


@pytest.mark.parametrize(("path", "value"), ACCEPTED)
def test_is_accepted_as_it_stands(path, value) -> None:
    outcome = judge(path, value)
    assert outcome.verdict == "accept", outcome.message


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (None, "path.missing"),
        (FileFacts(is_file=False, mode=0o755, head=""), "path.not_file"),
        (FileFacts(is_file=True, mode=0o600, head="ssh-ed25519 AAAA ops"), "ssh.key.public"),
        (FileFacts(is_file=True, mode=0o600, head="PuTTY-User-Key-File-3"), "ssh.key.format"),
    ],
)
def test_a_key_file_is_judged_by_what_is_in_it(facts, code) -> None:
    verdict = draft.check_field(
        draft.Draft(), CATALOG, "ssh.key_file", "id", files=lambda path: facts
    )
    assert [problem.code for problem in verdict.problems] == [code]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\nb\t\x00\x1b", "'a\\nb\\t\\x00\\x1b'"),
        ("\u202e\u200b\ufeff\xa0", "'\\u202e\\u200b\\ufeff\\xa0'"),
        ("\ud800", "'\\ud800'"),
        ("ü😀", "'ü😀'"),
        ("x" * 80, "'" + "x" * 80 + "'"),
        ("x" * 81, "'" + "x" * 79 + "…'"),
        ("\x00" * 50, "'" + ("\\x00" * 50)[:79] + "…'"),
    ],
)
def test_a_shown_value_is_visible_and_short(value, shown) -> None:
    """BR-03."""
    assert visible(value) == shown
