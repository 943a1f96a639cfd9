"""Judgement on a certificate chain: is it complete, in force, strong, and does it cover every host.

Each rule gives check results with a problem and its remedy when it does not pass; nothing is raised
here, so that every fault of a chain is reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from shlex import quote

from installer.core.certificates import CertificateFacts, ChainFacts, uncovered_hosts
from installer.core.errors import Problem, Remedy
from installer.core.events import CheckResult, Outcome

_RSA_MINIMUM = 2048
"""Bits; Mozilla's server-side TLS guidelines, and NIST SP 800-57 for 112 bits of security."""
_CURVES = (256, 384)
"""P-256 and P-384: what browsers accept in certificates."""
_BROKEN_HASHES = ("md5", "sha1")
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?&=%+-]{1,200}")
_Finding = tuple[Outcome, Problem]


def judge_chain(
    chain: ChainFacts,
    hosts: Sequence[str],
    now: datetime,
    *,
    warn_days: int = 30,
    profile: str = "intermediate",
    reorder: bool = False,
    where: str = "tls.certificate_file",
) -> tuple[CheckResult, ...]:
    """All that can be said of a chain that is to serve `hosts`, without a network.

    `warn_days` is the remaining life in days below which a warning is given. `profile` is the TLS
    profile. With `reorder`, a wrong order that can be put right without doubt is a warning.
    `where` places the problems.
    """
    rules: tuple[tuple[str, str, Iterator[_Finding]], ...] = (
        ("tls.key", "private key belongs to the certificate", _judge_key(chain)),
        ("tls.order", "server certificate first, then its issuers", _judge_order(chain, reorder)),
        ("tls.chain", "chain is complete", _judge_completeness(chain)),
        ("tls.dates", "certificates are in force", _judge_dates(chain, now, warn_days)),
        ("tls.names", "certificate covers every host", _judge_names(chain, hosts)),
        ("tls.strength", "keys and signatures are strong", _judge_strength(chain, profile)),
        ("tls.purpose", "certificates may be used for this", _judge_purpose(chain)),
    )
    return tuple(
        result
        for check, title, findings in rules
        for result in _results(check, title, list(findings), where)
    )


def _results(check: str, title: str, findings: list[_Finding], where: str) -> Iterator[CheckResult]:
    if not findings:
        yield CheckResult(check, title, Outcome.PASS, where)
    for outcome, problem in findings:
        yield CheckResult(
            check,
            title,
            outcome,
            where,
            expected=title,
            found=problem.summary,
            problem=problem.at(where),
        )


def _fail(code: str, summary: str, remedy: str, *commands: str) -> _Finding:
    return Outcome.FAIL, Problem(code, summary, Remedy(remedy, commands))


def _warn(code: str, summary: str, remedy: str, *commands: str) -> _Finding:
    return Outcome.WARN, Problem(code, summary, Remedy(remedy, commands))


def _judge_key(chain: ChainFacts) -> Iterator[_Finding]:
    if chain.key_given and chain.key_owner is None:
        leaf = chain.certificates[chain.leaf]
        yield _fail(
            "tls.key_mismatch",
            f"the private key does not match the certificate of {leaf.title}:"
            " their public keys differ",
            "give the key the certificate was requested with, as the one given does not match it;"
            " without it, request a new certificate",
        )


def _judge_order(chain: ChainFacts, reorder: bool) -> Iterator[_Finding]:
    given = range(len(chain.certificates))
    path = chain.path
    strangers = [i for i in given if i not in path]
    if strangers:
        yield _warn(
            "tls.chain_extra",
            f"not part of the chain, and left out: {_titles(chain, strangers)}",
            f"leave them out of the files; the chain is {_titles(chain, path)}",
        )
    if [i for i in given if i in path] != list(path):
        sure = reorder and not chain.is_ambiguous
        finding = _warn if sure else _fail
        yield finding(
            "tls.chain_order",
            "the certificates are in the wrong order"
            + (", and were put right" if sure else "")
            + f": {_titles(chain, [i for i in given if i in path])}",
            "put the server's certificate first and after each the one of its issuer:"
            f" {_titles(chain, path)}",
        )


def _judge_completeness(chain: ChainFacts) -> Iterator[_Finding]:
    last = chain.path[-1]
    facts = chain.certificates[last]
    if facts.self_signed:
        if last == chain.leaf:
            yield _warn(
                "tls.self_signed",
                f"the certificate of {facts.title} is signed by itself; no client trusts it",
                "install it on every client, or use tls.mode private-ca, or one of an issuer"
                " that clients trust",
            )
        return
    # A root this machine trusts may have signed any of them, not only the last (cross-signing).
    if chain.anchored.intersection(chain.path):
        return
    url = facts.issuer_url or ""
    fetch = (
        f"curl -fsSLo issuer.crt {quote(url)}",
        "openssl x509 -inform DER -in issuer.crt -out issuer.pem",
    )
    yield _fail(
        "tls.chain_incomplete",
        f"the chain is incomplete: {facts.title} was issued by {facts.issuer!r}, which is neither"
        " in the files nor among the roots this machine trusts",
        f"add the certificate of the issuer {facts.issuer!r} to tls.chain_file; if it is the root"
        " of an authority of your own, add that too",
        *(fetch if _URL.fullmatch(url) else ()),
    )


