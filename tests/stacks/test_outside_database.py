"""A database outside, as it is rendered: every client verifies it, ours is not installed."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import yaml

from installer.core.bundle import Bundle
from installer.core.catalog import read_catalog
from installer.core.database import DatabaseAccess, fill_access
from installer.core.draft import from_file, validate
from installer.core.errors import AnswersError, StackError
from installer.core.manifest import DatabaseAction
from installer.core.plan import Plan
from installer.core.policy import AuditContext, audit_compose, parse_hardening
from installer.core.rendering import render
from installer.core.segmentation import (
    FlowConditions,
    audit_networks,
    declared_flows,
    parse_segmentation,
)
from installer.core.unmet import find_unmet
from installer.stacks import load_templates
from tests.stacks.builders import BASE, ROOT, load, make_plan_for, services_of

DATABASE: dict[str, Any] = {
    "mode": "external",
    "url": "postgres://master@db.company.com:5433/postgres?sslmode=verify-full",
    "password": "env:DATABASE_PASSWORD",
    "ca_file": "certs/database.pem",
}
CLIENT = "database-client"
ROOTS = "/run/secrets/database_roots.pem"
CLIENTS = {
    CLIENT, "coder", "gitea", "authentik-server", "authentik-worker", "drone-server",
    "postgres-exporter", "backup-database",
}  # fmt: skip
VERIFIED = f"sslmode=verify-full&sslrootcert={ROOTS}"


def answers_with(**more: Any) -> dict[str, Any]:
    backup = {"enabled": True, "place": "path", "passphrase": "env:PASS"}
    waivers = {**BASE["waivers"], "backup.same_host": "these tests"}
    return {"database": DATABASE, "backup": backup, "waivers": waivers, **more}


@functools.cache
def outside(engine: str = "drone") -> tuple[Plan, Bundle]:
    catalog = load()
    plan = make_plan_for(catalog, "everything", answers_with(ci={"engine": engine}))
    return plan, render(plan, load_templates(ROOT, catalog))


def environment_of(name: str, engine: str = "drone") -> dict[str, str]:
    return dict(services_of(outside(engine)[1])[name]["environment"])


def test_ours_is_not_installed_and_is_not_waited_for() -> None:
    plan, bundle = outside()
    assert "postgres" not in plan.services
    assert not [path for path in bundle.files if path.startswith("postgres/")]
    for name, body in services_of(bundle).items():
        assert "postgres" not in body.get("depends_on", {}), name
        if name in CLIENTS - {CLIENT}:
            assert body["depends_on"][CLIENT] == {"condition": "service_healthy"}, name
    assert not [network.name for network in plan.networks if "postgres" in network.members]


def test_every_client_verifies_the_server_and_its_name() -> None:
    """TL-17: verify-full for every client; TL-18: verification is off nowhere."""
    plan, bundle = outside()
    for name in CLIENTS:
        assert plan.manifest(name).secret_files["database_roots.pem"] == "${database-roots}", name
    assert environment_of("gitea")["GITEA__database__HOST"] == "db.company.com:5433"
    assert environment_of("gitea")["GITEA__database__SSL_MODE"] == "verify-full"
    assert environment_of("gitea")["PGSSLROOTCERT"] == ROOTS
    for name in ("authentik-server", "authentik-worker"):
        found = environment_of(name)
        assert found["AUTHENTIK_POSTGRESQL__HOST"] == "db.company.com"
        assert found["AUTHENTIK_POSTGRESQL__PORT"] == "5433"
        assert found["AUTHENTIK_POSTGRESQL__SSLMODE"] == "verify-full"
        assert found["AUTHENTIK_POSTGRESQL__SSLROOTCERT"] == ROOTS
    for name in (CLIENT, "backup-database"):
        found = environment_of(name)
        assert (found["PGHOST"], found["PGPORT"]) == ("db.company.com", "5433")
        assert (found["PGSSLMODE"], found["PGSSLROOTCERT"]) == ("verify-full", ROOTS)
    exporter = environment_of("postgres-exporter")["DATA_SOURCE_URI"]
    assert exporter == f"db.company.com:5433/metrics?{VERIFIED}"
    for name, engine, file in (
        ("coder", "drone", "CODER_PG_CONNECTION_URL"),
        ("drone-server", "drone", "DRONE_DATABASE_DATASOURCE"),
        ("woodpecker-server", "woodpecker", "datasource"),
    ):
        text = outside(engine)[0].manifest(name).secret_files[file]
        assert f"@db.company.com:5433/{name.removesuffix('-server')}?{VERIFIED}" in text
    everything = b"".join(file.data for file in bundle.files.values()).decode()
    assert find_unverified(everything) == []
    assert find_unverified("postgres://a@b/c?sslmode=require SSL_MODE: disable") == [
        "sslmode=require", "SSL_MODE: disable",
    ]  # fmt: skip


def find_unverified(text: str) -> list[str]:
    words = ("sslmode=require", "sslmode=disable", "SSL_MODE: disable", "SSLMODE: disable")
    return [word for word in words if word in text]


def test_what_ran_in_the_database_runs_in_what_leads_to_it() -> None:
    plan, bundle = outside()
    for name in plan.services:
        manifest = plan.manifest(name)
        for action in manifest.bootstrap:
            if isinstance(action, DatabaseAction):
                assert action.provider == CLIENT
                assert action.outside is not None
                assert action.outside.mark == "devplat-install devplat company.com"
            else:
                assert action.in_ != "postgres"
        assert all(check.in_ != "postgres" for check in manifest.checks), name
        proofs = [secret.rotation.proof for secret in manifest.secrets]
        assert all(proof is None or proof.in_ != "postgres" for proof in proofs), name
    assert f"{CLIENT}/ci/register.sh" in bundle.files


def test_nobody_else_gets_a_way_out_and_the_audits_pass() -> None:
    """SA-*, SD-*, static side; HA-03."""
    plan, bundle = outside()
    table = parse_segmentation((ROOT / "assets/segmentation.yaml").read_bytes())
    manifests = [plan.manifest(name) for name in plan.services]
    flows = declared_flows(manifests, plan.edge, "internet")
    results = audit_networks(bundle.document, table, FlowConditions(flows, pool="172.30.0.0/16"))
    assert [(r.id, r.where, r.found) for r in results if r.outcome.value != "pass"] == []
    default = (ROOT / "assets/seccomp-default.json").read_bytes()
    rules = parse_hardening((ROOT / "assets/hardening.yaml").read_bytes(), default)
    context = AuditContext(
        data_dir=plan.data_dir,
        install_dir=plan.install_dir,
        bind_addresses=("203.0.113.10",),
        exceptions={name: plan.manifest(name).exceptions for name in plan.services},
    )
    judged = audit_compose(bundle.document, rules, context)
    assert len(judged) > 100
    bad = [(r.id, r.where, r.found) for r in judged if r.outcome.value not in ("pass", "waived")]
    assert bad == []
    bundled = make_plan_for(load(), "everything", answers_with(database={"mode": "bundled"}))
    new = leaving(plan) - leaving(bundled)
    assert new == CLIENTS - {"coder"}, "coder has one for Terraform"


def leaving(plan: Plan) -> set[str]:
    return {name for name in plan.services if plan.manifest(name).egress}


def test_no_password_is_rendered_and_the_administrators_only_where_it_is_used() -> None:
    plan, _ = outside()
    holders = [
        name for name in plan.services
        if any("database-admin-password" in t for t in plan.manifest(name).secret_files.values())
    ]  # fmt: skip
    assert [name for name in holders if not plan.manifest(name).consumer] == [CLIENT]
    text = plan.manifest(CLIENT).secret_files["pg_service.conf"]
    assert text == "[admin]\ndbname=postgres\nuser=master\npassword=${database-admin-password}\n"


def test_the_guides_database_that_survives_its_host_is_met() -> None:
    """CK-42."""
    assert not [r for r in find_unmet(outside()[0]) if r.title.startswith("guide 4.2")]
    bundled = make_plan_for(load(), "everything", answers_with(database={"mode": "bundled"}))
    (told,) = [r for r in find_unmet(bundled) if r.title.startswith("guide 4.2")]
    assert told.problem is not None
    assert "database.mode: external" in told.problem.remedy.summary


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"url": "env:DATABASE_URL"}, "database.url_form"),
        (
            {"url": "postgres://m:secret@db.company.com/p?sslmode=verify-full"},
            "database.url_secret",
        ),
        ({"url": "postgres://m@db.company.com/p?sslmode=verify-ca"}, "database.tls_off"),
        ({"url": "postgres://m@db.company.com/p?sslmode=require"}, "database.tls_off"),
        ({"url": "postgres://db.company.com/p?sslmode=verify-full"}, "database.url_form"),
        ({"url": "postgres://m@localhost/p?sslmode=verify-full"}, "database.loopback"),
        ({"url": "postgres://m@127.0.0.1/p?sslmode=verify-full"}, "database.loopback"),
        ({"url": "postgres://m@db.company.com/p%20q?sslmode=verify-full"}, "database.url_form"),
        ({"password": None}, "database.password_missing"),
        ({"ca_file": None}, "database.ca_missing"),
    ],
)
def test_answers_that_would_not_verify_or_not_work_are_refused(
    change: dict[str, Any], code: str
) -> None:
    """B-096, B-097 and their neighbours."""
    database = {k: v for k, v in {**DATABASE, **change}.items() if v is not None}
    data = yaml.safe_dump({**BASE, **answers_with(database=database)}).encode()
    with pytest.raises(AnswersError) as refusal:
        validate(from_file(data, "answers.yaml", 0o600), load())
    assert code in [problem.code for problem in refusal.value.problems]
    assert "secret@" not in str(refusal.value)
    for problem in refusal.value.problems:
        assert problem.remedy.summary


def test_a_stand_in_for_nobody_is_refused() -> None:
    raw = {n: m.model_dump(by_alias=True) for n, m in load().services.items()}
    raw[CLIENT]["stands_in_for"] = "postgre"
    with pytest.raises(StackError, match="names postgre, which is no service"):
        read_catalog(raw)


def test_an_address_of_version_6_is_written_in_brackets() -> None:
    access = DatabaseAccess("2001:db8::5", 5432, "verify-full", ROOTS, mark="x")
    assert fill_access("@%{database.address}/a?%{database.parameters}", access) == (
        f"@[2001:db8::5]:5432/a?{VERIFIED}"
    )
    with pytest.raises(StackError):
        fill_access("%{database.adress}", access)
