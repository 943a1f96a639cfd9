"""Secrets by reference: forms, literals, and the values that references lead to."""

from __future__ import annotations

import pytest

from installer.core import draft
from installer.core.fields_secrets import check_secret_value
from installer.core.secretrefs import SecretSource, literal, parse_secret_ref
from installer.core.secrets import Secret
from tests.answers import cases
from tests.answers.loading import CATALOG, load, problems_of, valid


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("env:NAME", SecretSource.ENV),
        ("file:/run/secrets/a b", SecretSource.FILE),
        ("file:~/x", SecretSource.FILE),
        ("vault:team/ops#password", SecretSource.VAULT),
        ("aws:arn:aws:secretsmanager:eu-west-1:1:secret:x-AbCdEf#key", SecretSource.AWS),
        ("prompt", SecretSource.PROMPT),
        ("generate", SecretSource.GENERATE),
    ],
)
def test_a_reference_is_read_and_printed_the_same(text, source) -> None:
    reference = parse_secret_ref(text)
    assert reference is not None
    assert reference.source is source
    assert str(reference) == text


@pytest.mark.parametrize("text", ["env:1BAD", "env:A B", "vault:path", "vault:../sys#a", "file:x"])
def test_a_malformed_reference_is_refused_and_not_shown(text) -> None:
    verdict = draft.check_field(valid(), CATALOG, "admin.password", text)
    assert verdict.problems[0].code == "secret.ref_form"
    assert text.split(":")[1] not in verdict.problems[0].summary.replace("path", "", 1) or (
        text == "vault:path"
    )


def test_a_literal_is_never_printed_or_written() -> None:
    reference = literal("correct horse battery staple 9!")
    assert "correct" not in str(reference) + repr(reference)
    answers = load(valid().set("admin.password", "correct horse battery staple 9!"))
    assert answers.admin.password.value.reveal() == "correct horse battery staple 9!"
    assert "correct" not in draft.dump(answers) + repr(answers) + answers.model_dump_json()


def test_a_variable_reference_can_be_forced_to_be_the_value() -> None:
    """B-095: marked literal, it is taken as it stands."""
    database = cases.AROUND["database.password"]
    given_draft = valid(**database).set("database.password", "literal:${GRAFANA_PASSWORD}")
    assert load(given_draft).database.password.value.reveal() == "${GRAFANA_PASSWORD}"


def test_a_secret_on_the_command_line_is_refused() -> None:
    flags = draft.from_flags(["admin.password=correct horse battery staple 9!"])
    problem = problems_of(draft.merge(valid(), flags))["secret.on_command_line"]
    assert "correct" not in cases.message_of(problem)
    referred = draft.from_flags(["admin.password=env:ADMIN"])
    assert str(load(draft.merge(valid(), referred)).admin.password) == "env:ADMIN"


@pytest.mark.parametrize(
    "case",
    [c for c in cases.load_cases() if c["field"] in {"admin.password", "vault.token"}],
    ids=lambda case: case["id"],
)
def test_a_resolved_value_gets_the_verdict_of_a_typed_one(case) -> None:
    value = cases.value_of(case)
    problems = check_secret_value(case["field"], Secret(value))
    assert [p.code for p in problems] == ([case["code"]] if case["verdict"] == "reject" else [])
    assert all(value not in cases.message_of(problem) for problem in problems)
