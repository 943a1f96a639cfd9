"""The middlewares of the stand-in for Traefik: each sees the request before it is passed on and may
answer instead, and sees the answer's headers on the way back.
"""

from __future__ import annotations

import ipaddress
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SWITCHED_HEADERS = (
    ("contentTypeNosniff", "X-Content-Type-Options", "nosniff"),
    ("frameDeny", "X-Frame-Options", "DENY"),
    ("browserXssFilter", "X-XSS-Protection", "1; mode=block"),
)
VALUED_HEADERS = (
    ("customFrameOptionsValue", "X-Frame-Options"),
    ("referrerPolicy", "Referrer-Policy"),
    ("permissionsPolicy", "Permissions-Policy"),
    ("contentSecurityPolicy", "Content-Security-Policy"),
)
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass
class Exchange:
    """One request on its way: what rules match on, and what middlewares change."""

    method: str
    host: str
    path: str
    target: str
    client: str
    secure: bool
    headers: dict[str, str]
    size: int = 0
    answer_headers: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    finish: list[Callable[[], None]] = field(default_factory=list)


@dataclass(frozen=True)
class Reply:
    """An answer that a middleware gives itself."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] | tuple[tuple[str, str], ...] = ()

    def pairs(self) -> list[tuple[str, str]]:
        """The headers in order; a name may come more than once."""
        return list(self.headers.items() if isinstance(self.headers, Mapping) else self.headers)


Middleware = Callable[[Exchange], Reply | None]


def make_middleware(name: str, definitions: Mapping[str, Mapping[str, Any]]) -> Middleware:
    """The middleware of a definition; its state (buckets, counters) lives in it."""
    kind, options = next(iter(definitions[name].items()))
    options = options or {}
    if kind == "chain":
        parts = [
            make_middleware(str(item).removesuffix("@file"), definitions)
            for item in options.get("middlewares") or []
        ]
        return lambda exchange: next((r for part in parts if (r := part(exchange))), None)
    if kind in ("compress", "retry"):  # nothing that an observer of the stand-in could tell
        return lambda _: None
    return MAKERS[kind](options)


def seconds(value: Any) -> float:
    """A duration: seconds as a number, or text such as `1m`."""
    if isinstance(value, int | float):
        return float(value)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", str(value))
    return sum(float(number) * UNITS[unit or "s"] for number, unit in parts)


def _source(exchange: Exchange, options: Mapping[str, Any]) -> str:
    strategy = options.get("ipStrategy") or {}
    depth = int(strategy.get("depth") or 0)
    forwarded = exchange.headers.get("x-forwarded-for", "")
    chain = [part.strip() for part in forwarded.split(",") if part.strip()]
    if depth:
        return chain[-depth] if len(chain) >= depth else ""
    excluded = [ipaddress.ip_network(item) for item in strategy.get("excludedIPs") or []]
    if excluded:
        for address in reversed(chain):
            if not any(ipaddress.ip_address(address) in network for network in excluded):
                return address
    return exchange.client


def _security_headers(options: Mapping[str, Any], secure: bool) -> dict[str, str]:
    out = {}
    sts = options.get("stsSeconds")
    if sts and (secure or options.get("forceSTSHeader")):
        text = f"max-age={sts}"
        text += "; includeSubDomains" if options.get("stsIncludeSubdomains") else ""
        text += "; preload" if options.get("stsPreload") else ""
        out["Strict-Transport-Security"] = text
    for key, name, value in SWITCHED_HEADERS:
        if options.get(key):
            out[name] = value
    for key, name in VALUED_HEADERS:
        if options.get(key):
            out[name] = str(options[key])
    return out


def _headers(options: Mapping[str, Any]) -> Middleware:
    def apply(exchange: Exchange) -> None:
        exchange.answer_headers |= _security_headers(options, exchange.secure)
        for name, value in (options.get("customResponseHeaders") or {}).items():
            if value == "":
                exchange.removed.add(name.lower())
            else:
                exchange.answer_headers[name] = str(value)
        for name, value in (options.get("customRequestHeaders") or {}).items():
            if value == "":
                exchange.headers.pop(name.lower(), None)
            else:
                exchange.headers[name.lower()] = str(value)

    return apply


def _ip_allow_list(options: Mapping[str, Any]) -> Middleware:
    networks = [ipaddress.ip_network(item) for item in options.get("sourceRange") or []]
    status = int(options.get("rejectStatusCode") or 403)

    def apply(exchange: Exchange) -> Reply | None:
        source = _source(exchange, options)
        if source and any(ipaddress.ip_address(source) in network for network in networks):
            return None
        return Reply(status, b"Forbidden")

    return apply


def _rate_limit(options: Mapping[str, Any]) -> Middleware:
    period = seconds(options.get("period") or 1)
    average = float(options.get("average") or 0)
    burst = float(options.get("burst") or 1)
    rate = average / period
    buckets: dict[str, tuple[float, float]] = {}
    lock = threading.Lock()

    def apply(exchange: Exchange) -> Reply | None:
        if not average:
            return None
        criterion = options.get("sourceCriterion") or {}
        source = exchange.host if criterion.get("requestHost") else _source(exchange, criterion)
        now = time.monotonic()
        with lock:
            tokens, last = buckets.get(source, (burst, now))
            tokens = min(burst, tokens + (now - last) * rate)
            allowed = tokens >= 1
            buckets[source] = (tokens - 1 if allowed else tokens, now)
        if allowed:
            return None
        wait = str(max(1, round((1 - tokens) / rate)))
        return Reply(429, b"Too Many Requests", {"Retry-After": wait, "X-Retry-In": wait + "s"})

    return apply


def _in_flight(options: Mapping[str, Any]) -> Middleware:
    counts: dict[str, int] = {}
    lock = threading.Lock()

    def apply(exchange: Exchange) -> Reply | None:
        criterion = options.get("sourceCriterion") or {"requestHost": True}
        source = exchange.host if criterion.get("requestHost") else _source(exchange, criterion)
        with lock:
            if counts.get(source, 0) >= int(options.get("amount") or 0):
                return Reply(429, b"Too Many Requests")
            counts[source] = counts.get(source, 0) + 1

        def done() -> None:
            with lock:
                counts[source] -= 1

        exchange.finish.append(done)
        return None

    return apply


def _buffering(options: Mapping[str, Any]) -> Middleware:
    limit = int(options.get("maxRequestBodyBytes") or 0)
    return lambda exchange: Reply(413) if limit and exchange.size > limit else None


def _redirect_scheme(options: Mapping[str, Any]) -> Middleware:
    def apply(exchange: Exchange) -> Reply | None:
        scheme = str(options.get("scheme", "https"))
        if exchange.secure == (scheme == "https"):
            return None
        port = str(options.get("port") or "")
        where = exchange.host + (f":{port}" if port not in ("", "443", "80") else "")
        return redirect(exchange, f"{scheme}://{where}{exchange.target}", options)

    return apply


def _redirect_regex(options: Mapping[str, Any]) -> Middleware:
    pattern = re.compile(str(options.get("regex", "")))
    replacement = re.sub(r"\$\{?(\w+)\}?", r"\\g<\1>", str(options.get("replacement", "")))

    def apply(exchange: Exchange) -> Reply | None:
        url = f"{'https' if exchange.secure else 'http'}://{exchange.host}{exchange.target}"
        new = pattern.sub(replacement, url)
        return redirect(exchange, new, options) if new != url else None

    return apply


def redirect(exchange: Exchange, location: str, options: Mapping[str, Any]) -> Reply:
    """A redirect with Traefik's status: 301 or 302 for GET, else one that keeps the method."""
    plain = exchange.method == "GET"
    status = (301 if plain else 308) if options.get("permanent") else (302 if plain else 307)
    return Reply(status, b"Moved", {"Location": location})


