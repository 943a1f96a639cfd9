"""What is known of a certificate chain, and what follows from it: order, names, renewal.

Only facts and judgement; `certificate_rules` makes check results of them. Nothing here parses,
signs or reads a file, and no fact holds a private key.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import idna

from installer.core.events import CheckResult
from installer.core.secrets import Secret

RENEWAL_SHARE = 3
"""A certificate is renewed when this part of its life, one third, is left; as ACME clients do."""
LEAF_LIFE = timedelta(days=365)
"""The longest life of a certificate of the private authority."""
LEAF_DAYS = {"intermediate": 365, "modern": 90}
"""Its life in days by TLS profile: within Mozilla's guidelines, which allow 366 and 90."""
AUTHORITY_LIFE = timedelta(days=3650)
"""Life of the private authority itself."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate.

    Attributes:
        subject, issuer: Distinguished names (RFC 4514).
        common_name: For messages only; it never counts as a name that is covered.
        names: DNS names and IP addresses of the subject alternative name, lower case.
        not_before, not_after: Aware, UTC; both instants belong to the validity.
        issuer_url: Where the certificate says that its issuer's is (authority information access).
        key_type: `RSA`, `EC`, or another algorithm's name.
        key_bits: Length of the modulus, or of the curve's field.
        signature_hash: `sha256`, …; None where the signature algorithm has its own.
        is_ca: basicConstraints says CA:TRUE.
        may_sign: keyUsage is absent or has keyCertSign.
        may_serve: extendedKeyUsage is absent or has serverAuth, and keyUsage is absent or has
            digitalSignature.
        permitted: DNS names and IP networks of the name constraints' permitted part.
        fingerprint: SHA-256 in hex.
    """

    subject: str
    issuer: str
    common_name: str | None
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    issuer_url: str | None
    key_type: str
    key_bits: int
    signature_hash: str | None
    is_ca: bool
    may_sign: bool
    may_serve: bool
    self_signed: bool
    permitted: tuple[str, ...]
    fingerprint: str

    @property
    def title(self) -> str:
        """A short name for messages."""
        return self.common_name or next(iter(self.names), "") or self.subject or "without a name"


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """Certificates as given, without repeats, and how they hang together.

    Attributes:
        certificates: In the order given.
        signers: For each, the indexes of those whose key signed it (signature verified).
        anchored: Indexes of those signed by a root that this machine trusts and that is not given.
        key_owner: Index of the one that the private key belongs to; None if it belongs to none.
        key_given: Whether there is a private key to compare; not so for a chain seen on the wire.
    """

    certificates: tuple[CertificateFacts, ...]
    signers: tuple[tuple[int, ...], ...]
    anchored: frozenset[int] = frozenset()
    key_owner: int | None = None
    key_given: bool = True

    @property
    def leaf(self) -> int:
        """Index of the server's own certificate: the key's, or the first that is no authority's."""
        if self.key_owner is not None:
            return self.key_owner
        leaves = (i for i, facts in enumerate(self.certificates) if not facts.is_ca)
        return next(leaves, 0)

    @property
    def path(self) -> tuple[int, ...]:
        """Indexes from the leaf to the last certificate that can be reached, a root included."""
        path = [self.leaf]
        while True:
            last = path[-1]
            above = [i for i in self.signers[last] if i not in path]
            if not above or self.certificates[last].self_signed:
                return tuple(path)
            # Of several (cross-signed ones), the one that was put next is the one that was meant.
            path.append(last + 1 if last + 1 in above else above[0])

    @property
    def is_ambiguous(self) -> bool:
        """Whether another path could be meant too."""
        return any(len([i for i in self.signers[at] if i != at]) > 1 for at in self.path)

    @property
    def served(self) -> tuple[int, ...]:
        """What a server sends: the path without its root, which clients have or must not trust."""
        first, *rest = self.path
        return (first, *(i for i in rest if not self.certificates[i].self_signed))

    @property
    def root(self) -> int | None:
        """Index of the self-signed end of the path, if it is given."""
        last = self.path[-1]
        return last if self.certificates[last].self_signed else None


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """What the edge serves with, and what others need to believe it.

    Attributes:
        fullchain_pem: Leaf first, then its issuers in order, no root, no private key.
        key: PKCS #8 PEM without a passphrase.
        roots_pem: Roots to trust besides the system's; None when the system's are enough.
        facts: Of the certificates in `fullchain_pem`.
        checks: What was checked; none of them failed.
    """

    fullchain_pem: bytes
    key: Secret
    roots_pem: bytes | None
    facts: tuple[CertificateFacts, ...]
    checks: tuple[CheckResult, ...]


def uncovered_hosts(names: Iterable[str], hosts: Iterable[str]) -> tuple[str, ...]:
    """The hosts (a `*.` one is a host of its own) that no name covers, in the order given.

    A wildcard stands for exactly the leftmost label, whole (RFC 9525, 6.3); never for an address.
    """
    known = {canonical_name(name) for name in names}
    missing = [host for host in hosts if not _is_covered(canonical_name(host), known)]
    return tuple(dict.fromkeys(missing))


def canonical_name(name: str) -> str:
    """Lower case, no final dot, labels outside ASCII as A-labels, addresses in their short form."""
    text = name.strip().rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if text.isascii():
        return text
    prefix, rest = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    try:
        return prefix + idna.encode(rest, uts46=True).decode("ascii")
    except idna.IDNAError:
        return text


def permitted_names(domain: str, hosts: Iterable[str]) -> tuple[str, ...]:
    """The fewest names that allow every host: the domain, and hosts outside it. Sorted."""
    wanted = {canonical_name(host).removeprefix("*.") for host in hosts}
    base = canonical_name(domain)
    return tuple(sorted({base, *(name for name in wanted if not _is_below(name, base))}))


def needs_new_leaf(
    leaf: CertificateFacts, hosts: Iterable[str], now: datetime, profile: str = "intermediate"
) -> bool:
    """Whether it is due, lives longer than the profile allows, or its names are not the hosts."""
    wanted = {canonical_name(host) for host in hosts}
    is_long = leaf.not_after - leaf.not_before > timedelta(days=LEAF_DAYS[profile])
    return set(leaf.names) != wanted or is_long or is_due(leaf, now)


def is_due(leaf: CertificateFacts, now: datetime) -> bool:
    """Whether at most a third of its life is left, so that it has to be renewed."""
    return leaf.not_after - now <= (leaf.not_after - leaf.not_before) / RENEWAL_SHARE


def needs_new_authority(
    authority: CertificateFacts, permitted: Sequence[str], now: datetime
) -> bool:
    """Whether it ends before a leaf issued today would, or may not sign all these names."""
    return (
        any(not any(_is_below(name, base) for base in authority.permitted) for name in permitted)
        or authority.not_after - now < LEAF_LIFE
    )


def _is_covered(host: str, names: set[str]) -> bool:
    if host in names:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        _, dot, parent = host.partition(".")
        return bool(dot) and f"*.{parent}" in names
    return False


def _is_below(name: str, base: str) -> bool:
    return name == base or name.endswith("." + base)
