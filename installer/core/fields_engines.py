"""Checks of single answers about hosts of workspaces: their engines, and PEM by reference.

Everything is judged by its text: no name is resolved, no certificate is read.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from installer.core.fields import Verdict, as_items, check_each, reject, trim, visible
from installer.core.fields_urls import split_url
from installer.core.workspace_engines import PLAIN_PORT, TLS_PORT

_EXAMPLE = "tcp://ws1.company.com:2376"
_LARGEST = 64 * 1024
_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----"
)
_KEY = re.compile(r"-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----\s[^-]+-----END \1-----")


def check_engines(raw: object) -> Verdict:
    """Addresses of engines that listen with TLS; one for each host of workspaces."""
    items = as_items(raw)
    if not items:
        raise reject(
            "workspaces.no_host",
            "no host of workspaces is named",
            f"name the engine of each, as {_EXAMPLE}",
        )
    verdict = check_each(items, _check_engine)
    twice = sorted({url for url in verdict.value if verdict.value.count(url) > 1})
    if twice:
        raise reject(
            "workspaces.host_twice",
            f"{visible(twice[0])} is named twice",
            "name each host of workspaces once",
        )
    return verdict


def _check_engine(raw: object) -> Verdict:
    text = trim(str(raw))
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme == "ssh":
        raise reject(
            "workspaces.engine_ssh",
            f"{visible(text)} is a login to the whole host, and whoever controls workspaces would"
            " have it",
            f"have the engine listen with TLS and ask for client certificates, as {_EXAMPLE}",
        )
    if scheme not in ("tcp", "https"):
        raise reject(
            "workspaces.engine_form",
            f"{visible(text)} is no address of an engine on another host",
            f"write it as {_EXAMPLE}",
        )
    _, parts, netloc = split_url(text, "workspaces.engine_form", _EXAMPLE)
    host, port = urlsplit(f"//{netloc}").hostname or "", parts.port or TLS_PORT
    if port == PLAIN_PORT:
        raise reject(
            "workspaces.engine_plain",
            f"{visible(text)} is the port of engines without TLS: whoever reaches it is root on"
            " that host",
            f"have the engine listen with --tlsverify on port {TLS_PORT}, as {_EXAMPLE}, and close"
            f" port {PLAIN_PORT}",
        )
    if parts.path.strip("/"):
        raise reject(
            "workspaces.engine_form",
            f"{visible(text)} has a path, and engines have none",
            f"write it as {_EXAMPLE}",
        )
    if _is_here(host):
        raise reject(
            "workspaces.engine_loopback",
            f"{visible(host)} is, to a container, the container itself",
            "name the host as others reach it, and as its certificate does",
        )
    shown = f"[{host}]" if ":" in host else host
    return Verdict(f"tcp://{shown}:{port}")


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback or ip_address(host).is_unspecified
    except ValueError:
        return False


def check_certificate_pem(value: str) -> None:
    """A client's certificate, perhaps with its chain, and no key."""
    if len(value) > _LARGEST or "PRIVATE KEY" in value or not _CERTIFICATE.search(value):
        raise reject(
            "workspaces.certificate_form",
            "the value is no certificate in PEM, or has a key in it",
            "refer to the client's certificate alone, as file:/secure/ws/cert.pem",
        )


def check_key_pem(value: str) -> None:
    """A private key that needs no passphrase: nobody could type it where the engine is asked."""
    if "ENCRYPTED" in value:
        raise reject(
            "workspaces.key_encrypted",
            "the key is encrypted, and the client of the engine cannot open it",
            "refer to it without a passphrase, from a secret store or a file with mode 0600",
        )
    if len(value) > _LARGEST or not _KEY.search(value):
        raise reject(
            "workspaces.key_form",
            "the value is no private key in PEM",
            "refer to the key of the client's certificate, as file:/secure/ws/key.pem",
        )
