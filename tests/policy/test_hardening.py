"""The hardening audit: sound documents pass, each seeded defect is named alone (HA-02, HA-03)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import yaml

from installer.core.events import CheckResult, Outcome
from installer.core.policy import audit_compose, audit_inspect
from tests.policy.builders import (
    CANARY,
    DATA_DIR,
    DEVIATIONS,
    ROOT,
    SERVICES,
    audit_context,
    hardening_table,
    sound_container,
    sound_document,
)
from tests.policy.defects import COMPOSE, ENV_FILES
from tests.policy.defects_inspect import INSPECT
from tests.policy.spoiling import Defect

TABLE = hardening_table()
SHOULD = {a.id for a in TABLE.assertions if a.severity == "should"}
VICTIM = "gitea"


def cases(defects: dict[str, list[Defect]]) -> list[Any]:
    return [
        pytest.param(assertion, defect, id=f"{assertion}-{index}")
        for assertion, listed in defects.items()
        for index, defect in enumerate(listed)
    ]


def not_passed(results: Iterable[CheckResult]) -> dict[tuple[str, str | None], Outcome]:
    return {
        (r.id, r.where): r.outcome
        for r in results
        if r.outcome is not Outcome.PASS
        and not (r.outcome is Outcome.WAIVED and (r.where, r.id) in DEVIATIONS)
    }


def expected_outcome(assertion: str) -> Outcome:
    return Outcome.WARN if assertion in SHOULD else Outcome.FAIL


def test_the_products_table_repeats_the_acceptance_table_word_for_word() -> None:
    ours = yaml.safe_load((ROOT / "assets/hardening.yaml").read_bytes())
    theirs = yaml.safe_load((ROOT / "tests/acceptance/hardening.yaml").read_bytes())
    for part in ("version", "operators", "assertions", "roles"):
        assert ours[part] == theirs[part]


def test_every_assertion_with_a_compose_side_has_a_seeded_defect() -> None:
    assert COMPOSE.keys() >= {a.id for a in TABLE.assertions if a.compose}
    assert COMPOSE.keys() == {a.id for a in TABLE.assertions if TABLE.conditions_of(a, "compose")}


def test_every_assertion_with_an_inspect_side_has_a_seeded_defect() -> None:
    assert INSPECT.keys() == {a.id for a in TABLE.assertions if a.inspect}


def test_a_sound_document_passes_with_the_listed_deviations_only() -> None:
    results = audit_compose(sound_document(), TABLE, audit_context())
    assert not not_passed(results)
    assert {(r.where, r.id) for r in results if r.outcome is Outcome.WAIVED} == DEVIATIONS
    judged = {a.id for a in TABLE.assertions if TABLE.conditions_of(a, "compose")}
    for service in SERVICES:
        assert {r.id for r in results if r.where == service} == judged


@pytest.mark.parametrize("service", SERVICES)
def test_a_sound_container_passes_with_the_listed_deviations_only(service: str) -> None:
    results = audit_inspect(sound_container(service), None, TABLE, audit_context())
    assert not not_passed(results)
    waived = {(r.where, r.id) for r in results if r.outcome is Outcome.WAIVED}
    assert waived == {pair for pair in DEVIATIONS if pair[0] == service}
    assert {r.id for r in results} == {a.id for a in TABLE.assertions if a.inspect}


@pytest.mark.parametrize(("assertion", "defect"), cases(COMPOSE))
def test_a_defect_of_the_bundle_is_named_by_its_assertion_and_service_alone(
    assertion: str, defect: Defect
) -> None:
    document = sound_document()
    defect(document["services"][VICTIM])
    results = audit_compose(document, TABLE, audit_context(files=ENV_FILES))
    assert not_passed(results) == {(assertion, VICTIM): expected_outcome(assertion)}


@pytest.mark.parametrize(("assertion", "defect"), cases(INSPECT))
def test_a_defect_of_a_container_is_named_by_its_assertion_and_service_alone(
    assertion: str, defect: Defect
) -> None:
    container = sound_container(VICTIM)
    defect(container)
    context = audit_context(real_paths={f"{DATA_DIR}/link": "/etc/ssl"})
    results = audit_inspect(container, None, TABLE, context)
    assert not_passed(results) == {(assertion, VICTIM): expected_outcome(assertion)}


@pytest.mark.parametrize(
    ("assertion", "defect"), cases({k: v for k, v in COMPOSE.items() if k in TABLE.redacted})
)
def test_a_finding_about_a_secret_does_not_show_it(assertion: str, defect: Defect) -> None:
    document = sound_document()
    defect(document["services"][VICTIM])
    results = audit_compose(document, TABLE, audit_context(files=ENV_FILES))
    (found,) = [r for r in results if r.where == VICTIM and r.id == assertion]
    text = repr(found)
    assert found.outcome is Outcome.FAIL
    for value in (CANARY.reveal(), "hunter2", "12345678", "/abc+def", "AKIA0", "app:pw"):
        assert value not in text


def test_a_failed_result_says_what_was_expected_what_was_found_and_what_to_do() -> None:
    document = sound_document()
    document["services"][VICTIM]["user"] = "0:0"
    results = audit_compose(document, TABLE, audit_context())
    (found,) = [r for r in results if r.outcome is Outcome.FAIL]
    assert found.problem is not None
    assert (found.expected, found.found) == (
        "user: matches [1-9][0-9]*(:[0-9]+)?",
        "user: 0:0",
    )
    assert found.problem.where == VICTIM
    assert VICTIM in found.problem.remedy.summary


@pytest.mark.parametrize(
    ("assertion", "service", "path"),
    [
        ("HD-11", "postgres", "memswap_limit"),
        ("HD-11", "redis", "memswap_limit"),
        ("HD-11", "vault", "memswap_limit"),
        ("HD-30", "postgres", "ulimits"),
        ("HD-30", "vault", "ulimits"),
    ],
)
def test_what_is_a_should_for_most_is_a_must_for_some_roles(
    assertion: str, service: str, path: str
) -> None:
    document = sound_document()
    del document["services"][service][path]
    assert not_passed(audit_compose(document, TABLE, audit_context())) == {
        (assertion, service): Outcome.FAIL
    }


def test_a_database_is_given_at_least_a_minute_to_stop() -> None:
    document = sound_document()
    document["services"]["postgres"]["stop_grace_period"] = "45s"
    container = sound_container("postgres")
    container["Config"]["StopTimeout"] = 45
    wanted = {("HD-41", "postgres"): Outcome.WARN}
    assert not_passed(audit_compose(document, TABLE, audit_context())) == wanted
    assert not_passed(audit_inspect(container, None, TABLE, audit_context())) == wanted


def test_a_role_without_a_row_fails_and_gets_the_strictest_row() -> None:
    document = sound_document()
    document["services"]["vault"]["labels"]["devplat.role"] = "vault-two"
    found = not_passed(audit_compose(document, TABLE, audit_context(exceptions={})))
    assert found[("HD-42", "vault")] is Outcome.FAIL
    assert found[("HD-04", "vault")] is Outcome.FAIL


def test_a_label_list_is_read_like_a_mapping() -> None:
    document = sound_document()
    labels = document["services"][VICTIM]["labels"]
    document["services"][VICTIM]["labels"] = [f"{key}={value}" for key, value in labels.items()]
    assert not not_passed(audit_compose(document, TABLE, audit_context()))
