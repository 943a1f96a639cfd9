"""Preflight rules over public names: seen from the bastion, the host, a container, name servers.

A name counts as right only when every place that could be asked sees it point to an accepted
address. A wildcard record that answers for everything is recognised by a name that cannot exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from ipaddress import ip_address

from installer.core.errors import Problem, Remedy
from installer.core.events import Outcome
from installer.core.facts import Addresses, HostFacts
from installer.core.requirements import Requirements
from installer.core.rules import Finding, judged, passed, unknown


class _Verdict(IntEnum):
    """What one place sees of one name, the worst last."""

    UNKNOWN = 0
    RIGHT = 1
    ELSEWHERE = 2
    HIDDEN = 3  # only a catch-all answers
    MISSING = 4


def judge_names(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Every public name and one name below every wildcard; each with what was found where."""
    for name in needs.names:
        yield _judge_name(name, name, facts, needs)
    for wildcard, probe in needs.wildcard_probes.items():
        yield _judge_name(wildcard, probe, facts, needs)


def judge_catch_all(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """A wildcard record of the base domain that leads elsewhere hides every missing name."""
    probe = needs.catch_all_probe
    if probe is None:
        return
    where = f"*.{needs.base_domain}"
    seen = {place: names.get(probe) for place, names in _places(facts).items()}
    found = _describe(seen)
    accepted = _accepted(needs)
    strangers = {a for addresses in seen.values() for a in addresses or ()} - accepted
    if all(addresses is None for addresses in seen.values()):
        yield unknown(where, "dns.catch_all_unknown", "whether a wildcard record exists")
    elif not strangers or (not accepted and not _shadows(seen, facts, needs)):
        yield passed(where, expected="no wildcard record that leads elsewhere", found=found)
    else:
        yield judged(
            Outcome.WARN,
            Problem(
                code="dns.catch_all",
                summary=f"the wildcard record {where} answers for every name: {found}",
                where=where,
                remedy=Remedy(
                    f"remove the wildcard record {where}, or make sure that every public name has "
                    "a record of its own",
                    (f"getent ahosts {probe}",),
                ),
            ),
            expected="no wildcard record that leads elsewhere",
            found=found,
        )


def judge_container_dns(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """What containers resolve; a warning only, since the stack brings its own names along."""
    if not needs.names:
        return
    seen = {name: facts.dns.container.get(name) for name in needs.names}
    if all(addresses is None for addresses in seen.values()):
        yield unknown(
            "container", "dns.container_unknown", "no image to resolve names with is on the host"
        )
        return
    missing = [name for name, addresses in seen.items() if not addresses]
    if not missing:
        yield passed("container", expected="every name", found="every name")
        return
    yield judged(
        Outcome.WARN,
        Problem(
            code="dns.container",
            summary=f"inside a container {', '.join(missing)} cannot be resolved",
            where="container",
            remedy=Remedy(
                "check the name servers that the engine gives to containers",
                ("cat /etc/resolv.conf", "cat /etc/docker/daemon.json"),
            ),
        ),
        expected="every name",
        found=f"{len(missing)} of {len(seen)} missing",
    )


def _judge_name(shown: str, asked: str, facts: HostFacts, needs: Requirements) -> Finding:
    seen = {place: names.get(asked) for place, names in _places(facts).items()}
    hidden = {
        place: names.get(needs.catch_all_probe or "") for place, names in _places(facts).items()
    }
    verdicts = {
        place: _verdict(place, addresses, hidden[place], needs) for place, addresses in seen.items()
    }
    worst = max(verdicts.values())
    expected, found = _expected(needs), _describe(seen)
    if worst is _Verdict.UNKNOWN:
        return unknown(shown, "dns.unknown", f"what {shown} resolves to")
    if worst is _Verdict.RIGHT:
        return passed(shown, expected=expected, found=found)
    return judged(
        Outcome.FAIL if needs.dns_required else Outcome.WARN,
        _problem(shown, worst, found, needs),
        expected=expected,
        found=found,
    )


def _verdict(place: str, addresses: Addresses, hidden: Addresses, needs: Requirements) -> _Verdict:
    if addresses is None:
        return _Verdict.UNKNOWN
    if not addresses:
        return _Verdict.MISSING
    if place == "host" and all(ip_address(a).is_loopback for a in addresses):
        return _Verdict.UNKNOWN  # the host's own name in its hosts file says nothing of DNS
    accepted = _accepted(needs)
    if not accepted or set(addresses) <= accepted:
        return _Verdict.RIGHT
    if hidden and set(addresses) <= set(hidden):
        return _Verdict.HIDDEN
    return _Verdict.ELSEWHERE


def _problem(shown: str, verdict: _Verdict, found: str, needs: Requirements) -> Problem:
    target = _expected(needs)
    record = _record(shown, needs)
    wildcard = shown.startswith("*.")
    if verdict is _Verdict.MISSING and wildcard:
        code = "dns.wildcard_missing"
        summary = f"names below {shown[2:]} do not resolve ({found}); workspace apps need {shown}"
    elif verdict is _Verdict.MISSING:
        code, summary = "dns.missing", f"{shown} does not resolve ({found})"
    elif verdict is _Verdict.HIDDEN:
        code = "dns.catch_all"
        summary = (
            f"{shown} has no record of its own: the wildcard *.{needs.base_domain} answers for it, "
            f"found {found}, expected {target}"
        )
    else:
        code = "dns.elsewhere"
        summary = f"{shown} points elsewhere: found {found}, expected {target}"
    advice = f"record to create: {record}"
    if verdict is _Verdict.ELSEWHERE:
        advice = (
            f"found {found}, expected {target}: correct the record to {record}; or, when that is a "
            "load balancer or NAT address in front of the host, accept it explicitly"
        )
    probe = f"test.{shown[2:]}" if wildcard else shown
    return Problem(
        code=code,
        summary=summary,
        where=shown,
        detail="records needed:\n"
        + "\n".join(_record(name, needs) for name in (*needs.names, *needs.wildcards)),
        remedy=Remedy(advice, (f"getent ahosts {probe}",)),
    )


def _record(name: str, needs: Requirements) -> str:
    """Records in the notation of zone files (RFC 1035, section 5)."""
    addresses = needs.addresses or ("<address of the host>",)
    return ", ".join(f"{name}. IN {'AAAA' if ':' in a else 'A'} {a}" for a in addresses)


def _shadows(seen: Mapping[str, Addresses], facts: HostFacts, needs: Requirements) -> bool:
    """Whether a public name resolves to nothing but what the catch-all gives."""
    return any(
        addresses and hidden and set(addresses) <= set(hidden)
        for place, hidden in seen.items()
        for addresses in (_places(facts)[place].get(name) for name in needs.names)
    )


def _places(facts: HostFacts) -> dict[str, Mapping[str, Addresses]]:
    asked = {f"name server {server}": names for server, names in facts.dns.resolvers.items()}
    return {"bastion": facts.dns.bastion, "host": facts.dns.host, **asked}


def _accepted(needs: Requirements) -> set[str]:
    return {str(ip_address(address)) for address in needs.addresses}


def _expected(needs: Requirements) -> str:
    return " or ".join(needs.addresses) or "any address"


def _describe(seen: Mapping[str, Addresses]) -> str:
    return "; ".join(
        f"{place}: {'unknown' if found is None else ', '.join(found) or 'no address'}"
        for place, found in seen.items()
    )
