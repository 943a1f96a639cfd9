"""The stand-in for Traefik refuses what Traefik does not have, and reads rules as Traefik does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import traefik_config
import yaml
from standin import Refused

STATIC = """
ping: {entryPoint: internal}
metrics: {prometheus: {entryPoint: internal}}
accessLog: {format: json, fields: {queryParameters: {defaultMode: drop}}}
entryPoints:
  web: {address: ":80"}
  websecure:
    address: ":443"
    asDefault: true
    http: {tls: {options: default}, middlewares: [hsts@file]}
    transport: {respondingTimeouts: {readTimeout: 0s}}
  internal: {address: ":8082"}
providers: {file: {directory: DIRECTORY, watch: true}}
"""
DYNAMIC = """
http:
  routers:
    coder: {rule: "Host(`coder.x`)", service: coder, tls: {}}
  services:
    coder: {loadBalancer: {servers: [{url: "http://coder:7080"}], passHostHeader: true}}
  middlewares:
    hsts: {headers: {stsSeconds: 100}}
tls:
  options: {default: {minVersion: VersionTLS12, sniStrict: true}}
  certificates: [{certFile: /c, keyFile: /k}]
"""


@pytest.fixture
def load(tmp_path):
    def load(static=STATIC, **files):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "traefik.yml").write_text(static.replace("DIRECTORY", str(tmp_path / "d")))
        for name, text in (files or {"routes": DYNAMIC}).items():
            (tmp_path / "d" / f"{name}.yml").write_text(text)
        read = traefik_config.read_static(tmp_path / "traefik.yml")
        return traefik_config.read_dynamic(read)

    return load


def test_what_traefik_has_is_taken(load):
    dynamic = load()
    (router,) = dynamic.routers
    assert router.entry_points == ("websecure",)
    assert router.middlewares == ("hsts",)
    assert dynamic.services == {"coder": "http://coder:7080"}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("entryPoints:", "tls: {certificates: []}\nentryPoints:", "node: tls"),
        ("readTimeout: 0s", "readTimeout: forever", "invalid duration"),
        ("readTimeout: 0s", "readTimeOut: 0s", "node: readTimeOut"),
        ('":443"', '"443"', "want host:port"),
        ("asDefault: true", 'asDefault: "true"', "no boolean"),
        ("ping: {entryPoint: internal}", "ping: {entryPoint: inside}", "inside not found"),
        ("watch: true}", "watch: true}, docker: {}", "docker"),
        (
            "entryPoints:",
            "certificatesResolvers: {le: {acme: {email: a@x}}}\nentryPoints:",
            "storage",
        ),
        (
            "entryPoints:",
            "certificatesResolvers: {le: {acme: {email: a@x, storage: /a, tlsChallenge: {},"
            " httpChallenge: {entryPoint: web}}}}\nentryPoints:",
            "one challenge",
        ),
    ],
)
def test_a_static_mistake_is_refused_by_name(load, old, new, reason):
    assert old in STATIC
    changed = STATIC.replace(old, new)
    if reason == "docker":
        changed = changed.replace("{}", "{exposedByDefault: false}")
    with pytest.raises(Refused, match=reason):
        load(changed)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "hsts: {headers: {stsSeconds: 100}}",
            "hsts: {headers: {stsMonths: 1}}",
            "node: stsMonths",
        ),
        ("stsSeconds: 100", 'stsSeconds: "100"', "no integer"),
        ("headers: {stsSeconds: 100}", "ipWhiteList: {sourceRange: []}", "node: ipWhiteList"),
        ("headers: {stsSeconds: 100}", "basicAuth: {users: []}", "cannot do"),
        ("hsts: {", "other: {", "'hsts' does not exist"),
        ("service: coder,", "service: codr,", "'codr' does not exist"),
        ("tls: {}}", "tls: {certResolver: le}}", "nonexistent certificate resolver le"),
        ("tls: {}}", "tls: {options: strict}}", "unknown TLS options strict"),
        ("tls: {}}", "entryPoints: [public]}", "public not found"),
        ("Host(`coder.x`)", "Host(`coder.x`, `b.x`)", "number of parameters"),
        ("Host(`coder.x`)", "HostRegexp(`{name:.*}", "cannot be parsed"),
        ("Host(`coder.x`)", "Hosts(`coder.x`)", "unsupported function"),
        ("http://coder:7080", "coder:7080", "want"),
        ("options: {default:", "stores: {other: {}}\n  options: {default:", "only the store"),
    ],
)
def test_a_dynamic_mistake_is_refused_by_name(load, old, new, reason):
    assert old in DYNAMIC
    with pytest.raises(Refused, match=reason):
        load(routes=DYNAMIC.replace(old, new))


def test_files_are_merged_and_a_name_comes_once(load):
    middle = yaml.safe_dump({"http": {"middlewares": {"limit": {"rateLimit": {"average": 1}}}}})
    assert set(load(routes=DYNAMIC, more=middle).middlewares) == {"hsts", "limit"}
    with pytest.raises(Refused, match="hsts defined twice"):
        load(routes=DYNAMIC, more=middle.replace("limit", "hsts"))


@pytest.mark.parametrize(
    ("rule", "host", "path", "matches"),
    [
        ("Host(`a.x`)", "a.x", "/", True),
        ("Host(`A.x`)", "a.x", "/", True),
        ("Host(`a.x`)", "b.x", "/", False),
        ("Host(`*.a.x`)", "b.a.x", "/", True),
        ("Host(`*.a.x`)", "c.b.a.x", "/", False),
        ("Host(`*.a.x`)", "a.x", "/", False),
        (r"HostRegexp(`^[^.]+\.a\.x$`)", "b.a.x", "/", True),
        (r"HostRegexp(`^[^.]+\.a\.x$`)", "b.a.x.y", "/", False),
        ("Host(`a.x`) && PathPrefix(`/api`)", "a.x", "/api/1", True),
        ("Host(`a.x`) && PathPrefix(`/api`)", "a.x", "/", False),
        ("Host(`a.x`) && (Path(`/b`) || Path(`/c`))", "a.x", "/c", True),
        ("Host(`a.x`) && !Path(`/b`)", "a.x", "/b", False),
        ("Path(`/b`) || Path(`/c`) && Host(`z`)", "a.x", "/b", True),
        ("Method(`GET`)", "a.x", "/", True),
        ("Method(`POST`)", "a.x", "/", False),
    ],
)
def test_rules_match_as_in_traefik(rule, host, path, matches):
    request = SimpleNamespace(host=host, path=path, method="GET")
    assert traefik_config.parse_rule(rule)(request) is matches


@pytest.mark.parametrize(
    "rule", ["", "Host(`a`) &&", "Host(`a`) Host(`b`)", "(Host(`a`)", "&& Host(`a`)"]
)
def test_rules_that_are_none_are_refused(rule):
    with pytest.raises(Refused):
        traefik_config.parse_rule(rule)


def test_longer_rules_go_first_unless_a_priority_says_otherwise(load):
    text = DYNAMIC.replace(
        "  services:",
        '    api: {rule: "Host(`coder.x`) && PathPrefix(`/api`)", service: coder}\n'
        '    first: {rule: "Path(`/`)", service: coder, priority: 900}\n  services:',
    )
    assert [router.name for router in load(routes=text).routers] == ["first", "api", "coder"]
