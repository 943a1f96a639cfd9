"""The authority of the platform's own servers: what it issues, when again, and to whom it tells."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography import x509

from installer.adapters.service_authority import SERVICES
from installer.core.errors import ConflictError, IntegrityError
from installer.core.events import Outcome
from installer.core.rotation import choose_secrets, reload_order
from installer.core.secrets import Secret, SecretKind, SecretSpec
from installer.phases import conflicts, deliver, reloading
from tests.inside_tls.lab import MemoryStore, drawn, make_authority

NOW = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
DAY = timedelta(days=1)
HOSTS = ("db", "localhost", "127.0.0.1")
SERVER = SecretSpec("db-certificate", SecretKind.CERTIFICATE, "x", hosts=HOSTS)
TRUST = SecretSpec("db-roots", SecretKind.ROOTS, "x")
OTHER = SecretSpec("password", SecretKind.PASSWORD, "x")
SPECS = (SERVER, TRUST, OTHER)


def issue_all(store: MemoryStore, specs=SPECS, now: datetime = NOW) -> list[str]:
    """What was due, issued and stored."""
    authority = make_authority(store, specs, now)
    due = authority.due()
    for spec in due:
        store.replace(spec, authority.issue(spec))
    return [spec.name for spec in due]


def text(store: MemoryStore, name: str) -> str:
    value = store.get(name)
    assert value is not None
    return value.reveal()


def test_servers_get_a_certificate_for_their_name_and_clients_its_root_only(tmp_path) -> None:
    store = MemoryStore()
    assert issue_all(store) == ["db-certificate", "db-roots"]
    assert "PRIVATE KEY" in text(store, "db-certificate")
    assert "PRIVATE KEY" not in text(store, "db-roots")
    assert text(store, "db-certificate").count("BEGIN CERTIFICATE") == 1
    (tmp_path / "roots").write_text(text(store, "db-roots"))
    (tmp_path / "server").write_text(text(store, "db-certificate"))
    for host, good in (("db", True), ("localhost", True), ("cache", False)):
        argv = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-attime"]
        argv += [str(int(NOW.timestamp())), "-CAfile", str(tmp_path / "roots")]
        done = subprocess.run(
            [*argv, "-verify_hostname", host, str(tmp_path / "server")],
            capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode == 0) is good, host


def test_it_may_sign_nothing_but_the_services() -> None:
    store = MemoryStore()
    issue_all(store)
    root = x509.load_pem_x509_certificate(text(store, "db-roots").encode())
    permitted = root.extensions.get_extension_for_class(x509.NameConstraints)
    assert permitted.critical
    assert {str(n.value) for n in permitted.value.permitted_subtrees or ()} == {
        "db", "localhost", "127.0.0.1/32"
    }  # fmt: skip


def test_a_second_run_issues_nothing_and_what_it_is_not_about_is_left_alone() -> None:
    store = MemoryStore()
    issue_all(store)
    assert issue_all(store, now=NOW + 200 * DAY) == []
    assert "password" not in store.names()
    assert make_authority(MemoryStore(), (OTHER,)).due() == ()


def test_when_a_third_of_its_life_is_left_a_certificate_is_renewed_and_the_root_stays() -> None:
    """TL-20."""
    store = MemoryStore()
    issue_all(store)
    assert issue_all(store, now=NOW + 240 * DAY) == []
    assert issue_all(store, now=NOW + 245 * DAY) == ["db-certificate"]
    assert issue_all(store, now=NOW + 246 * DAY) == []
    assert store.version("db-roots") == 1


def test_an_authority_that_would_end_first_is_renewed_with_its_key() -> None:
    store = MemoryStore()
    issue_all(store)
    later = NOW + 3600 * DAY
    assert issue_all(store, now=later) == ["db-certificate", "db-roots"]
    assert store.version("db-roots") == 2
    assert issue_all(store, now=later) == []
    keys = [text(store, f"{SERVICES}tls-authority-{n}").partition("-----END")[0] for n in (1, 2)]
    assert keys[0] == keys[1]


def test_another_service_with_a_certificate_means_a_root_that_may_sign_it() -> None:
    store = MemoryStore()
    issue_all(store)
    second = SecretSpec("cache-certificate", SecretKind.CERTIFICATE, "x", hosts=("cache",))
    assert set(issue_all(store, (*SPECS, second))) >= {"cache-certificate", "db-roots"}
    assert issue_all(store, (*SPECS, second)) == []


@pytest.mark.parametrize("change", ["names", "authority"])
def test_a_certificate_that_does_not_fit_is_issued_anew(change: str) -> None:
    store, specs = MemoryStore(), SPECS
    issue_all(store)
    if change == "names":
        specs = (replace(SERVER, hosts=("localhost", "db")), TRUST)
    else:
        foreign = MemoryStore()
        issue_all(foreign)
        store.replace(SERVER, Secret(text(foreign, "db-certificate")))
    assert "db-certificate" in issue_all(store, specs)
    assert issue_all(store, specs) == []


def test_what_is_no_certificate_is_not_taken_for_one() -> None:
    store = MemoryStore()
    issue_all(store)
    store.replace(SERVER, Secret("s3cret"))
    with pytest.raises(IntegrityError) as caught:
        issue_all(store)
    assert "s3cret" not in str(caught.value.problems)


def test_what_an_answer_refers_to_is_not_issued() -> None:
    given = replace(TRUST, answer="database.ca_file")
    store = MemoryStore()
    assert issue_all(store, (given,)) == []
    ports = cast(Any, SimpleNamespace(services=make_authority(store, (given,), NOW)))
    assert not deliver.is_issued(given, ports)
    assert deliver.is_issued(TRUST, ports)


# through the phases


def make_ports(store: MemoryStore, specs, now: datetime) -> Any:
    plan = drawn()[0]
    return plan, SimpleNamespace(
        secrets=store,
        given={},
        services=make_authority(store, specs or plan.secrets, now),
        certificates=SimpleNamespace(current=lambda _: object(), ensure=lambda _: None),
        entropy=os.urandom,
    )


@pytest.fixture
def installed() -> MemoryStore:
    store = MemoryStore()
    plan, ports = make_ports(store, None, NOW)
    step = deliver.ensure_step(plan, ports)
    assert not step.check()
    list(step.do())
    assert step.check()
    return store


def test_an_apply_renews_in_time_and_restarts_the_servers(installed: MemoryStore) -> None:
    early, ports = make_ports(installed, None, NOW + 100 * DAY)
    assert deliver.changed_secrets(early, ports) == []
    plan, ports = make_ports(installed, None, NOW + 250 * DAY)
    assert deliver.judge_services(plan, ports).outcome is Outcome.WARN
    changed = deliver.changed_secrets(plan, ports)
    names = reloading.replaced_names(installed, changed)
    assert sorted(names) == ["postgres-certificate", "redis-certificate"]
    assert list(reload_order(plan, names)) == ["postgres", "redis"]
    list(deliver.ensure_step(plan, ports).do())
    assert deliver.changed_secrets(plan, ports) == []
    assert deliver.judge_services(plan, ports).outcome is Outcome.PASS


def test_with_a_new_root_every_client_is_restarted_after_its_server(
    installed: MemoryStore,
) -> None:
    plan, ports = make_ports(installed, None, NOW + 3600 * DAY)
    names = reloading.replaced_names(installed, deliver.changed_secrets(plan, ports))
    order = list(reload_order(plan, names))
    assert order.index("postgres") < order.index("coder") < len(order)
    assert order.index("redis") < order.index("gitea")
    assert {"redis-exporter", "postgres-exporter", "authentik-server"} <= set(order)


def test_a_lost_certificate_is_no_conflict_with_old_data_and_a_lost_password_is() -> None:
    plan = drawn()[0]
    every = {spec.name for spec in plan.secrets}
    deployed = cast(Any, SimpleNamespace(markers=("postgres/data",)))
    layout = cast(Any, SimpleNamespace(data_dir="/data"))
    conflicts.refuse_new_secrets_over_old_data(
        plan, layout, deployed, every - {"postgres-certificate", "postgres-roots"}
    )
    with pytest.raises(ConflictError):
        conflicts.refuse_new_secrets_over_old_data(
            plan, layout, deployed, every - {"postgres-superuser-password"}
        )


def test_a_certificate_is_renewed_and_not_rotated() -> None:
    plan = drawn()[0]
    choice = choose_secrets(plan, ())
    assert "redis-certificate" not in choice.names
    assert "an apply" in choice.skipped["redis-certificate"]
    with pytest.raises(ConflictError) as caught:
        choose_secrets(plan, ("redis-roots",))
    assert caught.value.problems[0].code == "rotate.refused"


def test_no_client_of_a_verified_server_has_its_key() -> None:
    """TL-19."""
    plan = drawn()[0]
    holders = {
        (service, name)
        for service in plan.services
        for text in plan.manifest(service).secret_files.values()
        for name in ("postgres-certificate", "redis-certificate")
        if f"${{{name}}}" in text
    }
    assert holders == {("postgres", "postgres-certificate"), ("redis", "redis-certificate")}
    clients = {s for s in plan.services if "database_roots.pem" in plan.manifest(s).secret_files}
    connecting = {
        s for s in plan.services if any(c.to == "postgres" for c in plan.manifest(s).connects)
    }
    assert connecting and clients == connecting | {"postgres"}


WORDS = (
    "insecureskipverify", "insecure_skip_verify", "insecure: true", "verify=false", "skipverify",
    "skip_verify: true", "sslmode=disable", "sslmode=require", "sslmode: disable", "redis://",
    "ssl_cert_reqs: none", "--insecure", "tls_insecure", "node_tls_reject_unauthorized",
)  # fmt: skip
"""What switches verification off, or says something to a server in clear text."""


def find_unverified(texts: Mapping[str, str]) -> list[str]:
    return [
        f"{place}: {word}"
        for place, text in texts.items()
        for word in WORDS
        if word in text.lower()
    ]


def test_nothing_in_the_bundle_or_a_secret_file_switches_verification_off() -> None:
    """TL-17 and TL-18, for what is inside the stack; database and cache are verified in full."""
    plan, bundle = drawn()
    texts = {path: file.data.decode("utf-8", "replace") for path, file in bundle.files.items()}
    for service in plan.services:
        for file, template in plan.manifest(service).secret_files.items():
            texts[f"{service}/{file}"] = template
    assert find_unverified(texts) == []
    assert plan.database is not None
    assert plan.database.sslmode == "verify-full"
    seeded = {"gitea/redis_cache": "redis://gitea:x@redis:6379/0", "x": "?sslmode=disable"}
    assert find_unverified(seeded) == ["gitea/redis_cache: redis://", "x: sslmode=disable"]
