"""Verify: which ports of the target are open, as the bastion and a vantage point see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from installer.core.errors import InstallError
from installer.core.events import CheckResult
from installer.core.exposure import (
    ExposureRules,
    judge_knocks,
    judge_listeners,
    judge_published,
    unknown_knocks,
)
from installer.core.fields_hosts import BASTION
from installer.core.segmentation.reach import Reach
from installer.phases.outside import is_seen, knock
from installer.ports import Container, Host, Resolver

VANTAGE = "vantage"
"""Name of the vantage point in `Ports.views`; the bastion is called as in the answers."""


@dataclass(frozen=True, slots=True)
class OutsideAudit:
    """What is tried, and what may come of it.

    Attributes:
        rules: What may be open.
        knock: Text of `assets/knock.sh`.
        greet: Text of `assets/greet.py`.
        addresses: Of the target, or names of it.
        vantage: The answer: user@host, `bastion` where the bastion is outside, or empty.
        direct: The bastion reaches the target without jump hosts.
    """

    rules: ExposureRules
    knock: bytes
    greet: bytes
    addresses: tuple[str, ...]
    vantage: str = ""
    direct: bool = True


def check_exposure(
    audit: OutsideAudit,
    seen: Reach | None,
    containers: Mapping[str, Container],
    views: Mapping[str, Host],
    resolver: Resolver,
) -> Iterator[CheckResult]:
    """Listeners and published ports of the host, then what is open from elsewhere."""
    yield judge_published(((c.service, c.inspect) for c in containers.values()), audit.rules)
    if seen is not None:
        yield from judge_listeners(seen.listeners, seen.datagrams, audit.rules)
    doors = _doors(audit, seen, resolver)
    if (bastion := views.get(BASTION)) and audit.direct:
        is_outside = audit.vantage == BASTION
        yield _look(audit, bastion, "the bastion", doors, is_outside=is_outside)
    if vantage := views.get(VANTAGE):
        yield _look(audit, vantage, audit.vantage, doors, is_outside=True)


def _look(
    audit: OutsideAudit, view: Host, name: str, doors: list[tuple[str, int]], *, is_outside: bool
) -> CheckResult:
    try:
        knocks = knock(audit.knock, view, doors)
    except InstallError as error:
        return unknown_knocks(name, error.problems[0].summary, is_outside=is_outside)
    if not is_outside and not is_seen(knocks):
        why = "nothing of the target answers here, neither yes nor no"
        return unknown_knocks(name, why, is_outside=is_outside)
    return judge_knocks(knocks, audit.rules, name, is_outside=is_outside)


def _doors(audit: OutsideAudit, seen: Reach | None, resolver: Resolver) -> list[tuple[str, int]]:
    """Every port that may or must not be open, and every one that something listens on."""
    listening = {s.port for s in seen.listeners or ()} if seen else set()
    far = [a for a in (seen.host.addresses if seen else ()) if _is_global_six(a)]
    ports = sorted({*audit.rules.tried, *listening})
    own = [a for name in audit.addresses for a in find_addresses(name, resolver)]
    return [(a, port) for a in dict.fromkeys((*own, *far)) for port in ports]


def find_addresses(name: str, resolver: Resolver) -> tuple[str, ...]:
    """An address itself, or those of a name, without loopback, where nobody else is."""
    try:
        found: tuple[str, ...] = (str(ip_address(name)),)
    except ValueError:
        found = resolver.addresses(name)
    return tuple(a for a in found if not ip_address(a).is_loopback)


def _is_global_six(text: str) -> bool:
    address = ip_address(text)
    return address.version == 6 and address.is_global
