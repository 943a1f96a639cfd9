"""A secret store in memory that tells of every change before it makes it."""

from __future__ import annotations

from collections.abc import Callable

from installer.core.secrets import Secret, SecretSpec


class Store:
    """Keeps every version."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.versions: dict[str, list[Secret]] = {}
        self.tell = tell

    def get(self, name: str) -> Secret | None:
        return self.versions[name][-1] if name in self.versions else None

    def names(self) -> frozenset[str]:
        return frozenset(self.versions)

    def ensure(self, spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        if spec.name not in self.versions:
            self.tell(f"store {spec.name}")
            self.versions[spec.name] = [make()]
        return self.versions[spec.name][-1]

    def replace(self, spec: SecretSpec, value: Secret) -> Secret:
        self.tell(f"replace {spec.name}")
        self.versions.setdefault(spec.name, []).append(value)
        return value

    def previous(self, name: str) -> Secret | None:
        return self.versions[name][-2] if len(self.versions.get(name, ())) > 1 else None

    def version(self, name: str) -> int | None:
        return len(self.versions[name]) if name in self.versions else None

    def remove(self, name: str) -> None:
        if name in self.versions:
            self.tell(f"remove {name}")
            del self.versions[name]
