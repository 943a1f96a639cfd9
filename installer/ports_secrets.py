"""Ports of what is kept secret: the store, the platform's own server, its keys, certificates.

`ports` is where everybody imports them from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from installer.core.certificates import TlsMaterial
from installer.core.secrets import Secret, SecretSpec
from installer.core.store_rules import StoreRules

if TYPE_CHECKING:  # what renders is not loaded to ship files
    from installer.core.sign_in import SignIn


class SecretStore(Protocol):
    """Where secrets live. A second `ensure` of the same name returns the first value.

    Every method raises `SecretStoreError` when the store cannot be read or refuses, and
    `IntegrityError` when what it gives back is not what was written.
    """

    def get(self, name: str) -> Secret | None:
        """The current value, or None."""
        ...

    def ensure(self, spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        """The stored value of `spec.name`; made, stored durably and read back when absent."""
        ...

    def names(self) -> frozenset[str]:
        """The names that have a value."""
        ...

    def replace(self, spec: SecretSpec, value: Secret) -> Secret:
        """Store a new version, durably; returns it as read back. The old one is `previous` now."""
        ...

    def previous(self, name: str) -> Secret | None:
        """The value before the current one, or None when there was none or it is not kept."""
        ...

    def version(self, name: str) -> int | None:
        """How many values the name has had, 1 for the first; None when it has none."""
        ...

    def remove(self, name: str) -> None:
        """Remove a name with all its versions; no error when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class SealStatus:
    """What a secret server says of itself without a login.

    Attributes:
        initialised: Its storage has been set up; only once in its life.
        sealed: It cannot read its storage until enough shares were given.
        shares: Parts that the unseal key was split into.
        threshold: Parts needed to unseal.
        progress: Parts given so far.
        seal: `shamir`, or the service that unseals it.
    """

    initialised: bool
    sealed: bool
    shares: int = 0
    threshold: int = 0
    progress: int = 0
    seal: str = "shamir"


@dataclass(frozen=True, slots=True)
class RoleKey:
    """A machine's login to a secret server. `secret_id` is wrapped when it was asked for so."""

    role_id: str
    secret_id: Secret


class SignInMethod(Protocol):
    """A login method of people. Raises as the server; somebody else's is left untouched."""

    def lacks(self, wanted: SignIn, client: Secret, roots: str) -> tuple[str, ...]:
        """What of it is not there, in words; empty when everything is."""
        ...

    def configure(self, wanted: SignIn, client: Secret, roots: str) -> None:
        """Make it so. Raises `vault.sign_in_refused` while the provider cannot be used."""
        ...

    def is_there(self, method: str, mark: str) -> bool:
        """Whether a method of ours is, whatever it says."""
        ...

    def remove(self, method: str, mark: str, prefix: str) -> None:
        """Take ours away, with its policies whose names begin with `prefix`."""
        ...


class SecretServer(Protocol):
    """Administration of a Vault-compatible server that is a part of the platform.

    Every method raises `SecretStoreError`; an unreachable server is `vault.unreachable`.
    """

    @property
    def sign_in(self) -> SignInMethod:
        """How people log in to it."""
        ...

    def status(self) -> SealStatus:
        """Needs no login."""
        ...

    def unseal(self, share: Secret) -> SealStatus:
        """Give one share. Raises `vault.share_refused` when the server takes it for none."""
        ...

    def forget_shares(self) -> SealStatus:
        """Discard the shares given so far, after a wrong one."""
        ...

    def log_in(self, token: Secret) -> None:
        """Act with this token from now on."""
        ...

    def log_in_as(self, key: RoleKey) -> None:
        """Log in as a machine; the token is renewed, or fetched anew when it has ended."""
        ...

    def lacks(self, rules: StoreRules) -> tuple[str, ...]:
        """What of the rules is not there, in words; empty when everything is."""
        ...

    def configure(self, rules: StoreRules) -> None:
        """Make audit devices, the KV mount, policies and roles as the rules say."""
        ...

    def issue(self, role: str, *, wrap_s: int | None) -> RoleKey:
        """A fresh login for a role; wrapped for one use within `wrap_s` seconds when given."""
        ...

    def is_valid(self, token: Secret) -> bool:
        """Whether the server knows this token."""
        ...

    def revoke(self, token: Secret) -> None:
        """End a token and what came from it."""
        ...

    def log_out(self) -> None:
        """End the token of the current login; no error when there is none."""
        ...

    def snapshot(self) -> Iterator[bytes]:
        """The storage as the server exports it (encrypted by its barrier), in pieces."""
        ...


