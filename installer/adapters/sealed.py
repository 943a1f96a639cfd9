"""The sealed form of the secret store: what its file consists of.

    devplat-secret-store 1
    {"check": …, "iterations": …, "lanes": …, "memory_kib": …, "nonce": …, "salt": …}
    <SHA-256 of both lines, hex>
    <AES-256-GCM of the content, with all three lines as associated data>

The key comes from the passphrase by Argon2id. The checksum tells a damaged header from a wrong
passphrase; it protects against accidents, the encryption against people. No clear byte is written.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import unicodedata
from base64 import b64decode, b64encode
from dataclasses import dataclass
from functools import lru_cache
from shlex import quote
from typing import Any

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from installer.core.errors import (
    IntegrityError,
    LocalIoError,
    Problem,
    Remedy,
    SecretStoreError,
)
from installer.core.secrets import Secret

_MAGIC = b"devplat-secret-store "
_VERSION = b"1"
_NONCE_BYTES = 12
_LONGEST_HEADER = 4096


@dataclass(frozen=True, slots=True)
class KdfParameters:
    """Cost of Argon2id; the defaults are RFC 9106, 4, second recommended option (64 MiB)."""

    salt: bytes
    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4

    @property
    def acceptable(self) -> bool:
        """Whether a header may ask this of us: enough to protect, not so much as to choke us."""
        return (
            len(self.salt) >= 16
            and 8 * 1024 <= self.memory_kib <= 1024 * 1024
            and 1 <= self.iterations <= 64
            and 1 <= self.lanes <= 16
        )


@dataclass(frozen=True, slots=True, repr=False)
class StoreKey:
    """Keys derived from a passphrase: one encrypts, the other is kept in clear to check it."""

    parameters: KdfParameters
    encryption: bytes
    check: bytes


def new_key(passphrase: Secret) -> StoreKey:
    """A key for a new store.

    Raises:
        SecretStoreError: an empty passphrase.
        LocalIoError: not enough memory, or no Argon2id in this machine's OpenSSL.
    """
    if not passphrase.reveal().strip():
        raise SecretStoreError(
            Problem(
                code="vault.passphrase",
                summary="the passphrase of the secret store is empty",
                remedy=Remedy("choose a passphrase; six random words are a good one"),
            )
        )
    return _derive(passphrase, KdfParameters(os.urandom(16)))


def open_key(sealed: bytes, passphrase: Secret, where: str) -> StoreKey:
    """The key of an existing store.

    Raises:
        SecretStoreError: `vault.passphrase`, the passphrase is not the store's.
        IntegrityError: `store.damaged`, the header was altered.
        LocalIoError: as `new_key`.
    """
    header, _, _ = _split(sealed, where)
    key = _derive(passphrase, header.parameters)
    if not hmac.compare_digest(key.check, header.check):
        raise SecretStoreError(
            Problem(
                code="vault.passphrase",
                summary=f"the passphrase does not open {where}",
                where=where,
                remedy=Remedy(
                    "give the passphrase this store was made with; it cannot be recovered"
                ),
            )
        )
    return key


def seal(content: bytes, key: StoreKey) -> bytes:
    """Encrypt under a fresh nonce."""
    nonce = os.urandom(_NONCE_BYTES)
    parameters = key.parameters
    fields = {
        "check": b64encode(key.check).decode("ascii"),
        "cipher": "AES-256-GCM",
        "iterations": parameters.iterations,
        "kdf": "argon2id",
        "lanes": parameters.lanes,
        "memory_kib": parameters.memory_kib,
        "nonce": b64encode(nonce).decode("ascii"),
        "salt": b64encode(parameters.salt).decode("ascii"),
    }
    lines = _MAGIC + _VERSION + b"\n" + json.dumps(fields, sort_keys=True).encode("ascii") + b"\n"
    head = lines + hashlib.sha256(lines).hexdigest().encode("ascii") + b"\n"
    return head + AESGCM(key.encryption).encrypt(nonce, content, head)


def unseal(sealed: bytes, key: StoreKey, where: str) -> bytes:
    """The content.

    Raises:
        IntegrityError: `store.damaged`, any byte was altered or the file is another store's.
    """
    header, head, body = _split(sealed, where)
    if header.parameters != key.parameters or not hmac.compare_digest(header.check, key.check):
        raise IntegrityError(damaged(where, "it was replaced by a store with another passphrase"))
    try:
        return AESGCM(key.encryption).decrypt(header.nonce, body, head)
    except InvalidTag as error:
        raise IntegrityError(damaged(where, "its content was altered or cut off")) from error


def damaged(where: str, what: str) -> Problem:
    """The problem of a store that is not as it was written."""
    return Problem(
        code="store.damaged",
        summary=f"{where} is damaged: {what}",
        where=where,
        remedy=Remedy(
            f"keep the damaged file, then put a backup back, or the copy kept at {where}.previous,"
            " which lacks the last change",
            (
                f"cp -p {quote(where)} {quote(where + '.damaged')}",
                f"cp -p {quote(where + '.previous')} {quote(where)}",
            ),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Header:
    parameters: KdfParameters
    check: bytes
    nonce: bytes


def _split(sealed: bytes, where: str) -> tuple[_Header, bytes, bytes]:
    """Header, its bytes, and the encrypted rest."""
    lines = sealed.split(b"\n", 3)
    if len(lines) != 4 or not lines[0].startswith(_MAGIC) or len(lines[1]) > _LONGEST_HEADER:
        raise IntegrityError(damaged(where, "it does not begin like a secret store"))
    covered = lines[0] + b"\n" + lines[1] + b"\n"
    if hashlib.sha256(covered).hexdigest().encode("ascii") != lines[2]:
        raise IntegrityError(damaged(where, "its header does not match its checksum"))
    version = lines[0].removeprefix(_MAGIC)
    if version != _VERSION:
        raise IntegrityError(_other_version(where, version))
    header = _parse_header(lines[1])
    if header is None:
        raise IntegrityError(damaged(where, "its header makes no sense"))
    return header, covered + lines[2] + b"\n", lines[3]


def _parse_header(line: bytes) -> _Header | None:
    try:
        fields: dict[str, Any] = json.loads(line)
        parameters = KdfParameters(
            b64decode(fields["salt"], validate=True),
            int(fields["memory_kib"]),
            int(fields["iterations"]),
            int(fields["lanes"]),
        )
        header = _Header(
            parameters,
            b64decode(fields["check"], validate=True),
            b64decode(fields["nonce"], validate=True),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return header if parameters.acceptable and len(header.nonce) == _NONCE_BYTES else None


@lru_cache(maxsize=4)
def _derive(passphrase: Secret, parameters: KdfParameters) -> StoreKey:
    # Cached because a derivation is made to be slow: a run needs one, not one for each secret.
    text = unicodedata.normalize("NFC", passphrase.reveal())
    try:
        root = Argon2id(
            salt=parameters.salt,
            length=32,
            iterations=parameters.iterations,
            lanes=parameters.lanes,
            memory_cost=parameters.memory_kib,
        ).derive(text.encode("utf-8", "surrogatepass"))
    except (MemoryError, UnsupportedAlgorithm) as error:
        raise LocalIoError(_no_kdf(parameters)) from error
    encryption, check = (
        HKDFExpand(SHA256(), 32, b"devplat secret store " + use).derive(root)
        for use in (b"encryption", b"check")
    )
    return StoreKey(parameters, encryption, check)


def _other_version(where: str, version: bytes) -> Problem:
    return Problem(
        code="store.version",
        summary=f"{where} has format {version[:20].decode('ascii', 'backslashreplace')}, not 1",
        where=where,
        remedy=Remedy("use the release of the installer that wrote it, or a newer one"),
    )


def _no_kdf(parameters: KdfParameters) -> Problem:
    return Problem(
        code="store.kdf",
        summary=f"Argon2id with {parameters.memory_kib // 1024} MiB cannot run on this machine",
        remedy=Remedy("free some memory, and use an OpenSSL of 3.2 or later that has Argon2id"),
    )
