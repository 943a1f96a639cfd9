"""Which tests cover which numbers of the catalogue of the second factor; `-s` shows the table."""

import ast
import re
from pathlib import Path

import yaml

TESTS = Path(__file__).parents[1]
HERE = TESTS / "acceptance"

MFA = re.compile(r"(?<![A-Za-z])(MF)[-_](\d{2})(?:\.\.(?:MF[-_])?(\d{2}))?", re.IGNORECASE)
ELSEWHERE = {
    "MF-07": "a strict profile with another flow for administrators is not built; user"
    " verification is required of all",
    "MF-12": "the path is documented in the notes of authentik-server; two persons are a"
    " rule for people, not enforced",
    "MF-16": "events are lines of authentik's log, which monitoring collects; its own"
    " tests cover the alerts",
}
"""Numbers without a test, and why."""
PARTLY = {
    "MF-05": "Coder keeps a password for its owner, without a second factor of its own; it is"
    " noted",
    "MF-08": "the relying party is the auth host by authentik's own code, which a stand-in"
    " cannot show",
    "MF-11": "whether the first administrator has enrolled is noted for the operator, not read"
    " by a check",
    "MF-15": "asked at every login; there is no sensitive action that asks again within a session",
    "MF-17": "the check reads the policy after every installation; upgrade and rollback are"
    " other tests",
    "MF-20": "editing of blueprints over the API is not limited for superusers",
}
"""Numbers that the named tests cover in part, and what is left."""


def wanted() -> dict[str, str]:
    items = yaml.safe_load((HERE / "mfa.yaml").read_text())["assertions"]
    return {item["id"]: item["statement"] for item in items}


def cited() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted((TESTS / "identity").glob("test_*.py")):
        if path.name == "test_coverage.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                text = f"{node.name} {ast.get_docstring(node) or ''}"
                for _, first, last in MFA.findall(text):
                    for number in range(int(first), int(last or first) + 1):
                        found.setdefault(f"MF-{number:02}", []).append(f"{path.name}::{node.name}")
    return found


def uncovered(numbers: dict[str, str]) -> list[str]:
    known = cited()
    return [n for n in numbers if n not in known and n not in ELSEWHERE]


def test_every_number_has_a_test_or_a_reason():
    numbers, known = wanted(), cited()
    for number, statement in numbers.items():
        print(number, statement, *known.get(number, ()), sep="\n    ")
        if reason := ELSEWHERE.get(number) or PARTLY.get(number):
            print("    not here:", reason)
    assert len(numbers) == 20
    assert uncovered(numbers) == []


def test_a_reason_stands_only_for_what_it_is_for():
    known = cited()
    assert [n for n in ELSEWHERE if n in known] == []
    assert [n for n in PARTLY if n not in known] == []


def test_a_number_without_a_test_is_noticed():
    assert uncovered({"MF-99": "a new one"}) == ["MF-99"]
