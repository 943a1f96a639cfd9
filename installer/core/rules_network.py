"""Preflight rules over addresses, ports and ranges of the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

from installer.core.errors import Problem, Remedy
from installer.core.events import Outcome
from installer.core.facts import EngineContainer, HostFacts, Listener
from installer.core.requirements import Requirements
from installer.core.rules import Finding, judged, passed, unknown

EVERYWHERE = "all"
"""The answer that publishes on every address."""

_PRIVATE = ("172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16")  # RFC 1918, the engine's own first
_RUNNING = frozenset({"running", "restarting", "paused"})


def judge_address(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """The address that ports are published on is one of the host's own."""
    if needs.address == EVERYWHERE or not needs.ports:
        return
    own = facts.network.addresses
    if own is None:
        yield unknown(needs.address, "address.unknown", "addresses of the host")
        return
    found = ", ".join(own) or "none"
    if _normal(needs.address) in own or _is_loopback(needs.address):
        yield passed(needs.address, expected=needs.address, found=found)
        return
    yield judged(
        Outcome.FAIL,
        Problem(
            code="address.foreign",
            summary=f"no interface of the host has the address {needs.address}; it has {found}",
            where=needs.address,
            remedy=Remedy(
                "set target.address to an address of the host itself, or to 'all'; an address of "
                "a load balancer or NAT is one that names may point to, not one to listen on",
                ("ip -br address",),
            ),
        ),
        expected=needs.address,
        found=found,
    )


def judge_ports(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """The ports to publish are free on the address, or held by this deployment itself."""
    if needs.ports and facts.network.listeners is None:
        yield unknown("ports", "ports.unknown", "which ports are in use")
        return
    for port in needs.ports:
        yield _judge_port(port, facts, needs)


def judge_subnets(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """The pool of container networks overlaps with no route, network or peer of the host."""
    if needs.pool is None:
        return
    pool = IPv4Network(needs.pool)
    if facts.network.routes is None:
        yield unknown(needs.pool, "subnets.unknown", "routes of the host")
        return
    used = used_ranges(facts, needs.deployment)
    overlapping = [(network, title) for network, title in used if network.overlaps(pool)]
    if not overlapping:
        yield passed(needs.pool, expected="no overlap", found=f"{len(used)} ranges in use")
        return
    free = propose_range(pool.prefixlen, [network for network, _ in used])
    for network, title in overlapping:
        proposal = (
            f"set network.pool to a free range, for example {free}"
            if free
            else ("set network.pool to a smaller range that is free")
        )
        yield judged(
            Outcome.FAIL,
            Problem(
                code="subnets.overlap",
                summary=f"the range {pool} of container networks overlaps with {network} ({title})",
                where="network.pool",
                detail="containers would cut the host off from addresses in that range",
                remedy=Remedy(proposal, ("ip route show table all", "docker network ls")),
            ),
            expected="no overlap",
            found=f"{network} ({title})",
        )


def used_ranges(facts: HostFacts, deployment: str) -> list[tuple[IPv4Network, str]]:
    """IPv4 ranges that the host or its engine uses, each with what uses it; not our own.

    An address inside a range that is listed is not listed again.
    """
    own = {s for n in facts.engine.networks if n.project == deployment for s in n.subnets}
    used: dict[str, str] = {}
    for network in facts.engine.networks:
        for subnet in network.subnets:
            if subnet not in own:
                used.setdefault(subnet, f"container network {network.name}")
    for route in facts.network.routes or ():
        if route.destination not in own:
            used.setdefault(route.destination, f"route by {route.device or 'no device'}")
    peers = [(address, "address of the host") for address in facts.network.addresses or ()]
    peers += [(address, "name server of the host") for address in facts.network.name_servers]
    if facts.account.client:
        peers.append((facts.account.client, "where this SSH session comes from"))
    known = [ip_network(text, strict=False) for text in (*own, *used)]
    for text, title in peers:
        address = ip_address(text)
        told = any(address in network for network in known)
        if isinstance(address, IPv4Address) and not address.is_loopback and not told:
            used.setdefault(f"{address}/32", title)
    networks = ((ip_network(text, strict=False), title) for text, title in used.items())
    return [(n, title) for n, title in networks if isinstance(n, IPv4Network)]


def propose_range(prefix: int, used: Sequence[IPv4Network]) -> IPv4Network | None:
    """The first private range of that size that overlaps with nothing in use, from the top down.

    The engine hands out its own default networks from the bottom up.
    """
    for block in map(IPv4Network, _PRIVATE):
        if prefix < block.prefixlen:
            continue
        step = 2 ** (32 - prefix)
        candidate = int(block.broadcast_address) + 1 - step
        while candidate >= int(block.network_address):
            network = IPv4Network((candidate, prefix))
            hit = next((u for u in used if u.overlaps(network)), None)
            if hit is None:
                return network
            lowest = min(int(hit.network_address), candidate)
            candidate = lowest - step if lowest == candidate else lowest // step * step - step
    return None


def _judge_port(port: int, facts: HostFacts, needs: Requirements) -> Finding:
    where, address = f"port {port}", _normal(needs.address)
    holders = [
        c for c in facts.engine.containers if c.status in _RUNNING and _publishes(c, port, address)
    ]
    if any(c.project == needs.deployment for c in holders):
        return passed(where, expected="free", found=f"held by this deployment, {needs.deployment}")
    listeners = [
        listener
        for listener in facts.network.listeners or ()
        if listener.port == port and _collides(listener.address, address)
    ]
    if not listeners and not holders:
        return passed(where, expected="free", found="free")
    holder = _name_holder(listeners, holders)
    bound = ", ".join(sorted({_show(listener.address) for listener in listeners})) or "its address"
    return judged(
        Outcome.FAIL,
        Problem(
            code="ports.in_use",
            summary=f"port {port} is in use on {bound} by {holder}",
            where=where,
            remedy=Remedy(
                f"stop the process that holds port {port} and keep it from starting again, or "
                "choose another target.address",
                (f"sudo ss -ltnp 'sport = :{port}'",),
            ),
        ),
        expected="free",
        found=holder,
    )


def _name_holder(listeners: Sequence[Listener], holders: Sequence[EngineContainer]) -> str:
    if holders:
        return ", ".join(f"container {c.name}" for c in holders)
    names = dict.fromkeys(listener.process for listener in listeners if listener.process)
    return ", ".join(names) if names else "a process that this account may not see"


def _publishes(container: EngineContainer, port: int, address: str) -> bool:
    return any(
        published == port and _collides(_normal(bound) or "*", address)
        for bound, published in container.ports
    )


def _collides(bound: str, wanted: str) -> bool:
    """Whether a socket on `bound` keeps another from `wanted`; `*` is every address."""
    return EVERYWHERE in (wanted,) or bound in ("*", "0.0.0.0", "::", wanted)  # noqa: S104


def _show(address: str) -> str:
    return "every address" if address == "*" else address


def _normal(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return text


def _is_loopback(text: str) -> bool:
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return False
