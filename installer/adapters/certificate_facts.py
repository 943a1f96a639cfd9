"""From one parsed certificate to its facts, in text that is safe to show.

Says nothing about whether the facts are good; that is for the rules of the core.
"""

from __future__ import annotations

from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from installer.core.certificates import CertificateFacts, canonical_name
from installer.core.errors import Problem, Remedy, TlsError

_LONGEST_TEXT = 300
"""Characters; a DNS name has at most 253."""
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
E = TypeVar("E", bound=x509.ExtensionType)


def describe_certificate(certificate: x509.Certificate) -> CertificateFacts:
    """Its facts.

    Raises:
        TlsError: it is so malformed that they cannot be read.
    """
    try:
        return _describe(certificate)
    except (
        ValueError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise TlsError(
            Problem(
                code="tls.format",
                summary="a certificate has a key or an extension that cannot be read",
                detail=str(error),
                remedy=Remedy("have it issued anew", ("openssl x509 -noout -text -in FILE",)),
            )
        ) from error


def is_signed_by(child: x509.Certificate, above: x509.Certificate) -> bool:
    """Whether the names meet and the signature is by that key."""
    try:
        child.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    except UnsupportedAlgorithm:  # MD5 and the like: by names alone; the rules refuse it anyway
        return child.issuer == above.subject
    return True


def _describe(certificate: x509.Certificate) -> CertificateFacts:
    key_type, key_bits = _describe_key(certificate.public_key())
    constraints = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    serves = purposes is None or ExtendedKeyUsageOID.SERVER_AUTH in purposes
    return CertificateFacts(
        subject=_visible(certificate.subject.rfc4514_string()),
        issuer=_visible(certificate.issuer.rfc4514_string()),
        common_name=_common_name(certificate),
        names=_names(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        issuer_url=_issuer_url(certificate),
        key_type=key_type,
        key_bits=key_bits,
        signature_hash=_signature_hash(certificate),
        is_ca=constraints is not None and constraints.ca,
        may_sign=usage is None or usage.key_cert_sign,
        may_serve=serves and (usage is None or usage.digital_signature),
        self_signed=is_signed_by(certificate, certificate),
        permitted=_permitted(certificate),
        fingerprint=certificate.fingerprint(SHA256()).hex(),
    )


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _describe_key(key: CertificatePublicKeyTypes) -> tuple[str, int]:
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "EC" if isinstance(key.curve, _CURVES) else key.curve.name, key.curve.key_size
    name = type(key).__name__.removeprefix("_").removesuffix("PublicKey")
    return name, int(getattr(key, "key_size", 256))


def _signature_hash(certificate: x509.Certificate) -> str | None:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "unknown"
    return algorithm.name if algorithm else None


def _common_name(certificate: x509.Certificate) -> str | None:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return _visible(str(found[0].value)) if found else None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    names = _extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        return ()
    texts = [*names.get_values_for_type(x509.DNSName)]
    texts += [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return tuple(_visible(canonical_name(text)) for text in texts)


def _permitted(certificate: x509.Certificate) -> tuple[str, ...]:
    constraints = _extension(certificate, x509.NameConstraints)
    if constraints is None:
        return ()
    texts = [
        str(name.value).removesuffix("/32").removesuffix("/128")
        for name in constraints.permitted_subtrees or ()
        if isinstance(name, x509.DNSName | x509.IPAddress)
    ]
    return tuple(_visible(text) for text in texts)


def _issuer_url(certificate: x509.Certificate) -> str | None:
    access = _extension(certificate, x509.AuthorityInformationAccess)
    for description in access or ():
        location = description.access_location
        if description.access_method == AuthorityInformationAccessOID.CA_ISSUERS and isinstance(
            location, x509.UniformResourceIdentifier
        ):
            return _visible(location.value)
    return None


def _visible(text: str) -> str:
    """Short and printable: a certificate may say anything, also to a terminal."""
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return shown if len(shown) <= _LONGEST_TEXT else shown[:_LONGEST_TEXT] + "…"
