"""Drafts from text, and answers from drafts, for the small catalog."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from installer.core import draft
from installer.core.errors import AnswersError
from tests.answers import cases, strategies
from tests.answers.conftest import make_catalog

CATALOG = make_catalog()
PROPERTY = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=list(HealthCheck),
)
DOCUMENTS = strategies.answers_documents(CATALOG)


def read(text: str, mode: int = cases.OWNER_ONLY) -> draft.Draft:
    return draft.from_file(text.encode(), "answers.yaml", mode)


def valid(**sections: Any) -> draft.Draft:
    return read(cases.write({**cases.VALID, **sections}))


def load(given_draft: draft.Draft) -> Any:
    return draft.validate(given_draft, CATALOG, files=cases.probe_file).answers


def problems_of(given_draft: draft.Draft) -> dict[str, Any]:
    with pytest.raises(AnswersError) as caught:
        draft.validate(given_draft, CATALOG, files=cases.probe_file)
    return {problem.code: problem for problem in caught.value.problems}
