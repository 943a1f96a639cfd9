"""A deployment as the probing script would see it: who is on which network, and what listens.

Connections are worked out from that, and written as the script writes them, so that a seeded defect
is a change of the world and not of a result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from installer.core.events import CheckResult
from installer.core.segmentation import FlowConditions, parse_segmentation
from installer.core.segmentation.probed import judge_reach
from installer.core.segmentation.probing import Expected, ReachRules
from installer.core.segmentation.reach import METADATA, parse_reach

ROOT = Path(__file__).parents[2]
TABLE = parse_segmentation((ROOT / "assets/segmentation.yaml").read_bytes())
FLOWS = (
    Expected("traefik", "gitea", 3000, "web"),
    Expected("traefik", "minio", 9000, "storage"),
    Expected("gitea", "postgres", 5432, "its database"),
    Expected("gitea", "redis", 6379, "sessions"),
    Expected("prometheus", "gitea", 3000, "metrics"),
    Expected("vault-agent-gitea", "vault", 8200, "fetches secrets"),
)
DECLARED = frozenset({("traefik", "minio"), ("traefik", "internet"), ("coder", "internet")})
OUTSIDE = ("192.0.2.1", 443)
HOST_OUTER = "10.0.0.5"


@dataclass
class Box:
    """A container: what it is on, and what listens in it."""

    role: str
    networks: set[str] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)
    service: str = ""
    project: str = "p"
    closed: set[int] = field(default_factory=set)
    mode: str = "own"
    open_networks: set[str] = field(default_factory=set)
    six: bool = False
    link: bool = False


@dataclass
class World:
    """Every container, and the host."""

    boxes: dict[str, Box]
    host_ports: set[int] = field(default_factory=lambda: {22, 443})
    host_refuses: set[int] = field(default_factory=lambda: {22})
    metadata: set[str] = field(default_factory=set)
    leaks_out: dict[str, str] = field(default_factory=dict)
    more_flows: tuple[Expected, ...] = ()

    def address(self, box: str, network: str) -> str:
        boxes, networks = list(self.boxes), self.networks
        return f"172.30.{networks.index(network)}.{boxes.index(box) + 2}"

    @property
    def networks(self) -> list[str]:
        return sorted({n for box in self.boxes.values() for n in box.networks})

    def addresses(self, name: str) -> list[tuple[str, str]]:
        """(address, network) of a container, of both families where it has both."""
        box = self.boxes[name]
        found = [(self.address(name, network), network) for network in sorted(box.networks)]
        if box.six:
            found += [(f"fd00::{a.replace('.', ':')}", n) for a, n in found]
        return found

    def text(self) -> str:
        return "\n".join(
            (
                "@devplat begin 1", "|1",
                "@devplat section place 0 host", f"|address {HOST_OUTER}",
                *(f"|port {port}" for port in sorted(self.host_ports)),
                "|outside {} {}".format(*OUTSIDE),
                *self._places(),
                "@devplat end", "|2", "",
            )
        )  # fmt: skip

    def _places(self) -> Iterator[str]:
        for pid, (name, box) in enumerate(self.boxes.items(), 100):
            said = {
                "name": f"/p-{name}-1", "project": box.project,
                "service": box.service or (name if box.project == "p" else ""), "role": box.role,
            }  # fmt: skip
            yield f"@devplat section place 0 {pid}"
            yield f"|json {json.dumps(said)}"
            if box.mode == "host":
                yield "|shares host"
                continue
            yield from (f"|address {address}" for address, _ in self.addresses(name))
            if box.link:
                yield "|link fe80::1"
            if box.open_networks or name in self.leaks_out:
                yield "|router 172.30.0.1"
            yield from (f"|port {port}" for port in sorted(box.ports))
            if box.mode != "untried":
                yield f"@devplat section tries 0 {pid}"
                yield from (f"|{came} {address} {port}" for came, address, port in self.tries(name))

    def tries(self, source: str) -> Iterator[tuple[str, str, int]]:
        box = self.boxes[source]
        for name, other in self.boxes.items():
            for address, network in self.addresses(name) if other.mode != "host" else ():
                for port in sorted(other.ports):
                    if network not in box.networks:
                        yield "unreachable", address, port
                    else:
                        yield ("refused" if port in other.closed else "open"), address, port
        for port in sorted(self.host_ports):
            yield ("silent" if port in self.host_refuses else "open"), HOST_OUTER, port
        yield (
            self.leaks_out.get(source, "silent" if box.open_networks else "unreachable"),
            *OUTSIDE,
        )
        for address in METADATA:
            yield ("open" if source in self.metadata else "unreachable"), address, 80

    def judge(self) -> dict[str, CheckResult]:
        """Results by id."""
        ruled = replace(rules(), expected=(*FLOWS, *self.more_flows))
        results = judge_reach(parse_reach(self.text(), "target", "p"), ruled, SERVICES)
        found = list(results)
        assert len({r.id for r in found}) == len(found)
        return {r.id.removeprefix("segmentation.reach."): r for r in found}


SERVICES = (
    "traefik", "gitea", "minio", "postgres", "redis", "prometheus", "vault", "vault-agent-gitea",
)  # fmt: skip


def rules() -> ReachRules:
    return ReachRules(
        table=TABLE.settle(DECLARED),
        conditions=FlowConditions(DECLARED),
        expected=FLOWS,
        roles={name: "vault-agent" if "agent" in name else name for name in SERVICES},
        outgoing={"traefik": "users reach it"},
        published=frozenset({80, 443}),
    )


def sound() -> World:
    """Nothing is wrong: a network for each pair, and what each service listens on."""
    ports = {
        "traefik": {443, 8082}, "gitea": {3000}, "minio": {9000}, "postgres": {5432},
        "redis": {6379}, "prometheus": {9090}, "vault": {8200}, "vault-agent-gitea": set(),
    }  # fmt: skip
    boxes = {name: Box(rules().roles[name], ports=set(ports[name])) for name in SERVICES}
    for flow in FLOWS:
        name = f"{flow.source}-to-{flow.destination}"
        boxes[flow.source].networks.add(name)
        boxes[flow.destination].networks.add(name)
    boxes["traefik"].networks.add("traefik-egress")
    boxes["traefik"].open_networks.add("traefik-egress")
    for person in ("ann", "bob"):
        boxes[f"coder-{person}"] = Box(
            "workspace", {f"coder-{person}"}, {8080}, project="",
            open_networks={f"coder-{person}"},
        )  # fmt: skip
    return World(boxes)