@dataclass(frozen=True, slots=True)
class HandedShare:
    """A share as its custodian gets it. `fingerprint` is of the share, first 16 hex of SHA-256."""

    number: int
    custodian: str
    recipient: str
    place: str
    fingerprint: str


class Custody(Protocol):
    """The keys of the secret server between its birth and the hands of their custodians."""

    def transport_key(self) -> str:
        """Base64 of an OpenPGP public key; its private half is durable before this returns."""
        ...

    def open(self, sealed: str) -> Secret:
        """What the server encrypted to the transport key (base64 of an OpenPGP message).

        Raises `vault.transport_lost` when the private half is not here.
        """
        ...

    def hand_over(self, shares: Sequence[Secret]) -> tuple[HandedShare, ...]:
        """Encrypt each share to its custodian and keep it durably; the same again on a rerun."""
        ...

    def handed_over(self) -> tuple[HandedShare, ...]:
        """What was handed over; empty before that."""
        ...

    def prove(self, shares: Sequence[HandedShare]) -> str | None:
        """Have one custodian type a share back; the custodian, or None when nobody can be asked.

        Raises `vault.share_wrong` after three wrong ones.
        """
        ...

    def shares(self, wanted: int) -> Iterator[Secret]:
        """Shares to unseal with: by reference from the answers, else asked for, hidden.

        Raises `vault.sealed` when there are none and nobody can be asked.
        """
        ...

    def can_unseal(self, wanted: int) -> bool:
        """Whether so many shares can be had: by reference, or from somebody at a terminal."""
        ...

    def access(self) -> RoleKey | None:
        """The installer's own login to the server, or None before it was kept."""
        ...

    def keep_access(self, key: RoleKey) -> None:
        """Keep it durably; it is all that stays on this machine."""
        ...

    def holds_transport(self) -> bool:
        """Whether the private half of the transport key is still here."""
        ...

    def forget_transport(self) -> None:
        """Destroy the private half of the transport key; afterwards the answer opens for nobody."""
        ...


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """A snapshot of the server's storage as it was kept; `size` in bytes, `digest` SHA-256 hex."""

    place: str
    size: int
    digest: str


class Snapshots(Protocol):
    """Snapshots of the server's storage on this machine, the newest few.

    Attributes:
        place: Where they lie.
    """

    place: str

    def keep(self, pieces: Iterable[bytes], taken: datetime) -> KeptSnapshot:
        """Keep one durably; the oldest beyond the few are removed.

        Raises `IntegrityError` when it is not whole, `LocalIoError` when it cannot be written.
        """
        ...

    def is_intact(self, kept: KeptSnapshot) -> bool:
        """Whether it still is as it was kept. Raises as `keep`."""
        ...


class CertificateIssuer(Protocol):
    """Where the edge's certificate comes from, unless the edge fetches its own.

    Attributes:
        credentials: For an edge that fetches its own: variable of its provider → value.
    """

    credentials: Mapping[str, Secret]

    def ensure(self, names: Sequence[str]) -> TlsMaterial | None:
        """A certificate that is good for these names, made or renewed when it is not there.

        None when the edge gets its own (ACME).

        Raises:
            TlsError: what was provided is unusable.
        """
        ...

    def current(self, names: Sequence[str]) -> TlsMaterial | None:
        """The same without making anything: None when there is none, or it is due for renewal."""
        ...

    def roots(self) -> bytes | None:
        """Roots that clients need besides the system's, as PEM."""
        ...


class ServiceIssuer(Protocol):
    """Where the certificates of the platform's own servers come from, and their roots.

    Methods raise as the store, and `IntegrityError` when what it holds is no such secret.
    """

    def due(self) -> tuple[SecretSpec, ...]:
        """Issued secrets of the plan that are absent, near their end, or not as it wants them."""
        ...

    def issue(self, spec: SecretSpec) -> Secret:
        """A new value of one; whoever asks stores it."""
        ...


@dataclass(frozen=True, slots=True)
class ServerPorts:
    """What a platform with a secret server of its own needs besides.

    Attributes:
        admin: The server.
        custody: Its keys.
        certificates: Certificates of the authority inside the platform.
        courier: The sealed local store; holds what is made before the server is open.
        snapshots: Copies of its storage on this machine.
        token: Acts instead of the installer's own login, where the answers give one.
        seal_token: For the key service that unseals it, where there is one that takes a token.
    """

    admin: SecretServer
    custody: Custody
    certificates: CertificateIssuer
    courier: SecretStore
    snapshots: Snapshots
    token: Secret | None = None
    seal_token: Secret | None = None
