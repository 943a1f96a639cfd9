"""A small authority that issues good certificates and, on demand, every kind of bad one."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from installer.adapters.certificates import provided_files
from installer.core.certificates import TlsMaterial
from installer.core.errors import ExitCode, Problem, TlsError
from installer.core.events import Outcome

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOSTS = ("coder.company.com", "git.company.com", "*.coder.company.com")
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    cert: x509.Certificate
    key: Any

    @property
    def pem(self) -> bytes:
        return self.cert.public_bytes(Encoding.PEM)

    def key_pem(self, passphrase: bytes = b"", form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
        encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, form, encryption)


def issue(
    name: str,
    signer: Pair | None = None,
    *,
    hosts: Sequence[str] = (),
    ca: bool = False,
    key: Any = None,
    begin: datetime = NOW - 10 * DAY,
    end: datetime = NOW + 200 * DAY,
    purposes: Sequence[x509.ObjectIdentifier] = (),
    signs_digitally: bool | None = None,
    issuer_url: str = "",
    hash_: Any = None,
) -> Pair:
    """A certificate by `signer`, or by itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.cert.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName(list(map(general, hosts))), False
        )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
    if signs_digitally is not None:
        usage = x509.KeyUsage(signs_digitally, False, True, *[False] * 6)
        builder = builder.add_extension(usage, True)
    if issuer_url:
        access = x509.AccessDescription(
            AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(issuer_url)
        )
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), False)
    return Pair(builder.sign(signer.key if signer else key, hash_ or SHA256()), key)


def general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


@dataclass
class Pki:
    """root → intermediate → leaf, and a directory to put files in."""

    directory: Path
    root: Pair
    intermediate: Pair
    leaf: Pair
    now: datetime = NOW
    hosts: tuple[str, ...] = HOSTS
    day: timedelta = DAY
    client_purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH

    def issue(self, name: str, signer: Pair | None = None, **given: Any) -> Pair:
        return issue(name, signer, **given)

    def rsa_key(self, bits: int) -> Any:
        return rsa.generate_private_key(65537, bits)

    def write(self, name: str, *parts: bytes, mode: int = 0o600) -> Path:
        path = self.directory / name
        path.write_bytes(b"".join(parts))
        path.chmod(mode)
        return path

    def reissued(self, **given: Any) -> Pair:
        """Another certificate for the hosts by the intermediate."""
        return issue("coder.company.com", self.intermediate, **{"hosts": self.hosts, **given})

    def use(
        self, *cert: bytes, key: bytes = b"", chain: bytes | None = None, **given: Any
    ) -> TlsMaterial:
        """`provided_files` on files with these bytes; by default a good set of them."""
        certificate_file = self.write("cert.pem", *(cert or (self.leaf.pem, self.intermediate.pem)))
        key_file = self.write("key.pem", key or self.leaf.key_pem())
        chain_file = self.write("chain.pem", chain) if chain is not None else None
        arguments: dict[str, Any] = {
            "passphrase": None,
            "hosts": self.hosts,
            "now": self.now,
            "trusted": [self.root.cert],
            **given,
        }
        return provided_files(certificate_file, key_file, chain_file, **arguments)

    def refused(self, *cert: bytes, **given: Any) -> dict[str, Problem]:
        """The problems by code; no word of a key in them."""
        with pytest.raises(TlsError) as caught:
            self.use(*cert, **given)
        assert caught.value.exit_code is ExitCode.TLS
        for problem in caught.value.problems:
            assert problem.remedy.summary
            assert "PRIVATE" not in repr(problem)
        return {problem.code: problem for problem in caught.value.problems}

    @staticmethod
    def mentions(problem: Problem, text: str) -> bool:
        return text in problem.summary and text in problem.remedy.summary

    @staticmethod
    def warnings_of(material: TlsMaterial) -> dict[str, Problem]:
        warned = (c.problem for c in material.checks if c.outcome is Outcome.WARN)
        return {problem.code: problem for problem in warned if problem}

    @staticmethod
    def served(material: TlsMaterial) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(material.fullchain_pem)

    @staticmethod
    def openssl(*arguments: str | Path, stdin: bytes = b"") -> bytes:
        program = shutil.which("openssl")
        if program is None:
            pytest.skip("there is no openssl program on this machine")
        command = [program, *map(str, arguments)]
        return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


@pytest.fixture(scope="session")
def made() -> tuple[Pair, Pair, Pair]:
    root = issue("Company Root", ca=True, end=NOW + 3000 * DAY)
    intermediate = issue("Company Issuing CA", root, ca=True, end=NOW + 1000 * DAY)
    leaf = issue(
        "coder.company.com",
        intermediate,
        hosts=HOSTS,
        purposes=[ExtendedKeyUsageOID.SERVER_AUTH],
        signs_digitally=True,
    )
    return root, intermediate, leaf


@pytest.fixture
def pki(tmp_path: Path, made: tuple[Pair, Pair, Pair]) -> Pki:
    return Pki(tmp_path, *made)