def _judge_dates(chain: ChainFacts, now: datetime, warn_days: int) -> Iterator[_Finding]:
    for facts in _on_path(chain):
        begin, end = _day(facts.not_before), _day(facts.not_after)
        if now > facts.not_after:
            yield _fail(
                "tls.expired",
                f"the certificate of {facts.title} expired on {end}",
                f"replace it by one that is in force: it expired on {end}, now it is {_day(now)}",
            )
        elif now < facts.not_before:
            yield _fail(
                "tls.not_yet_valid",
                f"the certificate of {facts.title} is valid from {begin}, it is {_day(now)} now",
                f"wait, or use another: it is valid from {begin}; if that is past, set this"
                " machine's clock",
                "timedatectl",
            )
        elif facts.not_after - now < timedelta(days=warn_days):
            left = (facts.not_after - now).days
            yield _warn(
                "tls.ends_soon",
                f"the certificate of {facts.title} ends on {end}, in {left} days",
                f"renew it before that day: it is valid from {begin} to {end}",
            )


def _judge_names(chain: ChainFacts, hosts: Sequence[str]) -> Iterator[_Finding]:
    leaf = chain.certificates[chain.leaf]
    missing = uncovered_hosts(leaf.names, hosts)
    if not missing:
        return
    has = ", ".join(leaf.names) or "no subject alternative name at all"
    aside = ""
    if leaf.common_name and not uncovered_hosts([leaf.common_name], missing[:1]):
        aside = f"; its common name {leaf.common_name} does not count"
    yield _fail(
        "tls.not_covered",
        f"not covered by the certificate: {', '.join(missing)} (it has {has}{aside})",
        f"request a certificate that also has the names not covered: {', '.join(missing)}",
    )


def _judge_strength(chain: ChainFacts, profile: str) -> Iterator[_Finding]:
    leaf = chain.certificates[chain.leaf]
    for facts in _on_path(chain):
        fault = _weak_key(facts, facts is leaf)
        if fault is None and facts is leaf and profile == "modern" and facts.key_type != "EC":
            fault = f"a key of type {facts.key_type}, which the TLS profile 'modern' excludes"
        if fault:
            yield _fail(
                "tls.weak_key",
                f"the certificate of {facts.title} has {fault}",
                "request one with an EC key on P-256 or P-384"
                + ("" if profile == "modern" else ", or an RSA key of 2048 bits or more"),
                "openssl ecparam -name prime256v1 -genkey -noout -out key.pem",
            )
        # The signature of a root proves nothing and is not looked at by clients.
        if facts.signature_hash in _BROKEN_HASHES and not (facts.self_signed and facts is not leaf):
            yield _fail(
                "tls.weak_signature",
                f"the certificate of {facts.title} is signed with {facts.signature_hash.upper()}",
                f"have the issuer {facts.issuer!r} sign it anew with SHA-256 or stronger",
            )


def _weak_key(facts: CertificateFacts, is_leaf: bool) -> str | None:
    if facts.key_type == "RSA":
        if facts.key_bits < _RSA_MINIMUM:
            return f"an RSA key of {facts.key_bits} bits, at least {_RSA_MINIMUM} are needed"
    elif facts.key_type == "EC":
        allowed = _CURVES if is_leaf else (*_CURVES, 521)
        if facts.key_bits not in allowed:
            return f"an EC key of {facts.key_bits} bits, allowed are P-256 and P-384"
    else:
        return f"a key of type {facts.key_type}, which browsers do not accept"
    return None


def _judge_purpose(chain: ChainFacts) -> Iterator[_Finding]:
    leaf, *issuers = _on_path(chain)
    if leaf.is_ca:
        yield _fail(
            "tls.ca_as_leaf",
            f"the certificate of {leaf.title} is an authority's own (CA:TRUE), not a server's",
            "let that authority issue a certificate for the hosts, and keep its key off servers;"
            " or use tls.mode private-ca",
        )
    elif not leaf.may_serve:
        yield _fail(
            "tls.purpose",
            f"the certificate of {leaf.title} is not for TLS servers: it lacks serverAuth or"
            " digitalSignature",
            "request one with extended key usage serverAuth and key usage digitalSignature",
        )
    for facts in issuers:
        if not (facts.is_ca and facts.may_sign):
            yield _fail(
                "tls.not_an_authority",
                f"{facts.title} signed a certificate of the chain but is no authority (CA:TRUE"
                " with keyCertSign)",
                "give the issuer's own certificate instead, from the issuer's web pages",
            )


def _on_path(chain: ChainFacts) -> tuple[CertificateFacts, ...]:
    return tuple(chain.certificates[i] for i in chain.path)


def _titles(chain: ChainFacts, indexes: Sequence[int]) -> str:
    return ", ".join(chain.certificates[i].title for i in indexes)


def _day(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M UTC")
