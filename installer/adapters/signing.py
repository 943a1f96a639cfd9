"""Signs evidence with an Ed25519 key of the operator, and compares signatures with public keys.

Reads private keys of OpenSSH and PEM form after checking who may read them; keeps no passphrase and
says no more of a key than its path and public part.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
    load_ssh_private_key,
    load_ssh_public_key,
)

from installer.adapters.ssh_keyfile import MAX_BYTES, is_encrypted
from installer.core.errors import LocalIoError, Problem, Remedy, UsageError
from installer.core.seals import Signer
from installer.core.secrets import Secret

_WHERE = "--sign-key"


def load_signer(path: Path, passphrase: Secret | None) -> Signer:
    """The key in a file.

    Raises:
        LocalIoError: it is missing, unreadable, no Ed25519 key, or readable by others.
        UsageError: it is encrypted, and the passphrase is missing or wrong.
    """
    data = _read(path, private=True)
    encrypted = is_encrypted(data)
    if encrypted and passphrase is None:
        raise UsageError(_locked(path, "is encrypted, and no passphrase is given"))
    secret = passphrase.reveal().encode() if passphrase and encrypted else None
    load = load_ssh_private_key if b"BEGIN OPENSSH" in data else load_pem_private_key
    try:
        key = load(data, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted and not isinstance(error, UnsupportedAlgorithm):
            raise UsageError(_locked(path, "is not opened by the passphrase")) from error
        raise LocalIoError(_unusable(path, _WHERE)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise LocalIoError(_unusable(path, _WHERE))
    public = _line(key.public_key())
    return Signer(public, fingerprint(public), lambda m: base64.b64encode(key.sign(m)).decode())


def load_public(path: Path) -> str:
    """The public key in a file, as one line of OpenSSH's form without its comment.

    Raises:
        LocalIoError: it is missing, unreadable, or no Ed25519 public key.
    """
    data = _read(path, private=False)
    load = load_pem_public_key if b"-----BEGIN" in data else load_ssh_public_key
    try:
        key = load(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise LocalIoError(_unusable(path, "--key")) from error
    if not isinstance(key, Ed25519PublicKey):
        raise LocalIoError(_unusable(path, "--key"))
    return _line(key)


def is_signed(public: str, message: bytes, signature: str) -> bool:
    """Whether the signature, in base64, is that of the public key over the message."""
    try:
        key = load_ssh_public_key(public.encode())
        value = base64.b64decode(signature, validate=True)
    except (ValueError, UnsupportedAlgorithm, binascii.Error):
        return False
    if not isinstance(key, Ed25519PublicKey) or _line(key) != public:
        return False
    # a changed bit among those that padding leaves unused would decode to the same bytes
    if base64.b64encode(value).decode() != signature:
        return False
    try:
        key.verify(value, message)
    except InvalidSignature:
        return False
    return True


def fingerprint(public: str) -> str:
    """SHA256:… as ssh-keygen -l shows it; the text itself when it is no key."""
    try:
        blob = base64.b64decode(public.split()[1], validate=True)
    except (IndexError, binascii.Error):
        return public
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _line(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _read(path: Path, *, private: bool) -> bytes:
    try:
        with path.expanduser().open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            data = file.read(MAX_BYTES)
    except OSError as error:
        raise LocalIoError(
            Problem(
                "report.key_missing",
                f"cannot read the key {path}: {error.strerror}",
                Remedy("name a readable key", ("ssh-keygen -t ed25519 -f evidence_key",)),
                where=_WHERE if private else "--key",
            )
        ) from error
    if private and mode & 0o077:
        raise LocalIoError(
            Problem(
                "report.key_mode",
                f"the private key {path} has mode {mode:04o}: others may read it",
                Remedy(
                    "it must have mode 0600; if others could read it, replace the key",
                    (f"chmod 0600 {path}",),
                ),
                where=_WHERE,
            )
        )
    return data


def _locked(path: Path, what: str) -> Problem:
    return Problem(
        "report.passphrase",
        f"the private key {path} {what}",
        Remedy(
            "give its passphrase by reference",
            (f"devplat-install report --sign-key {path} --sign-passphrase prompt",),
        ),
        where="--sign-passphrase",
    )


def _unusable(path: Path, where: str) -> Problem:
    return Problem(
        "report.key_form",
        f"{path} is no {'private' if where == _WHERE else 'public'} Ed25519 key of OpenSSH or PEM"
        " form",
        Remedy("make one", ("ssh-keygen -t ed25519 -f evidence_key",)),
        where=where,
    )
