"""A rendered service and its secrets on loopback, with the platform's own authority behind them."""

from __future__ import annotations

import functools
import os
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from installer.adapters.service_authority import ServiceAuthority
from installer.core.bundle import Bundle
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.core.secrets import ISSUED, Secret, SecretSpec, expand, make_secret
from installer.stacks import load_templates
from tests.stacks.builders import ROOT, load, make_plan_for, services_of

Value = Callable[[], Secret]


@functools.cache
def drawn() -> tuple[Plan, Bundle]:
    """A plan with what is verified here, and its bundle."""
    plan = make_plan_for(load(), more={"minio": {"enabled": False}})
    return plan, render(plan, load_templates(ROOT, load()))


class MemoryStore:
    """A secret store in memory, with the number of values that each name has had."""

    def __init__(self) -> None:
        self.values: dict[str, list[Secret]] = {}

    def get(self, name: str) -> Secret | None:
        return self.values[name][-1] if name in self.values else None

    def ensure(self, spec: SecretSpec, make_it: Value) -> Secret:
        if spec.name not in self.values:
            self.values[spec.name] = [make_it()]
        return self.values[spec.name][-1]

    def names(self) -> frozenset[str]:
        return frozenset(self.values)

    def replace(self, spec: SecretSpec, value: Secret) -> Secret:
        self.values.setdefault(spec.name, []).append(value)
        return value

    def previous(self, name: str) -> Secret | None:
        return self.values[name][-2] if len(self.values.get(name, ())) > 1 else None

    def version(self, name: str) -> int | None:
        return len(self.values[name]) if name in self.values else None

    def remove(self, name: str) -> None:
        self.values.pop(name, None)


def make_authority(
    store: MemoryStore, specs: tuple[SecretSpec, ...], now: datetime | None = None
) -> ServiceAuthority:
    """The product's, by some clock."""
    return ServiceAuthority(
        store,
        specs,
        deployment="devplat",
        now=lambda: now or datetime.now(UTC),
        entropy=os.urandom,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Lab:
    """Files of services as they see them, below a folder of their own."""

    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        specs = self.plan.secrets
        authority = make_authority(self.store, specs)
        for spec in specs:
            if spec.kind not in ISSUED:
                self.store.ensure(spec, lambda kind=spec.kind: make_secret(kind, os.urandom))
        # nothing here goes by the edge
        for name in ("roots.pem", "tls_fullchain.pem", "tls_key.pem"):
            self.store.values[f"edge.{name}"] = [Secret("of the edge\n")]
        for spec in authority.due():
            self.store.replace(spec, authority.issue(spec))

    @property
    def plan(self) -> Plan:
        return drawn()[0]

    def secrets_of(self, service: str) -> Path:
        """The service's /run/secrets, written."""
        place = self.folder / "secrets" / service
        place.mkdir(parents=True, exist_ok=True)
        values = {name: versions[-1] for name, versions in self.store.values.items()}
        for file, text in self.plan.manifest(service).secret_files.items():
            path = place / file
            path.unlink(missing_ok=True)
            path.write_text(expand(text, values).reveal())
            path.chmod(0o400)
        return place

    def rendered(self, path: str) -> str:
        """A file of the bundle."""
        return drawn()[1].files[path].data.decode()

    def fragment(self, service: str) -> Mapping[str, Any]:
        """The service in the document."""
        return services_of(drawn()[1])[service]

    def replace(
        self, name: str, by: Lab | None = None, hosts: tuple[str, ...] | None = None
    ) -> None:
        """Another certificate in place of one: of another authority, or for other names."""
        spec = next(spec for spec in self.plan.secrets if spec.name == name)
        other = by or self
        if hosts:
            spec = SecretSpec(spec.name, spec.kind, spec.purpose, spec.answer, hosts)
        self.store.replace(spec, make_authority(other.store, other.plan.secrets).issue(spec))


def in_place(text: str, secrets: Path) -> str:
    """Text with paths as they are here."""
    return text.replace("/run/secrets", str(secrets))


@contextmanager
def serving(argv: list[str], is_up: Callable[[], bool], **how: Any) -> Iterator[None]:
    """A program while it serves.

    Raises:
        AssertionError: it ends, or is not up within 20 s; with what it said.
    """
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **how
    ) as process:
        try:
            deadline = time.monotonic() + 20
            while not is_up():
                if process.poll() is not None or time.monotonic() > deadline:
                    process.kill()
                    raise AssertionError(f"{shlex.join(argv)}: {process.communicate()[0][-2000:]}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.communicate(timeout=15)


def listens(port: int) -> bool:
    """Whether a TCP connection is taken."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
