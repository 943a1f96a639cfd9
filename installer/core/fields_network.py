"""Checks of networks in CIDR notation, and of the address to listen on.

Everything is judged by its text: nothing is resolved, and nothing is contacted.
"""

from __future__ import annotations

import ipaddress

from installer.core.fields import (
    Concern,
    Verdict,
    as_items,
    check_each,
    reject,
    trim,
    visible,
    warn,
)

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_BROADEST = {4: 8, 6: 16}
"""Prefix lengths below which a network is a good part of the internet, by IP version."""


def check_trusted_cidrs(raw: object) -> Verdict:
    """Networks whose forwarded headers are believed; together they must not be the internet."""
    verdict = check_each(as_items(raw), check_trusted_cidr)
    for version in _BROADEST:
        networks = [n for n in map(ipaddress.ip_network, verdict.value) if n.version == version]
        merged = ipaddress.collapse_addresses(networks)  # type: ignore[type-var]
        for network in merged:
            _refuse_everyone(network, str(network))
    return verdict


def check_trusted_cidr(raw: object) -> Verdict:
    """One network in CIDR notation; an address alone is a network of one."""
    network, concerns = _read_network(raw)
    _refuse_everyone(network, str(raw))
    return Verdict(str(network), concerns)


def _refuse_everyone(network: _Network, written: str) -> None:
    if network.prefixlen < _BROADEST[network.version]:
        raise reject(
            "cidr.everyone",
            f"{visible(written)} covers a good part of the internet: anybody there could forge"
            " the address of a request",
            "name the networks of your own load balancers",
        )


def _read_network(raw: object) -> tuple[_Network, tuple[Concern, ...]]:
    text = trim(str(raw))
    try:
        network = ipaddress.ip_network(text, strict=False)
        address = ipaddress.ip_address(text.partition("/")[0])
    except ValueError as error:
        raise reject(
            "cidr.form",
            f"{visible(text)} is no network; the prefix length is 0 to 32, for IPv6 0 to 128",
            "write a network in CIDR notation, as 10.0.0.0/24",
        ) from error
    if address == network.network_address:
        return network, ()
    concern = warn(
        "cidr.host_bits",
        f"{visible(text)} has host bits set: the network is {network}, the host {address}",
        f"write {network} for the network, or {address} for the one host",
    )
    return network, (concern,)


_PRIVATE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_SMALLEST_POOL = 22
"""A /22 holds 64 networks of 16 addresses; the services need some dozens."""


def check_pool(raw: object) -> Verdict:
    """Private IPv4 space (RFC 1918) that the container networks are cut from."""
    network, concerns = _read_network(raw)
    private = isinstance(network, ipaddress.IPv4Network) and any(
        network.subnet_of(block) for block in _PRIVATE
    )
    if not private:
        raise reject(
            "pool.private",
            f"{visible(raw)} is not within private IPv4 space",
            f"write a part of {', '.join(map(str, _PRIVATE))} that nothing else uses",
        )
    if network.prefixlen > _SMALLEST_POOL:
        raise reject(
            "pool.too_small",
            f"{network} is too small: every pair of services that talk gets a network of its own",
            f"write a /{_SMALLEST_POOL} or larger, as 172.30.0.0/16",
        )
    return Verdict(str(network), concerns)


def check_listen_address(raw: object) -> Verdict:
    """The address that the edge listens on, or `all`."""
    text = trim(str(raw))
    bare = text.removeprefix("[").removesuffix("]").lower()
    try:
        address = None if bare == "all" else ipaddress.ip_address(bare)
    except ValueError as error:
        raise reject(
            "address.form",
            f"{visible(text)} is no IP address",
            "write the address the public names point to, or 'all' for every interface",
        ) from error
    if address is None or address.is_unspecified:
        return Verdict("all")
    if address.is_multicast or "%" in bare:
        raise reject(
            "address.form",
            f"{visible(text)} is no address that a service can listen on",
            "write the address the public names point to, or 'all'",
        )
    return Verdict(str(address))
