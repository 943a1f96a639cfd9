"""The rendered blueprints against the published schema of authentik, where it is at hand: MF-03."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.identity.conftest import blueprints_of
from tests.stacks.builders import ROOT, make

SCHEMA = ROOT.parent / "shared" / "reference" / "authentik-blueprint-schema.json"
UUID = "00000000-0000-4000-8000-000000000000"


class _Loader(yaml.SafeLoader):
    """Tags become what the schema wants in their place."""


_Loader.add_multi_constructor("!", lambda *_: UUID)


def errors_of(text: str) -> list[str]:
    document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    for entry in document["entries"]:
        if entry["model"] == "authentik_core.application":
            entry["attrs"]["provider"] = 1
        entry.setdefault("identifiers", {})
    found = Draft7Validator(json.loads(Path(SCHEMA).read_text())).iter_errors(document)
    return [f"{list(e.path)}: {(e.context or [e])[0].message}" for e in found]


pytestmark = pytest.mark.skipif(not SCHEMA.exists(), reason=f"{SCHEMA} is not there")


@pytest.mark.parametrize("name", sorted(blueprints_of(make("everything")[1])))
def test_mf_03_a_blueprint_is_one_of_the_published_schema(name):
    text = blueprints_of(make("everything")[1])[name]
    # set to nothing, which the schema of an older release does not name as a type
    lines = [line for line in text.splitlines() if not line.rstrip().endswith(": null")]
    assert errors_of("\n".join(lines)) == []


def test_a_wrong_choice_is_found():
    text = blueprints_of(make("everything")[1])["mfa.yaml"]
    assert errors_of(text.replace("not_configured_action: configure", "not_configured_action: on"))
