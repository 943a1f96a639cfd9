"""What verification says of what it sees of TLS."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from installer.adapters.certificates import observed_chain
from installer.core.certificates import ChainFacts
from installer.core.errors import Problem, Remedy, VerifyError
from installer.core.events import CheckResult, Outcome
from installer.core.plan import Plan
from installer.core.tls_profile import TLS12, TLS13, TlsSight
from installer.phases.verify_tls import check_sights, observe_names
from tests.tls.authority import make_chain
from tests.tls.test_rendered_tls import ACME, PRIVATE, acme_plan, plan_for

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class Probe:
    """Sees what it was given, under every name."""

    def __init__(self, *sights: TlsSight | VerifyError) -> None:
        self.sights = list(sights)

    def observe(self, name: str, *_: object, **__: object) -> TlsSight:
        sight = self.sights.pop(0) if len(self.sights) > 1 else self.sights[0]
        if isinstance(sight, VerifyError):
            raise sight
        return sight


def sight_of(
    host: str = "git.company.com", *, trusted: bool = True, left: float = 80, life: float = 90
) -> TlsSight:
    """A good sight of a chain with so many days left of its life."""
    chain = make_chain(host, begins=NOW - (life - left) * DAY, ends=NOW + left * DAY)
    roots = x509.load_pem_x509_certificates(chain.root_pem) if trusted else []
    sent = [c.public_bytes(Encoding.DER) for c in (chain.leaf, *chain.rest)]
    facts: ChainFacts = observed_chain(sent, roots)
    return TlsSight(versions=frozenset({TLS12, TLS13}), hybrid=True, chain=facts, top_pem=b"top\n")


def looked_at(plan: Plan, *sights: TlsSight | VerifyError) -> dict[str, CheckResult]:
    """Results of `git` by their kind."""
    seen = observe_names(plan, "192.0.2.10", None, Probe(*sights))
    results = check_sights(plan, seen, NOW)
    return {r.id.removesuffix(".git"): r for r in results if r.id.endswith(".git")}


def test_a_good_edge_passes_every_check() -> None:
    results = looked_at(plan_for(PRIVATE), sight_of())
    assert {r.outcome for r in results.values()} == {Outcome.PASS}
    assert {"smoke.tls.versions", "smoke.tls.groups", "smoke.tls.names", "smoke.tls.chain",
            "smoke.tls.dates", "smoke.tls.life"} <= set(results)  # fmt: skip


@pytest.mark.parametrize(
    ("sight", "check", "words"),
    [
        (replace(sight_of(), versions=frozenset({0x0301, TLS12, TLS13})), "versions", "TLS 1.0"),
        (replace(sight_of(), bad_groups=("P-521",)), "groups", "P-521"),
        (replace(sight_of(), bad_suites=("TLS_RSA_X",)), "suites", "TLS_RSA_X"),
        (replace(sight_of(), faults=("compresses",)), "negotiation", "compresses"),
        (sight_of(left=-1), "dates", "expired"),
        (sight_of("other.company.com"), "names", "git.company.com"),
        (sight_of(trusted=False), "chain", "incomplete"),
        (replace(sight_of(), chain=None, refusal="unrecognized name"), "served", "unrecognized"),
    ],
    ids=["old version", "group", "suite", "compression", "expired", "name", "chain", "refused"],
)
def test_every_fault_is_named_with_what_to_do(sight: TlsSight, check: str, words: str) -> None:
    """TL-25."""
    result = looked_at(plan_for(PRIVATE), sight)[f"smoke.tls.{check}"]
    assert result.outcome is Outcome.FAIL
    assert result.problem is not None
    assert words in result.problem.summary
    assert result.problem.remedy.summary


@pytest.mark.parametrize(
    ("tls", "left", "life", "outcome"),
    [
        (PRIVATE, 31, 90, Outcome.PASS),
        (PRIVATE, 29, 90, Outcome.WARN),
        ({"mode": "files", "certificate_file": "c.pem", "key_file": "k.pem"}, 29, 90, Outcome.WARN),
        ({"mode": "acme", "acme": ACME}, 29, 90, Outcome.PASS),
        ({"mode": "acme", "acme": ACME}, 14, 90, Outcome.WARN),
        ({"mode": "acme", "acme": ACME}, 1.5, 6, Outcome.PASS),
        ({"mode": "acme", "acme": ACME}, 0.9, 6, Outcome.WARN),
    ],
)
def test_a_renewal_that_is_due_is_told_in_time(
    tls: dict[str, Any], left: float, life: float, outcome: Outcome
) -> None:
    """TL-20: at a third of the life; with ACME when half of what was left has gone by."""
    result = looked_at(plan_for(tls), sight_of(left=left, life=life))["smoke.tls.life"]
    assert result.outcome is outcome
    assert (result.problem is None) == (outcome is Outcome.PASS)


def test_a_staging_certificate_is_a_warning_and_trusted_by_this_run_alone() -> None:
    """TL-22: everything else of it is judged as always."""
    staging = acme_plan(staging=True)
    sight = sight_of(trusted=False)
    result = looked_at(staging, sight)["smoke.tls.chain"]
    assert result.outcome is Outcome.WARN
    assert result.problem is not None
    assert "tls.acme.staging" in result.problem.remedy.summary
    seen = observe_names(staging, "192.0.2.10", None, Probe(sight))
    assert seen.roots("git.company.com", b"own\n", is_staging=True) == b"own\ntop\n"
    assert seen.roots("git.company.com", b"own\n", is_staging=False) == b"own\n"
    assert looked_at(acme_plan(), sight)["smoke.tls.chain"].outcome is Outcome.FAIL
    wrong = looked_at(staging, sight_of("other.company.com", trusted=False))
    assert wrong["smoke.tls.names"].outcome is Outcome.FAIL


def test_a_name_that_nothing_answers_for_is_a_failure() -> None:
    error = VerifyError(Problem("tls.unreachable", "cannot be reached", Remedy("look")))
    result = looked_at(plan_for(PRIVATE), error)["smoke.tls"]
    assert (result.outcome, result.problem) == (Outcome.FAIL, error.problems[0])


def test_a_name_below_the_wildcard_is_looked_at_too() -> None:
    """TL-06."""
    plan = plan_for(PRIVATE)
    seen = observe_names(plan, "192.0.2.10", None, Probe(sight_of()))
    assert "devplat-check.coder.company.com" in seen.by_name
    assert len(seen.by_name) == len(plan.routes) + 1
    assert observe_names(plan, "192.0.2.10", None, None).by_name == {}
