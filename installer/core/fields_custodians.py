"""Checks of custodians: who they are, and the public key that their share is encrypted to.

A key is judged by its form alone; a file that holds one is read where the share is encrypted. No
message shows what was given: it may be the private half by mistake, or a share.
"""

from __future__ import annotations

import re
import struct
from base64 import b64decode
from binascii import Error as Base64Error

from installer.core.fields import FieldError, Verdict, looks_secret, reject, trim, visible

_FORMS = (
    "an age recipient (age1…), a line of an SSH public key (ssh-ed25519 … or ssh-rsa …), or the"
    " path of an OpenPGP public key (/… or ~/…)"
)
_LONGEST_KEY = 8192
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)


def check_custodian_name(raw: object) -> Verdict:
    """What a custodian is called; part of a file's name."""
    text = trim(str(raw))
    if not _NAME.fullmatch(text):
        raise reject(
            "vault.custodian_name",
            f"{visible(text)} is no name of a custodian; letters, digits and . _ @ + -, at most 64",
            "write it plainly, as anna or anna.smith@company.com",
        )
    return Verdict(text)


def check_custodian_key(raw: object) -> Verdict:
    """The public key of a custodian, in one of the forms that a share can be encrypted to."""
    text = trim(str(raw))
    _refuse_private(text)
    if len(text) > _LONGEST_KEY:
        raise _no_key(f"more than {_LONGEST_KEY} characters are no public key")
    if text.startswith("age1"):
        _check_age(text)
        return Verdict(text)
    if re.match(r"(?:ssh|ecdsa|sk)-", text):
        return Verdict(_read_ssh(text))
    if text.startswith(("/", "~/", "./", "../")):
        if not text.isprintable():
            raise _no_key("the path holds a control character")
        return Verdict(text)
    if text.startswith("-----BEGIN PGP PUBLIC KEY"):
        raise reject(
            "vault.custodian_key",
            "an OpenPGP key is written here itself, where the path of its file belongs",
            "save it to a file and write its path, as ~/keys/anna.asc",
        )
    raise _no_key("the value has none of the forms of a public key")


_PRIVATE = re.compile(
    r"AGE-SECRET-KEY-|-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY|PuTTY-User-Key-File", re.IGNORECASE
)


def _refuse_private(text: str) -> None:
    if _PRIVATE.search(text) or looks_secret(text):
        raise reject(
            "vault.custodian_key",
            "a private key or a token is written here, where a public key belongs",
            "replace that key: it has been written in the clear; then write the public half of the"
            " new one",
        )


def _no_key(summary: str) -> FieldError:
    return reject("vault.custodian_key", summary, f"write {_FORMS}")


# age

_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_AGE_BYTES = 32
"""An X25519 public key (age-encryption.org/v1, "The X25519 recipient type")."""


def _check_age(text: str) -> None:
    """An X25519 recipient: Bech32 (BIP 173) of 32 bytes under the prefix `age`."""
    prefix, _, data = text.rpartition("1")
    if prefix != "age":
        raise _no_key(
            "the age recipient is of a plugin or of another kind than X25519, and shares are"
            " encrypted to X25519 recipients alone"
        )
    values = [_BECH32.find(char) for char in data]
    if -1 in values or not _has_checksum("age", values):
        raise _no_key("the age recipient is not whole: its checksum does not fit its characters")
    if _count_bytes(values[:-6]) != _AGE_BYTES:
        raise _no_key("the age recipient does not hold a key of 32 bytes")


def _has_checksum(prefix: str, values: list[int]) -> bool:
    expanded = [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *values]
    return _polymod(expanded) == 1


def _polymod(values: list[int]) -> int:
    """The checksum of Bech32 (BIP 173, "Checksum"); 1 for what is whole."""
    generator = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate(generator):
            checksum ^= term if top >> bit & 1 else 0
    return checksum


def _count_bytes(values: list[int]) -> int | None:
    """Bytes in groups of 5 bits; None where the padding is not at most 4 zero bits."""
    whole, rest = divmod(5 * len(values), 8)
    padding = values[-1] & (1 << rest) - 1 if values else 0
    return whole if rest < 5 and padding == 0 else None


# SSH

_FEWEST_RSA_BITS = 2048
_ED25519_BYTES = 32


def _read_ssh(text: str) -> str:
    """A line of an SSH public key in its one form: type, key and comment, a blank between.

    The key is checked to be what its type says (RFC 4253, 6.6; RFC 8709, 4).
    """
    kind, *rest = text.split(maxsplit=2)
    if kind not in {"ssh-ed25519", "ssh-rsa"}:
        raise _no_key("the SSH key is of a type that nothing can be encrypted to")
    try:
        fields = _ssh_fields(b64decode(rest[0], validate=True)) if rest else None
    except (Base64Error, ValueError):
        fields = None
    if not fields or fields[0] != kind.encode():
        raise _no_key("the SSH key is not whole: it is no Base64 of a key of its type")
    _check_ssh_numbers(kind, fields[1:])
    comment = rest[1].strip() if len(rest) > 1 else ""
    if not comment.isprintable():
        raise _no_key("more than one line is given, or the comment holds a control character")
    return " ".join(filter(None, (kind, rest[0], comment)))


def _ssh_fields(blob: bytes) -> list[bytes] | None:
    """The strings that a key's bytes consist of; None where the lengths do not add up."""
    fields: list[bytes] = []
    while blob:
        if len(blob) < 4:
            return None
        (length,) = struct.unpack(">I", blob[:4])
        if length > len(blob) - 4:
            return None
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return fields


def _check_ssh_numbers(kind: str, numbers: list[bytes]) -> None:
    if kind == "ssh-ed25519":
        if [len(number) for number in numbers] != [_ED25519_BYTES]:
            raise _no_key("the SSH key does not hold an Ed25519 key of 32 bytes")
    elif len(numbers) != 2:
        raise _no_key("the SSH key does not hold the two numbers of an RSA key")
    elif int.from_bytes(numbers[1], "big").bit_length() < _FEWEST_RSA_BITS:
        raise _no_key(f"the RSA key has fewer than {_FEWEST_RSA_BITS} bits")
