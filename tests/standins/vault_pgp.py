"""Encryption to OpenPGP keys, for the answer of an initialisation: by the pysequoia package where
it is there, else by the program gpg in a home of its own that is removed afterwards.
"""

from __future__ import annotations

import base64
import binascii
import subprocess
import tempfile
from pathlib import Path

from vault_wire import Fault

PUBLIC_KEY = 6

try:
    import pysequoia
except ImportError:
    pysequoia = None


def decode_key(text: str) -> bytes:
    """The key of a request, which is base64 of a binary OpenPGP key.

    Raises:
        Fault: 400 when it is no base64, or no key.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        where = "error decoding given PGP key: illegal base64 data at input byte 0"
        raise Fault(400, where) from error
    tags = read_tags(key)
    if tags is None:
        raise Fault(400, "error parsing given PGP key: unexpected EOF")
    if tags[:1] != [PUBLIC_KEY]:
        text = "openpgp: invalid data: first packet was not a public/private key"
        raise Fault(400, f"error parsing given PGP key: {text}")
    return key


def read_tags(message: bytes) -> list[int] | None:
    """The kinds of its packets (RFC 9580, section 4.2); None when it does not end with one."""
    tags, at = [], 0
    try:
        while at < len(message):
            first = message[at]
            if not first & 0x80:
                return None
            tag, at, size = _header(message, first, at + 1)
            tags.append(tag)
            at += size
    except IndexError:
        return None
    return tags if tags and at == len(message) else None


def _header(message: bytes, first: int, at: int) -> tuple[int, int, int]:
    if not first & 0x40:  # the older form: the length of the length in two bits
        width = 1 << (first & 3)
        if width == 8 or at + width > len(message):
            raise IndexError
        return (first >> 2) & 15, at + width, int.from_bytes(message[at : at + width], "big")
    size = message[at]
    if size < 192:
        return first & 63, at + 1, size
    if size < 224:
        return first & 63, at + 2, ((size - 192) << 8) + message[at + 1] + 192
    if size < 255 or at + 5 > len(message):
        raise IndexError
    return first & 63, at + 5, int.from_bytes(message[at + 1 : at + 5], "big")


def encrypt(key: bytes, content: bytes) -> bytes:
    """A binary OpenPGP message to the holder of a key.

    Raises:
        Fault: 400 when the key cannot be encrypted to.
    """
    made = _by_sequoia(key, content) if pysequoia else _by_gpg(key, content)
    if made is None:
        text = "cannot encrypt a message to this key because it has no valid encryption keys"
        raise Fault(400, f"error setting up encryption for PGP message: {text}")
    return made


def dearmor(content: bytes) -> bytes:
    """A key file as binary, whether it is armored, base64 or binary."""
    if content.lstrip().startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----"):
        body = content.partition(b"-----\n")[2].partition(b"\n-----END")[0]
        lines = body.replace(b"\r", b"").rpartition(b"\n\n")[2].split(b"\n")
        return base64.b64decode(b"".join(x for x in lines if not x.startswith(b"=")))
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return content


def _by_sequoia(key: bytes, content: bytes) -> bytes | None:
    try:
        certificate = pysequoia.Cert.from_bytes(key)
        return bytes(pysequoia.encrypt(content, [certificate], armor=False))
    except Exception:  # noqa: BLE001 - whatever the library calls it, it cannot be encrypted to
        return None


def _by_gpg(key: bytes, content: bytes) -> bytes | None:
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        Path(home).chmod(0o700)
        file = Path(home, "key")
        file.write_bytes(key)
        # --recipient-file needs neither a key ring nor an agent
        done = subprocess.run(
            ["gpg", "--homedir", home, "--batch", "--quiet", "--no-options", "--no-autostart",
             "--trust-model", "always", "--recipient-file", str(file), "--encrypt"],
            input=content, capture_output=True, check=False,
        )  # fmt: skip
        return done.stdout if done.returncode == 0 else None
