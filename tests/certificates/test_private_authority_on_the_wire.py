"""What OpenSSL and a TLS client think of the private authority's certificates (TL-08)."""

from __future__ import annotations

import random
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from installer.adapters.private_authority import issue_certificate, make_private_ca, private_ca
from installer.core.certificates import TlsMaterial
from installer.core.secrets import Secret, SecretSpec

NOW = datetime(2026, 5, 1, 12, 30, 15, 999, tzinfo=UTC)
HOSTS = ("coder.company.com", "git.company.com", "*.coder.company.com")
DAY = timedelta(days=1)


class MemoryStore:
    """A secret store that keeps its promise: the first value of a name stays."""

    def __init__(self) -> None:
        self.values: dict[str, Secret] = {}
        self.specs: list[SecretSpec] = []

    def get(self, name: str) -> Secret | None:
        return self.values.get(name)

    def ensure(self, spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        if spec.name not in self.values:
            self.values[spec.name] = make()
            self.specs.append(spec)
        return self.values[spec.name]

    def names(self) -> frozenset[str]:
        return frozenset(self.values)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def issue(store: Any, hosts: tuple[str, ...] = HOSTS, now: datetime = NOW) -> TlsMaterial:
    return private_ca(store, deployment="devplat", domain="company.com", hosts=hosts, now=now)


def openssl_verify(tmp_path: Path, material: TlsMaterial, host: str) -> str:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("there is no openssl program to verify with")
    (tmp_path / "root.pem").write_bytes(material.roots_pem or b"")
    (tmp_path / "leaf.pem").write_bytes(material.fullchain_pem)
    command = [program, "verify", "-x509_strict", "-purpose", "sslserver", "-attime"]
    command += [str(int(NOW.timestamp())), "-CAfile", str(tmp_path / "root.pem")]
    command += ["-verify_hostname", host, str(tmp_path / "leaf.pem")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_tl_08_openssl_s_strict_verifier_accepts_it(store: MemoryStore, tmp_path: Path) -> None:
    material = issue(store, (*HOSTS, "git.other.org"))
    for host in ("coder.company.com", "any.coder.company.com", "git.other.org"):
        assert openssl_verify(tmp_path, material, host).strip().endswith("OK")
    assert "hostname mismatch" in openssl_verify(tmp_path, material, "a.b.coder.company.com")


def test_tl_08_a_leaf_outside_the_permitted_names_is_not_believed(
    store: MemoryStore, tmp_path: Path
) -> None:
    material = issue(store)
    authority = make_private_ca("d", ["company.com"], NOW, random.Random(1).randbytes)
    foreign = issue_certificate(authority, ["www.bank.com"], NOW, random.Random(2).randbytes)
    from cryptography.hazmat.primitives.serialization import Encoding

    stolen = replace(
        material,
        fullchain_pem=foreign.certificate.public_bytes(Encoding.PEM),
        roots_pem=authority.certificate.public_bytes(Encoding.PEM),
    )
    assert "permitted subtree violation" in openssl_verify(tmp_path, stolen, "www.bank.com")


def handshake(tmp_path: Path, material: TlsMaterial, host: str, roots: bytes) -> str:
    """The version agreed on by a server with this material and a client that trusts `roots`."""
    (tmp_path / "chain.pem").write_bytes(material.fullchain_pem)
    (tmp_path / "key.pem").write_text(material.key.reveal())
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                with served.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(1)
            except OSError:
                return  # the client refused the certificate

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        context = ssl.create_default_context(cadata=roots.decode("ascii"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        with (
            socket.create_connection(listener.getsockname(), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname=host) as secured,
        ):
            secured.sendall(b"x")
            return secured.version() or ""
    finally:
        thread.join(10)
        listener.close()


def test_a_client_that_trusts_the_root_connects_by_every_name(
    store: MemoryStore, tmp_path: Path
) -> None:
    material = issue(store, now=datetime.now(UTC))
    roots = material.roots_pem or b""
    for host in ("coder.company.com", "git.company.com", "my-app.coder.company.com"):
        assert handshake(tmp_path, material, host, roots) == "TLSv1.3"


@pytest.mark.parametrize("fault", ["another name", "another root", "expired"])
def test_a_client_refuses_what_it_should(store: MemoryStore, tmp_path: Path, fault: str) -> None:
    began = datetime.now(UTC) - (500 * DAY if fault == "expired" else timedelta())
    material = issue(store, now=began)
    roots = issue(MemoryStore()).roots_pem if fault == "another root" else material.roots_pem
    host = "www.company.com" if fault == "another name" else "git.company.com"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, material, host, roots or b"")
