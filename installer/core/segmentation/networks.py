"""Rules for the networks themselves: declared, not the default one, closed, ranges apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import combinations
from typing import Any

from installer.core.segmentation.findings import Finding
from installer.core.segmentation.table import FlowConditions, SegmentationTable
from installer.core.segmentation.topology import DEFAULT_NETWORK, Topology

IpNetwork = IPv4Network | IPv6Network


def check_declared(topology: Topology) -> Iterator[Finding]:
    """Every network is declared by the bundle as a bridge; nobody is on the default one."""
    for network, members in topology.members.items():
        who = ", ".join(members)
        if network == DEFAULT_NETWORK:
            yield Finding(network, f"{who} on the default network of the project")
        elif network not in topology.networks:
            yield Finding(network, f"{who} on a network that the bundle does not declare")
    for network, definition in topology.networks.items():
        if definition.get("external"):
            yield Finding(network, "declared as external, so not by the bundle")
        if definition.get("driver") not in (None, "bridge"):
            yield Finding(network, f"driver {definition['driver']}, where only bridge is filtered")


def check_internal(
    topology: Topology, table: SegmentationTable, conditions: FlowConditions
) -> Iterator[Finding]:
    """Networks with a member of a closed tier have no way out, unless its own flow leads out."""
    closed = table.roles_in(table.internal_tiers)
    outgoing = {
        role
        for flow in table.allow
        if table.outside in flow.pair and conditions.allow(flow)
        for role in flow.pair
    }
    for network in filter(topology.is_open, topology.members):
        roles = {topology.roles[service] for service in topology.members[network]}
        held = sorted(roles & closed - outgoing)
        if held:
            yield Finding(network, f"not internal, with {', '.join(held)} on it")


def check_consumers(topology: Topology, table: SegmentationTable) -> Iterator[Finding]:
    """A network of a control service has that service and one consumer."""
    single = table.roles_in(table.single_consumer_tiers)
    for network, members in topology.members.items():
        if len(members) > 2 and any(topology.roles[service] in single for service in members):
            yield Finding(network, f"{', '.join(members)} share it, where one consumer may")


def check_subnets(topology: Topology, conditions: FlowConditions) -> Iterator[Finding]:
    """Each network has a range of its own: from the pool, and overlapping nothing."""
    ranges: list[tuple[str, IpNetwork]] = []
    for network in sorted(topology.networks):
        own = list(_ranges_of(topology.networks[network]))
        if not any(r.version == 4 for r in own):
            yield Finding(network, "no IPv4 range, so the engine chooses one")
        if topology.networks[network].get("enable_ipv6") and not any(r.version == 6 for r in own):
            yield Finding(network, "IPv6 without a range, so the engine chooses one")
        ranges += [(network, r) for r in own]
    pool = None if conditions.pool is None else ip_network(conditions.pool)
    taken = [(f"{text} in use on the host", ip_network(text)) for text in conditions.occupied]
    for network, own_range in ranges:
        if pool is not None and own_range.version == pool.version and not _is_in(own_range, pool):
            yield Finding(network, f"{own_range} is not in the pool {pool}")
        for what, other in taken:
            if own_range.overlaps(other):
                yield Finding(network, f"{own_range} overlaps {what}")
    for (first, one), (second, two) in combinations(ranges, 2):
        if one.overlaps(two):
            yield Finding(first, f"{one} overlaps {two} of {second}")


def _is_in(inner: IpNetwork, outer: IpNetwork) -> bool:
    return (
        inner.version == outer.version
        and int(outer.network_address) <= int(inner.network_address)
        and int(inner.broadcast_address) <= int(outer.broadcast_address)
    )


def _ranges_of(definition: Mapping[str, Any]) -> Iterator[IpNetwork]:
    """The ranges that a network asks for; a text that is no range counts as none."""
    for entry in (definition.get("ipam") or {}).get("config") or ():
        with suppress(ValueError):
            yield ip_network(entry.get("subnet") or "", strict=False)
