"""`CertificateIssuer` by mode: files that were provided, a private authority, or none of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from installer.adapters.certificates import provided_files
from installer.adapters.private_authority import private_ca, stored_root
from installer.core.certificates import TlsMaterial
from installer.core.errors import Problem, Remedy, TlsError
from installer.core.secrets import Secret, SecretSpec
from installer.ports import Entropy, SecretStore


class PrivateAuthority:
    """An authority of this deployment; it and its certificates live in the secret store."""

    credentials: Mapping[str, Secret] = MappingProxyType({})

    def __init__(
        self,
        store: SecretStore,
        *,
        deployment: str,
        domain: str,
        profile: str,
        now: Callable[[], datetime],
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._deployment = deployment
        self._domain = domain
        self._profile = profile
        self._now = now
        self._entropy = entropy

    def ensure(self, names: Sequence[str]) -> TlsMaterial:
        """The certificate for these names; made or renewed when it is not there."""
        return self._issue(self._store, names)

    def current(self, names: Sequence[str]) -> TlsMaterial | None:
        """The same, or None when something would have to be made."""
        try:
            return self._issue(_ReadOnly(self._store), names)
        except _WouldMakeError:
            return None

    def roots(self) -> bytes | None:
        """The authority's own certificate, also while one that it issued is due for renewal."""
        return stored_root(self._store)

    def _issue(self, store: SecretStore, names: Sequence[str]) -> TlsMaterial:
        return private_ca(
            store,
            deployment=self._deployment,
            domain=self._domain,
            hosts=names,
            now=self._now(),
            random=self._entropy,
            profile=self._profile,
        )


class ProvidedFiles:
    """Files that the operator named; they are read and checked when this is made."""

    credentials: Mapping[str, Secret] = MappingProxyType({})

    def __init__(
        self,
        certificate_file: Path,
        key_file: Path,
        chain_file: Path | None,
        passphrase: Secret | None,
        *,
        names: Sequence[str],
        profile: str,
        now: datetime,
    ) -> None:
        self._material = provided_files(
            certificate_file, key_file, chain_file, passphrase, names, now, profile=profile
        )

    def ensure(self, names: Sequence[str]) -> TlsMaterial:
        """What the files make up."""
        del names
        return self._material

    current = ensure

    def roots(self) -> bytes | None:
        """The root in the files, if the system does not have it."""
        return self._material.roots_pem


class EdgeIssued:
    """The edge gets its own certificates (ACME), with the provider's credentials.

    `roots_pem` is the root of a private directory; its certificates end there too.
    """

    def __init__(
        self, credentials: Mapping[str, Secret], *, roots_pem: bytes | None = None
    ) -> None:
        self.credentials = credentials
        self._roots_pem = roots_pem

    def ensure(self, names: Sequence[str]) -> None:
        """Nothing."""
        del names

    current = ensure

    def roots(self) -> bytes | None:
        """Roots to trust besides the system's."""
        return self._roots_pem


def check_mac_key(key: Secret, where: str) -> Secret:
    """The MAC key of an external account, without the line end of a file.

    Raises:
        TlsError: it is not base64url (RFC 8555, 7.3.4); the value is not shown.
    """
    text = key.reveal().strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{16,512}={0,2}", text, re.ASCII):
        raise TlsError(
            Problem(
                code="tls.mac_key",
                summary="the MAC key is no base64url of 16 to 512 characters",
                where=where,
                remedy=Remedy("store it exactly as the authority shows it"),
            )
        )
    return Secret(text)


class _WouldMakeError(Exception):
    """Looking must not make anything."""


class _ReadOnly:
    """A store that can be looked into."""

    def __init__(self, store: SecretStore) -> None:
        self._store = store

    def get(self, name: str) -> Secret | None:
        return self._store.get(name)

    def names(self) -> frozenset[str]:
        return self._store.names()

    def ensure(self, spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        del make
        if (value := self._store.get(spec.name)) is not None:
            return value
        raise _WouldMakeError

    def previous(self, name: str) -> Secret | None:
        return self._store.previous(name)

    def version(self, name: str) -> int | None:
        return self._store.version(name)

    def replace(self, spec: SecretSpec, value: Secret) -> Secret:
        del spec, value
        raise _WouldMakeError

    def remove(self, name: str) -> None:
        del name
        raise _WouldMakeError
