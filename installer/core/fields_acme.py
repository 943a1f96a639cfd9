"""Checks of what an ACME authority and the DNS challenge need besides names and URLs.

Everything is judged by its text: nothing is resolved, and nothing is contacted.
"""

from __future__ import annotations

import ipaddress
import re

from installer.core.fields import Verdict, as_items, check_each, reject, trim, visible
from installer.core.fields_hosts import normal_host
from installer.core.fields_sizes import check_whole

_IDENTIFIER = re.compile(r"[!#-&(-[\]-_a-~]{1,256}", re.ASCII)  # no quotes, backslash, backtick
_WITH_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+)(?::([0-9]{1,5}))?", re.ASCII)

check_certificate_days = check_whole("acme.certificate_days", 1, 397, "the life in days")
check_dns_delay = check_whole("acme.dns_delay", 0, 3600, "the delay in seconds")


def check_key_identifier(raw: object) -> Verdict:
    """The key identifier of an external account (RFC 8555, 7.3.4): printable ASCII."""
    text = trim(str(raw))
    if not _IDENTIFIER.fullmatch(text):
        raise reject(
            "acme.key_identifier",
            f"{visible(text)} is no key identifier",
            "write it as the authority shows it: one line of ASCII without quotes",
        )
    return Verdict(text)


def check_resolvers(raw: object) -> Verdict:
    """Name servers with their ports; 53 is added where none is written."""
    return check_each(as_items(raw), _check_resolver)


def _check_resolver(raw: object) -> Verdict:
    text = trim(str(raw))
    host, port = text, "53"
    try:
        ipaddress.IPv6Address(text)  # alone, without brackets
    except ValueError:
        match = _WITH_PORT.fullmatch(text)
        host, port = (match[1].strip("[]"), match[2] or port) if match else ("", port)
    name = normal_host(host)
    if name is None or not 0 < int(port) < 65536:
        raise reject(
            "dns.resolver",
            f"{visible(text)} is no name server",
            "write address:port, as 10.0.0.53:53 or [2001:db8::53]:53",
        )
    return Verdict(f"[{name}]:{port}" if ":" in name else f"{name}:{int(port)}")
