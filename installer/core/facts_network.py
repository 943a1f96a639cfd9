"""Parsers for what a host says of its network: addresses, routes, listeners, names.

Each takes the output of one tool and, where the tool may be missing, of the kernel's own tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network
from itertools import pairwise

from installer.core.facts import Addresses, HostNetwork, Listener, RouteFacts
from installer.core.probe import ProbeOutput, Section

_PROCESS = re.compile(r'\("((?:[^"\\]|\\.)*)",pid=(\d+)')
_NO_ROUTE = frozenset(
    {"local", "broadcast", "multicast", "anycast", "default", "throw", "nat", "ff00::/8"}
)
_ROUTE_TYPES = frozenset({"unicast", "unreachable", "blackhole", "prohibit"})


def parse_network(output: ProbeOutput) -> HostNetwork:
    """Addresses, routes and listeners, by `ip` and `ss` or else by /proc."""
    return HostNetwork(
        addresses=parse_addresses(output.get("addresses"), output.get("proc-addresses")),
        routes=parse_routes(output.get("routes"), output.get("proc-routes")),
        listeners=parse_listeners(output.get("listeners"), output.get("proc-listeners")),
        name_servers=tuple(
            address
            for line in output.get("resolvers").lines
            if (address := _address([*line.split(), "", ""][1]))
        ),
        database=parse_database(output.get("database")),
    )


def parse_addresses(ip: Section, proc: Section) -> tuple[str, ...] | None:
    """Addresses of the host without loopback and link-local ones."""
    found: list[str] = []
    if ip.status == 0:
        for line in ip.lines:
            words = line.split()
            for family, value in pairwise(words):
                if family in ("inet", "inet6"):
                    found.append(value.partition("/")[0])
                    break
    elif proc.lines:
        found = _proc_addresses(proc.lines)
    else:
        return None
    addresses = (_address(text) for text in found)
    return tuple(dict.fromkeys(a for a in addresses if a and _is_global(a)))


def parse_routes(ip: Section, proc: Section) -> tuple[RouteFacts, ...] | None:
    """IPv4 destinations other than the default route, of every routing table."""
    if ip.status == 0 and ip.lines:
        routes = (_ip_route(line.split()) for line in ip.lines)
    elif proc.lines:
        routes = (_proc_route(line.split()) for line in proc.lines)
    else:
        return None
    return tuple(dict.fromkeys(route for route in routes if route))


def parse_listeners(ss: Section, proc: Section) -> tuple[Listener, ...] | None:
    """Listening TCP sockets of both families, with the process where the tool shows it."""
    if ss.status == 0:
        found = [_ss_listener(line) for line in ss.lines]
    elif proc.lines:
        found = [_proc_listener(line.split()) for line in proc.lines]
    else:
        return None
    return tuple(dict.fromkeys(listener for listener in found if listener))


def parse_database(section: Section) -> str | None:
    """The answer of a PostgreSQL server to a request for TLS; empty when none came."""
    if section.status in (None, 127):
        return None
    return section.lines[0].strip() if section.status == 0 and section.lines else ""


def parse_names(sections: Iterable[Section]) -> dict[str, Addresses]:
    """Name → addresses, from `getent ahosts` or `nslookup`."""
    return {section.argument: _resolved(section) for section in sections}


def parse_container_names(section: Section, names: Sequence[str]) -> dict[str, Addresses]:
    """Name → addresses, from one `getent hosts` for all names; nothing when it could not run."""
    if section.status not in (0, 1, 2):
        return {}
    found: dict[str, list[str]] = {name: [] for name in names}
    for line in section.lines:
        words = line.split()
        address = _address(words[0]) if words else None
        for name in words[1:]:
            if address and name in found and address not in found[name]:
                found[name].append(address)
    return {name: tuple(addresses) for name, addresses in found.items()}


def _resolved(section: Section) -> Addresses:
    if section.status is None or section.status == 127:
        return None
    answers = False
    found: list[str] = []
    for line in section.lines:
        words = line.split()
        if words and words[0] == "Name:":
            answers = True  # what comes before it is the name server's own address
        elif words and words[0].startswith("Address"):
            value = line.partition(":")[2].split() or [""]
            found += [a for a in (_address(value[0]),) if a and answers]
        elif words and (address := _address(words[0])):
            found.append(address)
    return tuple(dict.fromkeys(found))


def _ip_route(words: Sequence[str]) -> RouteFacts | None:
    if words and words[0] in _ROUTE_TYPES:
        words = words[1:]
    if not words or words[0] in _NO_ROUTE:
        return None
    device = words[words.index("dev") + 1] if "dev" in words[:-1] else ""
    return _route(words[0], device)


def _proc_route(words: Sequence[str]) -> RouteFacts | None:
    """A line of /proc/net/route: interface, destination, gateway, flags, …, mask (8th)."""
    if len(words) < 8 or not re.fullmatch(r"[0-9A-F]{8}", words[1]):
        return None
    address, mask = (IPv4Address(bytes.fromhex(words[i])[::-1]) for i in (1, 7))
    return _route(f"{address}/{mask}", words[0])


def _route(destination: str, device: str) -> RouteFacts | None:
    try:
        network = ip_network(destination, strict=False)
    except ValueError:
        return None
    if not isinstance(network, IPv4Network) or network.prefixlen == 0 or network.is_loopback:
        return None
    return RouteFacts(str(network), device)


def _ss_listener(line: str) -> Listener | None:
    words = line.split()
    if len(words) < 5 or words[0] != "LISTEN":
        return None
    host, _, port = words[3].rpartition(":")
    processes = dict.fromkeys(f"{name} (pid {pid})" for name, pid in _PROCESS.findall(line))
    if not port.isdigit():
        return None
    return Listener(_bound(host), int(port), ", ".join(processes) or None)


def _proc_listener(words: Sequence[str]) -> Listener | None:
    """A line of /proc/net/tcp or tcp6: words 2 (local address) and 4 (state, 0A is listening)."""
    if len(words) < 4 or words[3] != "0A":
        return None
    host, _, port = words[1].partition(":")
    raw = bytes.fromhex(host)
    # The kernel prints each 32-bit word in the machine's byte order: little-endian on both that
    # images exist for.
    ordered = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    address = IPv4Address(ordered) if len(ordered) == 4 else IPv6Address(ordered)
    return Listener(_bound(str(address)), int(port, 16))


def _bound(text: str) -> str:
    """The address a socket is bound to; `*` when to every address of its family."""
    bare = text.strip("[]").partition("%")[0]
    if bare in ("*", "0.0.0.0", "::", ""):  # noqa: S104 - recognised, not bound
        return "*"
    return _address(bare) or bare


def _proc_addresses(lines: Sequence[str]) -> list[str]:
    """Local addresses of fib_trie (a `/32 host LOCAL` line after `|-- ADDRESS`) and if_inet6."""
    found: list[str] = []
    last = ""
    for line in lines:
        words = line.split()
        if words[:1] == ["|--"] and len(words) == 2:
            last = words[1]
        elif words == ["/32", "host", "LOCAL"]:
            found.append(last)
        elif words and re.fullmatch(r"[0-9a-f]{32}", words[0]):
            found.append(str(IPv6Address(bytes.fromhex(words[0]))))
    return found


def _address(text: str) -> str | None:
    try:
        address = ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def _is_global(text: str) -> bool:
    address = ip_address(text)
    return not (address.is_loopback or address.is_link_local or address.is_unspecified)
