"""Keys, signatures and purposes of certificates (TL-07, TL-08), also as seen on the wire."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
)

from installer.adapters.certificates import observed_chain
from installer.core.certificate_rules import judge_chain
from installer.core.errors import TlsError
from installer.core.events import Outcome


def test_every_fault_is_reported_at_once(pki: Any) -> None:
    leaf = pki.reissued(
        hosts=["git.company.com"],
        end=pki.now - pki.day,
        key=pki.rsa_key(1024),
        purposes=[pki.client_purpose],
    )
    problems = pki.refused(leaf.pem)
    assert set(problems) == {
        "tls.key_mismatch",
        "tls.chain_incomplete",
        "tls.expired",
        "tls.not_covered",
        "tls.weak_key",
        "tls.purpose",
    }


@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (lambda p: p.rsa_key(1024), "RSA key of 1024 bits"),
        (lambda p: ec.generate_private_key(ec.SECP521R1()), "EC key of 521 bits"),
        (lambda p: ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
        (lambda p: ec.generate_private_key(ec.BrainpoolP256R1()), "brainpoolP256r1"),
        (lambda p: ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (lambda p: dsa.generate_private_key(2048), "DSA"),
    ],
)
def test_tl_08_a_weak_or_unusual_key_is_refused(pki: Any, make: Any, seen: str) -> None:
    leaf = pki.reissued(key=make(pki))
    problems = pki.refused(leaf.pem, pki.intermediate.pem, key=leaf.key_pem())
    assert set(problems) == {"tls.weak_key"}
    assert seen in problems["tls.weak_key"].summary


@pytest.mark.parametrize(
    "make",
    [
        lambda p: p.rsa_key(2048),
        lambda p: ec.generate_private_key(ec.SECP256R1()),
        lambda p: ec.generate_private_key(ec.SECP384R1()),
    ],
)
def test_tl_08_keys_of_the_usual_strength_pass(pki: Any, make: Any) -> None:
    leaf = pki.reissued(key=make(pki))
    assert pki.use(leaf.pem, pki.intermediate.pem, key=leaf.key_pem())


def test_the_modern_profile_wants_an_elliptic_curve(pki: Any) -> None:
    leaf = pki.reissued(key=pki.rsa_key(2048))
    common = {"key": leaf.key_pem(), "chain": pki.intermediate.pem}
    problem = pki.refused(leaf.pem, profile="modern", **common)["tls.weak_key"]
    assert "modern" in problem.summary
    assert pki.use(profile="modern")


def test_a_weak_intermediate_is_refused(pki: Any) -> None:
    weak = pki.issue("Weak CA", pki.root, ca=True, key=pki.rsa_key(1024))
    leaf = pki.issue("coder.company.com", weak, hosts=pki.hosts)
    assert "Weak CA" in pki.refused(leaf.pem, weak.pem, key=leaf.key_pem())["tls.weak_key"].summary


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_tl_07_a_broken_signature_algorithm_is_refused(pki: Any, digest: str) -> None:
    sent = [pair.cert.public_bytes(Encoding.DER) for pair in (pki.leaf, pki.intermediate, pki.root)]
    chain = observed_chain(sent, [])
    for at, is_refused in ((0, True), (1, True), (2, False)):  # a root's own signature is no matter
        facts = list(chain.certificates)
        facts[at] = replace(facts[at], signature_hash=digest)
        checks = judge_chain(replace(chain, certificates=tuple(facts)), pki.hosts, pki.now)
        codes = {c.problem.code for c in checks if c.problem}
        assert codes == ({"tls.weak_signature"} if is_refused else set())


def test_tl_07_a_certificate_signed_with_sha_1_is_refused(pki: Any) -> None:
    key = pki.write("leaf.key", pki.leaf.key_pem())
    root_key = pki.write("root.key", pki.intermediate.key_pem())
    root = pki.write("root.crt", pki.intermediate.pem)
    config = pki.write(
        "san.cnf", b"[x]\nsubjectAltName=" + ",".join(f"DNS:{h}" for h in pki.hosts).encode()
    )
    request = pki.openssl("req", "-new", "-key", key, "-subj", "/CN=x", "-batch")
    signed = pki.openssl(
        "x509", "-req", "-sha1", "-CA", root, "-CAkey", root_key, "-days", "300",
        "-extfile", config, "-extensions", "x", "-CAcreateserial", stdin=request,
    )  # fmt: skip
    now = x509.load_pem_x509_certificate(signed).not_valid_before_utc + pki.day
    problems = pki.refused(signed, pki.intermediate.pem, now=now)
    assert "SHA1" in problems["tls.weak_signature"].summary


def test_a_ca_certificate_as_the_server_s_is_refused(pki: Any) -> None:
    ca = pki.issue("Company Root", ca=True, hosts=pki.hosts)
    problems = pki.refused(ca.pem, key=ca.key_pem())
    assert set(problems) == {"tls.ca_as_leaf"}
    problems = pki.refused(pki.intermediate.pem, key=pki.intermediate.key_pem())
    assert "tls.ca_as_leaf" in problems


def test_a_self_signed_server_certificate_is_used_with_a_warning(pki: Any) -> None:
    alone = pki.issue("coder.company.com", hosts=pki.hosts)
    material = pki.use(alone.pem, key=alone.key_pem())
    assert "tls.self_signed" in pki.warnings_of(material)
    assert pki.served(material) == [alone.cert]
    assert material.roots_pem == alone.pem


@pytest.mark.parametrize("fault", ["purposes", "usage"])
def test_a_certificate_for_another_purpose_is_refused(pki: Any, fault: str) -> None:
    given = (
        {"purposes": [pki.client_purpose]} if fault == "purposes" else {"signs_digitally": False}
    )
    leaf = pki.reissued(**given)
    problems = pki.refused(leaf.pem, pki.intermediate.pem, key=leaf.key_pem())
    assert set(problems) == {"tls.purpose"}


def test_a_signer_that_is_no_authority_is_refused(pki: Any) -> None:
    fake = pki.issue("www.company.com", pki.root, ca=False)
    leaf = pki.issue("coder.company.com", fake, hosts=pki.hosts)
    problems = pki.refused(leaf.pem, fake.pem, key=leaf.key_pem())
    assert "www.company.com" in problems["tls.not_an_authority"].summary


def test_a_hostile_name_in_a_certificate_is_made_visible(pki: Any) -> None:
    leaf = pki.issue("x\x1b[2Jy" + "z" * 30, pki.intermediate)
    problems = pki.refused(leaf.pem, key=leaf.key_pem())
    assert "x\\u001b[2Jy" in problems["tls.chain_incomplete"].summary
    assert all("\x1b" not in p.summary + p.remedy.summary for p in problems.values())


def test_the_chain_a_server_sent_is_judged_by_the_same_rules(pki: Any) -> None:
    sent = [pair.cert.public_bytes(Encoding.DER) for pair in (pki.leaf, pki.intermediate)]
    good = judge_chain(observed_chain(sent, [pki.root.cert]), pki.hosts, pki.now)
    assert {check.outcome for check in good} == {Outcome.PASS}
    bad = judge_chain(observed_chain(sent[::-1], []), pki.hosts, pki.now, where="coder.company.com")
    failed = {c.problem.code: c.where for c in bad if c.problem}
    assert failed == {
        "tls.chain_order": "coder.company.com",
        "tls.chain_incomplete": "coder.company.com",
    }
    with pytest.raises(TlsError):
        observed_chain([b"garbage"])


def test_openssl_accepts_what_is_served(pki: Any) -> None:
    material = pki.use()
    chain = pki.write("full.pem", material.fullchain_pem)
    root = pki.write("root.pem", pki.root.pem)
    when = str(int(pki.now.timestamp()))
    out = pki.openssl(
        "verify", "-attime", when, "-CAfile", root, "-untrusted", chain,
        "-verify_hostname", "git.company.com", chain,
    )  # fmt: skip
    assert out.strip().endswith(b"OK")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key = pki.write("served.key", material.key.reveal().encode())
    context.load_cert_chain(chain, key)
