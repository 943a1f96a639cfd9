"""Verify the TLS of every public name: what the edge would agree to, and the certificates it sends.

A certificate of a staging authority is trusted by nobody; then the one that is seen is what this
run trusts, under a warning, so that everything else can still be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from installer.core.certificate_rules import judge_chain
from installer.core.certificates import RENEWAL_SHARE, CertificateFacts
from installer.core.errors import InstallError, Problem, Remedy
from installer.core.events import CheckResult, Outcome
from installer.core.plan import Plan
from installer.core.tls_profile import TlsSight, judge_sight
from installer.ports import TlsProbe

_PROBE = "devplat-check"
"""A label below the wildcard that no workspace has."""
_UNTRUSTED = "tls.chain_incomplete"


@dataclass(frozen=True, slots=True)
class Sights:
    """What was seen under each name, and what could not be."""

    by_name: Mapping[str, TlsSight] = field(default_factory=dict)
    problems: Mapping[str, Problem] = field(default_factory=dict)

    def roots(self, name: str, known: bytes | None, *, is_staging: bool) -> bytes | None:
        """Roots to trust under a name; for a staging certificate also the last one it came with."""
        sight = self.by_name.get(name)
        if not is_staging or sight is None or not sight.top_pem:
            return known
        return (known or b"") + sight.top_pem


def observe_names(
    plan: Plan, address: str, roots_pem: bytes | None, probe: TlsProbe | None
) -> Sights:
    """Look at every public name, and at one below the wildcard; empty without a probe."""
    if probe is None:
        return Sights()
    seen: dict[str, TlsSight] = {}
    problems: dict[str, Problem] = {}
    for name in _names(plan):
        try:
            seen[name] = probe.observe(name, address, roots_pem)
        except InstallError as error:
            problems[name] = error.problems[0]
    return Sights(seen, problems)


def check_sights(plan: Plan, sights: Sights, now: datetime) -> Iterator[CheckResult]:
    """Every finding of every name; ids end in the route's key, or in `wildcard`."""
    profile = str(plan.answers.tls.profile)
    for name, key in _names(plan).items():
        if name in sights.problems:
            problem = sights.problems[name]
            yield _renamed(
                CheckResult("tls", f"TLS of {name}", Outcome.FAIL, name, problem=problem), key
            )
        if name in sights.by_name:
            for result in _judge(plan, name, sights.by_name[name], profile, now):
                yield _renamed(result, key)


def _judge(
    plan: Plan, name: str, sight: TlsSight, profile: str, now: datetime
) -> Iterator[CheckResult]:
    yield from judge_sight(sight, profile, name)
    if sight.chain is None:
        yield _no_certificate(name, sight.refusal)
        return
    leaf = sight.chain.certificates[0]
    for result in judge_chain(sight.chain, [name], now, warn_days=0, profile=profile, where=name):
        if result.problem and result.problem.code == _UNTRUSTED and plan.answers.tls.is_staging:
            yield _staging(name, result)
        elif result.id != "tls.key":  # the key is not there to compare
            yield _served_fault(result)
    yield _judge_life(plan, name, leaf, now)


def _names(plan: Plan) -> dict[str, str]:
    names = {route.host: route.host_key for route in plan.routes}
    if plan.wildcard:
        names[f"{_PROBE}{plan.wildcard[1:]}"] = "wildcard"
    return names


def _renamed(result: CheckResult, key: str) -> CheckResult:
    return replace(result, id=f"smoke.{result.id}.{key}")


def _served_fault(result: CheckResult) -> CheckResult:
    """The remedies of `judge_chain` are for files; here they are those of what is served."""
    if result.problem is None or result.outcome is not Outcome.FAIL:
        return result
    remedy = Remedy(
        f"{result.problem.remedy.summary}; then run the installer again, and look at the log of the"
        " edge when it still serves the old one",
        result.problem.remedy.commands,
    )
    return replace(result, problem=replace(result.problem, remedy=remedy))


def _no_certificate(name: str, refusal: str) -> CheckResult:
    problem = Problem(
        "tls.no_certificate",
        f"the edge serves no certificate for {name}: {refusal}",
        Remedy(
            "with ACME, wait until it is issued and read the log of the edge, which says why it is"
            " not; else run the installer again"
        ),
        where=name,
    )
    title = "a certificate is served"
    return CheckResult("tls.served", title, Outcome.FAIL, name, title, refusal, problem)


def _staging(name: str, result: CheckResult) -> CheckResult:
    problem = Problem(
        "tls.staging",
        f"the certificate of {name} is one of a staging authority, which no browser trusts",
        Remedy("when it is there, the challenge works: set tls.acme.staging to false and apply"),
        where=name,
    )
    found = "of a staging authority"
    return replace(result, outcome=Outcome.WARN, found=found, problem=problem)


def _judge_life(plan: Plan, name: str, leaf: CertificateFacts, now: datetime) -> CheckResult:
    """Renewal in time: a warning when it is due, and with ACME when it is half overdue."""
    life, left = leaf.not_after - leaf.not_before, leaf.not_after - now
    mode = plan.answers.tls.mode
    # The edge renews by itself when a third is left, and has until half of that for retries.
    limit = life / (2 * RENEWAL_SHARE if mode == "acme" else RENEWAL_SHARE)
    found = f"{_days(left)} of {_days(life)} left"
    title = "certificate is not due for renewal"
    if left > limit:
        return CheckResult("tls.life", title, Outcome.PASS, name, f"over {_days(limit)}", found)
    problem = Problem(
        "tls.renewal_due",
        f"the certificate of {name} ends on {leaf.not_after:%Y-%m-%d %H:%M UTC}: {found}",
        _RENEWALS[mode],
        where=name,
    )
    return CheckResult(
        "tls.life", title, Outcome.WARN, name, f"over {_days(limit)}", found, problem
    )


_RENEWALS: Mapping[str, Remedy] = {
    "acme": Remedy("renewal is late: read the log of the edge, which says why it failed"),
    "files": Remedy(
        "put renewed files in place of tls.certificate_file and tls.key_file, then apply",
        ("devplat-install apply --yes",),
    ),
    "private-ca": Remedy(
        "have it renewed now; a timer does it in time (see the runbook)",
        ("devplat-install apply --yes",),
    ),
}


def _days(span: timedelta) -> str:
    days = span / timedelta(days=1)
    return f"{days:.0f} days" if days >= 3 or days < 0 else f"{days * 24:.0f} hours"


def judge_hsts(value: str, asked: Sequence[int], plan: Plan, host: str) -> CheckResult | None:
    """A warning while HSTS is short on purpose; None when the ordinary check applies."""
    wanted = plan.answers.tls.hsts_seconds
    if wanted >= min(asked) or f"max-age={wanted}" not in value:
        return None
    problem = Problem(
        "tls.hsts_short",
        f"{host} sends HSTS for {wanted} s only",
        Remedy("when every client trusts the certificates, set tls.hsts to full and apply"),
        where=host,
    )
    title = f"{host} sends HSTS"
    return CheckResult("hsts", title, Outcome.WARN, host, f"max-age={min(asked)}", value, problem)
