"""Checks of hosts, and of what an SSH connection is made of.

Everything is judged by its text: nothing is resolved, and nothing is contacted.
"""

from __future__ import annotations

import ipaddress
import re

from installer.core.fields import (
    Concern,
    FieldError,
    Verdict,
    as_items,
    check_each,
    reject,
    trim,
    visible,
    warn,
)
from installer.core.fields_domains import check_public_name, is_address
from installer.core.fields_sizes import check_port

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SINGLE_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def check_ssh_host(raw: object) -> Verdict:
    """A host to connect to: an address or a name, and nothing else."""
    text = trim(str(raw))
    host = normal_host(text)
    if host is None:
        raise _host_form(text)
    if host == "localhost" or is_loopback(host):
        concern = warn(
            "ssh.host.loopback",
            f"{visible(host)} is this machine itself",
            "name another host, or confirm that the platform is installed on this one",
        )
        return Verdict(host, (concern,))
    return Verdict(host)


def normal_host(text: str) -> str | None:
    """An address or a name of a host in its one form; None when it is neither."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    address = _read_address(bare)
    if address is not None:
        usable = not (address.is_unspecified or address.is_multicast)
        return str(address) if usable and "%" not in bare else None
    lower = text.lower()
    if _SINGLE_LABEL.fullmatch(lower):
        return None if is_address(lower) else lower
    try:
        return str(check_public_name(text).value)
    except FieldError:
        return None


def _read_address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether a host in its one form is an address of this machine."""
    address = _read_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address is not None and address.is_loopback


def _host_form(text: str) -> FieldError:
    if "@" in text:
        hint = "write the user into the field ssh.user, and the host alone here"
    elif re.fullmatch(r"[^\s:]+:[0-9]+", text, re.ASCII):
        hint = "write the port into the field ssh.port, and the host alone here"
    elif text and is_address(text):
        hint = "write an address with four numbers from 0 to 255, or an IPv6 address"
    else:
        hint = "write an IP address or a host name"
    return reject("ssh.host.form", f"{visible(text)} is neither an address nor a host name", hint)


_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}", re.ASCII)


def check_fingerprint(raw: object) -> Verdict:
    """The fingerprint of a host key as ssh-keygen(1) prints it: SHA256 and 43 base64 digits."""
    text = trim(str(raw))
    bare = text.rstrip("=") if len(text) < 60 else text
    if not _FINGERPRINT.fullmatch(bare):
        raise reject(
            "ssh.fingerprint.form",
            f"{visible(text)} is no SHA256 fingerprint: SHA256: and 43 characters",
            "print it on the host: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )
    return Verdict(bare)


_HOP = re.compile(
    r"(?:(?P<user>[A-Za-z_][A-Za-z0-9_.-]{0,63})@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s@:\[\]]+)(?::(?P<port>[0-9]{1,6}))?",
    re.ASCII,
)


def check_jump(raw: object) -> Verdict:
    """Hosts to go through, in order, each `user@host:port` with user and port optional."""
    verdict = check_each(as_items(raw), _check_hop)
    seen: set[tuple[str, int]] = set()
    for index, hop in enumerate(verdict.value):
        place = hop_place(hop)
        if place in seen:
            raise FieldError(
                Concern(
                    "ssh.jump.loop",
                    f"the hop {visible(hop)} is named twice",
                    "name every hop once, the nearest first",
                    index=index,
                )
            )
        seen.add(place)
    return verdict


def _check_hop(raw: object) -> Verdict:
    text = trim(str(raw))
    match = _HOP.fullmatch(text) if len(text) <= 400 else None
    host = normal_host(match["host"]) if match else None
    if match is None or host is None:
        raise reject(
            "ssh.jump.form",
            f"{visible(text)} is no hop",
            "write user@host:port, user and port optional; IPv6 addresses in brackets",
        )
    user = f"{match['user']}@" if match["user"] else ""
    port = f":{check_port(match['port']).value}" if match["port"] else ""
    return Verdict(f"{user}[{host}]{port}" if ":" in host else f"{user}{host}{port}")


BASTION = "bastion"
"""The answer that says that this machine is the vantage point."""


def check_vantage(raw: object) -> Verdict:
    """Where ports are tried from: `user@host:port` as for a hop, or this machine."""
    text = trim(str(raw))
    if text.lower() == BASTION:
        return Verdict(BASTION)
    try:
        return _check_hop(text)
    except FieldError as error:
        raise reject(
            "network.vantage.form",
            f"{visible(text)} is no vantage point",
            "write user@host:port, user and port optional, or bastion for this machine",
        ) from error


def hop_place(hop: str) -> tuple[str, int]:
    """Host and port of a stored hop."""
    match = _HOP.fullmatch(hop)
    if match is None:
        raise ValueError(hop)
    return match["host"].strip("[]"), int(match["port"] or 22)
