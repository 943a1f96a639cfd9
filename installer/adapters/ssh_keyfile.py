"""Reads private key files of OpenSSH and PEM form, after checking who may read them.

Never keeps a passphrase, and never says more of a key than its path and public part.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from installer.adapters.ssh_library import paramiko
from installer.core.errors import LocalIoError, Problem, Remedy, SshAuthError
from installer.core.secrets import Secret

MAX_BYTES = 64 * 1024
"""No private key is longer; what is, is another file."""

_MAGIC = b"openssh-key-v1\0"


def load_key(path: Path, passphrase: Secret | None) -> paramiko.PKey:
    """The private key in a file, with the certificate beside it if there is one.

    Raises:
        LocalIoError: it is missing, unreadable, no private key, or readable by others.
        SshAuthError: it is encrypted, and the passphrase is missing or wrong.
    """
    data = _read_private(path)
    encrypted = is_encrypted(data)
    if encrypted and passphrase is None:
        raise SshAuthError(_encrypted(path))
    secret = passphrase.reveal().encode() if passphrase and encrypted else None
    load = load_ssh_private_key if b"BEGIN OPENSSH" in data else load_pem_private_key
    try:
        loaded = load(data, secret)
    except (ValueError, UnsupportedAlgorithm) as error:
        if encrypted and not isinstance(error, UnsupportedAlgorithm):
            raise SshAuthError(_wrong_passphrase(path)) from error
        raise LocalIoError(_unusable(path)) from error
    if not isinstance(
        loaded, ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    ):
        raise LocalIoError(_unusable(path))
    # Written again without encryption, in memory: the SSH library's own reader knows fewer ciphers.
    plain = loaded.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    text = io.StringIO(plain.decode())
    key: paramiko.PKey
    if isinstance(loaded, ed25519.Ed25519PrivateKey):
        key = paramiko.Ed25519Key.from_private_key(text)
    elif isinstance(loaded, rsa.RSAPrivateKey):
        key = paramiko.RSAKey.from_private_key(text)
    else:
        key = paramiko.ECDSAKey.from_private_key(text)
    certificate = path.with_name(path.name + "-cert.pub")
    if certificate.exists():
        key.load_certificate(str(certificate))
    return key


def read_public_blob(path: Path) -> bytes | None:
    """The wire form of the public key in `<path>.pub`; None when there is no such file."""
    try:
        words = path.with_name(path.name + ".pub").read_text("utf-8", "replace").split()
        return base64.b64decode(words[1], validate=True)
    except (OSError, IndexError, binascii.Error):
        return None


def is_encrypted(data: bytes) -> bool:
    """Whether a private key in PEM armour needs a passphrase (PROTOCOL.key, RFC 1421, RFC 5958)."""
    if b"Proc-Type: 4,ENCRYPTED" in data or b"BEGIN ENCRYPTED PRIVATE KEY" in data:
        return True
    armour = re.search(rb"BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END", data, re.DOTALL)
    if not armour:
        return False
    try:
        body = base64.b64decode(b"".join(armour[1].split()))
    except binascii.Error:
        return False
    if not body.startswith(_MAGIC):
        return False
    start = len(_MAGIC) + 4
    length = int.from_bytes(body[len(_MAGIC) : start], "big")
    return body[start : start + length] != b"none"


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            if mode & 0o077:
                raise LocalIoError(
                    Problem(
                        code="ssh.key_mode",
                        summary=f"the private key {path} has mode {mode:04o}: others may read it",
                        where="ssh.key_file",
                        remedy=Remedy(
                            "it must have mode 0600; if others could read it, replace the key",
                            (f"chmod 0600 {path}",),
                        ),
                    )
                )
            return file.read(MAX_BYTES)
    except OSError as error:
        raise LocalIoError(
            Problem(
                code="ssh.key_missing",
                summary=f"cannot read the private key {path}: {error.strerror}",
                where="ssh.key_file",
                remedy=Remedy("name a readable private key, or leave it to the agent"),
            )
        ) from error


def _encrypted(path: Path) -> Problem:
    return Problem(
        code="ssh.key_encrypted",
        summary=f"the private key {path} is encrypted, and no passphrase is given",
        where="ssh.key_file",
        remedy=Remedy(
            "give its passphrase by reference in ssh.passphrase, or load the key into the agent",
            (f"ssh-add {path}",),
        ),
    )


def _wrong_passphrase(path: Path) -> Problem:
    return Problem(
        code="ssh.passphrase_wrong",
        summary=f"the passphrase does not open the private key {path}",
        where="ssh.passphrase",
        remedy=Remedy(
            "correct the passphrase that ssh.passphrase refers to, or load the key into the agent",
            (f"ssh-keygen -yf {path}",),
        ),
    )


def _unusable(path: Path) -> Problem:
    return Problem(
        code="ssh.key_format",
        summary=f"{path} is no private key of type ed25519, ecdsa or rsa",
        where="ssh.key_file",
        remedy=Remedy(
            "name the private key, not the .pub file; keys on hardware are used through the agent; "
            "PuTTY keys must be converted",
            (f"ssh-keygen -lf {path}",),
        ),
    )
