"""age by rage: what is encrypted to an age recipient or to the public half of an SSH key.

Only native X25519 recipients and the SSH types that age knows; no plugin program is ever started.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from dataclasses import dataclass

import pyrage
from pyrage import ssh, x25519


class UnusableRecipientError(Exception):
    """A text that is no recipient; `str` of it is empty, for the text may be a private key."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody to encrypt to; `name` is public and short: the recipient, or the key's SHA-256."""

    name: str
    text: str


def read_recipient(text: str) -> Recipient:
    """An age recipient (`age1…`) or one line of an SSH public key (`ssh-ed25519`, `ssh-rsa`).

    Raises:
        UnusableRecipientError: it is neither, or age does not take it.
    """
    text = text.strip()
    try:
        _load(text)
    except pyrage.RecipientError as error:
        raise UnusableRecipientError from error
    if not text.startswith("ssh-"):
        return Recipient(text, text)
    kind, blob = text.split()[:2]
    # as `ssh-keygen -l` writes it
    digest = b64encode(hashlib.sha256(b64decode(blob)).digest()).decode().rstrip("=")
    return Recipient(f"{kind} SHA256:{digest}", f"{kind} {blob}")


def encrypt_to(recipient: Recipient, content: bytes) -> bytes:
    """An armored age file that only the recipient can read.

    Raises:
        UnusableRecipientError: the recipient cannot be encrypted to after all.
    """
    try:
        return pyrage.encrypt(content, [_load(recipient.text)], armored=True)
    except (pyrage.RecipientError, pyrage.EncryptError) as error:
        raise UnusableRecipientError from error


def _load(text: str) -> x25519.Recipient | ssh.Recipient:
    return (
        ssh.Recipient.from_str(text)
        if text.startswith("ssh-")
        else (x25519.Recipient.from_str(text))
    )
