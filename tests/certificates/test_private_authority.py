"""The private authority: well-formed (TL-08), verified by OpenSSL, the same on a second run."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from installer.adapters.certificate_facts import describe_certificate
from installer.adapters.filestore import create_store, open_store
from installer.adapters.private_authority import (
    issue_certificate,
    make_private_ca,
    private_ca,
    stored_root,
)
from installer.core.certificates import TlsMaterial, needs_new_authority, permitted_names
from installer.core.errors import ConflictError, IntegrityError, TlsError
from installer.core.events import Outcome
from installer.core.secrets import Secret, SecretKind, SecretSpec

NOW = datetime(2026, 5, 1, 12, 30, 15, 999, tzinfo=UTC)
HOSTS = ("coder.company.com", "git.company.com", "*.coder.company.com")
DAY = timedelta(days=1)


class MemoryStore:
    """A secret store that keeps its promise: the first value of a name stays."""

    def __init__(self) -> None:
        self.values: dict[str, Secret] = {}
        self.specs: list[SecretSpec] = []

    def get(self, name: str) -> Secret | None:
        return self.values.get(name)

    def ensure(self, spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        if spec.name not in self.values:
            self.values[spec.name] = make()
            self.specs.append(spec)
        return self.values[spec.name]

    def names(self) -> frozenset[str]:
        return frozenset(self.values)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def issue(store: Any, hosts: tuple[str, ...] = HOSTS, now: datetime = NOW) -> TlsMaterial:
    return private_ca(store, deployment="devplat", domain="company.com", hosts=hosts, now=now)


def leaf_of(material: TlsMaterial) -> x509.Certificate:
    (leaf,) = x509.load_pem_x509_certificates(material.fullchain_pem)
    return leaf


def root_of(material: TlsMaterial) -> x509.Certificate:
    assert material.roots_pem is not None
    (root,) = x509.load_pem_x509_certificates(material.roots_pem)
    return root


def test_a_second_run_gives_the_same_bytes(store: MemoryStore) -> None:
    first = issue(store)
    again = issue(store, HOSTS[::-1] + HOSTS[:1], NOW + 240 * DAY)
    assert (again.fullchain_pem, again.key, again.roots_pem) == (
        first.fullchain_pem,
        first.key,
        first.roots_pem,
    )
    assert store.names() == {"tls-authority-1", "tls-server-1"}
    assert {c.outcome for c in first.checks} == {Outcome.PASS}


def test_it_works_with_the_encrypted_store_and_its_key_is_not_in_clear(tmp_path: Path) -> None:
    path = tmp_path / "keep" / "store"
    first = issue(create_store(path, Secret("a passphrase")))
    assert issue(open_store(path, Secret("a passphrase"))) == first
    assert b"PRIVATE KEY" not in path.read_bytes()


def test_the_stored_secrets_are_pem_and_say_what_they_are_for(store: MemoryStore) -> None:
    issue(store)
    assert [spec.kind for spec in store.specs] == [SecretKind.PEM] * 2
    assert all(spec.purpose for spec in store.specs)
    for value in store.values.values():
        assert value.reveal().count("-----BEGIN PRIVATE KEY-----") == 1
        assert value.reveal().count("-----BEGIN CERTIFICATE-----") == 1


def test_only_the_leaf_is_served_and_no_private_key_is_beside_it(store: MemoryStore) -> None:
    material = issue(store)
    assert leaf_of(material).issuer == root_of(material).subject
    assert b"PRIVATE" not in material.fullchain_pem + (material.roots_pem or b"")
    assert "PRIVATE" not in repr(material)


def test_tl_08_the_authority_is_well_formed(store: MemoryStore) -> None:
    root = root_of(issue(store))
    extensions = {e.oid._name: e for e in root.extensions}
    basic = extensions["basicConstraints"]
    usage = extensions["keyUsage"]
    names = extensions["nameConstraints"]
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.digital_signature) == (True, False)
    assert names.critical
    assert [n.value for n in names.value.permitted_subtrees] == ["company.com"]
    assert len(names.value.excluded_subtrees) == 2
    assert isinstance(root.public_key(), ec.EllipticCurvePublicKey)
    life = root.not_valid_after_utc - root.not_valid_before_utc
    assert life == timedelta(days=3650)


def test_tl_08_the_leaf_is_well_formed(store: MemoryStore) -> None:
    material = issue(store)
    leaf, root = leaf_of(material), root_of(material)
    extensions = {e.oid._name: e for e in leaf.extensions}
    assert not extensions["basicConstraints"].value.ca
    assert list(extensions["extendedKeyUsage"].value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    names = extensions["subjectAltName"].value.get_values_for_type(x509.DNSName)
    assert sorted(names) == sorted(HOSTS)
    ski = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert extensions["authorityKeyIdentifier"].value.key_identifier == ski.digest
    assert extensions["keyUsage"].value.digital_signature
    assert not extensions["keyUsage"].value.key_cert_sign
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= timedelta(days=365)
    assert leaf.not_valid_before_utc <= NOW
    assert leaf.serial_number != root.serial_number


def test_the_leaf_is_issued_anew_at_two_thirds_of_its_life(store: MemoryStore) -> None:
    """TL-20."""
    first = issue(store)
    leaf = first.facts[0]
    due = leaf.not_before + (leaf.not_after - leaf.not_before) * 2 / 3
    before = issue(store, now=due - timedelta(seconds=2))
    assert before.fullchain_pem == first.fullchain_pem
    renewed = issue(store, now=due + timedelta(seconds=2))
    assert renewed.fullchain_pem != first.fullchain_pem
    assert renewed.key != first.key
    assert renewed.roots_pem == first.roots_pem
    assert store.names() == {"tls-authority-1", "tls-server-1", "tls-server-2"}
    assert issue(store, now=due + DAY).fullchain_pem == renewed.fullchain_pem


@pytest.mark.parametrize(
    "hosts", [HOSTS[:2], (*HOSTS, "grafana.company.com"), ("coder.company.com",)]
)
def test_the_leaf_is_issued_anew_when_the_hosts_change(
    store: MemoryStore, hosts: tuple[str, ...]
) -> None:
    first = issue(store)
    changed = issue(store, hosts)
    assert sorted(changed.facts[0].names) == sorted(hosts)
    assert changed.roots_pem == first.roots_pem
    assert {c.outcome for c in changed.checks} == {Outcome.PASS}
    assert issue(store, hosts).fullchain_pem == changed.fullchain_pem


def test_a_host_elsewhere_widens_the_authority_and_says_that_clients_need_the_new_root(
    store: MemoryStore,
) -> None:
    first = issue(store)
    material = issue(store, (*HOSTS, "git.other.org"))
    warned = [c.problem for c in material.checks if c.outcome is Outcome.WARN]
    assert [p.code for p in warned if p] == ["tls.root_renewed"]
    assert describe_certificate(root_of(material)).permitted == ("company.com", "git.other.org")
    assert root_of(material).subject == root_of(first).subject
    # The key goes on, so what was issued before is still good under the new root.
    leaf_of(first).verify_directly_issued_by(root_of(material))
    again = issue(store, (*HOSTS, "git.other.org"))
    assert again.roots_pem == material.roots_pem
    assert {c.outcome for c in again.checks} == {Outcome.PASS}


def test_the_authority_goes_on_before_a_leaf_could_outlive_it(store: MemoryStore) -> None:
    first = issue(store)
    late = NOW + 3300 * DAY
    material = issue(store, now=late)
    assert material.roots_pem != first.roots_pem
    assert material.facts[0].not_after <= root_of(material).not_valid_after_utc
    assert "tls-authority-2" in store.names()


def test_a_leaf_never_outlives_its_authority() -> None:
    authority = make_private_ca("d", ["company.com"], NOW, random.Random(1).randbytes)
    leaf = issue_certificate(authority, HOSTS, NOW + 3600 * DAY, random.Random(2).randbytes)
    assert leaf.certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_a_clock_before_the_certificate_is_an_error(store: MemoryStore) -> None:
    issue(store)
    with pytest.raises(TlsError) as caught:
        issue(store, now=NOW - 2 * DAY)
    assert {p.code for p in caught.value.problems} == {"tls.not_yet_valid"}
    assert store.names() == {"tls-authority-1", "tls-server-1"}


@pytest.mark.parametrize("name", ["tls-authority-1", "tls-server-1"])
@pytest.mark.parametrize("fault", ["garbage", "empty", "key of another"])
def test_a_stored_pair_that_does_not_fit_is_an_integrity_error(
    store: MemoryStore, name: str, fault: str
) -> None:
    issue(store)
    good = store.values[name].reveal()
    other = make_private_ca("x", ["x.org"], NOW, random.Random(3).randbytes)
    from installer.adapters.certificates import key_text

    certificate = good[good.index("-----BEGIN CERTIFICATE") :]
    store.values[name] = Secret(
        {
            "garbage": "garbage",
            "empty": "",
            "key of another": key_text(other.key).reveal() + certificate,
        }[fault]
    )
    with pytest.raises(IntegrityError) as caught:
        issue(store)
    problem = caught.value.problems[0]
    assert (problem.code, problem.where) == ("tls.stored", name)
    assert "PRIVATE" not in repr(problem)


def test_another_run_that_was_faster_with_other_hosts_is_a_conflict(store: MemoryStore) -> None:
    issue(store)
    real = store.ensure

    def overtaken(spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        store.ensure = real  # type: ignore[method-assign]
        issue(store, ("faster.company.com",))
        return real(spec, make)

    store.ensure = overtaken  # type: ignore[method-assign]
    with pytest.raises(ConflictError) as caught:
        issue(store, ("slower.company.com",))
    assert caught.value.problems[0].code == "tls.concurrent"


def test_two_first_runs_at_once_agree(store: MemoryStore) -> None:
    real = store.ensure
    other: list[TlsMaterial] = []

    def overtaken(spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        store.ensure = real  # type: ignore[method-assign]
        other.append(issue(store))
        return real(spec, make)

    store.ensure = overtaken  # type: ignore[method-assign]
    assert issue(store) == other[0]


@pytest.mark.parametrize(("days", "hosts"), [(366, HOSTS), (0, HOSTS), (90, ())])
def test_a_leaf_has_hosts_and_at_most_365_days(days: int, hosts: tuple[str, ...]) -> None:
    authority = make_private_ca("d", ["company.com"], NOW, random.Random(1).randbytes)
    with pytest.raises(ValueError, match="365"):
        issue_certificate(authority, hosts, NOW, random.Random(2).randbytes, days=days)


def test_long_names_fit_into_a_certificate(store: MemoryStore) -> None:
    host = ".".join(["a" * 60, "b" * 60, "c" * 60, "d" * 50, "company.com"])
    material = private_ca(store, deployment="d" * 200, domain="company.com", hosts=[host], now=NOW)
    assert material.facts[0].names == (host,)
    again = private_ca(store, deployment="d" * 200, domain="company.com", hosts=[host], now=NOW)
    assert again.fullchain_pem == material.fullchain_pem


def test_the_fewest_names_are_permitted() -> None:
    assert permitted_names("company.com", HOSTS) == ("company.com",)
    assert permitted_names("Company.com.", ["*.apps.other.org", "git.company.com"]) == (
        "apps.other.org",
        "company.com",
    )
    assert permitted_names("company.com", ["notcompany.com"]) == ("company.com", "notcompany.com")


def test_an_authority_permits_what_lies_below_its_names() -> None:
    made = make_private_ca("d", ["company.com", "10.0.0.7"], NOW, random.Random(1).randbytes)
    facts = describe_certificate(made.certificate)
    assert not needs_new_authority(facts, ["company.com", "a.b.company.com", "10.0.0.7"], NOW)
    assert needs_new_authority(facts, ["notcompany.com"], NOW)
    assert needs_new_authority(facts, ["com"], NOW)


def test_a_leaf_lives_as_long_as_the_profile_allows(store: MemoryStore) -> None:
    """TL-24: Mozilla's limits are 366 and 90 days; another profile means another leaf."""
    lives = {}
    for profile in ("intermediate", "modern"):
        issued = private_ca(
            store, deployment="d", domain="company.com", hosts=HOSTS, now=NOW,
            random=random.Random(1).randbytes, profile=profile,
        )  # fmt: skip
        leaf = issued.facts[0]
        lives[profile] = (leaf.not_after - leaf.not_before).days
    assert lives == {"intermediate": 365, "modern": 90}


def test_the_root_is_known_while_a_leaf_is_due(store: MemoryStore) -> None:
    """Verification still trusts what runs, and can say that it is to be renewed (TL-20)."""
    assert stored_root(store) is None
    issued = issue(store)
    assert stored_root(store) == issued.roots_pem
