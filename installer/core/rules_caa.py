"""Preflight rule over CAA records: whether the authority of the answers may issue for our names.

RFC 8659: the records of a name, or of its nearest parent with any, list who may. RFC 8657: they may
also say by which challenge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from installer.core.dns_message import CaaRecord
from installer.core.errors import Problem, Remedy
from installer.core.events import Outcome
from installer.core.facts import HostFacts
from installer.core.requirements import Requirements
from installer.core.rules import Finding, judged, passed, unknown

_KNOWN = ("letsencrypt.org", "pki.goog", "buypass.com")
"""Authorities whose CAA domain is that of their directory."""


def judge_issuers(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Every public name and wildcard, when an ACME authority is to issue for it."""
    if not needs.acme_host:
        return
    for name in (*needs.names, *needs.wildcards):
        records = facts.dns.issuers.get(name)
        if records is None:
            yield unknown(name, "caa.unknown", f"which authorities may issue for {name}")
        else:
            yield _judge(name, records, needs)


def _judge(name: str, records: Sequence[CaaRecord], needs: Requirements) -> Finding:
    tags = ("issuewild", "issue") if name.startswith("*.") else ("issue",)
    relevant: Sequence[CaaRecord] = ()
    for tag in tags:  # `issue` counts for a wildcard only where there is no `issuewild`
        relevant = relevant or [record for record in records if record.tag == tag]
    allowed = ", ".join(sorted({record.issuer or "nobody" for record in relevant}))
    expected = f"none, or one for the authority at {needs.acme_host}"
    strange = [r.tag for r in records if r.critical and not r.tag.startswith(("issue", "iodef"))]
    if not relevant and not strange:
        return passed(name, expected=expected, found="none")
    ours = [record for record in relevant if _is_ours(record.issuer, needs.acme_host)]
    if any(_may_use(record, needs.acme_challenge) for record in ours) and not strange:
        return passed(name, expected=expected, found=allowed)
    if ours and not strange:
        methods = ours[0].parameter("validationmethods")
        why = f"for {ours[0].issuer} only by {methods}, not by {needs.acme_challenge}"
    else:
        why = f"{allowed or 'tags that no authority knows'}, none of them at {needs.acme_host}"
    domain = next((k for k in _KNOWN if _is_ours(k, needs.acme_host)), "<the authority's domain>")
    base = name.removeprefix("*.")
    tag = tags[0]
    problem = Problem(
        code="caa.refused",
        summary=f"CAA records let others issue for {name}: {why}",
        where=name,
        remedy=Remedy(
            f'add the record {base}. IN CAA 0 {tag} "{domain}", or choose an authority that is'
            " allowed",
            (f"dig +short CAA {base}",),
        ),
    )
    # An authority may go by a domain that its directory does not show, as some do.
    is_known = bool(ours) or strange or not relevant or domain in _KNOWN
    outcome = Outcome.FAIL if is_known else Outcome.WARN
    return judged(outcome, problem, expected=expected, found=allowed or ", ".join(strange))


def _is_ours(issuer: str, host: str) -> bool:
    return bool(issuer) and (host == issuer or host.endswith(f".{issuer}"))


def _may_use(record: CaaRecord, challenge: str) -> bool:
    methods = record.parameter("validationmethods")
    return methods is None or challenge in [m.strip() for m in methods.split(",")]
