"""Every case of `bad-inputs.yaml`, through every way of entry; rules BR-01 to BR-06."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from installer.core import draft
from installer.core.errors import AnswersError
from tests.answers import cases
from tests.answers.cases import FOR_ALL, OWNER_ONLY, Outcome

TIME_LIMIT_S, MEMORY_LIMIT = 2.0, 200 * 1024**2  # BR-06
ALL_WAYS = ("file", "environment", "screen")


STORES = ("bundled", "external")


def _entries() -> Iterator[Any]:
    for case in cases.load_cases():
        if case.get("kind") == "document":
            yield pytest.param(case, "document", "", id=f"{case['id']}-document")
            continue
        ways = list(case.get("via", ALL_WAYS))
        if "file" in ways and cases.as_plain(cases.value_of(case)):
            ways.append("plain file")
        for way in ways:
            for store in STORES:
                name = f"{case['id']}-{way.replace(' ', '-')}-{store}"
                yield pytest.param(case, way, store, id=name)


def judge(case: dict[str, Any], way: str, catalog: Any, store: str = "bundled") -> Outcome:
    if way == "document":
        mode = FOR_ALL if case["id"] == "B-140" else OWNER_ONLY
        return cases.judge_file(cases.document_of(case), catalog, mode=mode)
    path = cases.PATHS.get(case["field"], case["field"])
    value = cases.value_of(case)
    if way == "environment":
        return cases.judge_environment(path, value, catalog, store)
    if way == "screen":
        return cases.judge_screen(path, value, catalog, store)
    written = cases.as_plain(value) if way == "plain file" else value
    document = cases.with_value(path, written, store)
    return cases.judge_file(cases.write(document).encode(), catalog, path)


def check(case: dict[str, Any], outcome: Outcome) -> None:
    assert outcome.verdict == case["verdict"], outcome.message
    if case["verdict"] in {"reject", "warn"}:
        assert case["code"] in outcome.codes, outcome.message
    else:
        assert not outcome.problems
    for piece in case.get("message_must_mention", ()):
        assert piece in outcome.message
    if case["verdict"] == "normalise":
        assert outcome.stored == case["normalised_to"]
    elif case["verdict"] == "accept" and case.get("kind") != "document":
        assert cases.same(outcome.stored, cases.value_of(case))
    _check_hidden(case, outcome)


def _check_hidden(case: dict[str, Any], outcome: Outcome) -> None:
    """BR-03: no secret in a message, values made visible and cut."""
    if (
        case["field"].endswith(("password", "token", "url"))
        and case["field"] != "acme.directory_url"
    ):
        assert cases.value_of(case) not in outcome.message
        assert "s3cret" not in outcome.message
        assert "p@ss" not in outcome.message
    assert "PRIVATE KEY-----" not in outcome.message
    assert "correct horse" not in outcome.message
    assert all(char.isprintable() or char == "\n" for char in outcome.message)
    for problem in outcome.problems:
        assert "\n" not in problem.summary
        assert len(problem.summary) < 400


@pytest.mark.parametrize(("case", "way", "store"), list(_entries()))
def test_an_input_gets_the_verdict_of_the_catalogue(case, way, store, catalog) -> None:
    started = time.process_time()
    outcome = judge(case, way, catalog, store)
    assert time.process_time() - started < TIME_LIMIT_S
    check(case, outcome)


def test_the_table_notices_a_wrong_verdict_code_message_and_form(catalog) -> None:
    by_id = {case["id"]: case for case in cases.load_cases()}
    for number, wrong in (
        ("B-001", {"verdict": "reject", "code": "domain.empty"}),
        ("B-004", {"code": "domain.is_ip"}),
        ("B-013", {"message_must_mention": ["64 octets at least"]}),
        ("B-002", {"normalised_to": "COMPANY.Com"}),
        ("B-027", {"verdict": "accept"}),
        ("B-030", {"verdict": "reject"}),
    ):
        outcome = judge(by_id[number], "file", catalog)
        check(by_id[number], outcome)
        with pytest.raises(AssertionError):
            check(by_id[number] | wrong, outcome)


def test_the_catalogue_is_complete() -> None:
    ids = [case["id"] for case in cases.load_cases()]
    assert ids == [f"B-{number:03}" for number in range(1, 147)]


def test_b_140_a_secret_in_a_file_of_mode_0600_is_accepted_with_a_warning(catalog) -> None:
    document = cases.with_value("admin.password", "correct horse battery staple 9!")
    given = draft.from_file(cases.write(document).encode(), "answers.yaml", OWNER_ONLY)
    validated = draft.validate(given, catalog)
    assert [warning.code for warning in validated.warnings] == ["secret.inline"]
    assert "correct horse" not in draft.dump(validated.answers)
    assert "correct horse" not in repr(validated)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o666, None])
def test_b_140_a_secret_in_a_file_that_others_can_read_is_refused(mode, catalog) -> None:
    document = cases.with_value("admin.password", "correct horse battery staple 9!")
    outcome = cases.judge_file(cases.write(document).encode(), catalog, mode=mode)
    assert outcome.codes == {"file.secret_inline"}


def test_b_140_a_weak_secret_in_the_open_is_two_problems(catalog) -> None:
    document = cases.with_value("admin.password", "short1!")
    outcome = cases.judge_file(cases.write(document).encode(), catalog, mode=FOR_ALL)
    assert outcome.codes == {"file.secret_inline", "password.too_short"}
    assert "short1!" not in outcome.message


def test_br_01_all_problems_are_reported_at_once_with_their_places(catalog) -> None:
    text = (
        "version: 1\n"
        "domian: {base: company.com}\n"
        "domain:\n"
        "  base: 10.0.0.5\n"
        "ssh:\n"
        "  host: root@10.0.0.5\n"
        "  port: 65536\n"
        "  port: 22\n"
        "  jump: [ops@bastion, '-x']\n"
        "network: {trusted_cidr: [10.0.0.0/8, 0.0.0.0/0, 10.0.0.0/33]}\n"
        "vault: &v {key_shares: 3, key_threshold: 4}\n"
    )
    outcome = cases.judge_file(text.encode(), catalog)
    found = {(p.code, p.where, p.mark and (p.mark.line, p.mark.column)) for p in outcome.problems}
    assert found == {
        ("file.unknown_key", "domian", (2, 1)),
        ("domain.is_ip", "domain.base", (4, 9)),
        ("ssh.host.form", "ssh.host", (6, 9)),
        ("port.range", "ssh.port", (7, 9)),
        ("file.duplicate_key", None, (8, 3)),
        ("ssh.jump.form", "ssh.jump[2]", (9, 23)),
        ("cidr.everyone", "network.trusted_cidr[2]", (10, 38)),
        ("cidr.form", "network.trusted_cidr[3]", (10, 49)),
        ("file.anchors", None, (11, 8)),
        ("vault.threshold", "vault.key_threshold", (11, 42)),
        ("vault.plain_shares", "vault.custodians", None),
        ("vault.possession_unproven", "vault.mode", None),
        ("answers.missing", "admin.email", None),
    }
    assert "answers.yaml:4:9" in outcome.message


def test_br_01_variables_and_flags_are_named(catalog) -> None:
    layers = draft.merge(
        draft.from_file(cases.write(cases.VALID).encode(), "a.yaml", OWNER_ONLY),
        draft.from_environment({"DEVPLAT_SSH__PORT": "0", "DEVPLAT_SSH__PROT": "1"}),
        draft.from_flags(["ssh.user=a b", "nothing"]),
    )
    with pytest.raises(AnswersError) as caught:
        draft.validate(layers, catalog)
    details = {problem.code: problem.detail for problem in caught.value.problems}
    assert details == {
        "port.range": "given by the environment variable DEVPLAT_SSH__PORT",
        "file.unknown_key": "given by the environment variable DEVPLAT_SSH__PROT",
        "ssh.user.form": "given by --set ssh.user=…",
        "flag.form": None,
    }


def test_br_03_a_value_is_shown_with_control_characters_visible_and_cut(catalog) -> None:
    outcome = cases.judge_screen("domain.base", "a\x1b[31m\u202eb" + "x" * 500, catalog)
    shown = outcome.problems[0].summary.split("'")[1]
    assert shown.startswith("a\\x1b[31m\\u202eb")
    assert len(shown) == 80


HEAVY = {
    "alias bomb": cases._alias_bomb(9, 9),
    "20 MB": b"# filler line of forty characters ......\n" * 500_000,
    "deep list": b"[" * 10_000,
    "deep mapping": b"{a: " * 10_000,
    "deep blocks": "\n".join(" " * depth + "a:" for depth in range(500)).encode(),
    "dashes": b"- " * 100_000,
    "question marks": b"? " * 100_000,
    "many keys": b"version: 1\n" + b"".join(b"k%d: 1\n" % n for n in range(20_000)),
    "many labels": b"version: 1\nlabels:\n" + b"".join(b"  k%d: a\n" % n for n in range(9_000)),
    "many anchors": b"version: 1\nx: [" + b"&a 1, " * 40_000 + b"]\n",
    "many duplicates": b"version: 1\n" + b"a: 1\n" * 20_000,
    "one long text": b"version: 1\ndomain: {base: " + b"x" * 250_000 + b"}\n",
    "one long quoted text": b'version: 1\ndomain: {base: "' + b"\\u00fc" * 40_000 + b'"}\n',
    "one long key": b"version: 1\n? " + b"x" * 250_000 + b"\n: 1\n",
    "one long list": b"version: 1\nnetwork: {trusted_cidr: '" + b"10.0.0.0/8," * 20_000 + b"'}\n",
    "one long domain": b"version: 1\ndomain: {base: " + b"a." * 100_000 + b"com}\n",
    "one long address": b"version: 1\nadmin: {email: " + b"a." * 100_000 + b"@b.com}\n",
    "one long number": b"version: 1\nssh: {port: " + b"9" * 250_000 + b"}\n",
    "one long url": b"version: 1\nregistry: {mirror: 'https://" + b"a/" * 100_000 + b"'}\n",
    "one long secret": b"version: 1\nadmin: {password: '" + b"pass" * 60_000 + b"'}\n",
    "one long schedule": b"version: 1\nbackup: {schedule: '"
    + b"1,2-3/4," * 30_000
    + b" * * * *'}\n",
    "blank lines": b"\n" * 260_000,
    "number beyond the reader": b"%YAML 1." + b"9" * 5_000 + b"\n---\nversion: 1\n",
    "escape beyond Unicode": b'version: 1\ntimezone: "\\UFFFFFFFF"\n',
    "lone surrogate": b'version: 1\ntimezone: "\\ud800"\n',
}


@pytest.mark.parametrize("data", HEAVY.values(), ids=HEAVY.keys())
def test_br_06_no_input_takes_more_than_2_s(data, catalog) -> None:
    started = time.process_time()
    outcome = cases.judge_file(data, catalog)
    assert time.process_time() - started < TIME_LIMIT_S
    assert outcome.verdict == "reject"
    assert len(outcome.problems) < 150


@pytest.mark.parametrize("name", ["alias bomb", "20 MB", "deep list", "many keys", "many anchors"])
def test_br_06_no_input_takes_more_than_200_mb(name, catalog) -> None:
    tracemalloc.start()
    try:
        cases.judge_file(HEAVY[name], catalog)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_LIMIT
