"""What the tests of custody share: a store in memory, custodians with both halves, shares."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyrage
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from pyrage import ssh, x25519
from pysequoia import Cert, Tsk, decrypt, encrypt

from installer.adapters.custody import LocalCustody
from installer.core.secrets import Secret, SecretSpec

Opener = Callable[[bytes], bytes]


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class MemoryStore:
    """A `SecretStore` that keeps versions in memory and logs what is done to it."""

    values: dict[str, list[Secret]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def get(self, name: str) -> Secret | None:
        return self.values[name][-1] if name in self.values else None

    def ensure(self, spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        if spec.name not in self.values:
            self.values[spec.name] = [make()]
            self.log.append(f"write {spec.name}")
        return self.values[spec.name][-1]

    def names(self) -> frozenset[str]:
        return frozenset(self.values)

    def replace(self, spec: SecretSpec, value: Secret) -> Secret:
        self.values.setdefault(spec.name, []).append(value)
        self.log.append(f"write {spec.name}")
        return value

    def previous(self, name: str) -> Secret | None:
        versions = self.values.get(name, [])
        return versions[-2] if len(versions) > 1 else None

    def version(self, name: str) -> int | None:
        return len(self.values[name]) if name in self.values else None

    def remove(self, name: str) -> None:
        self.values.pop(name, None)
        self.log.append(f"remove {name}")


@dataclass(frozen=True)
class Keyring:
    """Custodians for the answers, and what each of them opens their file with."""

    custodians: Mapping[str, str]
    openers: Mapping[str, Opener]


def make_keyring(folder: Path, kinds: Sequence[str] = ("age", "ssh", "openpgp")) -> Keyring:
    """One custodian of each kind, called `<kind>-<number>`."""
    made = {
        f"{kind}-{at}": make_custodian(kind, folder / f"{kind}-{at}.pgp")
        for at, kind in enumerate(kinds, 1)
    }
    return Keyring({n: text for n, (text, _) in made.items()}, {n: o for n, (_, o) in made.items()})


def make_custodian(kind: str, path: Path) -> tuple[str, Opener]:
    """The text of the answers, and what opens a file for it."""
    if kind == "age":
        identity = x25519.Identity.generate()
        return str(identity.to_public()), lambda data: pyrage.decrypt(data, [identity])
    if kind.startswith("ssh"):
        return make_ssh(kind)
    key = Tsk.generate("custodian <custodian@company.com>")
    path.write_bytes(bytes(key.extract_certificate()))
    return str(path), lambda data: open_pgp(data, key)


def make_ssh(kind: str) -> tuple[str, Opener]:
    key = (
        rsa.generate_private_key(65537, 2048)
        if kind == "ssh-rsa"
        else ed25519.Ed25519PrivateKey.generate()
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    identity = ssh.Identity.from_buffer(private)
    return f"{public.decode()} anna@laptop", lambda data: pyrage.decrypt(data, [identity])


def open_pgp(data: bytes, key: Tsk) -> bytes:
    content = decrypt(bytes=data, decryptor=key.decryptor()).bytes
    assert content is not None
    return content


def make_shares(count: int) -> list[Secret]:
    """Shares as the server writes them before it encrypts them: 33 bytes in hex."""
    return [Secret(os.urandom(33).hex()) for _ in range(count)]


def seal_to(public: str, value: str) -> str:
    """What a server does with a value and a base64 public key."""
    from base64 import b64decode

    cert = Cert.from_bytes(b64decode(public))
    return b64encode(encrypt(value.encode(), recipients=[cert], armor=False)).decode()


class Person:
    """Answers questions from a list, and remembers what was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, question: str) -> str:
        self.asked.append(question)
        return self.answers.pop(0)


def make_custody(
    folder: Path,
    custodians: Mapping[str, str],
    store: MemoryStore | None = None,
    *,
    ask: Callable[[str], str] | None = None,
    references: Sequence[Secret] = (),
    learn: Callable[[Secret], None] = lambda _: None,
) -> LocalCustody:
    return LocalCustody(
        store if store is not None else MemoryStore(), folder / "run" / "custody", custodians,
        ask=ask, references=lambda: references, now=now, learn=learn,
    )  # fmt: skip
