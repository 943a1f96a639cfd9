"""Secrets that the answers refer to, read and checked; every value is told to the redactor."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from installer.adapters.secret_sources import Fetch, resolve_secret
from installer.core.errors import AnswersError, SecretStoreError
from installer.core.fields_secrets import check_secret_value
from installer.core.redaction import Redactor
from installer.core.secretrefs import SecretRef, SecretSource
from installer.core.secrets import Secret, SecretSpec
from installer.ports import SecretStore


class KnownStore:
    """A store that tells the redactor every value it gives out."""

    def __init__(self, store: SecretStore, redactor: Redactor) -> None:
        self._store = store
        self._redactor = redactor

    def get(self, name: str) -> Secret | None:
        """The current value, or None."""
        return self._told(self._store.get(name))

    def ensure(self, spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        """The stored value; made when absent."""
        value = self._store.ensure(spec, make)
        self._redactor.add(value)
        return value

    def names(self) -> frozenset[str]:
        """The names that have a value."""
        return self._store.names()

    def replace(self, spec: SecretSpec, value: Secret) -> Secret:
        """A new version."""
        self._redactor.add(value)
        return self._store.replace(spec, value)

    def previous(self, name: str) -> Secret | None:
        """The value before."""
        return self._told(self._store.previous(name))

    def version(self, name: str) -> int | None:
        """How many values it has had."""
        return self._store.version(name)

    def remove(self, name: str) -> None:
        """Remove a name."""
        self._store.remove(name)

    def _told(self, value: Secret | None) -> Secret | None:
        if value is not None:
            self._redactor.add(value)
        return value


class SecretReader:
    """Reads the secrets that answers refer to, checks them, and tells the redactor."""

    def __init__(self, redactor: Redactor, ask: Callable[[str], str] | None) -> None:
        self._redactor = redactor
        self._ask = ask
        self._stores: Mapping[SecretSource, Fetch] = {}

    def read_from(self, stores: Mapping[SecretSource, Fetch]) -> None:
        """Read references to these stores too, from now on."""
        self._stores = stores

    @property
    def redactor(self) -> Redactor:
        """Who is told."""
        return self._redactor

    @property
    def ask(self) -> Callable[[str], str] | None:
        """Puts a question without echo; None where nobody may be asked."""
        return self._ask

    def read(self, reference: SecretRef, where: str) -> Secret:
        """The secret, byte for byte.

        Raises:
            InstallError: it is not there, or not acceptable for the answer at `where`.
        """
        try:
            value = resolve_secret(reference, where, ask=self._ask, stores=self._stores)
        except SecretStoreError as error:
            # what is wrong with a reference is told without knowing which answer has it
            placed = (each if each.where else each.at(where) for each in error.problems)
            raise SecretStoreError(*placed) from error
        self._redactor.add(value)
        if problems := check_secret_value(where, value):
            raise AnswersError(*problems)
        return value

    def read_optional(self, reference: SecretRef | None, where: str) -> Secret | None:
        """The secret, or None where no reference was given."""
        return None if reference is None else self.read(reference, where)
