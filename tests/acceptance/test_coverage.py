"""Which tests cover which numbers of the catalogue: secrets, faults of the store, TLS.

`pytest -s tests/acceptance/test_coverage.py` shows the whole table. A number is covered where a
test's name, its docstring, its parameters or the docstring of its module have it.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
TESTS = HERE.parent
ELSEWHERE = {
    "SE-06": "there is no screen yet; it comes with the wizard",
    "SE-23": "best effort in a managed language: values live as long as the process, whose memory"
    " nobody else reads (SE-10); DESIGN.md says so",
    "BK-09": "deleting is refused by the bucket, not by us; the note of the service says what"
    " to set",
    "BK-11": "needs a platform under load; a load test of its own",
    "BK-15": "a new machine beside the test's host; done by hand with the README's steps",
    "BK-17": "there is no earlier release with backups yet; the manifest has release and versions",
}
"""Numbers without a test, and why."""
PARTLY = {
    "SE-14": "Coder's page for its first account is open at the edge until that account is made; it"
    " comes with identity",
    "SE-19": "the log is kept from filling and the server refuses without one; the alert before"
    " that comes with monitoring",
    "SE-26": "that the shares open a snapshot is tried on a real server only; the stand-in takes"
    " none back",
    "TL-05": "the stand-in's TLS library cannot offer the group; only the real edge shows it",
    "TL-14": "stapling is switched on; no authority with a responder is here to show it",
    "TL-20": "the test authority issues for minutes, since days cannot pass in a test; alerts on"
    " age come with monitoring",
    "TL-24": "needs a Traefik and sslyze on this machine, each named by a variable",
    "TL-26": "the edge hands cookies on as they are; what services set is tested with them",
    "BK-01": "dashboards changed by hand and answers are kept elsewhere",
    "BK-02": "order and vanished files; continuous writing to a whole platform is not tried",
    "BK-07": "the passphrase's custody is a warning of the answers",
    "BK-13": "rows, samples of files, fsck of repositories; a login of a test user is not tried",
    "BK-16": "one part is fetched and restored; the whole stack around it is not compared",
    "BK-20": "the exchange of directories, cut at each command; not the whole command at"
    " 20 instants",
    "BK-21": "the report has all of it and a hash; it is kept with the run, the checklist"
    " comes later",
}
"""Numbers that the named tests cover in part, and what is left."""
NUMBER = re.compile(
    r"(?<![A-Za-z])(SE|TL|BK|F)[-_](\d{2,3})(?:\.\.(?:\1[-_])?(\d{2,3}))?", re.IGNORECASE
)


def wanted() -> dict[str, str]:
    """Number → statement: secrets, TLS, backups, and the faults F-049 to F-058 and F-089."""
    secrets = yaml.safe_load((HERE / "secrets.yaml").read_text())["assertions"]
    tls = yaml.safe_load((HERE / "tls.yaml").read_text())["assertions"]
    backup = yaml.safe_load((HERE / "backup-restore.yaml").read_text())["assertions"]
    faults = yaml.safe_load((HERE / "faults.yaml").read_text())["cases"]
    ours = {f"F-{number:03}" for number in range(49, 59)} | {"F-089"}
    return {
        **{item["id"]: item["statement"] for item in (*secrets, *tls, *backup)},
        **{item["id"]: item["title"] for item in faults if item["id"] in ours},
    }


def numbers_in(text: str) -> Iterator[str]:
    """`SE-01`, `se_01`, and each of `SE-01..SE-05`."""
    for kind, first, last in NUMBER.findall(text):
        width = len(first)
        for number in range(int(first), int(last or first) + 1):
            yield f"{kind.upper()}-{number:0{width}}"


def cited_by(source: str) -> dict[str, set[str]]:
    """Number → the tests of one module that name it; `""` stands for the module's docstring."""
    tree = ast.parse(source)
    found: dict[str, set[str]] = {}
    for number in numbers_in(ast.get_docstring(tree) or ""):
        found.setdefault(number, set()).add("")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks = " ".join(ast.unparse(mark) for mark in node.decorator_list)
            for number in numbers_in(f"{node.name} {ast.get_docstring(node) or ''} {marks}"):
                found.setdefault(number, set()).add(node.name)
    return found


@pytest.fixture(scope="module")
def covered() -> dict[str, list[str]]:
    """Number → `<file>::<test>`, sorted."""
    table: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        source = path.read_text()
        if path == Path(__file__) or "def test_" not in source:
            continue
        place = path.relative_to(TESTS)
        for number, names in cited_by(source).items():
            table.setdefault(number, []).extend(f"{place}::{name}" for name in sorted(names))
    return table


def uncovered(numbers: dict[str, str], covered: dict[str, list[str]]) -> list[str]:
    """Numbers that neither a test nor a reason stands for."""
    return [n for n in numbers if not covered.get(n) and n not in ELSEWHERE]


def format_table(numbers: dict[str, str], covered: dict[str, list[str]]) -> Iterator[str]:
    for number, statement in numbers.items():
        yield f"{number}  {statement}"
        yield from (f"       {test}" for test in covered.get(number, ()))
        if reason := ELSEWHERE.get(number) or PARTLY.get(number):
            yield f"       not here: {reason}"


def test_every_number_has_a_test_or_a_reason(covered):
    numbers = wanted()
    print("\n" + "\n".join(format_table(numbers, covered)))
    assert len(numbers) == 38 + 27 + 22 + 1
    assert uncovered(numbers, covered) == []


def test_a_reason_stands_only_for_what_has_no_test(covered):
    numbers = wanted()
    assert set(ELSEWHERE) | set(PARTLY) <= set(numbers)
    assert [n for n in ELSEWHERE if covered.get(n)] == []
    assert [n for n in PARTLY if not covered.get(n)] == []
    assert len(ELSEWHERE) <= 7


def test_a_number_without_a_test_is_noticed(covered):
    numbers = {**wanted(), "SE-99": "a new one"}
    assert uncovered(numbers, covered) == ["SE-99"]
    assert "SE-99  a new one" in list(format_table(numbers, covered))


def test_a_number_is_read_wherever_it_may_stand():
    source = (
        '"""Covers SE-01..SE-03 and F-049."""\n'
        'WORDS = "SE-90"\n'
        "def test_se_11_is_in_a_name(): ...\n"
        'def test_doc():\n    """F-058: so it is."""\n'
        '@mark.parametrize("x", ["SE-20"])\ndef test_parameters(x): ...\n'
        'def helper():\n    """SE-91"""\n'
        'def test_plain():\n    """BASE-01, HALF-050"""\n'
    )
    assert cited_by(source) == {
        "SE-01": {""}, "SE-02": {""}, "SE-03": {""}, "F-049": {""},
        "SE-11": {"test_se_11_is_in_a_name"}, "F-058": {"test_doc"},
        "SE-20": {"test_parameters"},
    }  # fmt: skip
