"""Traefik's two configurations as its stand-in reads them: every key and type checked against a
bundled list, rules parsed, references resolved. What the stand-in cannot do it refuses by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from standin import Refused, check_duration, split_address

KEYS = json.loads(Path(__file__).with_name("traefik_keys.json").read_text())
INTERNAL = {"noop@internal", "ping@internal", "prometheus@internal"}
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
MIDDLEWARES = {
    "addPrefix", "buffering", "chain", "compress", "forwardAuth", "headers", "inFlightReq",
    "ipAllowList", "rateLimit", "redirectRegex", "redirectScheme", "retry", "stripPrefix",
}  # fmt: skip
CHALLENGES = {"httpChallenge", "tlsChallenge", "dnsChallenge"}

Match = Callable[[Any], bool]


def check_keys(document: Any, known: Any, where: str) -> None:
    """Refuse a key that Traefik does not have, or a value of another type.

    Raises:
        Refused: for the first one, by its path.
    """
    if known == "*" or document is None:
        return
    if isinstance(known, str):
        _check_scalar(document, known, where)
    elif "[]" in known:
        if not isinstance(document, list):
            raise Refused(f"{where}: want a list")
        for number, item in enumerate(document):
            check_keys(item, known["[]"], f"{where}[{number}]")
    elif isinstance(document, dict):
        for key, value in document.items():
            below = known.get(key, known.get("*"))
            if below is None:
                raise Refused(f"field not found, node: {key} (in {where})")
            check_keys(value, below, f"{where}.{key}")
    elif document is not True or known:  # `tls: true` is a way to write `tls: {}`
        raise Refused(f"{where}: want a mapping")


def _check_scalar(value: Any, kind: str, where: str) -> None:
    good = isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
    if not good:
        raise Refused(f"{where}: {value!r} is no {kind}")


def read_static(path: Path) -> dict[str, Any]:
    """The static configuration.

    Raises:
        Refused: when it cannot be read, or Traefik would refuse it.
    """
    document = _read(path)
    check_keys(document, KEYS["static"], "static")
    points = document.get("entryPoints") or {}
    for name, point in points.items():
        split_address(str((point or {}).get("address", "")).split("/")[0])
        for key, value in _durations(point):
            check_duration(f"entryPoints.{name}.{key}", str(value))
    for section in ("ping", "metrics.prometheus"):
        node: Any = document
        for part in section.split("."):
            node = (node or {}).get(part)
        if node and node.get("entryPoint", "traefik") not in points:
            raise Refused(f"{section}: entry point {node.get('entryPoint', 'traefik')} not found")
    for name, resolver in (document.get("certificatesResolvers") or {}).items():
        _check_resolver(name, (resolver or {}).get("acme") or {})
    if (document.get("providers") or {}).get("docker"):
        raise Refused("providers.docker: the stand-in has the file provider only")
    return document


def _durations(point: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    transport = (point or {}).get("transport") or {}
    return [
        (f"transport.{part}.{key}", value)
        for part in ("respondingTimeouts", "lifeCycle")
        for key, value in (transport.get(part) or {}).items()
        if not isinstance(value, int)
    ]


def _check_resolver(name: str, acme: Mapping[str, Any]) -> None:
    if not acme.get("email") or not acme.get("storage"):
        raise Refused(f"certificatesResolvers.{name}.acme: email and storage are required")
    chosen = CHALLENGES & {key for key in acme if acme[key] is not None}
    if len(chosen) != 1:
        raise Refused(f"certificatesResolvers.{name}.acme: want one challenge, not {len(chosen)}")
    if missing := [p for p in acme.get("caCertificates") or () if not Path(p).is_file()]:
        raise Refused(f"certificatesResolvers.{name}.acme: creating cert pool: {missing[0]}")
    key = str((acme.get("eab") or {"hmacEncoded": "none"}).get("hmacEncoded", ""))
    if not re.fullmatch(r"[A-Za-z0-9_-]+={0,2}", key):
        raise Refused(f"certificatesResolvers.{name}.acme.eab: hmacEncoded is no base64url")


@dataclass(frozen=True)
class Router:
    """A router, ready to match."""

    name: str
    rule: str
    matches: Match
    priority: int
    entry_points: tuple[str, ...]
    middlewares: tuple[str, ...]
    service: str


@dataclass(frozen=True)
class Dynamic:
    """The dynamic configuration, checked as a whole."""

    routers: tuple[Router, ...]
    services: Mapping[str, str]
    middlewares: Mapping[str, Mapping[str, Any]]
    certificates: tuple[tuple[str, str], ...]
    default_certificate: tuple[str, str] | None
    tls_options: Mapping[str, Mapping[str, Any]]


def read_dynamic(static: Mapping[str, Any]) -> Dynamic:
    """The dynamic configuration of the file provider, all files of its directory merged.

    Raises:
        Refused: for the first thing in it that Traefik would refuse, or could not serve.
    """
    provider = (static.get("providers") or {}).get("file") or {}
    if provider.get("filename"):
        files = [Path(provider["filename"])]
    else:
        folder = Path(provider.get("directory") or "/nowhere")
        files = sorted(f for f in folder.rglob("*") if f.suffix in (".yml", ".yaml", ".toml"))
    if not files:
        raise Refused("providers.file: no file found")
    http: dict[str, dict[str, Any]] = {"routers": {}, "services": {}, "middlewares": {}}
    tls: dict[str, Any] = {"certificates": [], "options": {}, "stores": {}}
    for path in files:
        document = _read(path)
        check_keys(document, KEYS["dynamic"], path.name)
        for part, items in (document.get("http") or {}).items():
            target = http.setdefault(part, {})
            if twice := target.keys() & (items or {}).keys():
                raise Refused(f"{path.name}: {part} {sorted(twice)[0]} defined twice")
            target |= items or {}
        section = document.get("tls") or {}
        tls["certificates"] += section.get("certificates") or []
        for part in ("options", "stores"):
            tls[part] |= section.get(part) or {}
    return _assemble(static, http, tls)


def _assemble(
    static: Mapping[str, Any], http: Mapping[str, Mapping[str, Any]], tls: Mapping[str, Any]
) -> Dynamic:
    for name, body in http["middlewares"].items():
        kinds = list(body or {})
        if len(kinds) != 1 or kinds[0] not in MIDDLEWARES:
            raise Refused(f"middleware {name}: the stand-in cannot do {kinds}")
    if set(tls["stores"]) - {"default"}:
        raise Refused("tls.stores: only the store named default exists")
    routers = [
        _make_router(name, body or {}, static, http, tls) for name, body in http["routers"].items()
    ]
    default = (tls["stores"].get("default") or {}).get("defaultCertificate")
    return Dynamic(
        routers=tuple(sorted(routers, key=lambda r: (-r.priority, r.name))),
        services={name: _service_url(name, body or {}) for name, body in http["services"].items()},
        middlewares=http["middlewares"],
        certificates=tuple((c["certFile"], c["keyFile"]) for c in tls["certificates"]),
        default_certificate=(default["certFile"], default["keyFile"]) if default else None,
        tls_options=tls["options"],
    )


def _service_url(name: str, body: Mapping[str, Any]) -> str:
    servers = (body.get("loadBalancer") or {}).get("servers") or []
    if not servers:
        raise Refused(f"service {name}: the stand-in wants a loadBalancer with servers")
    url = str(servers[0].get("url", ""))
    if not re.fullmatch(r"http://[^/\s]+(:\d+)?/?", url):
        raise Refused(f"service {name}: url {url!r}: the stand-in wants http://host:port")
    return url.rstrip("/")


def _make_router(
    name: str,
    body: Mapping[str, Any],
    static: Mapping[str, Any],
    http: Mapping[str, Mapping[str, Any]],
    tls: Mapping[str, Any],
) -> Router:
    points = static.get("entryPoints") or {}
    defaults = [p for p, point in points.items() if (point or {}).get("asDefault")]
    names = tuple(body.get("entryPoints") or defaults or points)
    for point in names:
        if point not in points:
            raise Refused(f"router {name}: entry point {point} not found")
    used: list[str] = []
    for point in names:
        used += ((points[point] or {}).get("http") or {}).get("middlewares") or []
    used += body.get("middlewares") or []
    service = str(body.get("service", "")).removesuffix("@file")
    if service not in http["services"] and service not in INTERNAL:
        raise Refused(f"router {name}: the service {service!r} does not exist")
    plain = [item.removesuffix("@file") for item in used]
    for item in plain:
        if item not in http["middlewares"]:
            raise Refused(f"router {name}: middleware {item!r} does not exist")
    options = body.get("tls") if isinstance(body.get("tls"), dict) else {}
    resolver = (options or {}).get("certResolver")
    if resolver and resolver not in (static.get("certificatesResolvers") or {}):
        raise Refused(f"router {name}: nonexistent certificate resolver {resolver}")
    wanted = str((options or {}).get("options", "default")).removesuffix("@file")
    if wanted != "default" and wanted not in tls["options"]:
        raise Refused(f"router {name}: unknown TLS options {wanted}")
    rule = str(body.get("rule", ""))
    return Router(
        name=name,
        rule=rule,
        matches=parse_rule(rule),
        priority=body.get("priority") or len(rule),
        entry_points=names,
        middlewares=tuple(dict.fromkeys(plain)),
        service=service,
    )


TOKEN = re.compile(r"\s*(&&|\|\||!|\(|\)|(\w+)\(\s*(`[^`]*`(?:\s*,\s*`[^`]*`)*)\s*\))")


def parse_rule(rule: str) -> Match:
    """A rule in Traefik 3's syntax as a function of a request (`host`, `path`, `method`).

    Raises:
        Refused: when it is not in that syntax.
    """
    tokens: list[Any] = []
    position = 0
    while rule[position:].strip():
        match = TOKEN.match(rule, position)
        if not match:
            raise Refused(f"rule {rule!r}: cannot be parsed at {rule[position:]!r}")
        tokens.append(
            _matcher(match[2], re.findall("`([^`]*)`", match[3])) if match[2] else match[1]
        )
        position = match.end()
    if not tokens:
        raise Refused("rule is empty")
    value, rest = _either(tokens, rule)
    if rest:
        raise Refused(f"rule {rule!r}: unexpected {rest[0]!r}")
    return value


def _any_of(left: Match, right: Match) -> Match:
    return lambda request: left(request) or right(request)


def _all_of(left: Match, right: Match) -> Match:
    return lambda request: left(request) and right(request)


def _either(tokens: list[Any], rule: str) -> tuple[Match, list[Any]]:
    left, rest = _both(tokens, rule)
    while rest and rest[0] == "||":
        right, rest = _both(rest[1:], rule)
        left = _any_of(left, right)
    return left, rest


def _both(tokens: list[Any], rule: str) -> tuple[Match, list[Any]]:
    left, rest = _one(tokens, rule)
    while rest and rest[0] == "&&":
        right, rest = _one(rest[1:], rule)
        left = _all_of(left, right)
    return left, rest


def _one(tokens: list[Any], rule: str) -> tuple[Match, list[Any]]:
    if not tokens:
        raise Refused(f"rule {rule!r} ends too early")
    first, rest = tokens[0], tokens[1:]
    if first == "!":
        inner, rest = _one(rest, rule)
        return (lambda request: not inner(request)), rest
    if first == "(":
        inner, rest = _either(rest, rule)
        if rest[:1] != [")"]:
            raise Refused(f"rule {rule!r}: a parenthesis is open")
        return inner, rest[1:]
    if isinstance(first, str):
        raise Refused(f"rule {rule!r}: unexpected {first!r}")
    return first, rest


def _matcher(name: str, values: list[str]) -> Match:
    if len(values) != 1:
        raise Refused(
            f"{name}: unexpected number of parameters; got {len(values)}, expected one of [1]"
        )
    value = values[0]
    if name == "Host":
        if value.startswith("*."):
            end = value[1:].lower()
            return lambda r: (
                r.host.endswith(end) and "." not in r.host[: -len(end)] and r.host != end
            )
        return lambda r: r.host == value.lower()
    if name == "PathPrefix":
        return lambda r: r.path.startswith(value)
    if name == "Path":
        return lambda r: r.path == value
    if name == "Method":
        return lambda r: r.method == value.upper()
    if name in ("HostRegexp", "PathRegexp"):
        try:
            pattern = re.compile(value)
        except re.error as error:
            raise Refused(f"{name}: {error}") from error
        part = "host" if name == "HostRegexp" else "path"
        return lambda r: bool(pattern.search(getattr(r, part)))
    raise Refused(f"unsupported function: {name}")


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise Refused(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise Refused(f"{path}: want a mapping")
    return document
