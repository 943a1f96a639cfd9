"""The authority that the platform's own servers are believed by, inside the platform.

It and what it issues live in the secret store, below names of their own: it shares nothing with the
authority of the edge, and signs only names of services. Its key never leaves the store but to sign.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding

from installer.adapters.certificate_facts import describe_certificate, is_signed_by
from installer.adapters.internal_store import InternalStore
from installer.adapters.issued import (
    Issued,
    latest_number,
    load_issued,
    parse_issued,
    serialise_issued,
)
from installer.adapters.private_authority import AUTHORITY, issue_certificate, open_authority
from installer.core.certificates import needs_new_authority, needs_new_leaf, permitted_names
from installer.core.secrets import ISSUED, Secret, SecretKind, SecretSpec
from installer.ports import Entropy, SecretStore

SERVICES = "services."
"""Begins the names of what belongs to this authority."""


class ServiceAuthority:
    """Issues the secrets of the kinds in `ISSUED` that have no answer of their own."""

    def __init__(
        self,
        store: SecretStore,
        specs: Sequence[SecretSpec],
        *,
        deployment: str,
        now: Callable[[], datetime],
        entropy: Entropy,
    ) -> None:
        """`specs` are all secrets of the plan; their hosts are what it may sign."""
        self._store = store
        self._kept = InternalStore(store, store, SERVICES, lambda: True)
        self._specs = tuple(s for s in specs if s.kind in ISSUED and s.answer is None)
        self._deployment = deployment
        self._now = now
        self._entropy = entropy

    def due(self) -> tuple[SecretSpec, ...]:
        """Those to be issued: absent, at most a third of life left, or not as the plan wants."""
        if not self._specs:
            return ()
        authority = self._current()
        return tuple(spec for spec in self._specs if not self._fits(spec, authority))

    def issue(self, spec: SecretSpec) -> Secret:
        """A new value; the authority behind it is kept before this returns, the value is not."""
        authority, _ = open_authority(
            self._kept, self._deployment, self._permitted, self._now(), self._entropy
        )
        if spec.kind is SecretKind.ROOTS:
            return _roots(authority)
        return serialise_issued(
            issue_certificate(
                authority, spec.hosts, self._now(), self._entropy, name=self._deployment
            )
        )

    @property
    def _permitted(self) -> tuple[str, ...]:
        hosts = sorted({host for spec in self._specs for host in spec.hosts})
        return permitted_names("localhost", hosts)

    def _current(self) -> Issued | None:
        """The authority as it is; None when another one has to be made."""
        if (number := latest_number(self._kept, AUTHORITY)) == 0:
            return None
        authority = load_issued(self._kept, AUTHORITY, number)
        facts = describe_certificate(authority.certificate)
        return None if needs_new_authority(facts, self._permitted, self._now()) else authority

    def _fits(self, spec: SecretSpec, authority: Issued | None) -> bool:
        value = self._store.get(spec.name)
        if value is None or authority is None:
            return False
        if spec.kind is SecretKind.ROOTS:
            return value == _roots(authority)
        issued = parse_issued(value, spec.name)
        facts = describe_certificate(issued.certificate)
        signed = is_signed_by(issued.certificate, authority.certificate)
        return signed and not needs_new_leaf(facts, spec.hosts, self._now())


def _roots(authority: Issued) -> Secret:
    return Secret(authority.certificate.public_bytes(Encoding.PEM).decode("ascii"))
