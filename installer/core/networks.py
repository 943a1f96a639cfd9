"""Networks of the stack: one per pair of services that talk, and nothing else shared.

Two services without a declared flow never meet on a network, so segmentation holds by construction.
Subnets come from the operator's pool; each keeps its place when services come or go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from installer.core.errors import AnswersError, Problem, Remedy
from installer.core.manifest import ServiceManifest

PREFIX_LENGTH = 29
"""Six usable addresses: the gateway and two services, with room for a replacement of each."""


@dataclass(frozen=True, slots=True)
class Network:
    """A bridge network. `aliases` are extra names of a member on it."""

    name: str
    subnet: str
    internal: bool
    members: tuple[str, ...]
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def edge_of(services: Iterable[ServiceManifest]) -> str | None:
    """The name of the service that publishes ports, if one does."""
    return next((s.name for s in services if s.publish), None)


def make_networks(
    services: Mapping[str, ServiceManifest], public_names: tuple[str, ...], pool: str
) -> tuple[Network, ...]:
    """One network per pair that talks, one way out per service that needs one.

    Args:
        services: The chosen services by name.
        public_names: Names that the edge answers for towards services that call it.
        pool: IPv4 range to take subnets from.

    Raises:
        AnswersError: the pool is too small.
    """
    edge = edge_of(services.values())
    pairs = _pairs(services, edge)
    callers_of_edge = {s.name for s in services.values() if any(c.to == edge for c in s.connects)}
    drafts: dict[str, tuple[bool, tuple[str, ...], dict[str, tuple[str, ...]]]] = {}
    for first, second in pairs:
        aliases = (
            {edge: public_names}
            if edge in (first, second) and callers_of_edge & {first, second}
            else {second: public_names}
            if edge is not None and services[second].relays == edge
            else {}
        )
        drafts[f"{first}-to-{second}"] = (True, (first, second), aliases)
    for service in services.values():
        if service.egress or service.publish:
            drafts[f"{service.name}-egress"] = (False, (service.name,), {})
    met = {name for _, members, _ in drafts.values() for name in members}
    for name in services.keys() - met:  # without a network it would be on the project's default one
        drafts[f"{name}-alone"] = (True, (name,), {})
    subnets = allocate_subnets(drafts.keys(), pool)
    return tuple(Network(name, subnets[name], *drafts[name]) for name in sorted(drafts))


def allocate_subnets(names: Iterable[str], pool: str) -> dict[str, str]:
    """A subnet of the pool for each name, by hash, so that others keep theirs when one is added.

    Raises:
        AnswersError: there are more names than subnets.
    """
    wanted = sorted(names)
    network = IPv4Network(pool)
    slots = 2 ** max(0, PREFIX_LENGTH - network.prefixlen)
    if len(wanted) > slots:
        raise AnswersError(
            Problem(
                code="cidr.too_small",
                summary=f"{pool} has room for {slots} networks, this stack needs {len(wanted)}",
                where="network.pool",
                remedy=Remedy("choose a larger private range, for example 172.30.0.0/16"),
            )
        )
    taken: dict[int, str] = {}
    for name in wanted:
        slot = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % slots
        while slot in taken:
            slot = (slot + 1) % slots
        taken[slot] = name
    step = 2 ** (32 - PREFIX_LENGTH)
    base = int(network.network_address)
    return {
        name: str(IPv4Network((base + slot * step, PREFIX_LENGTH))) for slot, name in taken.items()
    }


def _pairs(services: Mapping[str, ServiceManifest], edge: str | None) -> list[tuple[str, str]]:
    """Ordered pairs (caller, called); a pair that talks both ways is named once."""
    pairs: dict[frozenset[str], tuple[str, str]] = {}
    for service in services.values():
        if edge and service.ingress and service.name != edge:
            pairs[frozenset((edge, service.name))] = (edge, service.name)
    for service in services.values():
        for connection in service.connects:
            if connection.to in services and connection.to != service.name:
                pairs.setdefault(
                    frozenset((service.name, connection.to)), (service.name, connection.to)
                )
    return list(pairs.values())
