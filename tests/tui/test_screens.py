"""Each screen against its text; `python -m tests.tui.screens` accepts what it looks like now."""

from __future__ import annotations

import pytest

from tests.tui.screens import EXPECTED, SIZES, look_at, name_of, screens

pytestmark = pytest.mark.slow
CASES = [(name, size) for name in screens() for size in SIZES]


@pytest.mark.parametrize(("name", "size"), CASES, ids=[name_of(*case) for case in CASES])
def test_a_screen_looks_as_it_was_reviewed(name: str, size: tuple[int, int]) -> None:
    text, picture = look_at(screens()[name], size)
    expected = (EXPECTED / f"{name_of(name, size)}.txt").read_text()
    assert text + "\n" == expected
    assert picture.startswith("<svg")
    assert max(map(len, text.splitlines())) <= size[0]


def test_no_text_is_left_of_a_screen_that_is_gone() -> None:
    assert {path.stem for path in EXPECTED.glob("*.txt")} == {name_of(*case) for case in CASES}
