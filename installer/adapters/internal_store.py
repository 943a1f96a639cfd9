"""A view of two stores for the authority inside the platform, whose key moves between them.

Before the secret server is open its key lies in the courier, afterwards in the server.
"""

from __future__ import annotations

from collections.abc import Callable

from installer.core.secrets import Secret, SecretSpec
from installer.ports import SecretStore


class InternalStore:
    """What begins with `prefix`: in the courier while it is there, in the server otherwise.

    `is_open` tells whether the server is set up, so that what is new goes into it.
    """

    def __init__(
        self,
        courier: SecretStore,
        server: SecretStore,
        prefix: str,
        is_open: Callable[[], bool],
    ) -> None:
        self._courier = courier
        self._server = server
        self._prefix = prefix
        self._is_open = is_open

    def get(self, name: str) -> Secret | None:
        """The current value, or None."""
        return self._holder(name).get(self._prefix + name)

    def ensure(self, spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        """The stored value; made when absent."""
        return self._holder(spec.name).ensure(self._named(spec), make)

    def names(self) -> frozenset[str]:
        """The names that have a value, without the prefix."""
        both = self._courier.names() | (self._server.names() if self._is_open() else frozenset())
        return frozenset(n.removeprefix(self._prefix) for n in both if n.startswith(self._prefix))

    def replace(self, spec: SecretSpec, value: Secret) -> Secret:
        """A new version."""
        return self._holder(spec.name).replace(self._named(spec), value)

    def previous(self, name: str) -> Secret | None:
        """The value before."""
        return self._holder(name).previous(self._prefix + name)

    def version(self, name: str) -> int | None:
        """How many values it has had."""
        return self._holder(name).version(self._prefix + name)

    def remove(self, name: str) -> None:
        """Remove a name from both."""
        self._courier.remove(self._prefix + name)
        if self._is_open():
            self._server.remove(self._prefix + name)

    def _holder(self, name: str) -> SecretStore:
        if self._courier.get(self._prefix + name) is not None or not self._is_open():
            return self._courier
        return self._server

    def _named(self, spec: SecretSpec) -> SecretSpec:
        return SecretSpec(self._prefix + spec.name, spec.kind, spec.purpose)
