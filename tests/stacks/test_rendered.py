"""What the templates make of answers: fragments, configuration, and their readers' schemas."""

from __future__ import annotations

import configparser
import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from installer.core.bundle import Bundle
from installer.core.events import Outcome
from installer.core.plan import Plan
from installer.core.policy import AuditContext, audit_compose, parse_hardening
from installer.core.segmentation import (
    FlowConditions,
    audit_networks,
    declared_flows,
    parse_segmentation,
)
from tests.stacks.builders import ROOT, make, services_of

REFERENCE = Path(os.environ.get("DEVPLAT_TEST_REFERENCE", ROOT.parent / "shared" / "reference"))
Rendered = tuple[Plan, Bundle]

LATE = {
    "traefik/traefik.yml": ("accessLog.fields.queryParameters",),
    "traefik/dynamic/middlewares.yml": ("sourceCriterion.ipStrategy.ipv6Subnet",),
}
"""Settings that Traefik 3.7 has and the schema of the reference does not know yet."""


def parse(bundle: Bundle, path: str) -> Any:
    return yaml.safe_load(bundle.files[path].data)


def read_reference(name: str) -> Any:
    path = REFERENCE / name
    if not path.exists():
        pytest.skip(f"{path} is not here; DEVPLAT_TEST_REFERENCE names the directory that has it")
    return json.loads(path.read_text())


def without(document: Any, dotted: tuple[str, ...]) -> Any:
    """A copy without the values whose path ends like one of these."""

    def copy(value: Any, path: str) -> Any:
        if isinstance(value, dict):
            kept = {k: copy(v, f"{path}.{k}") for k, v in value.items()}
            return {k: v for k, v in kept.items() if not f"{path}.{k}".endswith(dotted or ("\0",))}
        return value

    return copy(document, "")


@pytest.fixture
def context(rendered: Rendered) -> AuditContext:
    plan, _ = rendered
    return AuditContext(
        data_dir=plan.data_dir,
        install_dir=plan.install_dir,
        bind_addresses=("203.0.113.10",),
        exceptions={name: plan.manifest(name).exceptions for name in plan.services},
    )


def test_every_variant_passes_the_hardening_audit(
    rendered: Rendered, context: AuditContext
) -> None:
    """HA-03: and no deviation is used that a manifest does not declare."""
    default = (ROOT / "assets/seccomp-default.json").read_bytes()
    table = parse_hardening((ROOT / "assets/hardening.yaml").read_bytes(), default)
    results = audit_compose(rendered[1].document, table, context)
    assert len(results) > 100
    bad = [r for r in results if r.outcome not in (Outcome.PASS, Outcome.WAIVED)]
    assert [(r.id, r.where, r.found) for r in bad] == []


def test_every_variant_passes_the_segmentation_audit(rendered: Rendered) -> None:
    """SA-*, SD-*, static side."""
    plan, bundle = rendered
    table = parse_segmentation((ROOT / "assets/segmentation.yaml").read_bytes())
    manifests = [plan.manifest(name) for name in plan.services]
    flows = declared_flows(manifests, plan.edge, "internet")
    results = audit_networks(bundle.document, table, FlowConditions(flows, pool="172.30.0.0/16"))
    bad = [r for r in results if r.outcome is not Outcome.PASS]
    assert [(r.id, r.where, r.found) for r in bad] == []


