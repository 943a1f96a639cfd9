"""OpenPGP by Sequoia: the transport key, certificates of custodians, and messages to them.

Sequoia's policy decides which algorithms count; what its binding leaves open (an expired key, a
revoked one, a private key where a public one belongs) is refused here. No message shows key text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pysequoia import Cert, CipherSuite, Profile, Tsk, decrypt, encrypt
from pysequoia.packet import Packet, PacketPile, SignatureType, Tag

from installer.core.secrets import Secret

_PUBLIC = (Tag.PublicKey, Tag.PublicSubkey)
_PRIVATE = (Tag.SecretKey, Tag.SecretSubkey)


class UnusableKeyError(Exception):
    """A key that nothing may be encrypted to.

    Attributes:
        what: What is wrong with it, for "the key …".
        remedy: What its owner does about it.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


class OtherKeyError(Exception):
    """A message that was encrypted to another key."""


class DamagedMessageError(Exception):
    """A message that is none, or not as it was encrypted."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A public key that something can be encrypted to now; `fingerprint` is upper-case hex."""

    fingerprint: str
    octets: bytes


def make_private_key(user_id: str) -> Secret:
    """A fresh private key without an end, armored.

    Version 4 with Curve25519: what the secret servers' OpenPGP library reads in every release that
    is in use, while version 6 (RFC 9580) needs a recent one.
    """
    key = Tsk.generate(user_id, profile=Profile.RFC4880, cipher_suite=CipherSuite.Cv25519)
    return Secret(str(key))


def public_half(private_key: Secret) -> bytes:
    """The certificate of a private key in binary; the same bytes every time.

    Raises:
        DamagedMessageError: the text is no private key.
    """
    return bytes(_private_key(private_key).extract_certificate())


def open_message(message: bytes, private_key: Secret) -> bytes:
    """What a message, binary or armored, says.

    Raises:
        OtherKeyError: it was encrypted to another key.
        DamagedMessageError: it is no message, or was altered.
    """
    key = _private_key(private_key)
    recipients = set(_recipients(message))
    if not recipients:
        raise DamagedMessageError
    if recipients.isdisjoint(p.key_id for p in _packets(bytes(key)) if p.tag in _PRIVATE):
        raise OtherKeyError
    try:
        content = decrypt(bytes=message, decryptor=key.decryptor()).bytes
    except RuntimeError as error:
        raise DamagedMessageError from error
    if content is None:
        raise DamagedMessageError
    return content


def encrypt_to(certificate: Certificate, content: bytes) -> bytes:
    """An armored message that only the certificate's owner can read.

    Raises:
        UnusableKeyError: the certificate cannot be encrypted to after all.
    """
    try:
        return encrypt(content, recipients=[Cert.from_bytes(certificate.octets)])
    except RuntimeError as error:
        raise _no_encryption_key() from error


def read_certificate(data: bytes, now: datetime) -> Certificate:
    """The certificate in a file's content, binary or armored.

    Raises:
        UnusableKeyError: it is none, or private, or several, or revoked, expired at `now`, or has
            no key that may be encrypted to.
    """
    try:
        packets = _packets(data)
        if any(packet.tag in _PRIVATE for packet in packets):
            raise UnusableKeyError(
                "is a private key", "take it away from there; export the public one to a file"
            )
        found = Cert.split_bytes(data)
        if not found:
            raise DamagedMessageError
    except (DamagedMessageError, RuntimeError) as error:
        raise UnusableKeyError(
            "is no OpenPGP public key", "export it again: gpg --armor --export NAME"
        ) from error
    if len(found) != 1:
        raise UnusableKeyError(
            f"has {len(found)} certificates in its file; allowed is 1",
            "export the custodian's alone: gpg --armor --export FINGERPRINT",
        )
    _check_validity(found[0], now)
    return Certificate(found[0].fingerprint.upper(), bytes(found[0]))


def _check_validity(certificate: Cert, now: datetime) -> None:
    if certificate.is_revoked:
        raise UnusableKeyError("is revoked", "ask the custodian for the key in use now")
    try:
        expires = certificate.expiration
    except RuntimeError as error:  # no self-signature that the policy accepts
        raise UnusableKeyError(
            "has no valid self-signature, or only one with an algorithm that is broken (SHA-1)",
            "ask the custodian for a newer key, or to renew the signatures of this one",
        ) from error
    if expires is not None and expires <= now:
        raise _expired(expires)
    try:
        recipients = set(_recipients(encrypt(b"", recipients=[certificate], armor=False)))
    except RuntimeError as error:
        raise _no_encryption_key() from error
    # Sequoia takes expired subkeys when there is no other; a live one makes the message readable.
    ends = [end for key, end in _ends(_packets(bytes(certificate)), expires) if key in recipients]
    past = [end for end in ends if end is not None and end <= now]
    if past and len(past) == len(ends):
        raise _expired(max(past))


def _expired(when: datetime) -> UnusableKeyError:
    return UnusableKeyError(
        f"expired on {when:%Y-%m-%d}", "ask the custodian to prolong it, and export it again"
    )


def _no_encryption_key() -> UnusableKeyError:
    return UnusableKeyError(
        "has no subkey that may be encrypted to",
        "ask the custodian to add an encryption subkey, and export it again",
    )


def _private_key(text: Secret) -> Tsk:
    try:
        return Tsk.from_bytes(text.reveal().encode())
    except RuntimeError as error:
        raise DamagedMessageError from error


def _packets(data: bytes) -> tuple[Packet, ...]:
    try:
        return tuple(PacketPile.from_bytes(data))
    except RuntimeError as error:
        raise DamagedMessageError from error


def _recipients(message: bytes) -> Iterator[str]:
    """Ids of the keys that a message is encrypted to (RFC 9580, 5.1.1 and 5.1.2), hex."""
    for packet in _packets(message):
        if packet.tag != Tag.PKESK:
            continue
        body = packet.body
        if body[0] == 3:
            yield body[1:9].hex()
        elif body[0] == 6 and body[1] > 1:
            fingerprint = body[3 : 2 + body[1]]
            yield (fingerprint[-8:] if body[2] == 4 else fingerprint[:8]).hex()


def _ends(
    packets: tuple[Packet, ...], primary_end: datetime | None
) -> Iterator[tuple[str, datetime | None]]:
    """Id and end of every key of a certificate; a subkey's is in its newest binding signature."""
    key: Packet | None = None
    newest: Packet | None = None
    for packet in (*packets, None):
        if packet is not None and packet.tag not in _PUBLIC:
            binds = packet.signature_type == SignatureType.SubkeyBinding
            if binds and (newest is None or _made(packet) >= _made(newest)):
                newest = packet
            continue
        if key is not None and key.key_id is not None:
            yield key.key_id, primary_end if key.tag == Tag.PublicKey else _end(key, newest)
        key, newest = packet, None


def _made(signature: Packet) -> float:
    return signature.signature_created.timestamp() if signature.signature_created else 0.0


def _end(key: Packet, binding: Packet | None) -> datetime | None:
    lives = binding.key_validity_period if binding else None
    return key.key_created + lives if key.key_created and lives else None