def _strip_prefix(options: Mapping[str, Any]) -> Middleware:
    def apply(exchange: Exchange) -> None:
        for prefix in options.get("prefixes") or []:
            if exchange.path.startswith(prefix):
                exchange.target = "/" + exchange.target[len(prefix) :].lstrip("/")
                exchange.headers["x-forwarded-prefix"] = prefix
                return

    return apply


def _add_prefix(options: Mapping[str, Any]) -> Middleware:
    def apply(exchange: Exchange) -> None:
        exchange.target = str(options.get("prefix", "")) + exchange.target

    return apply


def _forward_auth(options: Mapping[str, Any]) -> Middleware:
    wanted = [str(name).lower() for name in options.get("authResponseHeaders") or []]

    def apply(exchange: Exchange) -> Reply | None:
        headers = {**exchange.headers, "x-forwarded-method": exchange.method}
        headers["x-forwarded-uri"] = exchange.target
        headers.pop("content-length", None)
        request = urllib.request.Request(str(options["address"]), headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                for name in wanted:
                    exchange.headers.pop(name, None)
                    if answer.headers.get(name):
                        exchange.headers[name] = answer.headers[name]
        except urllib.error.HTTPError as error:
            kept = {
                k: v for k, v in error.headers.items() if k.lower() in ("location", "set-cookie")
            }
            return Reply(error.code, error.read(), kept)
        except OSError:
            return Reply(500)
        return None

    return apply


MAKERS: Mapping[str, Callable[[Mapping[str, Any]], Middleware]] = {
    "addPrefix": _add_prefix,
    "buffering": _buffering,
    "forwardAuth": _forward_auth,
    "headers": _headers,
    "inFlightReq": _in_flight,
    "ipAllowList": _ip_allow_list,
    "rateLimit": _rate_limit,
    "redirectRegex": _redirect_regex,
    "redirectScheme": _redirect_scheme,
    "stripPrefix": _strip_prefix,
}