def test_fragments_check_health_and_mount_configuration_read_only(
    rendered: Rendered,
) -> None:
    """HD-09, HD-23, HD-27, HD-41."""
    for name, body in services_of(rendered[1]).items():
        assert body["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
        assert 10 <= int(body["stop_grace_period"].removesuffix("s")) <= 120, name
        for entry in body["tmpfs"]:
            options = entry.split(":", 1)[1].split(",")
            assert {"nosuid", "nodev", "noexec"} <= set(options), entry
            assert any(option.startswith("size=") for option in options), entry
        for volume in body.get("volumes", ()):
            rendered_into = volume["type"] == "volume" and rendered[0].manifest(name).consumer
            in_data = volume["source"].startswith("/var/lib/devplat/")
            assert volume.get("read_only") or in_data or rendered_into, name
            place = volume["source"].removeprefix("./")  # a file, or a directory that others add to
            assert place == volume["source"] or any(
                path == place or path.startswith(f"{place}/") for path in rendered[1].files
            ), volume
    if "postgres" in rendered[0].services:
        grace = services_of(rendered[1])["postgres"]["stop_grace_period"]
        assert int(grace.removesuffix("s")) >= 60


def test_no_placeholder_of_a_secret_is_in_the_bundle(rendered: Rendered) -> None:
    """SE-01: expansion happens on delivery, in secret files only."""
    for path, file in rendered[1].files.items():
        for secret in rendered[0].secrets:
            assert f"${{{secret.name}}}".encode() not in file.data, path
            # an agent is told by name what it is to fetch
            assert secret.name.encode() not in file.data or path.endswith("/agent.hcl"), path


def test_no_setting_looks_like_a_secret(rendered: Rendered) -> None:
    """HD-33, with the note's exemption of switches, numbers and durations."""
    suspicious = re.compile(
        r"(?i)[^=]*(password|passwd|secret|token|private_key|access_key|api_key|connection_url|dsn)"
        r"[^=]*=(?!/|file:|$|true$|false$|\d+[smh]?$).+"
    )
    for name, body in services_of(rendered[1]).items():
        for key, value in body["environment"].items():
            assert not suspicious.fullmatch(f"{key}={value}"), name


def test_values_of_the_answers_arrive_in_the_configuration(everything: Rendered) -> None:
    """BR-07."""
    plan, bundle = everything
    services = services_of(bundle)
    coder, gitea = services["coder"]["environment"], services["gitea"]["environment"]
    assert coder["CODER_ACCESS_URL"] == "https://coder.company.com"
    assert coder["CODER_WILDCARD_ACCESS_URL"] == "*.coder.company.com"
    assert coder["CODER_PROXY_TRUSTED_ORIGINS"] == ",".join(plan.edge_subnets_of["coder"])
    assert gitea["GITEA__server__ROOT_URL"] == "https://git.company.com/"
    assert gitea["GITEA__webhook__ALLOWED_HOST_LIST"] == "external,ci.company.com"
    assert services["drone-server"]["environment"]["DRONE_SERVER_HOST"] == "ci.company.com"
    assert parse(bundle, "ai-gateway/config.yaml")["model_list"][0]["litellm_params"] == {
        "model": "bedrock/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "aws_region_name": "us-east-1",
    }


def test_the_proxy_reaches_the_services_that_go_out_and_no_others() -> None:
    plan, bundle = make("acme-behind-balancer")
    edge = services_of(bundle)["traefik"]["environment"]  # for its authority, not its services
    assert edge["HTTPS_PROXY"] == "http://proxy.company.com:3128"
    assert "HTTP_PROXY" not in edge
    for name, body in services_of(bundle).items():
        if name == "traefik":
            continue
        has_proxy = body["environment"].get("HTTPS_PROXY") == "http://proxy.company.com:3128"
        assert has_proxy == bool(plan.manifest(name).egress), name
        if has_proxy:
            inside = body["environment"]["NO_PROXY"].split(",")
            assert {"postgres", "127.0.0.1", "localhost", "coder.company.com"} <= set(inside)


def test_optional_services_leave_no_trace_when_off() -> None:
    _, bundle = make("nothing-optional")
    text = bundle.files["compose.yaml"].data.decode()
    assert "DRONE" not in text
    environment = services_of(bundle)["gitea"]["environment"]
    assert environment["GITEA__session__PROVIDER"] == "db"
    assert environment["GITEA__cache__ADAPTER"] == "memory"
    routes = parse(bundle, "traefik/dynamic/routes.yml")["http"]
    assert set(routes["services"]) == {"auth", "coder", "git"}


def test_the_edge_routes_every_public_name_and_refuses_what_is_not_public(
    rendered: Rendered,
) -> None:
    plan, bundle = rendered
    http = parse(bundle, "traefik/dynamic/routes.yml")["http"]
    routers, middlewares = http["routers"], parse(bundle, "traefik/dynamic/middlewares.yml")
    known = set(middlewares["http"]["middlewares"])
    for route in plan.routes:
        router = routers[route.host_key]
        assert router["rule"] == f"Host(`{route.host}`)"
        [server] = http["services"][router["service"]]["loadBalancer"]["servers"]
        assert server["url"] == f"http://{route.service}:{route.port}"
        assert f"Host(`{route.host}`)" in routers["redirect"]["rule"]
        for path in route.deny:
            refused = routers[f"{route.host_key}-refused"]
            assert f"PathPrefix(`{path}`)" in refused["rule"]
            assert refused["priority"] > router["priority"]
            assert refused["middlewares"] == ["not-public"]
    assert all(known.issuperset(r.get("middlewares", ())) for r in routers.values())
    pattern = re.search(r"HostRegexp\(`(.*)`\)", routers["coder-apps"]["rule"])
    assert pattern and re.fullmatch(pattern[1], "8080--main--ws--ada.coder.company.com")
    assert not re.fullmatch(pattern[1], "a.b.coder.company.com")
    assert not re.fullmatch(pattern[1], "evilxcoder.company.com")


def test_tls_follows_the_profile_and_the_mode() -> None:
    """TL-01, TL-02, TL-04, TL-09, TL-22."""
    acceptance = yaml.safe_load((ROOT / "tests/acceptance/tls.yaml").read_text())["profiles"]
    curves = {"secp256r1": "CurveP256", "secp384r1": "CurveP384"}
    _, bundle = make("everything")
    tls = parse(bundle, "traefik/dynamic/tls.yml")["tls"]
    options = tls["options"]["default"]
    assert options["cipherSuites"] == acceptance["intermediate"]["tls12_suites"]
    groups = acceptance["intermediate"]["groups"]
    assert options["curvePreferences"] == [curves.get(g, g) for g in groups]
    assert options["minVersion"] == "VersionTLS12"
    assert options["sniStrict"] is True
    assert tls["certificates"][0]["keyFile"] == "/run/secrets/tls_key.pem"
    _, bundle = make("acme-behind-balancer")
    tls = parse(bundle, "traefik/dynamic/tls.yml")["tls"]
    assert tls["options"]["default"]["minVersion"] == "VersionTLS13"
    assert "certificates" not in tls
    static = parse(bundle, "traefik/traefik.yml")
    resolver = static["certificatesResolvers"]["acme"]["acme"]
    assert resolver["storage"] == "/acme/acme-v02.api.letsencrypt.org.json"
    assert resolver["dnsChallenge"] == {"provider": "cloudflare"}
    assert static["entryPoints"]["websecure"]["forwardedHeaders"]["trustedIPs"] == ["10.1.0.0/16"]
    domains = parse(bundle, "traefik/dynamic/routes.yml")["http"]["routers"]["coder"]["tls"][
        "domains"
    ]
    assert domains == [{"main": "coder.company.com", "sans": ["*.coder.company.com"]}]


def test_the_database_is_sized_by_its_memory_and_lets_in_its_own_clients(
    rendered: Rendered,
) -> None:
    plan, bundle = rendered
    if plan.database is not None and plan.database.is_outside:
        assert "postgres/postgresql.conf" not in bundle.files
        return
    text = "[x]\n" + bundle.files["postgres/postgresql.conf"].data.decode()
    settings = configparser.ConfigParser(inline_comment_prefixes=("#",), interpolation=None)
    settings.read_string(text)
    memory = plan.resources["postgres"].memory_mib
    assert settings["x"]["shared_buffers"] == f"{memory // 4}MB"
    assert int(settings["x"]["max_connections"]) >= 200
    assert settings["x"]["password_encryption"] == "scram-sha-256"
    rules = [
        line.split()
        for line in bundle.files["postgres/pg_hba.conf"].data.decode().splitlines()
        if not line.startswith("#")
    ]
    assert {rule[-1] for rule in rules} == {"peer", "reject", "scram-sha-256"}
    assert {rule[0] for rule in rules if rule[-1] == "scram-sha-256"} == {"hostssl"}
    assert settings["x"]["ssl"] == "on"
    networks = {plan.subnets[network] for network in plan.networks_of["postgres"]}
    assert {rule[3] for rule in rules if rule[1] == "samerole"} == networks | {"127.0.0.1/32"}


def test_engine_filters_let_no_path_climb_out_of_its_list(everything: Rendered) -> None:
    services = services_of(everything[1])
    for name in ("socket-proxy-coder", "socket-proxy-build"):
        flags = dict(flag.partition("=")[::2] for flag in services[name]["command"])
        rules = {k.removeprefix("-allow"): v for k, v in flags.items() if k[6:].isupper()}
        get, post = (re.compile(f"^{rules[method]}$") for method in ("GET", "POST"))
        assert get.match("/v1.47/containers/4e5021d210f6/json")
        assert post.match("/v1.47/containers/create")
        for path in ("/v1.47/images/../secrets/json", "/v1.47/containers/../json", "/secrets"):
            assert not get.match(path), path
        for path in ("/v1.47/containers/a/exec", "/build", "/v1.47/swarm/init", "/commit"):
            assert not post.match(path), path


def test_coder_settings_are_documented_and_current(everything: Rendered) -> None:
    """Coder ignores an unknown name in silence, so a wrong one would be a loss of hardening."""
    options = {o["env"]: o for o in read_reference("coder-server-env.json")["options"]}
    coder = services_of(everything[1])["coder"]
    names = [n for n in coder["environment"] if n.startswith("CODER_")]
    names += [n for n in everything[0].manifest("coder").secret_files if n.startswith("CODER_")]
    flags = {o["flag"] for o in options.values() if not o["deprecated"]}
    assert len(names) > 20
    assert [n for n in names if n not in options or options[n]["deprecated"]] == []
    given = [word.split("=")[0] for word in coder["command"] if word.startswith("--")]
    assert [flag for flag in given if flag not in flags] == []


@pytest.mark.parametrize(
    ("path", "schema", "defect"),
    [
        ("traefik/traefik.yml", "traefik-v3.json", {"accessLog": {"fromat": "json"}}),
        ("traefik/dynamic/tls.yml", "traefik-v3-file-provider.json", {"tsl": {}}),
        ("traefik/dynamic/middlewares.yml", "traefik-v3-file-provider.json", {"htpt": {}}),
        ("traefik/dynamic/routes.yml", "traefik-v3-file-provider.json", {"htpt": {}}),
        ("compose.yaml", "compose-spec.json", {"services": {"x": {"imagee": "y"}}}),
    ],
)
def test_files_are_valid_by_their_readers_schema(
    rendered: Rendered, path: str, schema: str, defect: dict[str, Any]
) -> None:
    rules = read_reference(f"schemas/{schema}")
    kind = jsonschema.Draft202012Validator if "$defs" in rules else jsonschema.Draft7Validator
    document = without(parse(rendered[1], path), LATE.get(path, ()))
    errors = kind(rules).iter_errors(document)
    assert [(list(e.absolute_path), e.message) for e in errors] == []
    assert list(kind(rules).iter_errors({**document, **defect})), "the schema accepts anything"
