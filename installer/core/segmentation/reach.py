"""What `assets/reach.sh` saw, as values: places, what listens there, and what came of each try.

Addresses are in their one form, so that what one place has and what another one tried compare.
Nothing is judged here, and nothing in the output can be more than a name, an address or a number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from installer.core.facts import Listener
from installer.core.facts_network import parse_listeners
from installer.core.outside import Came
from installer.core.probe import ProbeOutput, Section, read_output

METADATA = ("169.254.169.254", "fd00:ec2::254")
"""Where clouds tell an instance its credentials: every large one, and AWS over IPv6 (EC2 user
guide, "Instance metadata")."""

_KNOWN_STATES = frozenset({"LISTEN", "UNCONN"})


@dataclass(frozen=True, slots=True)
class Try:
    """One TCP connection that was tried."""

    address: str
    port: int
    came: Came


@dataclass(frozen=True, slots=True)
class Place:
    """The host, or a running container.

    Attributes:
        name: Of the container, for people.
        service: Of the compose project; empty for a container that is none of its services.
        role: Row of the tables; empty when the container does not say.
        shares_host: It has no network name space of its own.
        addresses: Of both families, without loopback and link-local ones.
        links: Link-local addresses of IPv6.
        routers: Default routes.
        ports: TCP ports that something listens on, at more than loopback.
        tries: None when nothing could be tried from there.
    """

    name: str
    service: str = ""
    role: str = ""
    shares_host: bool = False
    addresses: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    routers: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    tries: tuple[Try, ...] | None = None

    @property
    def called(self) -> str:
        """By what findings name it: the service, else the role, else the container."""
        return self.service or self.role or self.name


@dataclass(frozen=True, slots=True)
class Reach:
    """Everything that was seen.

    Attributes:
        host: The host itself; it makes no tries.
        places: Containers.
        outside: What stands for the outside: address and port.
        listeners: TCP on the host, with the process; None when `ss` is missing.
        datagrams: UDP on the host.
    """

    host: Place
    places: tuple[Place, ...]
    outside: frozenset[tuple[str, int]] = frozenset()
    listeners: tuple[Listener, ...] | None = None
    datagrams: tuple[Listener, ...] = ()


def parse_reach(text: str, host: str, project: str) -> Reach:
    """Read the output of the script.

    Args:
        text: Its standard output.
        host: Name of the host, for messages.
        project: Compose project; services of another one count as none.

    Raises:
        PreflightError: the script did not run to its end.
    """
    output = read_output(text, host)
    own = output.get("place", "host")
    places = (_place(s, output, project) for s in output.named("place") if s.argument != "host")
    tcp = output.get("listeners", "tcp")
    return Reach(
        host=Place(
            host, addresses=_addresses(own, "address"), routers=own.all("router"), ports=_ports(own)
        ),
        places=tuple(sorted(places, key=lambda place: (place.called, place.name))),
        outside=frozenset(_outside(own)),
        listeners=parse_listeners(tcp, Section("", status=1)) if tcp.lines else None,
        datagrams=_datagrams(output.get("listeners", "udp")),
    )


def parse_tries(lines: tuple[str, ...]) -> tuple[Try, ...]:
    """Lines `RESULT ADDRESS PORT`; what is none is left out."""
    return tuple(_tries(lines))


def _place(section: Section, output: ProbeOutput, project: str) -> Place:
    said = _json(section.words().get("json", ""))
    tries = output.get("tries", section.argument)
    is_ours = said.get("project") == project
    return Place(
        name=str(said.get("name") or section.argument).removeprefix("/"),
        service=str(said.get("service") or "") if is_ours else "",
        role=str(said.get("role") or ""),
        shares_host=section.words().get("shares") == "host",
        addresses=_addresses(section, "address"),
        links=_addresses(section, "link"),
        routers=section.all("router"),
        ports=_ports(section),
        tries=parse_tries(tries.lines) if tries.lines else None,
    )


def _tries(lines: tuple[str, ...]) -> Iterator[Try]:
    for line in lines:
        came, address, port = (*line.split(), "", "", "")[:3]
        normal = _normal(address)
        if came in list(Came) and normal and port.isdecimal():
            yield Try(normal, int(port), Came(came))


def _outside(section: Section) -> Iterator[tuple[str, int]]:
    for text in section.all("outside"):
        address, _, port = text.partition(" ")
        if (normal := _normal(address)) and port.isdecimal():
            yield normal, int(port)


def _addresses(section: Section, key: str) -> tuple[str, ...]:
    found = (_normal(text) for text in section.all(key))
    return tuple(dict.fromkeys(address for address in found if address))


def _ports(section: Section) -> tuple[int, ...]:
    return tuple(sorted({int(text) for text in section.all("port") if text.isdecimal()}))


def _datagrams(section: Section) -> tuple[Listener, ...]:
    """Sockets of `ss -lun` are called UNCONN, and are otherwise written like those of TCP."""
    lines = tuple(
        " ".join(("LISTEN", *line.split()[1:]))
        for line in section.lines
        if line.split()[:1] and line.split()[0] in _KNOWN_STATES
    )
    return parse_listeners(Section("", lines=lines), Section("", status=1)) or ()


def _json(text: str) -> Mapping[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _normal(text: str) -> str | None:
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return None
