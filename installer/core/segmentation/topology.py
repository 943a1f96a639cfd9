"""Who meets whom on which network, read from a resolved compose model.

Roles are what the table speaks of; services are what Compose runs. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from installer.core.policy.audit import role_of

DEFAULT_NETWORK = "default"


@dataclass(frozen=True, slots=True)
class Topology:
    """The networks of a model.

    Attributes:
        roles: Service → role.
        members: Network → services, also for networks that nobody declared.
        networks: Declared network → its definition.
        published: Service → container ports published on the host.
    """

    roles: Mapping[str, str]
    members: Mapping[str, tuple[str, ...]]
    networks: Mapping[str, Mapping[str, Any]]
    published: Mapping[str, tuple[str, ...]]

    def is_open(self, network: str) -> bool:
        """Whether a network has a way out; one that is not declared has."""
        return not self.networks.get(network, {}).get("internal", False)

    def shared(self) -> dict[frozenset[str], list[str]]:
        """Pair of roles → the networks that services of both are on."""
        pairs: dict[frozenset[str], list[str]] = {}
        for network, services in self.members.items():
            for first, second in combinations(services, 2):
                pair = frozenset((self.roles[first], self.roles[second]))
                listed = pairs.setdefault(pair, [])
                if network not in listed:
                    listed.append(network)
        return pairs

    def ways_out(self) -> dict[str, list[str]]:
        """Role → its networks that have a way out."""
        ways: dict[str, list[str]] = {}
        for network in filter(self.is_open, self.members):
            for service in self.members[network]:
                ways.setdefault(self.roles[service], []).append(network)
        return ways

    def ways_in(self) -> dict[str, set[str]]:
        """Role → its container ports that are published."""
        ways: dict[str, set[str]] = {}
        for service, ports in self.published.items():
            ways.setdefault(self.roles[service], set()).update(ports)
        return ways


def read_topology(document: Mapping[str, Any]) -> Topology:
    """The topology of a resolved model; a service without a role label stands for itself."""
    services: Mapping[str, Mapping[str, Any]] = document.get("services") or {}
    members: dict[str, list[str]] = {}
    for name in sorted(services):
        for network in sorted(set(_networks_of(name, services, frozenset()))):
            members.setdefault(network, []).append(name)
    return Topology(
        roles={name: role_of(body) or name for name, body in services.items()},
        members={network: tuple(names) for network, names in sorted(members.items())},
        networks={key: value or {} for key, value in (document.get("networks") or {}).items()},
        published={
            name: tuple(_target_port(port) for port in body["ports"])
            for name, body in sorted(services.items())
            if body.get("ports")
        },
    )


def _networks_of(
    name: str, services: Mapping[str, Mapping[str, Any]], seen: frozenset[str]
) -> Iterator[str]:
    """Networks of a service; one that uses another's name space is on the other's networks."""
    body = services.get(name) or {}
    mode = str(body.get("network_mode") or "")
    kind, _, other = mode.partition(":")
    if kind == "service" and other not in seen:
        yield from _networks_of(other, services, seen | {name})
    elif mode and mode != "none":
        yield f"network mode {mode}"
    yield from body.get("networks") or ()
    if not mode and not body.get("networks"):
        yield DEFAULT_NETWORK


def _target_port(port: object) -> str:
    """The container's end of a published port, in the long or the short form."""
    if isinstance(port, Mapping):
        return str(port.get("target"))
    return str(port).partition("/")[0].rpartition(":")[2]
