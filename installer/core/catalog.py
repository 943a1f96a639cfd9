"""What can be installed: the manifests of `stacks/compose/*/service.yaml`, and their order.

There is no list of services anywhere: a folder is a service, and its manifest says everything the
installer must know. A mistake in a manifest is a `StackError`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from installer.core.errors import Problem, Remedy, StackError
from installer.core.secrets import SecretKind

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
UserId = Annotated[str, Field(pattern=r"^\d+:\d+$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Image(_Model):
    """Where an image comes from; its digest is in the lock file, not here."""

    repository: str
    tag: str


class Ingress(_Model):
    """A public name of a service.

    Attributes:
        host: Key of `domain.hosts`; also the default label below the base domain.
        port: Container port that the edge forwards to, in clear text on a network of its own.
        wildcard: Also every name directly below this host.
        health: Path that answers 200 without a login.
        deny: Paths the edge refuses (metrics, debug).
        limit: Name of the edge's rate limit for this host.
    """

    host: Name
    port: int
    health: str
    wildcard: bool = False
    deny: tuple[str, ...] = ()
    login_paths: tuple[str, ...] = ()


class Connection(_Model):
    """A flow this service starts. `public` means: to the edge by public names."""

    to: Name
    port: int
    why: str


class SecretDeclaration(_Model):
    """A secret this service brings into being. `value_from` is an answer path instead of a kind."""

    name: Name
    purpose: str
    kind: SecretKind = SecretKind.PASSWORD


class Data(_Model):
    """A directory below `target.data_dir` that outlives releases, bound to `path`."""

    name: Name
    path: str
    mode: str = "0700"
    backup: bool = True
    marker: str | None = None
    """A file below it whose presence proves that the service's secrets are in use."""


class Resources(_Model):
    """Limits at 50 and at 200 users; between and beyond, `sizing` interpolates.

    Memory in MiB, disk in GiB. `formula`: the vendor's rule that profile `custom` uses instead.
    """

    cpus: tuple[float, float]
    memory_mib: tuple[int, int]
    disk_gib: tuple[int, int] = (0, 0)
    pids: int = 200
    formula: Literal["control-plane", "database"] | None = None


class Exception_(_Model):
    """A hardening rule that this service does not meet, why, and what makes up for it."""

    assertion: Annotated[str, Field(pattern=r"^HD-\d\d$")]
    value: Any = None
    reason: str
    compensation: str


class DatabaseAction(_Model):
    """Before this service starts: a database owned by a role with a password of the store."""

    kind: Literal["database"]
    provider: Name
    database: str
    role: str
    secret: Name


class ExecAction(_Model):
    """After this service is healthy: run a program in it. `stdin` may name secrets as `${name}`.

    `unless` is a program whose status 0 says that nothing is left to do.
    """

    kind: Literal["exec"]
    title: str
    argv: tuple[str, ...]
    stdin: str = ""
    unless: tuple[str, ...]


Action = Annotated[DatabaseAction | ExecAction, Field(discriminator="kind")]


class ExecCheck(_Model):
    """A smoke test inside a container. `stdin` may name secrets as `${name}`.

    `in` is the service to run in, this one by default. `expect` is searched in standard output.
    """

    kind: Literal["exec"]
    id: Name
    title: str
    argv: tuple[str, ...]
    stdin: str = ""
    in_: Name | None = Field(default=None, alias="in")
    expect: str
    remedy: str


Check = ExecCheck


