"""The conversation that screens and numbered lines hold."""

from __future__ import annotations

import pytest

from installer.core import draft
from installer.core.answers_shape import read_form
from installer.core.errors import AnswersError
from installer.core.interview import DERIVED, OTHERS, STEPS, Interview, questions_of
from tests.stacks.builders import load

CATALOG = load()
STEP = {step.name: step for step in STEPS}
REQUIRED = {"domain.base": "company.com", "ssh.host": "10.0.0.5", "admin.email": "a@company.com"}


def begin(**answers: str) -> Interview:
    interview = Interview(draft.Draft(), CATALOG)
    for path, text in answers.items():
        interview = interview.answer(path.replace("__", "."), text)
    return interview


def asked(interview: Interview, step: str) -> dict[str, object]:
    return {item.path: item for item in interview.items(STEP[step])}


def test_every_leaf_is_asked_by_exactly_one_step_or_derived() -> None:
    form = read_form(CATALOG)
    by_step = questions_of(form)
    paths = [question.dotted for questions in by_step.values() for question in questions]
    assert sorted(paths) == sorted(set(form.questions) - DERIVED)
    assert len(paths) == len(set(paths))


def test_every_section_that_a_step_names_exists() -> None:
    sections = {path.partition(".")[0] for path in read_form(CATALOG).questions}
    named = {section for step in STEPS for section in step.sections} - {OTHERS}
    assert named <= sections


def test_what_a_mode_brings_is_asked_once_the_mode_is_chosen() -> None:
    interview = begin()
    assert "tls.certificate_file" not in asked(interview, "tls")
    chosen = interview.answer("tls.mode", "files")
    assert {"tls.certificate_file", "tls.key_file"} <= set(asked(chosen, "tls"))
    assert "tls.acme.email" in asked(chosen.answer("tls.mode", "acme"), "tls")


def test_defaults_follow_from_other_answers() -> None:
    interview = begin(domain__base="company.com")
    assert interview.item("domain.hosts.git").default == "git.company.com"
    named = interview.answer("domain.hosts.git", "code.company.com")
    assert named.item("domain.hosts.git").text == "code.company.com"
    assert named.answer("domain.hosts.git", "").item("domain.hosts.git").text == ""


def test_a_refused_answer_says_why_and_stays_to_be_corrected() -> None:
    interview = begin(domain__base="not a name")
    item = interview.item("domain.base")
    assert item.text == "not a name"
    assert item.refusals
    assert not interview.is_settled(STEP["domain"])
    assert begin(domain__base="company.com").is_settled(STEP["domain"])


def test_a_required_answer_is_missing_until_it_is_given() -> None:
    item = begin().item("admin.email")
    assert [problem.code for problem in item.refusals] == ["answers.missing"]
    with pytest.raises(AnswersError):
        begin().validate(attended=True)


def test_pairs_are_typed_as_lines_and_shown_as_lines() -> None:
    interview = begin(labels="team: tools\ncost-centre: 42")
    assert interview.item("labels").text == "team: tools\ncost-centre: 42"
    assert interview.found.values["labels"] == {"cost-centre": "42", "team": "tools"}
    replaced = interview.answer("labels", "team: platform")
    assert replaced.found.values["labels"] == {"team": "platform"}
    assert begin(labels="no pair").item("labels").refusals


def test_a_warning_is_open_until_it_is_accepted_with_a_reason() -> None:
    interview = begin(vault__key_shares="1", vault__key_threshold="1")
    codes = {problem.code for problem in interview.open_warnings}
    assert "vault.single_share" in codes
    reasons = "\n".join(f"{code}: we know" for code in sorted(codes))
    accepted = interview.answer("waivers", reasons)
    assert accepted.open_warnings == ()
    assert accepted.item("vault.key_shares").is_settled


def test_the_answers_are_those_of_a_file_with_the_same_values() -> None:
    waived = {"waivers": "vault.plain_shares: no custodians yet"}
    interview = begin(**{path.replace(".", "__"): t for path, t in (REQUIRED | waived).items()})
    flags = [f"{path}={text}" for path, text in REQUIRED.items()]
    flags.append("waivers.vault.plain_shares=no custodians yet")
    by_flags = draft.validate(draft.from_flags(flags), CATALOG, attended=True)
    assert draft.dump(interview.validate(attended=True).answers) == draft.dump(by_flags.answers)
