"""Certificate chains with one fault or none: leaf, intermediate, root."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_DAY = timedelta(days=1)


@dataclass
class Chain:
    """What a server is given; `rest` comes after the leaf."""

    leaf: x509.Certificate
    key: _Key
    rest: list[x509.Certificate]
    root_pem: bytes

    def write(self, folder: Path) -> None:
        """As files `leaf.pem`, `rest.pem`, `key.pem`."""
        (folder / "leaf.pem").write_bytes(self.leaf.public_bytes(Encoding.PEM))
        (folder / "rest.pem").write_bytes(b"".join(c.public_bytes(Encoding.PEM) for c in self.rest))
        (folder / "key.pem").write_bytes(
            self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )


def make_key(kind: str) -> _Key:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP521R1() if kind == "P-521" else ec.SECP256R1())


def make_chain(
    host: str,
    *,
    key: str = "ec",
    begins: datetime | None = None,
    ends: datetime | None = None,
    send: str = "all",
) -> Chain:
    """A chain for a host, all of whose certificates can be told apart."""
    now = datetime.now(UTC)
    root_key, middle_key, leaf_key = make_key("ec"), make_key("ec"), make_key(key)
    root = _issue("root", root_key, "root", root_key, now - _DAY, now + 300 * _DAY, None)
    middle = _issue("middle", middle_key, "root", root_key, now - _DAY, now + 200 * _DAY, None)
    second_key = make_key("ec")
    second = _issue("second", second_key, "middle", middle_key, now - _DAY, now + 99 * _DAY, None)
    leaf = _issue(
        "leaf", leaf_key, "second", second_key,
        begins or now - 2 * _DAY, ends or now + 90 * _DAY, host,
    )  # fmt: skip
    rest = {"all": [second, middle], "leaf": [], "reversed": [middle, second]}[send]
    return Chain(leaf, leaf_key, rest, root.public_bytes(Encoding.PEM))


def _issue(
    subject: str,
    key: _Key,
    issuer: str,
    issuer_key: _Key,
    begins: datetime,
    ends: datetime,
    host: str | None,
) -> x509.Certificate:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder(name(issuer), name(subject), key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    usage = {
        "content_commitment": False, "key_encipherment": False, "data_encipherment": False,
        "key_agreement": False, "encipher_only": False, "decipher_only": False,
        "digital_signature": host is not None, "key_cert_sign": host is None,
        "crl_sign": host is None,
    }  # fmt: skip
    builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
    if host is not None:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(issuer_key, SHA256())
