"""The private authority of a deployment: its key and certificates live in the secret store.

A second run with the same hosts gives the same bytes. Nothing in the store is overwritten: what is
issued anew gets the next number. The authority's key never leaves the store but to sign.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from installer.adapters.certificate_facts import describe_certificate, is_signed_by
from installer.adapters.certificates import (
    make_material,
    relate_certificates,
)
from installer.adapters.issued import Issued, ensure_issued, latest_number, load_issued
from installer.core.certificate_rules import judge_chain
from installer.core.certificates import (
    AUTHORITY_LIFE,
    LEAF_DAYS,
    LEAF_LIFE,
    CertificateFacts,
    TlsMaterial,
    canonical_name,
    needs_new_authority,
    needs_new_leaf,
    permitted_names,
)
from installer.core.errors import ConflictError, Problem, Remedy
from installer.core.events import CheckResult, Outcome
from installer.ports import Entropy, SecretStore

AUTHORITY = "tls-authority"
_SERVER = "tls-server"
_BACKDATED = timedelta(hours=1)
"""So that a host whose clock is a little behind believes a new certificate."""
_WHERE = "tls.mode"


def private_ca(
    store: SecretStore,
    *,
    deployment: str,
    domain: str,
    hosts: Sequence[str],
    now: datetime,
    random: Entropy = os.urandom,
    profile: str = "intermediate",
) -> TlsMaterial:
    """A certificate for `hosts` by the authority of this deployment; both are made when needed.

    The server's certificate is issued anew when a third of its life is left or the hosts changed;
    the authority's, with the same key, when it would end before that, or when a host lies outside
    the names it may sign (`domain` and what is below it, and hosts elsewhere). Then the check
    `tls.root` of the result warns that clients have to install the root again.

    Raises:
        TlsError: the result does not pass the rules, for instance because the clock is wrong.
        ConflictError: another run issues for other hosts at the same time.
        IntegrityError: what the store holds is no certificate with its key.
        Others: as the store.
    """
    authority, is_renewed = open_authority(
        store, deployment, permitted_names(domain, hosts), now, random
    )
    server = _server(store, deployment, authority, hosts, now, random, profile)
    certificates, chain = relate_certificates(
        (server.certificate, authority.certificate), server.key, ()
    )
    checks = judge_chain(chain, hosts, now, profile=profile, where=_WHERE)
    root = _root_check(describe_certificate(authority.certificate), is_renewed)
    return make_material(certificates, chain, server.key, (), (root, *checks))


def stored_root(store: SecretStore) -> bytes | None:
    """The authority's certificate as PEM, None when there is none. Raises `IntegrityError`."""
    if (number := latest_number(store, AUTHORITY)) == 0:
        return None
    return load_issued(store, AUTHORITY, number).certificate.public_bytes(Encoding.PEM)


