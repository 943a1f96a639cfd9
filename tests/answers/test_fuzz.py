"""BR-09: whatever is typed, the outcome is a verdict with a code, never an unhandled error."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from installer.core import draft
from installer.core.answers_shape import Question, read_form
from installer.core.errors import InstallError
from installer.core.fields import SHOWN, to_text
from installer.core.secretrefs import SecretRef
from tests.answers import cases, strategies
from tests.answers.conftest import make_catalog

CATALOG = make_catalog()
QUESTIONS = tuple(read_form(CATALOG).questions.values())
CODE = re.compile(r"[a-z_]+(\.[a-z0-9_]+)+")
# the same examples in every run, so that a failure here is a failure everywhere
FUZZING = settings(
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
_AROUND = {
    "tls.mode": {"acme": "tls.acme.email", "files": "tls.certificate_file"},
    "vault.mode": {
        "external": "vault.addr",
        "bundled": "vault.key_threshold",
        "aws-secrets-manager": "vault.profile",
    },
    "database.mode": {"external": "database.url"},
}


def _base_of(question: Question) -> draft.Draft:
    document = dict(cases.VALID)
    if question.when:
        path, modes = question.when
        document[path[0]] = {"mode": modes[0]}
        if modes[0] == "external" and path[0] == "identity":
            document["identity"]["issuer"] = "https://login.company.com"
            document["waivers"] = {**document.get("waivers", {}), "mfa.unknown": "a test"}
        document |= cases.AROUND.get(_AROUND.get(".".join(path), {}).get(modes[0], ""), {})
    return draft.from_file(cases.write(document).encode(), "a.yaml", cases.OWNER_ONLY)


BASES = {question.dotted: _base_of(question) for question in QUESTIONS}


def _attempts_at(question: Question) -> st.SearchStrategy[tuple[str, object]]:
    free = question.rule.takes == "mapping"
    path = f"{question.dotted}.some.key" if free else question.dotted
    near = [to_text(v) for v in (*question.examples, question.default) if v is not None]
    return st.tuples(st.just(path), strategies.raw_values(*near))


ATTEMPTS = st.one_of([_attempts_at(question) for question in QUESTIONS])


@settings(FUZZING, max_examples=10_000)
@given(ATTEMPTS)
def test_br_09_any_value_in_any_field_gets_a_verdict(attempt: tuple[str, object]) -> None:
    path, value = attempt
    base = BASES.get(path, BASES["labels"])
    outcome = draft.check_field(base, CATALOG, path, value)
    if outcome.verdict in {"reject", "warn"}:
        assert outcome.problems
    for problem in outcome.problems:
        assert CODE.fullmatch(problem.code)
        assert problem.remedy.summary
        assert cases.message_of(problem).isprintable()
        assert len(problem.summary) < 5 * SHOWN
    if outcome.verdict != "reject" and outcome.value is not None:
        again = draft.check_field(base, CATALOG, path, _as_given(outcome.value))
        assert again.verdict in {"accept", "warn"}
        assert again.value == outcome.value


def _as_given(value: object) -> object:
    if isinstance(value, SecretRef):
        return f"literal:{value.value.reveal()}" if value.value else str(value)
    return value


@settings(FUZZING, max_examples=800)
@given(st.sampled_from([q for q in QUESTIONS if q.rule.takes != "mapping"]), st.data())
def test_br_04_file_environment_and_screen_agree(question: Question, data: st.DataObject) -> None:
    text = data.draw(strategies.hostile_text(*map(to_text, question.examples)))
    path, base = question.dotted, BASES[question.dotted]
    screen = draft.check_field(base, CATALOG, path, text)
    variable = draft.PREFIX + path.upper().replace(".", "__")
    others = {
        "environment": draft.from_environment({variable: text}),
        "file": draft.from_file(_file_with(path, text), "b.yaml", cases.OWNER_ONLY),
    }
    if path == "version":
        return
    for way, layer in others.items():
        found = _judge(draft.merge(base, layer), path)
        secret = {"secret.inline"} if way == "file" else set()
        assert found - secret == {problem.code for problem in screen.problems}, way


def _file_with(path: str, text: str) -> bytes:
    document: dict[str, object] = {"version": 1}
    strategies._put(document, path, text)
    return cases.write(document).encode()


def _judge(given_draft: draft.Draft, path: str) -> set[str]:
    try:
        validated = draft.validate(given_draft, CATALOG)
    except InstallError as error:
        return {p.code for p in error.problems if p.where and p.where.split("[")[0] == path} or {
            p.code for p in error.problems
        }
    return {w.code for w in validated.warnings if w.where and w.where.split("[")[0] == path}


@settings(FUZZING, max_examples=1_000)
@given(strategies.hostile_text("version: 1\n", cases.write(cases.VALID)))
def test_br_09_any_file_gets_a_verdict(text: str) -> None:
    outcome = cases.judge_file(text.encode("utf-8", "surrogatepass"), CATALOG)
    assert outcome.verdict == "accept" or all(CODE.fullmatch(code) for code in outcome.codes)


@settings(FUZZING, max_examples=500)
@given(st.binary(max_size=200))
def test_br_09_any_bytes_get_a_verdict(data: bytes) -> None:
    outcome = cases.judge_file(data, CATALOG)
    assert outcome.verdict == "reject"
    assert all(CODE.fullmatch(code) for code in outcome.codes)


@settings(FUZZING, max_examples=500)
@given(
    st.dictionaries(strategies.hostile_text("SSH__PORT").map(lambda t: "DEVPLAT_" + t), st.text()),
    st.lists(strategies.hostile_text("ssh.port=22", "labels.a.b=c"), max_size=4),
)
def test_br_09_any_variable_and_flag_get_a_verdict(
    environment: dict[str, str], flags: list[str]
) -> None:
    base = draft.from_file(cases.write(cases.VALID).encode(), "a.yaml", cases.OWNER_ONLY)
    given_draft = draft.merge(base, draft.from_environment(environment), draft.from_flags(flags))
    try:
        draft.validate(given_draft, CATALOG)
    except InstallError as error:
        assert all(CODE.fullmatch(problem.code) for problem in error.problems)
        assert all(cases.message_of(problem).isprintable() for problem in error.problems)


def test_the_fuzzing_notices_an_unhandled_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(raw: object) -> None:
        raise ZeroDivisionError

    question = next(q for q in QUESTIONS if q.dotted == "ssh.port")
    monkeypatch.setattr(type(question.rule), "judge", lambda self, raw: broken(raw))
    with pytest.raises(ZeroDivisionError):
        draft.check_field(BASES["ssh.port"], CATALOG, "ssh.port", "22")
