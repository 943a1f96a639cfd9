"""Every bad input of the catalogue, typed into the conversation of screens and lines (BR-04)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from installer.core import draft
from installer.core.interview import Interview
from tests.answers import cases
from tests.stacks.builders import load

CATALOG = load()


def typed_cases() -> Iterator[Any]:
    """Cases that are one text in one field."""
    for case in cases.load_cases():
        typed = case.get("kind") != "document" and isinstance(cases.value_of(case), str)
        if typed and "screen" in case.get("via", ("screen",)):
            yield pytest.param(case, id=case["id"])


@pytest.mark.parametrize("case", list(typed_cases()))
def test_what_is_typed_gets_the_verdict_that_a_file_gets(case: dict[str, Any]) -> None:
    path = cases.PATHS.get(case["field"], case["field"])
    value = cases.value_of(case)
    around = cases.write(cases.with_value(path, "", "bundled")).encode()
    given = draft.from_file(around, "answers.yaml", cases.OWNER_ONLY).unset(path)
    interview = Interview(given, CATALOG, cases.probe_file)
    if interview.form.questions.get(path) is None:
        pytest.skip(f"{path} is an entry of a mapping, which is typed as a line of it")
    item = interview.answer(path, value).item(path)
    verdict = case["verdict"]
    codes = {problem.code for problem in (*item.refusals, *item.warnings)}
    if verdict in {"reject", "warn"} and value.strip():
        assert case["code"] in codes
        assert bool(item.refusals) is (verdict == "reject")
    elif verdict in {"accept", "normalise"}:
        assert not codes
    if item.question.rule.private:
        told = " ".join(problem.summary for problem in (*item.refusals, *item.warnings))
        assert value not in told or len(value) < 4