def make_private_ca(
    name: str,
    permitted: Sequence[str],
    now: datetime,
    random: Entropy,
    *,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> Issued:
    """An authority on P-256 for 10 years that may sign servers only, and only names in `permitted`.

    Path length 0, critical name constraints (RFC 5280, 4.2.1.10). `random` gives the serial number;
    the key comes from OpenSSL's generator, or is an older one that goes on.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # The key's identifier in the name keeps two authorities of one deployment apart.
    subject = _subject(name, f"private authority {identifier.digest.hex()[:8]}")
    begin = _begin(now)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), _serial(random))
        .not_valid_before(begin)
        .not_valid_after(begin + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .add_extension(_name_constraints(permitted), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, SHA256())
    )
    return Issued(certificate, key)


def issue_certificate(
    authority: Issued,
    hosts: Sequence[str],
    now: datetime,
    random: Entropy,
    *,
    name: str = "server",
    days: int = LEAF_LIFE.days,
) -> Issued:
    """A server certificate on P-256 for all hosts, wildcards included; the key is a new one.

    It lasts `days`, but never longer than its authority.

    Raises:
        ValueError: more than a year, or no host.
    """
    if not 0 < days <= LEAF_LIFE.days or not hosts:
        raise ValueError(f"a certificate has hosts and lasts 1 to {LEAF_LIFE.days} days")
    key = ec.generate_private_key(ec.SECP256R1())
    signer = authority.certificate
    identifier = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    begin = max(_begin(now), signer.not_valid_before_utc)
    names = sorted({canonical_name(host) for host in hosts})
    certificate = (
        x509.CertificateBuilder(
            signer.subject, _subject(name, "server"), key.public_key(), _serial(random)
        )
        .not_valid_before(begin)
        .not_valid_after(min(begin + timedelta(days=days), signer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False
        )
        .sign(authority.key, SHA256())
    )
    return Issued(certificate, key)


def open_authority(
    store: SecretStore, deployment: str, permitted: Sequence[str], now: datetime, random: Entropy
) -> tuple[Issued, bool]:
    """The authority, and whether it was issued anew."""
    purpose = "signs the server certificates of this deployment"
    number = latest_number(store, AUTHORITY)
    if number == 0:
        made = ensure_issued(
            store,
            AUTHORITY,
            1,
            purpose,
            lambda: make_private_ca(deployment, permitted, now, random),
        )
        return made, False
    current = load_issued(store, AUTHORITY, number)
    facts = describe_certificate(current.certificate)
    if not needs_new_authority(facts, permitted, now):
        return current, False
    names = sorted({*facts.permitted, *permitted})
    renewed = ensure_issued(
        store,
        AUTHORITY,
        number + 1,
        purpose,
        lambda: make_private_ca(deployment, names, now, random, key=current.key),
    )
    return renewed, True


def _server(
    store: SecretStore,
    deployment: str,
    authority: Issued,
    hosts: Sequence[str],
    now: datetime,
    random: Entropy,
    profile: str,
) -> Issued:
    def fits(server: Issued) -> bool:
        facts = describe_certificate(server.certificate)
        signed = is_signed_by(server.certificate, authority.certificate)
        return signed and not needs_new_leaf(facts, hosts, now, profile)

    number = latest_number(store, _SERVER)
    if number:
        current = load_issued(store, _SERVER, number)
        if fits(current):
            return current
    issued = ensure_issued(
        store,
        _SERVER,
        number + 1,
        "the edge's certificate and its key",
        lambda: issue_certificate(
            authority, hosts, now, random, name=deployment, days=LEAF_DAYS[profile]
        ),
    )
    if not fits(issued):
        raise ConflictError(
            Problem(
                code="tls.concurrent",
                summary="another run issued a certificate for other hosts at the same time",
                where=_WHERE,
                remedy=Remedy("wait until the other run ends, then run again"),
            )
        )
    return issued


def _root_check(root: CertificateFacts, is_renewed: bool) -> CheckResult:
    title = "clients have the root of the private authority"
    names = ", ".join(root.permitted)
    found = f"SHA-256 {root.fingerprint}, for {names}, until {root.not_after:%Y-%m-%d}"
    if not is_renewed:
        return CheckResult("tls.root", title, Outcome.PASS, _WHERE, title, found)
    problem = Problem(
        code="tls.root_renewed",
        summary=f"the root of the private authority was issued anew, for {names}",
        where=_WHERE,
        remedy=Remedy("install the new root on every client, in place of the one before"),
    )
    return CheckResult("tls.root", title, Outcome.WARN, _WHERE, title, found, problem)


def _begin(now: datetime) -> datetime:
    return now.replace(microsecond=0) - _BACKDATED


def _serial(random: Entropy) -> int:
    # 159 bits, positive (RFC 5280, 4.1.2.2: at most 20 octets).
    return (int.from_bytes(random(20), "big") >> 1) or 1


def _subject(name: str, what: str) -> x509.Name:
    # A common name has at most 64 characters (RFC 5280, A.1).
    text = f"{name[: 63 - len(what)]} {what}"
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name_constraints(permitted: Sequence[str]) -> x509.NameConstraints:
    names: list[x509.GeneralName] = []
    for name in permitted:
        try:
            names.append(x509.IPAddress(ipaddress.ip_network(name)))
        except ValueError:
            names.append(x509.DNSName(name))
    # A kind of name that is not mentioned would be free: forbid all addresses unless one is wanted.
    everywhere = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    has_address = any(isinstance(name, x509.IPAddress) for name in names)
    excluded = None if has_address else [x509.IPAddress(network) for network in everywhere]
    return x509.NameConstraints(permitted_subtrees=names, excluded_subtrees=excluded)
