"""Custodians: whom a share of the unseal key is encrypted to, as the answers name them.

A key is judged by the library that will encrypt to it, before anything is contacted. No message
shows what was given or what a file holds: it may be the private half by mistake.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shlex import quote

from installer.adapters import age, openpgp
from installer.adapters.age import UnusableRecipientError
from installer.adapters.openpgp import UnusableKeyError
from installer.adapters.private_files import read_up_to
from installer.core.errors import AnswersError, Problem, Remedy

LARGEST = 1024 * 1024
"""Bytes above which a file is not taken for a certificate; photos in user ids are the biggest."""
_PATH = ("/", "~/", "./", "../")
_FORMS = "age1…, ssh-ed25519 …, ssh-rsa … of 2048 bits or more, or the path of an OpenPGP key"


@dataclass(frozen=True, slots=True)
class Custodian:
    """Somebody who keeps a share.

    Attributes:
        recipient: The public key in a short form: age recipient, SSH or OpenPGP fingerprint.
    """

    name: str
    recipient: str
    key: age.Recipient | openpgp.Certificate

    @property
    def suffix(self) -> str:
        """Ending of the name of a file that is encrypted to this key."""
        return "asc" if isinstance(self.key, openpgp.Certificate) else "age"

    def seal(self, content: bytes) -> bytes:
        """The content encrypted to this custodian alone, armored.

        Raises:
            AnswersError: `vault.custodian_key`, the key cannot be encrypted to after all.
        """
        try:
            if isinstance(self.key, openpgp.Certificate):
                return openpgp.encrypt_to(self.key, content)
            return age.encrypt_to(self.key, content)
        except UnusableKeyError as error:
            raise AnswersError(
                _problem(self.name, f"the key {error.what}", error.remedy)
            ) from error
        except UnusableRecipientError as error:
            raise AnswersError(_no_recipient(self.name)) from error


def check_custodians(custodians: Mapping[str, str], now: datetime) -> tuple[Custodian, ...]:
    """Read every custodian's key and make sure that it can be encrypted to at `now`.

    Args:
        custodians: Name → age recipient, line of an SSH public key, or path of a file with an
            OpenPGP certificate, armored or binary; in the order of the shares.
        now: Aware.

    Raises:
        AnswersError: `vault.custodian_key` for each key that cannot be used, or that two have.
    """
    found: list[Custodian] = []
    problems: list[Problem] = []
    for name, text in custodians.items():
        try:
            custodian = _read(name, text.strip(), now)
        except AnswersError as error:
            problems += error.problems
            continue
        twin = next((other for other in found if other.recipient == custodian.recipient), None)
        if twin is not None:
            problems.append(_same_key(name, twin.name))
        found.append(custodian)
    if problems:
        raise AnswersError(*problems)
    return tuple(found)


def _read(name: str, text: str, now: datetime) -> Custodian:
    if not text.startswith(_PATH):
        try:
            recipient = age.read_recipient(text)
        except UnusableRecipientError as error:
            raise AnswersError(_no_recipient(name)) from error
        return Custodian(name, recipient.name, recipient)
    data = _read_file(name, text)
    try:
        certificate = openpgp.read_certificate(data, now)
    except UnusableKeyError as error:
        raise AnswersError(_problem(name, f"{text} {error.what}", error.remedy)) from error
    return Custodian(name, certificate.fingerprint, certificate)


def _read_file(name: str, text: str) -> bytes:
    what = ""
    try:
        path = Path(text).expanduser()
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                what = "not a regular file"
            data = b"" if what else read_up_to(descriptor, LARGEST + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise AnswersError(_no_file(name, text, (error.strerror or "").lower())) from error
    except (ValueError, RuntimeError) as error:  # a NUL in it, or a home that does not exist
        raise AnswersError(_no_file(name, text, "no path of a file")) from error
    if len(data) > LARGEST:
        what = f"more than {LARGEST} bytes"
    if what:
        raise AnswersError(_no_file(name, text, what))
    return data


def _problem(name: str, summary: str, remedy: str, *commands: str) -> Problem:
    return Problem(
        code="vault.custodian_key",
        summary=summary,
        where=f"vault.custodians.{name}",
        remedy=Remedy(remedy, commands),
    )


def _no_recipient(name: str) -> Problem:
    return _problem(
        name,
        f"the key of {name} is no public key that a share can be encrypted to; allowed: {_FORMS}",
        "write the public half; if the private one stood here, it is to be replaced",
    )


def _no_file(name: str, text: str, what: str) -> Problem:
    return _problem(
        name,
        f"{text} cannot be read: {what}",
        f"name the file with the OpenPGP public key of {name}",
        f"gpg --armor --export {quote(name)}",
    )


def _same_key(name: str, other: str) -> Problem:
    return _problem(
        name,
        f"{name} has the key of {other}, so one of them would hold two shares",
        "give every custodian a key of their own",
    )
