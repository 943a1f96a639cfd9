"""Certificates given as files: their dates, names, keys and order (F-040 to F-045, TL-07)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    PrivateFormat,
)

from installer.core.errors import TlsError
from installer.core.events import Outcome
from installer.core.secrets import Secret


def test_good_files_pass_every_check(pki: Any) -> None:
    material = pki.use()
    assert {c.outcome for c in material.checks} == {Outcome.PASS}
    assert pki.served(material) == [pki.leaf.cert, pki.intermediate.cert]
    assert material.key == Secret(pki.leaf.key_pem().decode())
    assert material.roots_pem is None
    assert material.facts[0].names == pki.hosts
    assert "PRIVATE" not in repr(material)


def test_tl_07_a_root_that_is_given_is_not_served_but_kept_for_verification(pki: Any) -> None:
    material = pki.use(pki.leaf.pem, chain=pki.intermediate.pem + pki.root.pem, trusted=[])
    assert pki.served(material) == [pki.leaf.cert, pki.intermediate.cert]
    assert material.roots_pem == pki.root.pem
    assert pki.use(pki.leaf.pem, chain=pki.intermediate.pem + pki.root.pem).roots_pem is None


def test_the_files_of_an_acme_client_may_overlap(pki: Any) -> None:
    material = pki.use(pki.leaf.pem, pki.intermediate.pem, chain=pki.intermediate.pem)
    assert pki.served(material) == [pki.leaf.cert, pki.intermediate.cert]


def test_comments_line_ends_and_a_key_beside_the_certificate_do_no_harm(pki: Any) -> None:
    text = b"Bag Attributes\r\n  friendlyName: x\r\n" + pki.leaf.pem.replace(b"\n", b"\r\n")
    material = pki.use(b"\xef\xbb\xbf", text, pki.leaf.key_pem(), pki.intermediate.pem)
    assert pki.served(material) == [pki.leaf.cert, pki.intermediate.cert]
    assert b"PRIVATE" not in material.fullchain_pem


def test_f_040_an_expired_certificate_is_refused_with_its_date(pki: Any) -> None:
    leaf = pki.reissued(begin=pki.now - 90 * pki.day, end=pki.now - pki.day)
    problems = pki.refused(leaf.pem, pki.intermediate.pem, key=leaf.key_pem())
    assert set(problems) == {"tls.expired"}
    assert pki.mentions(problems["tls.expired"], "expired on 2026-04-30 12:00 UTC")
    assert problems["tls.expired"].where == "tls.certificate_file"


def test_f_040_an_expired_intermediate_is_refused_by_name(pki: Any) -> None:
    old = pki.issue("Old CA", pki.root, ca=True, end=pki.now - pki.day, key=pki.intermediate.key)
    leaf = pki.issue("coder.company.com", old, hosts=pki.hosts)
    problems = pki.refused(leaf.pem, old.pem, key=leaf.key_pem())
    assert "Old CA" in problems["tls.expired"].summary


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["coder.company.com"], ["git.company.com", "*.coder.company.com"]),
        (["*.company.com"], ["*.coder.company.com"]),
        (["*.company.com", "*.coder.company.com"], []),
        (["coder.company.com", "git.company.com", "a.coder.company.com"], ["*.coder.company.com"]),
        (["CODER.Company.com.", "git.company.com", "*.CODER.company.com"], []),
        (["*.com", "*.coder.company.com"], ["coder.company.com", "git.company.com"]),
        (
            ["company.com", "10.0.0.1"],
            ["coder.company.com", "git.company.com", "*.coder.company.com"],
        ),
    ],
)
def test_f_041_names_that_are_not_covered_are_listed(
    pki: Any, names: list[str], missing: list[str]
) -> None:
    leaf = pki.reissued(hosts=names)
    if not missing:
        assert pki.use(leaf.pem, pki.intermediate.pem, key=leaf.key_pem()).facts[0].names
        return
    problems = pki.refused(leaf.pem, pki.intermediate.pem, key=leaf.key_pem())
    assert set(problems) == {"tls.not_covered"}
    text = problems["tls.not_covered"].summary
    assert f"not covered by the certificate: {', '.join(missing)} (" in text
    assert "not covered" in problems["tls.not_covered"].remedy.summary


def test_f_041_a_name_only_in_the_common_name_does_not_count(pki: Any) -> None:
    leaf = pki.reissued(hosts=["git.company.com", "*.coder.company.com"])
    problem = pki.refused(leaf.pem, pki.intermediate.pem, key=leaf.key_pem())["tls.not_covered"]
    assert "common name coder.company.com does not count" in problem.summary
    none = pki.reissued(hosts=[])
    problem = pki.refused(none.pem, pki.intermediate.pem, key=none.key_pem())["tls.not_covered"]
    assert "no subject alternative name" in problem.summary


@pytest.mark.parametrize("host", ["münchen.company.com", "xn--mnchen-3ya.company.com"])
def test_f_041_international_names_are_compared_in_their_wire_form(pki: Any, host: str) -> None:
    leaf = pki.reissued(hosts=["xn--mnchen-3ya.company.com"])
    assert pki.use(leaf.pem, pki.intermediate.pem, key=leaf.key_pem(), hosts=[host])


def test_f_041_an_address_needs_its_own_entry(pki: Any) -> None:
    leaf = pki.reissued(hosts=["10.0.0.1", "*.0.0.2"])
    common = {"key": leaf.key_pem(), "chain": pki.intermediate.pem}
    assert pki.use(leaf.pem, hosts=["10.0.0.1"], **common)
    assert "tls.not_covered" in pki.refused(leaf.pem, hosts=["10.0.0.2"], **common)


def test_f_042_a_key_of_another_pair_is_refused(pki: Any) -> None:
    stranger = pki.issue("coder.company.com", hosts=pki.hosts)
    problems = pki.refused(key=stranger.key_pem())
    assert set(problems) == {"tls.key_mismatch"}
    assert pki.mentions(problems["tls.key_mismatch"], "does not match")


def test_f_042_a_key_of_another_type_is_refused(pki: Any) -> None:
    stranger = pki.issue("x", key=pki.rsa_key(2048))
    assert "tls.key_mismatch" in pki.refused(key=stranger.key_pem())


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_f_043_an_encrypted_key_needs_its_passphrase(pki: Any, form: PrivateFormat) -> None:
    key = pki.leaf.key_pem(b"hunter2hunter2", form)
    problems = pki.refused(key=key)
    assert set(problems) == {"tls.key_encrypted"}
    assert "passphrase" in problems["tls.key_encrypted"].remedy.summary
    assert problems["tls.key_encrypted"].where == "tls.key_passphrase"
    wrong = pki.refused(key=key, passphrase=Secret("hunter3hunter3"))
    assert set(wrong) == {"tls.key_passphrase"}
    assert "hunter" not in repr(wrong)
    assert set(pki.refused(key=key, passphrase=Secret(""))) == {"tls.key_passphrase"}


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_f_043_with_the_passphrase_the_key_is_opened_and_it_is_not_kept(
    pki: Any, form: PrivateFormat
) -> None:
    passphrase = Secret("hunter2 hünter2")
    key = pki.leaf.key_pem(passphrase.reveal().encode(), form)
    material = pki.use(key=key, passphrase=passphrase)
    assert material.key == Secret(pki.leaf.key_pem().decode())
    assert "hunter2" not in material.key.reveal()


def test_f_043_a_passphrase_that_is_not_needed_is_not_used(pki: Any) -> None:
    assert pki.use(passphrase=Secret("hunter2")).key == Secret(pki.leaf.key_pem().decode())


ORDERS = {
    "root first": lambda p: (p.root, p.intermediate, p.leaf),
    "intermediate first": lambda p: (p.intermediate, p.leaf),
    "root before intermediate": lambda p: (p.leaf, p.root, p.intermediate),
}


@pytest.mark.parametrize("order", ORDERS)
def test_f_044_a_wrong_order_is_refused_with_the_right_one(pki: Any, order: str) -> None:
    parts = ORDERS[order](pki)
    problems = pki.refused(*(pair.pem for pair in parts))
    assert set(problems) == {"tls.chain_order"}
    remedy = problems["tls.chain_order"].remedy.summary
    assert "issuer" in remedy
    assert "coder.company.com, Company Issuing CA" in remedy


@pytest.mark.parametrize("order", ORDERS)
def test_f_044_a_wrong_order_is_put_right_where_that_was_asked_for(pki: Any, order: str) -> None:
    material = pki.use(*(pair.pem for pair in ORDERS[order](pki)), reorder=True)
    assert pki.served(material) == [pki.leaf.cert, pki.intermediate.cert]
    assert "were put right" in pki.warnings_of(material)["tls.chain_order"].summary


def test_f_044_an_order_in_doubt_is_refused_even_then(pki: Any) -> None:
    other_root = pki.issue("Other Root", ca=True)
    crossed = pki.issue("Company Issuing CA", other_root, ca=True, key=pki.intermediate.key)
    parts = (crossed.pem, pki.intermediate.pem, pki.leaf.pem)
    assert "tls.chain_order" in pki.refused(*parts, reorder=True)


def test_f_044_a_missing_intermediate_is_named_by_its_issuer(pki: Any) -> None:
    leaf = pki.reissued(issuer_url="http://pki.company.com/issuing.crt")
    problems = pki.refused(leaf.pem, key=leaf.key_pem())
    assert set(problems) == {"tls.chain_incomplete"}
    problem = problems["tls.chain_incomplete"]
    assert pki.mentions(problem, "CN=Company Issuing CA")
    assert "issuer" in problem.remedy.summary
    assert problem.remedy.commands[0].endswith("http://pki.company.com/issuing.crt")


def test_f_044_root_first_and_the_intermediate_missing(pki: Any) -> None:
    problems = pki.refused(pki.root.pem, pki.leaf.pem)
    assert "CN=Company Issuing CA" in problems["tls.chain_incomplete"].summary


def test_f_044_a_hostile_issuer_address_is_not_offered_as_a_command(pki: Any) -> None:
    leaf = pki.reissued(issuer_url="http://x/$(reboot)`;rm")
    assert pki.refused(leaf.pem, key=leaf.key_pem())["tls.chain_incomplete"].remedy.commands == ()


def test_f_044_an_issuer_of_the_right_name_with_another_key_is_no_issuer(pki: Any) -> None:
    impostor = pki.issue("Company Issuing CA", pki.root, ca=True)
    problems = pki.refused(pki.leaf.pem, impostor.pem)
    assert "tls.chain_incomplete" in problems


def test_a_certificate_outside_the_chain_is_left_out_and_mentioned(pki: Any) -> None:
    stranger = pki.issue("Some Other CA", ca=True)
    material = pki.use(pki.leaf.pem, pki.intermediate.pem, stranger.pem)
    assert pki.served(material) == [pki.leaf.cert, pki.intermediate.cert]
    assert "Some Other CA" in pki.warnings_of(material)["tls.chain_extra"].summary


def test_a_cross_signed_chain_is_complete_at_the_root_that_clients_have(pki: Any) -> None:
    other_root = pki.issue("Gone Root", ca=True)
    crossed = pki.issue("Company Root", other_root, ca=True, key=pki.root.key)
    material = pki.use(pki.leaf.pem, pki.intermediate.pem, crossed.pem)
    assert pki.served(material) == [pki.leaf.cert, pki.intermediate.cert, crossed.cert]


def test_f_045_a_certificate_of_tomorrow_is_refused(pki: Any) -> None:
    leaf = pki.reissued(begin=pki.now + pki.day)
    problems = pki.refused(leaf.pem, pki.intermediate.pem, key=leaf.key_pem())
    assert set(problems) == {"tls.not_yet_valid"}
    assert pki.mentions(problems["tls.not_yet_valid"], "valid from 2026-05-02 12:00 UTC")


def test_f_045_an_end_within_the_warning_period_is_a_warning_with_the_date(pki: Any) -> None:
    leaf = pki.reissued(end=pki.now + 5 * pki.day)
    common = {"key": leaf.key_pem(), "chain": pki.intermediate.pem}
    problem = pki.warnings_of(pki.use(leaf.pem, **common))["tls.ends_soon"]
    assert "ends on 2026-05-06 12:00 UTC, in 5 days" in problem.summary
    assert "valid from" in problem.remedy.summary
    assert pki.warnings_of(pki.use(leaf.pem, warn_days=5, **common)) == {}
    assert pki.warnings_of(pki.use(leaf.pem, warn_days=6, **common))


def test_f_045_both_ends_of_the_validity_belong_to_it(pki: Any) -> None:
    leaf = pki.reissued()
    common = {"key": leaf.key_pem(), "chain": pki.intermediate.pem}
    begin, end = leaf.cert.not_valid_before_utc, leaf.cert.not_valid_after_utc

    def outcome(now: datetime) -> str:
        try:
            return ",".join(pki.warnings_of(pki.use(leaf.pem, now=now, **common)))
        except TlsError as error:
            return error.problems[0].code

    second = pki.day / 86400
    assert outcome(begin) == ""
    assert outcome(begin - second) == "tls.not_yet_valid"
    assert outcome(end) == "tls.ends_soon"
    assert outcome(end + second) == "tls.expired"
