"""Every preflight rule as a table: facts and requirements in, outcomes and problem codes out.

A row names the rule, what differs from a sound host, and what the rule must say: `pass`, `unknown`,
or `warn`/`fail` with the problem's code; an empty tuple where the rule does not apply.
"""

from __future__ import annotations

import pytest

from installer.core.checks import CLASSES, RULES, WAIVABLE, judge_host, judge_rule
from installer.core.events import Outcome
from tests.preflight.builders import sound_facts, sound_needs
from tests.preflight.rows_buckets import ROWS as BUCKET_ROWS
from tests.preflight.rows_database import ROWS as DATABASE_ROWS
from tests.preflight.rows_hardening import ROWS as HARDENING_ROWS
from tests.preflight.rows_machine import ROWS as MACHINE_ROWS
from tests.preflight.rows_network import ROWS as NETWORK_ROWS
from tests.preflight.rows_outside import ROWS as OUTSIDE_ROWS
from tests.preflight.rows_upkeep import ROWS as UPKEEP_ROWS
from tests.preflight.rows_workspaces import ROWS as WORKSPACE_ROWS

RULE_BY_ID = {rule.id: rule for rule in RULES}
ROWS = [
    *MACHINE_ROWS,
    *NETWORK_ROWS,
    *DATABASE_ROWS,
    *OUTSIDE_ROWS,
    *HARDENING_ROWS,
    *UPKEEP_ROWS,
    *WORKSPACE_ROWS,
    *BUCKET_ROWS,
]
"""Rule, case, what differs in the facts, what differs in the requirements, what the rule says."""


def said(results):
    return tuple(
        r.outcome.value
        if r.outcome in (Outcome.PASS, Outcome.UNKNOWN)
        else f"{r.outcome.value} {r.problem.code}"
        for r in results
    )


@pytest.mark.parametrize(
    ("rule", "facts", "needs", "expected"),
    [pytest.param(r, f, n, e, id=f"{r}: {case}") for r, case, f, n, e in ROWS],
)
def test_a_rule_says_what_the_table_says(rule, facts, needs, expected):
    results = tuple(judge_rule(RULE_BY_ID[rule], sound_facts(**facts), sound_needs(**needs)))
    assert said(results) == expected
    for result in results:
        assert (result.problem is None) == (result.outcome is Outcome.PASS)
        if result.problem:
            assert result.problem.remedy.summary
            assert result.problem.where == result.where
            assert not result.problem.summary.endswith(".")
            assert "\n" not in result.problem.summary


def test_a_sound_host_passes_everything():
    outcomes = {r.id: r.outcome for r in judge_host(sound_facts(), sound_needs())}
    assert set(outcomes.values()) == {Outcome.PASS}
    assert set(outcomes) == set(RULE_BY_ID)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_is_shown_to_pass_and_to_complain(rule):
    expected = [e for r, _, _, _, e in ROWS if r == rule.id]
    assert any("pass" in e for e in expected)
    assert any(word.startswith(("warn", "fail")) for e in expected for word in e)


def test_ids_are_unique_and_every_class_has_its_place():
    assert len(RULE_BY_ID) == len(RULES)
    assert {rule.error for rule in RULES} == set(CLASSES)


def test_everything_that_can_be_waived_exists():
    codes = {word.partition(" ")[2] for *_, e in ROWS for word in e} - {""}
    assert codes >= WAIVABLE
