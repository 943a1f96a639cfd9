"""An authority, certificates and an engine's API over TLS on loopback, sound or with a defect."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from installer.core.secrets import Secret
from installer.core.workspace_engines import EngineTrust

INFO: Mapping[str, Any] = {
    "ServerVersion": "28.5.2",
    "OSType": "linux",
    "Architecture": "x86_64",
    "NCPU": 16,
    "MemTotal": 64 * 2**30,
    "Driver": "overlay2",
    "DriverStatus": [["Backing Filesystem", "extfs"]],
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=userns"],
    "LiveRestoreEnabled": True,
    "MemoryLimit": True,
    "SwapLimit": True,
    "CpuCfsQuota": True,
    "DockerRootDir": "/var/lib/docker",
    "ContainersRunning": 3,
}


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: str
    key: str

    def write(self, folder: Path, name: str) -> Path:
        path = folder / f"{name}.pem"
        path.write_text(self.certificate + self.key)
        return path


class Authority:
    """Signs for servers on loopback and for clients."""

    def __init__(self, name: str = "engines") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        self._own = (
            _draft(self._name, self._name, self._key, now - timedelta(days=1), now + 90 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(self._identifier(), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._own.public_bytes(Encoding.PEM).decode()

    def issue(self, *names: str, ends: timedelta | None = None) -> Pair:
        """A server's certificate for the names; a client's without any."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        until = now + (ends if ends is not None else 60 * _DAY)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else "c")])
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
        draft = (
            _draft(subject, self._name, key, min(now, until) - _DAY, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(self._identifier(), critical=False)
        )
        if names:
            draft = draft.add_extension(
                x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False
            )
        return Pair(
            draft.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(),
            key.private_bytes(
                Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
            ).decode(),
        )

    def trust(self, client: Pair) -> EngineTrust:
        """What a client of engines of this authority has."""
        return EngineTrust(Secret(self.pem), Secret(client.certificate), Secret(client.key))

    def _identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())


_DAY = timedelta(days=1)


def _draft(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begins: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=signs, crl_sign=signs,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class _Api(http.server.BaseHTTPRequestHandler):
    """`_ping`, `version` and `info`, as an engine answers them."""

    api = "1.51"
    info: Mapping[str, Any] = INFO

    def do_GET(self) -> None:
        words = [w for w in self.path.split("/") if w and not w.startswith("v1.")]
        said = {
            "_ping": "OK",
            "version": {"ApiVersion": self.api, "Version": self.info["ServerVersion"]},
            "info": self.info,
        }.get(words[-1] if words else "")
        body = said.encode() if isinstance(said, str) else json.dumps(said).encode()
        self.send_response(200 if said is not None else 404)
        self.send_header("Api-Version", self.api)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Nothing on standard error."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext | None = None

    def finish_request(self, request: Any, address: Any) -> None:
        """In the thread of the connection, so that a slow handshake holds up nobody."""
        if self.context is None:
            super().finish_request(request, address)
            return
        request.settimeout(5)
        try:
            with self.context.wrap_socket(request, server_side=True) as stream:
                super().finish_request(stream, address)
        except OSError:
            return  # the client was refused, or went

    def handle_error(self, *_words: Any) -> None:
        """A client that went away is no news."""


@contextmanager
def serve_engine(
    folder: Path,
    pair: Pair | None,
    clients: str = "",
    *,
    api: str = "1.51",
    info: Mapping[str, Any] | None = None,
) -> Iterator[int]:
    """The port of an engine on loopback, as long as the block lasts.

    Args:
        folder: For the server's files.
        pair: Of the server; without one it speaks no TLS.
        clients: The authority whose clients it lets in; everybody, when empty.
        api: Newest version of its API.
        info: What it says of itself beside `INFO`.
    """
    handler = type("Api", (_Api,), {"api": api, "info": {**INFO, **(info or {})}})
    with _Server(("127.0.0.1", 0), handler) as server:
        if pair is not None:
            server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.context.load_cert_chain(pair.write(folder, "server"))
            if clients:
                server.context.verify_mode = ssl.CERT_REQUIRED
                server.context.load_verify_locations(cadata=clients)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
