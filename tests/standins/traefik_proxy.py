"""Passing on by the stand-in for Traefik: what a service gets and answers, the access log."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import urllib.parse
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from traefik_config import Router
from traefik_middleware import Exchange, Reply

HOP = {"connection", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding"}


def forward(url: str, exchange: Exchange, body: bytes) -> Reply:
    """Pass a request to a service; 502 when it does not answer."""
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port or 80, timeout=60)
    try:
        connection.request(exchange.method, exchange.target, body or None, exchange.headers)
        answer = connection.getresponse()
        data = answer.read()
    except OSError:
        return Reply(502, b"Bad Gateway")
    finally:
        connection.close()
    kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in {*HOP, "content-length"}]
    return Reply(answer.status, data, tuple(kept))


def access_line(
    fields: Mapping[str, Any], exchange: Exchange, reply: Reply, router: Router | None
) -> dict[str, Any]:
    """A line of the access log, with the queries and headers that its settings let through."""
    query = (fields.get("queryParameters") or {}).get("defaultMode", "keep")
    # What a trusted client forwarded for; `forwarded_headers` has put the client itself last.
    forwarded = exchange.headers.get("x-forwarded-for", "").rpartition(", ")[0]
    line: dict[str, Any] = {
        "ClientHost": forwarded or exchange.client,
        "RequestHost": exchange.host,
        "RequestMethod": exchange.method,
        "RequestPath": exchange.path if query == "drop" else exchange.target,
        "DownstreamStatus": reply.status,
        "RouterName": f"{router.name}@file" if router else "-",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    names = (fields.get("headers") or {}).get("names") or {}
    for name, mode in names.items():
        if name.lower() in exchange.headers and mode != "drop":
            value = exchange.headers[name.lower()] if mode == "keep" else "REDACTED"
            line[f"request_{name}"] = value
    return line


def forwarded_headers(
    headers: dict[str, str], client: str, secure: bool, options: Mapping[str, Any]
) -> dict[str, str]:
    """The headers for the service: hop-by-hop gone, X-Forwarded-* from trusted clients only."""
    trusted = bool(options.get("insecure")) or any(
        ipaddress.ip_address(client) in ipaddress.ip_network(item)
        for item in options.get("trustedIPs") or []
    )
    kept = {
        name: value
        for name, value in headers.items()
        if name not in HOP and (trusted or not name.startswith(("x-forwarded-", "x-real-ip")))
    }
    before = kept.get("x-forwarded-for")
    kept["x-forwarded-for"] = f"{before}, {client}" if before else client
    kept.setdefault("x-forwarded-proto", "https" if secure else "http")
    kept.setdefault("x-forwarded-host", headers.get("host", ""))
    kept.setdefault("x-forwarded-port", "443" if secure else "80")
    kept.setdefault("x-real-ip", client)
    kept["x-forwarded-server"] = socket.gethostname()
    return kept
