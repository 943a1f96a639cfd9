"""What manifests make depend on an answer: the answer exists, and can have that value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from installer.core.answers_shape import Question, read_form
from installer.core.manifest import Condition, ServiceManifest
from tests.stacks.builders import load

BY_CLIENT = ("identity.client_secrets.", "storage.access_keys.", "storage.secret_keys.")
"""Below these every service may have an answer of its own."""


def named_answers(manifest: ServiceManifest) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Answer path → the values that count."""
    of_parts = (c for secret in manifest.secrets for c in secret.conditions)
    told = (*manifest.connects, *manifest.ingress, *manifest.checks, *manifest.notes_when)
    of_flows = (each.when for each in told)
    for condition in (manifest.when, *manifest.egress_conditions, *of_parts, *of_flows):
        if condition is not None:
            values = () if condition.equals is None else condition.equals
            values = values if isinstance(values, tuple) else (values,)
            switches = {True: "true", False: "false"}  # as they are typed
            yield condition.answer, tuple(switches.get(v, v) for v in values)
    for secret in manifest.secrets:
        if secret.answer and not secret.answer.startswith(BY_CLIENT):
            yield secret.answer, ()
    if manifest.variants is not None:
        yield manifest.variants.answer, tuple(manifest.variants.images)


def find_breaches(manifest: ServiceManifest, questions: Mapping[str, Question]) -> list[str]:
    found = []
    for path, values in named_answers(manifest):
        question = questions.get(path)
        if question is None:
            found.append(f"{path} is no answer")
        elif question.rule.choices:
            found += [f"{path} is never {v!r}" for v in values if v not in question.rule.choices]
    return found


def test_every_condition_is_about_an_answer_that_can_be_given() -> None:
    catalog = load()
    questions = read_form(catalog).questions
    conditional = [m for m in catalog.services.values() if list(named_answers(m))]
    assert len(conditional) >= 2
    assert {m.name: find_breaches(m, questions) for m in conditional} == {
        m.name: [] for m in conditional
    }


@pytest.mark.parametrize(
    ("answer", "equals", "found"),
    [
        ("vault.mood", "bundled", "vault.mood is no answer"),
        ("vault.mode", "bundeled", "vault.mode is never 'bundeled'"),
    ],
)
def test_a_misspelled_condition_is_found(answer: str, equals: str, found: str) -> None:
    catalog = load()
    some = next(m for m in catalog.services.values() if m.when)
    changed = some.model_copy(
        update={"when": Condition(answer=answer, equals=equals), "variants": None}
    )
    questions = read_form(catalog).questions
    assert found in find_breaches(changed, questions)
