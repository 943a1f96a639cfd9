"""The dynamic side of segmentation: what containers really reach, against what the table allows.

Every declared flow must be open, and nothing else may be, but other ports of whom one may talk to:
a network knows no ports. Those are told, and warned of when nobody declared what listens there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from installer.core.outside import Came
from installer.core.segmentation.reach import METADATA, Place, Reach, Try
from installer.core.segmentation.table import Flow, FlowConditions, SegmentationTable

HOST, CLOUD = "host", "cloud-metadata"
"""What the table calls these places."""
ANY = "any"


@dataclass(frozen=True, slots=True)
class Expected:
    """A flow that a chosen service declares: it must be open."""

    source: str
    destination: str
    port: int
    why: str


@dataclass(frozen=True, slots=True)
class ReachRules:
    """What is expected of a deployment.

    Attributes:
        table: Allowed and refused flows, settled.
        conditions: Decide about conditional flows.
        expected: Flows between services.
        roles: Service → role.
        outgoing: Service → why it has a way out.
        published: Ports of the host that are for everybody.
    """

    table: SegmentationTable
    conditions: FlowConditions
    expected: tuple[Expected, ...]
    roles: Mapping[str, str]
    outgoing: Mapping[str, str] = field(default_factory=dict)
    published: frozenset[int] = frozenset()

    def role(self, place: Place) -> str:
        """Role of a container; one that says none has the name of its service, or its own."""
        return place.role or self.roles.get(place.service, place.called)

    def allows(self, source: str, destination: str, port: int) -> bool:
        """Whether an allowed flow of the table fits."""
        return any(
            flow.pair == (source, destination) and flow.port in (port, ANY) for flow in self.flows
        )

    def refusal(self, source: str, destination: str, port: int) -> Flow | None:
        """The refusal of the table that fits."""
        return next(
            (
                flow
                for flow in self.table.deny_probes
                if flow.pair == (source, destination) and flow.port in (port, ANY)
            ),
            None,
        )

    def meet(self, one: str, other: str) -> bool:
        """Whether two roles share a network for some allowed flow, in whichever direction."""
        return any({one, other} == set(flow.pair) for flow in self.flows)

    def knows(self, destination: str, role: str, port: int) -> bool:
        """Whether somebody declares that port of a service or of its role."""
        declared = any(e.destination == destination and e.port == port for e in self.expected)
        return declared or any(
            flow.destination == role and flow.port == port for flow in self.table.allow
        )

    @property
    def flows(self) -> Iterable[Flow]:
        """Allowed flows that count here."""
        return (flow for flow in self.table.allow if self.conditions.allow(flow))


class Kind(StrEnum):
    """What one observation means."""

    FLOW = "flow"  # declared, and open
    CLOSED = "closed"  # declared, and not open
    REFUSED = "refused"  # refused by the table by name, and not open
    BREACH = "breach"  # open, and not allowed
    REVERSE = "reverse"  # refused by the table, open on the network of the flow the other way
    UNDECLARED = "undeclared"  # open to who may talk to it, at a port that nobody declared
    NEIGHBOUR = "neighbour"  # open because a network knows no ports
    HOST = "host"  # a port of the host that is open to a container
    METADATA = "metadata"  # credentials of the instance, for who has a way out
    WAY_OUT = "way out"  # a router, where there may be none


@dataclass(frozen=True, slots=True)
class Sight:
    """One observation: from where, to what, and what it means."""

    kind: Kind
    source: Place
    destination: str
    port: int
    note: str = ""

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"{self.destination}:{self.port}{note}"


def observe(reach: Reach, rules: ReachRules) -> Iterator[Sight]:
    """Everything worth telling of every container from which something could be tried."""
    owners = {address: place for place in reach.places for address in place.addresses}
    hosts = frozenset(reach.host.addresses)
    for place in reach.places:
        for tried in place.tries or ():
            if tried.address in METADATA:
                yield from _observe_metadata(place, tried, rules)
            elif (tried.address, tried.port) in reach.outside:
                yield from _observe_outside(place, tried, rules)
            elif tried.address in hosts:
                yield from _observe_host(place, tried, rules)
            elif (owner := owners.get(tried.address)) and owner is not place:
                yield from _observe_pair(place, owner, tried, rules)
        if place.tries is not None:
            yield from _observe_expected(place, reach, rules)


def _observe_pair(
    source: Place, destination: Place, tried: Try, rules: ReachRules
) -> Iterator[Sight]:
    roles = (rules.role(source), rules.role(destination))
    name, port = destination.called, tried.port
    refusal = rules.refusal(*roles, port)
    if tried.came is not Came.OPEN:
        if refusal is not None:
            yield Sight(Kind.REFUSED, source, name, port, refusal.id)
        return
    if _is_expected(source, destination, port, rules):
        yield Sight(Kind.FLOW, source, name, port, tried.address)
    elif refusal is not None:
        kind = Kind.REVERSE if _calls(destination, source, rules) else Kind.BREACH
        yield Sight(kind, source, name, port, f"{refusal.id}, at {tried.address}")
    elif rules.allows(*roles, port):
        yield Sight(Kind.FLOW, source, name, port, tried.address)
    elif not rules.meet(*roles):
        yield Sight(Kind.BREACH, source, name, port, f"at {tried.address}")
    elif rules.knows(destination.service, roles[1], port):
        yield Sight(Kind.NEIGHBOUR, source, name, port)
    else:
        yield Sight(Kind.UNDECLARED, source, name, port)


def _is_expected(source: Place, destination: Place, port: int, rules: ReachRules) -> bool:
    ends = (source.service, destination.service, port)
    return any((e.source, e.destination, e.port) == ends for e in rules.expected)


def _calls(source: Place, destination: Place, rules: ReachRules) -> bool:
    """Whether a service calls another one by declaration, so that they share a network."""
    ends = (source.service, destination.service)
    return bool(source.service) and any((e.source, e.destination) == ends for e in rules.expected)


def _observe_expected(source: Place, reach: Reach, rules: ReachRules) -> Iterator[Sight]:
    """Declared flows of a source that nothing opened; why is told by what was tried."""
    by_service = {place.service: place for place in reach.places}
    for flow in rules.expected:
        if flow.source != source.service:
            continue
        destination = by_service.get(flow.destination)
        addresses = destination.addresses if destination else ()
        came = {
            tried.came
            for tried in source.tries or ()
            if tried.address in addresses and tried.port == flow.port
        }
        if Came.OPEN in came:
            continue
        nearest = next((c for c in (Came.REFUSED, Came.SILENT, *Came) if c in came), None)
        if destination is None:
            note = "does not run"
        elif nearest is None:
            note = "nothing listens there"
        else:
            note = str(nearest)
        yield Sight(Kind.CLOSED, source, flow.destination, flow.port, note)


def _observe_metadata(source: Place, tried: Try, rules: ReachRules) -> Iterator[Sight]:
    refusal = rules.refusal(rules.role(source), CLOUD, tried.port)
    if tried.came is Came.OPEN:
        may_go_out = refusal is None and source.service in rules.outgoing
        kind = Kind.METADATA if may_go_out else Kind.BREACH
        yield Sight(kind, source, CLOUD, tried.port, _with(refusal, f"at {tried.address}"))
    elif refusal is not None:
        yield Sight(Kind.REFUSED, source, CLOUD, tried.port, refusal.id)


def _observe_host(source: Place, tried: Try, rules: ReachRules) -> Iterator[Sight]:
    refusal = rules.refusal(rules.role(source), HOST, tried.port)
    if tried.came is not Came.OPEN:
        if refusal is not None:
            yield Sight(Kind.REFUSED, source, HOST, tried.port, refusal.id)
    elif refusal is not None:
        note = _with(refusal, f"at {tried.address}")
        yield Sight(Kind.BREACH, source, HOST, tried.port, note)
    elif tried.port not in rules.published and not rules.allows(
        rules.role(source), HOST, tried.port
    ):
        yield Sight(Kind.HOST, source, HOST, tried.port)


def _observe_outside(source: Place, tried: Try, rules: ReachRules) -> Iterator[Sight]:
    """What stands for the outside; a reset has come back from there too, or a firewall sent it."""
    outside = rules.table.outside
    role = rules.role(source)
    if source.service in rules.outgoing or rules.allows(role, outside, 443):
        return
    refusal = next((f for f in rules.table.deny_probes if f.pair == (role, outside)), None)
    note = _with(refusal, f"at {tried.address}")
    if tried.came is Came.OPEN:
        yield Sight(Kind.BREACH, source, outside, tried.port, note)
    elif tried.came is Came.REFUSED and source.routers:
        yield Sight(Kind.WAY_OUT, source, outside, tried.port, f"{note}, reset by it")
    elif refusal is not None:
        yield Sight(Kind.REFUSED, source, outside, refusal_port(refusal, tried), refusal.id)


def refusal_port(refusal: Flow, tried: Try) -> int:
    """The port that a refusal names; what was tried where it names none."""
    return refusal.port if isinstance(refusal.port, int) else tried.port


def _with(refusal: Flow | None, text: str) -> str:
    return f"{refusal.id}, {text}" if refusal else text
