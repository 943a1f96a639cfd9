"""Loopback servers and a certificate authority for the probe tests."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Handler = Callable[[socket.socket, bytes], None]
DAY = timedelta(days=1)


class Authority:
    """A root that signs server certificates."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test root")])
        self._count = 0
        now = datetime.now(UTC)
        builder = _builder(
            self._name, self._name, self._key.public_key(), now - 30 * DAY, now + DAY
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False
        )
        builder = builder.add_extension(_usage(sign=True), True)
        self._certificate = builder.sign(self._key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, *names: str, starts: timedelta = -DAY, ends: timedelta = DAY / 2) -> Path:
        """A file with a certificate, valid from `starts` to `ends` after now, and its key."""
        now = datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        builder = _builder(subject, self._name, key.public_key(), now + starts, now + ends)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        self._count += 1
        path = self._directory / f"server-{self._count}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return path


def answer(text: str, body: bytes = b"") -> Handler:
    """Answers every request with a head and a body, and closes."""
    head = text.replace("\n", "\r\n").encode()

    def handle(stream: socket.socket, _request: bytes) -> None:
        stream.sendall(head + b"\r\n\r\n" + body)

    return handle


@contextmanager
def serve(
    handler: Handler,
    certificate: Path | None = None,
    *,
    version: ssl.TLSVersion | None = None,
    family: socket.AddressFamily = socket.AF_INET,
) -> Iterator[tuple[int, list[bytes]]]:
    """Serve on loopback; gives the port and the request heads that came in."""
    requests: list[bytes] = []
    context = _context(certificate, version) if certificate else None
    listener = socket.create_server(
        ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family
    )

    def loop() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            with raw:
                raw.settimeout(5)
                try:
                    if context is None:
                        _handle(raw, handler, requests)
                        continue
                    with context.wrap_socket(raw, server_side=True) as stream:
                        _handle(stream, handler, requests)
                except OSError:
                    continue  # what the client under test refuses or drops

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield listener.getsockname()[1], requests
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _handle(stream: socket.socket, handler: Handler, requests: list[bytes]) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = stream.recv(4096)
        if not piece:
            return
        head += piece
    requests.append(head)
    handler(stream, head)


def _context(certificate: Path, version: ssl.TLSVersion | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if version is not None:
        context.maximum_version = version
    return context


def _builder(subject, issuer, public_key, starts, ends):
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.public_key(public_key).serial_number(x509.random_serial_number())
    return builder.not_valid_before(starts).not_valid_after(ends)


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )
