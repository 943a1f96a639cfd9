"""What the product writes: the file that repeats a run, the skeleton, the schema."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from installer.core import answers_file, draft
from installer.core.answers_shape import read_form
from tests.answers import cases
from tests.answers.loading import CATALOG, DOCUMENTS, PROPERTY, load, problems_of, read, valid


@PROPERTY
@given(DOCUMENTS)
def test_answers_shown_written_loaded_and_written_again_are_the_same(document) -> None:
    given_draft = read(cases.write(document))
    answers = load(given_draft)
    shown = draft.show(given_draft, answers)
    text = draft.dump(answers)
    again = read(text)
    loaded = load(again)
    assert loaded == answers
    assert draft.dump(loaded) == text
    assert [(r.path, r.value) for r in draft.show(again, loaded)] == [
        (r.path, r.value) for r in shown
    ]


@PROPERTY
@given(DOCUMENTS)
def test_every_given_value_is_stored_and_written_as_it_was_given(document) -> None:
    """BR-08, and the half of BR-07 that lies before rendering."""
    validated = draft.validate(read(cases.write(document)), CATALOG, files=cases.probe_file)
    assert not [note for note in validated.notes if not note.where.startswith("domain")]
    written = yaml.safe_load(draft.dump(validated.answers))  # a reader of YAML 1.1
    _assert_within(document, written, "")


def _assert_within(given_value: Any, written: Any, path: str) -> None:
    if isinstance(given_value, dict):
        for key, value in given_value.items():
            if value is not None:
                _assert_within(value, written[key], f"{path}.{key}")
    else:
        assert written == given_value, path
        assert isinstance(written, str | bool) == isinstance(given_value, str | bool), path


def test_the_fixed_point_notices_a_value_that_changes(monkeypatch) -> None:
    answers = load(valid(deployment={"name": "1e5"}, labels={"team": "yes"}))
    sound = answers_file.format_text
    monkeypatch.setattr(
        answers_file, "format_text", lambda text: text if text == "yes" else sound(text)
    )
    written = yaml.safe_load(draft.dump(answers))
    assert written["labels"]["team"] is True


SCHEMA = jsonschema.Draft202012Validator(draft.schema(CATALOG))


@settings(PROPERTY, max_examples=40)
@given(DOCUMENTS)
def test_the_schema_accepts_what_is_written_and_refuses_an_unknown_key(document) -> None:
    written = yaml.safe_load(draft.dump(load(read(cases.write(document)))))
    assert not list(SCHEMA.iter_errors(written))
    assert not SCHEMA.is_valid(written | {"domian": {}})
    assert not SCHEMA.is_valid(written | {"ssh": {"host": "a", "prot": 1}})


def test_the_schema_is_one_and_describes_every_answer() -> None:
    schema = draft.schema(CATALOG)
    jsonschema.Draft202012Validator.check_schema(schema)
    text = repr(schema)
    for path in read_form(CATALOG).questions:
        assert f"'{path.rsplit('.', 1)[-1]}'" in text
    assert set(schema["required"]) == {"version", "domain", "ssh", "admin"}


def decided() -> draft.Draft:
    """The waivers that the default store asks for."""
    codes = cases.BUNDLED_WAIVERS.items()
    return draft.from_flags([f"waivers.{code}={reason}" for code, reason in codes])


def test_the_skeleton_needs_only_what_is_required() -> None:
    text = draft.skeleton(CATALOG)
    missing = problems_of(read(text))
    # where the key shares go is nobody's to decide but the operator's
    assert set(missing) == {"file.null", *cases.BUNDLED_WAIVERS}
    for path, value in (
        ("base", "company.com"),
        ("host", "10.0.0.5"),
        ("email", "ops@company.com"),
    ):
        text, count = re.subn(rf"(?m)^(  {path}:)$", rf"\1 {value}", text)
        assert count == 1
    answers = load(draft.merge(read(text), decided()))
    assert answers == load(draft.merge(valid(vault={}), decided()))


def test_the_skeleton_names_every_question() -> None:
    text = draft.skeleton(CATALOG)
    for path in read_form(CATALOG).questions:
        assert re.search(rf"(?m)^ *(# )?{path.rsplit('.', 1)[-1]}:", text), path


def test_the_skeletons_commented_defaults_are_the_defaults() -> None:
    text = draft.skeleton(CATALOG)
    text = re.sub(r"(?m)^  # (base|host|email):.*$", "", text)
    text = re.sub(r"(?m)^  base:$", "  base: company.com", text)
    text = re.sub(r"(?m)^  host:$", "  host: 10.0.0.5", text)
    text = re.sub(r"(?m)^  email:$", "  email: ops@company.com", text)
    # an alternative ends with its section
    own = re.sub(r"(?ms)^ +# with mode: (?!bundled$).*?(?=^$)", "", text)
    lines = own.splitlines()
    on = [re.sub(r"^( *)# ([a-z_]+: .+)$", r"\1\2", line) for line in lines]
    kept = [line for line in on if not line.lstrip().startswith("#")]
    assert len([line for line in kept if line.startswith("  ")]) > 40
    written = draft.merge(read("\n".join(kept) + "\n"), decided())
    assert load(written) == load(draft.merge(valid(vault={}), decided()))


@given(st.text())
@settings(PROPERTY, max_examples=300)
def test_any_text_survives_being_written_and_read(text) -> None:
    from installer.core.answers_file import format_text
    from installer.core.yamlfile import MapNode, ScalarNode, read_yaml

    document = read_yaml(f"key: {format_text(text)}\n".encode(), "a.yaml")
    assert isinstance(document.root, MapNode)
    node = document.root.entries[0].node
    assert isinstance(node, ScalarNode)
    assert node.value == text
    assert yaml.safe_load(f"key: {format_text(text)}\n") == {"key": text}