class Option(_Model):
    """A question that only this service asks; its answer path is `<section>.<name>`."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    type: Literal["bool", "int", "text", "choice"]
    default: bool | int | str
    title: str
    help: str
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None


class ServiceManifest(_Model):
    """Everything the installer knows of one service.

    Attributes:
        name: Folder, compose service, DNS name and hardening role in one.
        section: Answers section that switches this service (and others of the same section) on or
            off by its `enabled`; None means always installed.
        enabled: Default of that switch.
        user: Numeric uid:gid that the container runs as and that owns its data and secrets.
        requires: Services that must be healthy before this one starts.
        connects: Flows; each pair of services gets a network of its own, nothing else is shared.
        egress: Why this service may reach the internet, or None.
        publish: Ports published on the host's public address (the edge only).
        secret_files: File name below /run/secrets → text with `${secret-name}` in it.
    """

    name: Name
    title: str
    summary: str
    group: Literal["edge", "application", "data", "secrets", "build", "control", "monitoring"]
    licence: str
    section: str | None = None
    enabled: bool = True
    image: Image
    user: UserId
    requires: tuple[Name, ...] = ()
    connects: tuple[Connection, ...] = ()
    egress: str | None = None
    publish: tuple[int, ...] = ()
    ingress: tuple[Ingress, ...] = ()
    options: tuple[Option, ...] = ()
    secrets: tuple[SecretDeclaration, ...] = ()
    secret_files: Mapping[str, str] = {}
    data: tuple[Data, ...] = ()
    resources: Resources
    exceptions: tuple[Exception_, ...] = ()
    bootstrap: tuple[Action, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    """What the operator must know of this service: shown at review and in the report."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """All manifests, by name, in alphabetical order."""

    services: Mapping[str, ServiceManifest]

    @property
    def sections(self) -> Mapping[str, tuple[ServiceManifest, ...]]:
        """Answers section → the services it switches, for sections that switch any."""
        sections: dict[str, tuple[ServiceManifest, ...]] = {}
        for service in self.services.values():
            if service.section:
                sections[service.section] = (*sections.get(service.section, ()), service)
        return sections

    @property
    def hosts(self) -> Mapping[str, ServiceManifest]:
        """Key of `domain.hosts` → the service behind it."""
        return {i.host: s for s in self.services.values() for i in s.ingress}


def read_catalog(documents: Mapping[str, Any]) -> Catalog:
    """Validate every manifest, given by folder name, and what they say of each other.

    Raises:
        StackError: with every problem found.
    """
    problems: list[Problem] = []
    services: dict[str, ServiceManifest] = {}
    for folder, document in sorted(documents.items()):
        try:
            manifest = ServiceManifest.model_validate(document)
        except ValidationError as error:
            problems += [
                _problem(folder, f"{'.'.join(map(str, e['loc']))}: {e['msg']}")
                for e in error.errors(include_url=False, include_input=False)
            ]
            continue
        if manifest.name != folder:
            problems.append(_problem(folder, f"name is {manifest.name!r}, not the folder's"))
        services[folder] = manifest
    if not problems:
        problems += _cross_check(services)
    if problems:
        raise StackError(*problems)
    return Catalog(services)


def start_order(catalog: Catalog, chosen: Collection[str]) -> tuple[str, ...]:
    """The chosen services, each after everything it requires; ties by name.

    Raises:
        StackError: on a cycle.
    """
    graph = {
        name: sorted(r for r in catalog.services[name].requires if r in chosen)
        for name in sorted(chosen)
    }
    try:
        sorter = TopologicalSorter(graph)
        sorter.prepare()
    except CycleError as error:
        raise StackError(_problem(error.args[1][0], f"requires itself: {error.args[1]}")) from error
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return tuple(order)


def _cross_check(services: Mapping[str, ServiceManifest]) -> list[Problem]:
    problems: list[Problem] = []
    secrets: dict[str, str] = {}
    hosts: dict[str, str] = {}
    for service in services.values():
        for secret in service.secrets:
            if secret.name in secrets:
                problems.append(_problem(service.name, f"secret {secret.name} declared twice"))
            secrets[secret.name] = service.name
        for ingress in service.ingress:
            if ingress.host in hosts:
                problems.append(_problem(service.name, f"host {ingress.host} declared twice"))
            hosts[ingress.host] = service.name
    for service in services.values():
        wanted = {*service.requires, *(c.to for c in service.connects)}
        wanted |= {a.provider for a in service.bootstrap if isinstance(a, DatabaseAction)}
        problems += [
            _problem(service.name, f"names {name}, which is no service")
            for name in sorted(wanted - services.keys())
        ]
        named = {a.secret for a in service.bootstrap if isinstance(a, DatabaseAction)}
        problems += [
            _problem(service.name, f"names the secret {name}, which nobody declares")
            for name in sorted(named - secrets.keys())
        ]
    return problems


def _problem(service: str, summary: str) -> Problem:
    return Problem(
        code="stack.manifest",
        summary=summary,
        where=service,
        remedy=Remedy(f"correct stacks/compose/{service}/service.yaml"),
    )
