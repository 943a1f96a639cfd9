"""Certificates with their keys as the secret store holds them: numbered, never overwritten.

Nothing here signs; a text that is no certificate with its own key is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from installer.adapters.certificate_files import parse_certificates, parse_key
from installer.adapters.certificates import key_text, public_bytes
from installer.core.errors import IntegrityError, Problem, Remedy, TlsError
from installer.core.secrets import Secret, SecretKind, SecretSpec
from installer.ports import SecretStore


@dataclass(frozen=True, slots=True, repr=False)
class Issued:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def latest_number(store: SecretStore, prefix: str) -> int:
    """The highest number of a stored generation, 0 when there is none."""
    found = (re.fullmatch(rf"{prefix}-(\d{{1,9}})", name) for name in store.names())
    return max((int(match[1]) for match in found if match), default=0)


def ensure_issued(
    store: SecretStore, prefix: str, number: int, purpose: str, make: Callable[[], Issued]
) -> Issued:
    """The stored pair of this number; made when absent. Raises as the store, `IntegrityError`."""
    spec = SecretSpec(f"{prefix}-{number}", SecretKind.PEM, purpose)
    return parse_issued(store.ensure(spec, lambda: serialise_issued(make())), spec.name)


def load_issued(store: SecretStore, prefix: str, number: int) -> Issued:
    """The stored pair of this number. Raises `IntegrityError` when it is none."""
    name = f"{prefix}-{number}"
    return parse_issued(store.get(name) or Secret(""), name)


def serialise_issued(issued: Issued) -> Secret:
    """As it is stored: the key, then the certificate, both PEM."""
    certificate = issued.certificate.public_bytes(Encoding.PEM).decode("ascii")
    return Secret(key_text(issued.key).reveal() + certificate)


def parse_issued(text: Secret, name: str) -> Issued:
    """The reverse. Raises `IntegrityError` when it is no certificate with its key."""
    data = text.reveal().encode("utf-8", "surrogatepass")
    try:
        key, certificate = parse_key(data, None, name), parse_certificates(data, name)[0]
    except TlsError as error:
        raise IntegrityError(_not_a_pair(name)) from error
    is_pair = public_bytes(key.public_key()) == public_bytes(certificate.public_key())
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not is_pair:
        raise IntegrityError(_not_a_pair(name))
    return Issued(certificate, key)


def _not_a_pair(name: str) -> Problem:
    summary = f"the secret {name} is not a certificate with its EC key"
    return Problem("tls.stored", summary, Remedy("put a backup of the secret store back"), name)
