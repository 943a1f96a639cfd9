"""PEM files with certificates or a key: what is in them, or in plain words what is instead.

DER, PKCS #12, PKCS #7, requests, public and SSH keys are named and refused with the command that
converts them. Nothing of a private key gets into a message.
"""

from __future__ import annotations

import re
from shlex import quote

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from installer.core.errors import Problem, Remedy, TlsError
from installer.core.secrets import Secret

_BLOCK = re.compile(
    rb"-----BEGIN (?P<label>[A-Z0-9 ]{1,40})-----\r?\n(?:(?!-----).)*-----END (?P=label)-----",
    re.DOTALL,
)
_CERTIFICATE_LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE")
_KEY_LABELS = (b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY")
_INSTEAD = {
    b"CERTIFICATE REQUEST": ("a certificate request", ()),
    b"NEW CERTIFICATE REQUEST": ("a certificate request", ()),
    b"PKCS7": ("PKCS #7", ("openssl pkcs7 -print_certs -in {file} -out chain.pem",)),
    b"TRUSTED CERTIFICATE": (
        "OpenSSL's trusted form",
        ("openssl x509 -in {file} -out certificate.pem",),
    ),
    b"PUBLIC KEY": ("a public key", ()),
    b"OPENSSH PRIVATE KEY": ("an SSH key", ()),
    b"DSA PRIVATE KEY": ("a DSA key", ()),
}
_PKCS12_START = re.compile(rb"\x30(?:\x80|\x82..|\x83...|\x81.|.)\x02\x01\x03", re.DOTALL)
_PKCS7_OID = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"


def parse_certificates(data: bytes, source: str) -> tuple[x509.Certificate, ...]:
    """Every certificate of a PEM text, in its order; keys and comments beside them are left out.

    Raises:
        TlsError: there is none, or one of them cannot be parsed.
    """
    blocks = _blocks(data, _CERTIFICATE_LABELS)
    if not blocks:
        raise TlsError(_not_there(data, source, "certificate"))
    certificates: list[x509.Certificate] = []
    for number, block in enumerate(blocks, start=1):
        try:
            certificates.append(x509.load_pem_x509_certificate(block))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise TlsError(
                _format_problem(
                    f"certificate {number} of {len(blocks)} in {source} is damaged",
                    source,
                    Remedy("copy it again, whole and unchanged, from where it was issued"),
                )
            ) from error
    return tuple(certificates)


def parse_key(data: bytes, passphrase: Secret | None, source: str) -> PrivateKeyTypes:
    """The one private key of a PEM text. A passphrase that is not needed is not used.

    Raises:
        TlsError: there is none or more than one, it is damaged, or its passphrase is not right.
    """
    blocks = _blocks(data, _KEY_LABELS)
    if not blocks:
        raise TlsError(_not_there(data, source, "private key"))
    if len(blocks) > 1:
        raise TlsError(
            _format_problem(
                f"{source} has {len(blocks)} private keys, allowed is one",
                source,
                Remedy("leave only the key of the server's certificate in it"),
            )
        )
    encrypted = b"BEGIN ENCRYPTED" in blocks[0] or b"Proc-Type: 4,ENCRYPTED" in blocks[0]
    if encrypted and passphrase is None:
        raise TlsError(
            _passphrase_problem("tls.key_encrypted", f"the private key in {source} is encrypted")
        )
    text = passphrase.reveal() if encrypted and passphrase else None
    password = None if text is None else text.encode("utf-8", "surrogatepass")
    try:
        return load_pem_private_key(blocks[0], password)
    except (ValueError, TypeError) as error:
        if encrypted:
            summary = f"the passphrase does not open the private key in {source}"
            raise TlsError(_passphrase_problem("tls.key_passphrase", summary)) from error
        raise TlsError(
            _format_problem(
                f"the private key in {source} is damaged",
                source,
                Remedy("copy it again, whole and unchanged"),
            )
        ) from error
    except UnsupportedAlgorithm as error:
        raise TlsError(
            _format_problem(
                f"the private key in {source} is of a kind, or encrypted in a way, not supported",
                source,
                Remedy(
                    "write it anew as PKCS #8",
                    (f"openssl pkcs8 -topk8 -in {quote(source)} -out key.pem",),
                ),
            )
        ) from error


def _blocks(data: bytes, labels: tuple[bytes, ...]) -> list[bytes]:
    return [match[0] for match in _BLOCK.finditer(data) if match["label"] in labels]


def _not_there(data: bytes, source: str, wanted: str) -> Problem:
    what, commands = _identify(data)
    return _format_problem(
        f"{source} has no {wanted} in PEM form: it is {what}",
        source,
        Remedy(
            f"give a PEM file with a {wanted} in it, or convert this one"
            if commands
            else f"give a PEM file with a {wanted} in it",
            tuple(command.format(file=quote(source)) for command in commands),
        ),
    )


def _identify(data: bytes) -> tuple[str, tuple[str, ...]]:
    """What the bytes are, and commands that convert them."""
    if not data.strip():
        return "empty", ()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16 text", ("iconv -f UTF-16 -t US-ASCII {file} > converted.pem",)
    labels = [match["label"] for match in _BLOCK.finditer(data)]
    for label in labels:
        if label in _INSTEAD:
            return _INSTEAD[label]
    if labels:
        return f"a PEM file with {labels[0].decode('ascii').lower()} only", ()
    if b"-----BEGIN " in data:
        return "a PEM file that is cut off or damaged", ()
    return _identify_binary(data)


def _identify_binary(data: bytes) -> tuple[str, tuple[str, ...]]:
    if _PKCS12_START.match(data):
        return (
            "PKCS #12",
            (
                "openssl pkcs12 -in {file} -nokeys -out chain.pem",
                "openssl pkcs12 -in {file} -nocerts -out key.pem",
            ),
        )
    if _PKCS7_OID in data[:32]:
        return "PKCS #7", ("openssl pkcs7 -inform DER -print_certs -in {file} -out chain.pem",)
    if _loads_as_certificate(data):
        return (
            "a certificate in DER form",
            ("openssl x509 -inform DER -in {file} -out certificate.pem",),
        )
    if _loads_as_key(data):
        return "a private key in DER form", ("openssl pkey -inform DER -in {file} -out key.pem",)
    return "neither a certificate nor a key", ()


def _loads_as_certificate(data: bytes) -> bool:
    try:
        x509.load_der_x509_certificate(data)
    except ValueError:
        return False
    return True


def _loads_as_key(data: bytes) -> bool:
    try:
        load_der_private_key(data, None)
    except TypeError:  # encrypted
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _passphrase_problem(code: str, summary: str) -> Problem:
    return Problem(
        code=code,
        summary=summary,
        where="tls.key_passphrase",
        remedy=Remedy(
            "set tls.key_passphrase to where its passphrase is: prompt, env:NAME or file:/path"
        ),
    )


def _format_problem(summary: str, source: str, remedy: Remedy) -> Problem:
    return Problem(code="tls.format", summary=summary, where=source, remedy=remedy)
