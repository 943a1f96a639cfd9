"""Certificates and keys from files: parsed, compared, put in order, judged before they are used.

A private key leaves this module only as a `Secret`; nothing here signs anything or reaches a
network. `private_authority` issues; the rules are in `core.certificate_rules`.
"""

from __future__ import annotations

import ssl
import stat
import warnings
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from shlex import quote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import (
    PrivateKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from installer.adapters.certificate_facts import describe_certificate, is_signed_by
from installer.adapters.certificate_files import parse_certificates, parse_key
from installer.core.certificate_rules import judge_chain
from installer.core.certificates import ChainFacts, TlsMaterial
from installer.core.errors import LocalIoError, Problem, Remedy, TlsError
from installer.core.events import CheckResult, Outcome
from installer.core.secrets import Secret

_LARGEST = 1024 * 1024
"""Bytes above which a file is not taken for certificates or a key."""


def provided_files(
    certificate_file: Path,
    key_file: Path,
    chain_file: Path | None,
    passphrase: Secret | None,
    hosts: Sequence[str],
    now: datetime,
    *,
    warn_days: int = 30,
    profile: str = "intermediate",
    reorder: bool = False,
    trusted: Sequence[x509.Certificate] | None = None,
) -> TlsMaterial:
    """What the operator's files make up, checked; parameters as in `judge_chain`.

    `chain_file` holds intermediates and, for an authority of one's own, its root. `trusted` are the
    roots that clients have, by default the system's. The passphrase is used once and not kept.

    Raises:
        TlsError: with everything that is wrong with the certificates and the key.
        LocalIoError: a file cannot be read, or anybody may read the key.
    """
    key_bytes, key_check = _read_key_file(key_file)
    key = parse_key(key_bytes, passphrase, str(key_file))
    given = [*parse_certificates(_read_file(certificate_file), str(certificate_file))]
    if chain_file is not None:
        given += parse_certificates(_read_file(chain_file), str(chain_file))
    roots = system_roots() if trusted is None else tuple(trusted)
    certificates, chain = relate_certificates(given, key, roots)
    checks = (
        key_check,
        *judge_chain(chain, hosts, now, warn_days=warn_days, profile=profile, reorder=reorder),
    )
    return make_material(certificates, chain, key, roots, checks)


def read_roots(path: Path, where: str) -> bytes:
    """The authorities of a PEM file, as PEM.

    Raises:
        TlsError: it holds a certificate that is no authority's, or none at all.
        LocalIoError: it cannot be read.
    """
    roots = parse_certificates(_read_file(path), str(path))
    strangers = [facts.title for c in roots if not (facts := describe_certificate(c)).is_ca]
    if strangers:
        raise TlsError(
            Problem(
                code="tls.not_an_authority",
                summary=f"{path} has certificates that are no authority's: {', '.join(strangers)}",
                where=where,
                remedy=Remedy("name the file with the root of the authority, CA:TRUE"),
            )
        )
    return b"".join(root.public_bytes(Encoding.PEM) for root in roots)


def make_material(
    certificates: Sequence[x509.Certificate],
    chain: ChainFacts,
    key: PrivateKeyTypes,
    trusted: Sequence[x509.Certificate],
    checks: tuple[CheckResult, ...],
) -> TlsMaterial:
    """The material, if no check failed.

    Raises:
        TlsError: with the problem of every failed check.
    """
    failed = [c.problem for c in checks if c.outcome is Outcome.FAIL and c.problem is not None]
    if failed:
        raise TlsError(*failed)
    root = certificates[chain.root] if chain.root is not None else None
    return TlsMaterial(
        fullchain_pem=b"".join(certificates[i].public_bytes(Encoding.PEM) for i in chain.served),
        key=key_text(key),
        roots_pem=None if root is None or root in trusted else root.public_bytes(Encoding.PEM),
        facts=tuple(chain.certificates[i] for i in chain.served),
        checks=checks,
    )


def relate_certificates(
    given: Sequence[x509.Certificate],
    key: PrivateKeyTypes | None,
    trusted: Sequence[x509.Certificate],
) -> tuple[tuple[x509.Certificate, ...], ChainFacts]:
    """The certificates without repeats, and who signed whom, verified by signature."""
    certificates = tuple(dict.fromkeys(given))
    facts = tuple(describe_certificate(certificate) for certificate in certificates)
    signers = tuple(
        tuple(i for i, above in enumerate(certificates) if i != at and is_signed_by(child, above))
        for at, child in enumerate(certificates)
    )
    anchored = frozenset(
        at
        for at, child in enumerate(certificates)
        if any(root.subject == child.issuer and is_signed_by(child, root) for root in trusted)
    )
    return certificates, ChainFacts(
        certificates=facts,
        signers=signers,
        anchored=anchored,
        key_owner=_owner_of(key, certificates) if key is not None else None,
        key_given=key is not None,
    )


def observed_chain(
    der: Sequence[bytes], trusted: Sequence[x509.Certificate] | None = None
) -> ChainFacts:
    """The chain a server sent, leaf first, in DER; there is no key to compare.

    Raises:
        TlsError: a certificate cannot be parsed.
    """
    try:
        given = [x509.load_der_x509_certificate(data) for data in der]
    except ValueError as error:
        raise TlsError(
            Problem(
                code="tls.format",
                summary="the server sent a certificate that cannot be parsed",
                remedy=Remedy("look at what it serves; the files it was given may be damaged"),
            )
        ) from error
    roots = system_roots() if trusted is None else trusted
    return relate_certificates(given, None, roots)[1]


def key_text(key: PrivateKeyTypes) -> Secret:
    """PKCS #8 PEM without a passphrase."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Secret(pem.decode("ascii"))


def public_bytes(key: PublicKeyTypes) -> bytes:
    """What two public keys are compared by."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@lru_cache(maxsize=1)
def system_roots() -> tuple[x509.Certificate, ...]:
    """The roots in OpenSSL's default places on this machine; empty where there are none."""
    paths = ssl.get_default_verify_paths()
    files = [Path(paths.cafile)] if paths.cafile else []
    if paths.capath:
        files += sorted(Path(paths.capath).iterdir())
    found: dict[x509.Certificate, None] = {}
    with warnings.catch_warnings():
        # Old roots break rules of today (serial number 0, for one); that is not this run's news.
        warnings.simplefilter("ignore")
        for file in files:
            try:
                found.update(dict.fromkeys(x509.load_pem_x509_certificates(file.read_bytes())))
            except (OSError, ValueError):
                continue  # a dangling link or another kind of file in a directory of certificates
    return tuple(found)


def _owner_of(key: PrivateKeyTypes, certificates: Sequence[x509.Certificate]) -> int | None:
    wanted = public_bytes(key.public_key())
    owners = (i for i, c in enumerate(certificates) if public_bytes(c.public_key()) == wanted)
    return next(owners, None)


def _read_file(path: Path) -> bytes:
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(_LARGEST + 1)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "no path of a file"
        raise LocalIoError(_unreadable(path, reason.lower())) from error
    if len(data) > _LARGEST:
        raise LocalIoError(_unreadable(path, f"more than {_LARGEST} bytes"))
    return data


def _read_key_file(path: Path) -> tuple[bytes, CheckResult]:
    data = _read_file(path)
    mode = stat.S_IMODE(path.expanduser().stat().st_mode)
    title = "only its owner may read the private key"
    problem = Problem(
        code="tls.key_mode",
        summary=f"{path} has mode {mode:04o}; others may use the private key, allowed is 0600",
        where="tls.key_file",
        remedy=Remedy(
            "give it mode 0600; if others could have read it, request a new certificate",
            (f"chmod 0600 {quote(str(path))}",),
        ),
    )
    if mode & 0o007:
        raise LocalIoError(problem)
    if mode & 0o070:  # a group for TLS keys is a custom of some systems
        return data, CheckResult(
            "tls.key_mode", title, Outcome.WARN, "tls.key_file", "0600", f"{mode:04o}", problem
        )
    return data, CheckResult(
        "tls.key_mode", title, Outcome.PASS, "tls.key_file", "0600", f"{mode:04o}"
    )


def _unreadable(path: Path, reason: str) -> Problem:
    return Problem(
        code="tls.file",
        summary=f"{path} cannot be read: {reason}",
        where=str(path),
        remedy=Remedy("name a PEM file that can be read here", (f"ls -l {quote(str(path))}",)),
    )
