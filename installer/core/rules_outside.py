"""The preflight rule about ports that are tried from outside, with a listener of our own behind."""

from __future__ import annotations

from collections.abc import Iterator

from installer.core.errors import Problem, Remedy
from installer.core.events import Outcome
from installer.core.facts import HostFacts
from installer.core.outside import Came, Knock, Rehearsal
from installer.core.requirements import Requirements
from installer.core.rules import Finding, judged, passed, unknown


def judge_rehearsal(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Each port that will be published can be reached from the vantage point."""
    seen = facts.rehearsal
    if seen is None:
        return
    if seen.why:
        yield unknown(seen.vantage, "ports.outside_unknown", seen.why)
        return
    for port in needs.ports:
        yield from (_judge_knock(knock, seen) for knock in seen.knocks if knock.port == port)


def _judge_knock(knock: Knock, seen: Rehearsal) -> Finding:
    where = f"{knock.address} port {knock.port}"
    expected = f"reached from {seen.vantage}"
    if knock.came is Came.OPEN and knock.greeting == seen.nonce:
        return passed(where, expected=expected, found="reached, and it was this host")
    if knock.came is Came.OPEN and knock.port in seen.busy:
        return passed(where, expected=expected, found="reached; the port is held already")
    if knock.came is Came.OPEN:
        summary = f"something else than this host answers at {where}, seen from {seen.vantage}"
        remedy = "look where that address leads to: a load balancer, NAT or another machine"
        code = "ports.elsewhere"
    else:
        summary = f"{where} is not reached from {seen.vantage}: {knock.came}"
        remedy = (
            "open the port in the firewalls between them (security group, host firewall, router),"
            " or take network.vantage away if nobody out there is meant to reach it"
        )
        code = "ports.unreached"
    return judged(
        Outcome.FAIL,
        Problem(
            code,
            summary,
            Remedy(remedy, (f"nc -vz {knock.address} {knock.port}",)),
            where=f"port {knock.port}",
        ),
        expected=expected,
        found=str(knock.came),
    )
