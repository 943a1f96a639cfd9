"""What staging, HSTS, challenges, accounts and storage look like rendered."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from installer.core.bundle import Bundle
from installer.core.draft import from_file, validate
from installer.core.errors import AnswersError, TlsError
from installer.core.events import Outcome
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.phases.verify_tls import judge_hsts
from installer.stacks import load_templates
from tests.stacks.builders import BASE, ROOT, load, make_plan_for, services_of
from tests.tls.pebble_lab import MAC_KEY

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
SMALL = {"backup": {"enabled": False}, "monitoring": {"enabled": False}}
ACME = {"email": "ops@company.com", "dns_provider": "route53"}
PRIVATE = {"mode": "private-ca"}
LOCAL = {"domain": {"base": "company.com", "wildcard": "none"}}


def plan_for(tls: Mapping[str, Any], **more: Any) -> Plan:
    return make_plan_for(load(), "no-secret-server", {**SMALL, "tls": tls, **more})


def acme_plan(**acme: Any) -> Plan:
    return plan_for({"mode": "acme", "acme": {**ACME, **acme}})


def bundle_of(plan: Plan) -> Bundle:
    return render(plan, load_templates(ROOT, plan.catalog))


def resolver_of(plan: Plan) -> dict[str, Any]:
    static = yaml.safe_load(bundle_of(plan).files["traefik/traefik.yml"].data)
    found: dict[str, Any] = static["certificatesResolvers"]["acme"]["acme"]
    return found


def hsts_of(plan: Plan) -> int:
    text = bundle_of(plan).files["traefik/dynamic/middlewares.yml"].data
    return int(yaml.safe_load(text)["http"]["middlewares"]["hsts"]["headers"]["stsSeconds"])


def problems_of(tls: Mapping[str, Any], **more: Any) -> set[str]:
    data = yaml.safe_dump({**BASE, **SMALL, "tls": tls, **more}).encode()
    try:
        validate(from_file(data, "answers.yaml", 0o600), load())
    except (AnswersError, TlsError) as error:
        return {problem.code for problem in error.problems}
    return set()


def test_staging_and_production_share_nothing() -> None:
    """TL-21, TL-22: other directory, other storage; switching back finds the old account."""
    production, staging = resolver_of(acme_plan()), resolver_of(acme_plan(staging=True))
    assert production["caServer"] == "https://acme-v02.api.letsencrypt.org/directory"
    assert staging["caServer"] == "https://acme-staging-v02.api.letsencrypt.org/directory"
    assert production["storage"] == "/acme/acme-v02.api.letsencrypt.org.json"
    assert staging["storage"] == "/acme/acme-staging-v02.api.letsencrypt.org.json"
    rest = [{k: v for k, v in r.items() if k not in ("caServer", "storage")} for r in
            (production, staging)]  # fmt: skip
    assert rest[0] == rest[1]
    [data] = acme_plan().manifest("traefik").data
    assert (data.path, data.backup, data.mode) == ("/acme", True, "0700")


def test_two_authorities_on_one_host_have_storages_of_their_own() -> None:
    urls = [f"https://ca.company.com:9000/acme/{name}/directory" for name in ("a", "b")]
    storages = {resolver_of(acme_plan(directory_url=url))["storage"] for url in urls}
    assert storages == {f"/acme/ca.company.com_9000_acme_{n}.json" for n in ("a", "b")}


@pytest.mark.parametrize(
    ("tls", "seconds"),
    [
        ({"mode": "private-ca"}, 63_072_000),
        ({"mode": "private-ca", "hsts": "short"}, 300),
        ({"mode": "acme", "acme": ACME}, 63_072_000),
        ({"mode": "acme", "acme": {**ACME, "staging": True}}, 300),
        ({"mode": "acme", "hsts": "full", "acme": {**ACME, "staging": True}}, 63_072_000),
        ({"mode": "acme", "hsts": "short", "acme": ACME}, 300),
    ],
)
def test_hsts_is_short_while_nobody_trusts_the_certificate(
    tls: dict[str, Any], seconds: int
) -> None:
    """TL-12."""
    plan = plan_for(tls)
    assert hsts_of(plan) == seconds
    notes = " ".join(plan.manifest("traefik").notes)
    assert "HSTS" in notes
    assert "staging" in notes


def test_hsts_that_is_short_on_purpose_is_a_warning_and_by_mistake_a_failure() -> None:
    """TL-11, TL-12."""
    short = plan_for({"mode": "private-ca", "hsts": "short"})
    found = judge_hsts("max-age=300; includeSubDomains", (31_536_000,), short, "git.company.com")
    assert found is not None
    assert found.outcome is Outcome.WARN
    assert found.problem is not None
    assert "tls.hsts" in found.problem.remedy.summary
    full = plan_for({"mode": "private-ca"})
    assert judge_hsts("max-age=300", (31_536_000,), full, "git.company.com") is None
    assert judge_hsts("", (31_536_000,), short, "git.company.com") is None


@pytest.mark.parametrize(
    ("acme", "more", "codes"),
    [
        ({"challenge": "http-01"}, {}, {"acme.wildcard_needs_dns"}),
        ({"challenge": "tls-alpn-01"}, {}, {"acme.wildcard_needs_dns"}),
        ({"challenge": "http-01"}, LOCAL, set()),
        ({"challenge": "tls-alpn-01"}, LOCAL, set()),
        ({"staging": True, "directory_url": "https://ca.company.com/d"}, {},
         {"acme.staging_missing"}),
        ({"staging": True, "staging_url": "https://acme-v02.api.letsencrypt.org/directory"}, {},
         {"acme.staging_same"}),
        ({"eab_kid": "kid-1"}, {}, {"acme.binding"}),
        ({"eab_hmac": "env:MAC"}, {}, {"acme.binding"}),
        ({"eab_kid": "kid-1", "eab_hmac": "env:MAC"}, {}, set()),
        ({"eab_kid": 'a"b', "eab_hmac": "env:MAC"}, {}, {"acme.key_identifier"}),
        ({"dns_check": "resolvers"}, {}, {"acme.dns_resolvers"}),
        ({"dns_check": "resolvers", "dns_resolvers": ["10.0.0.53"]}, {}, set()),
        ({"dns_resolvers": ["10.0.0.53:99999"]}, {}, {"dns.resolver"}),
        ({"dns_resolvers": ["a b"]}, {}, {"dns.resolver"}),
        ({"certificate_days": 0}, {}, {"acme.certificate_days.range"}),
        ({"dns_delay_s": 7200}, {}, {"acme.dns_delay.range"}),
    ],
)  # fmt: skip
def test_answers_that_cannot_work_are_refused(
    acme: dict[str, Any], more: dict[str, Any], codes: set[str]
) -> None:
    """TL-23, and its neighbours."""
    assert problems_of({"mode": "acme", "acme": {**ACME, **acme}}, **more) == codes


def test_the_refusal_of_a_wildcard_says_why_and_what_to_do() -> None:
    """TL-23."""
    data = yaml.safe_dump(
        {**BASE, **SMALL, "tls": {"mode": "acme", "acme": {**ACME, "challenge": "http-01"}}}
    ).encode()
    with pytest.raises(TlsError) as refused:
        validate(from_file(data, "answers.yaml", 0o600), load())
    [problem] = refused.value.problems
    assert "*.coder.company.com" in problem.summary
    assert "RFC 8555" in problem.summary
    for way in ("dns-01", "files", "domain.wildcard"):
        assert way in problem.remedy.summary


def test_without_a_wildcard_none_is_routed_asked_for_or_proven() -> None:
    plan = plan_for({"mode": "acme", "acme": {**ACME, "challenge": "http-01"}}, **LOCAL)
    assert not any("*" in name for name in plan.public_names)
    bundle = bundle_of(plan)
    routes = yaml.safe_load(bundle.files["traefik/dynamic/routes.yml"].data)["http"]["routers"]
    assert not any("HostRegexp" in router["rule"] for router in routes.values())
    assert "CODER_WILDCARD_ACCESS_URL" not in services_of(bundle)["coder"]["environment"]


@pytest.mark.parametrize(
    ("answers", "rendered"),
    [
        ({}, {"provider": "route53"}),
        (
            {"dns_check": "resolvers", "dns_resolvers": ["10.0.0.53", "[2001:db8::53]:5353"]},
            {
                "provider": "route53", "resolvers": ["10.0.0.53:53", "[2001:db8::53]:5353"],
                "propagation": {"delayBeforeChecks": "0s", "disableANSChecks": True,
                                "requireAllRNS": True},
            },
        ),
        (
            {"dns_check": "none", "dns_delay_s": 60},
            {"provider": "route53",
             "propagation": {"delayBeforeChecks": "60s", "disableChecks": True}},
        ),
    ],
)  # fmt: skip
def test_how_a_record_is_looked_for(answers: dict[str, Any], rendered: dict[str, Any]) -> None:
    assert resolver_of(acme_plan(**answers))["dnsChallenge"] == rendered


def test_a_private_directory_and_a_bound_account_are_secret_files(tmp_path: Path) -> None:
    """TL-19: the MAC key is in no rendered file; start.sh puts it into one in memory."""
    plan = acme_plan(
        directory_url="https://ca.company.com/acme/directory", ca_file="certs/root.pem",
        eab_kid="kid-1", eab_hmac="env:MAC", certificate_days=6,
    )  # fmt: skip
    resolver = resolver_of(plan)
    assert resolver["caCertificates"] == ["/run/secrets/acme_ca.pem"]
    assert resolver["caSystemCertPool"] is True
    assert resolver["certificatesDuration"] == 144
    files = plan.manifest("traefik").secret_files
    assert {"acme_ca.pem", "acme_eab_hmac"} <= set(files)
    started = start(plan, tmp_path, {"acme_eab_hmac": MAC_KEY})
    assert started.returncode == 0, started.stderr
    config = yaml.safe_load((tmp_path / "traefik.yml").read_text())
    assert config["certificatesResolvers"]["acme"]["acme"]["eab"] == {
        "kid": "kid-1",
        "hmacEncoded": MAC_KEY,
    }
    assert (tmp_path / "traefik.yml").stat().st_mode & 0o777 == 0o600
    assert started.stdout.split() == ["traefik", f"--configFile={tmp_path}/traefik.yml"]


@pytest.mark.parametrize("key", ["", 'abc"\n  api: {insecure: true}', "a b", "$(id)"])
def test_a_mac_key_that_is_none_is_not_put_into_the_configuration(tmp_path: Path, key: str) -> None:
    plan = acme_plan(eab_kid="kid-1", eab_hmac="env:MAC")
    started = start(plan, tmp_path, {"acme_eab_hmac": key})
    assert started.returncode == 1
    assert not (tmp_path / "traefik.yml").exists()


def start(plan: Plan, folder: Path, secrets: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """start.sh with its places below a folder; the program says how it was started."""
    bundle = bundle_of(plan)
    programs = folder / "programs"
    programs.mkdir()
    (programs / "traefik").write_text('#!/bin/sh\necho traefik "$@"\n')
    (programs / "traefik").chmod(0o755)
    for name, text in secrets.items():
        (folder / name).write_text(text)
    (folder / "static.yml").write_bytes(bundle.files["traefik/traefik.yml"].data)
    script = bundle.files["traefik/start.sh"].data.decode()
    for old, new in {
        "/tmp/": f"{folder}/", "/run/secrets": folder, "/etc/traefik/traefik.yml": "static.yml",
    }.items():  # fmt: skip
        script = script.replace(old, str(new))
    return subprocess.run(
        ["sh", "-c", script], env={"PATH": f"{programs}:/usr/bin:/bin"}, capture_output=True,
        text=True, timeout=20, check=False, cwd=folder,
    )  # fmt: skip


def test_an_answer_is_stapled_where_a_certificate_may_name_a_responder() -> None:
    """TL-14: never demanded (no must-staple), and not asked for our own authority's."""
    files = {"mode": "files", "certificate_file": "c.pem", "key_file": "k.pem"}
    for tls, staples in ((files, True), ({"mode": "acme", "acme": ACME}, True), (PRIVATE, False)):
        static = yaml.safe_load(bundle_of(plan_for(tls)).files["traefik/traefik.yml"].data)
        assert ("ocsp" in static) == staples


def test_nothing_switches_verification_off() -> None:
    """TL-18, for the edge: no such setting in what is rendered, in any mode."""
    words = ("insecureskipverify", "insecure: true", "verify=false", "sslmode=disable")
    for plan in (plan_for(PRIVATE), acme_plan(), acme_plan(staging=True)):
        for path, file in bundle_of(plan).files.items():
            if path.startswith("traefik/"):
                text = file.data.decode().lower()
                assert not [word for word in words if word in text], path
