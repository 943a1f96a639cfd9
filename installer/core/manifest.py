"""The manifest of one service: everything the installer knows of it, as `service.yaml` says it.

Models only; what manifests say of each other is checked in `catalog`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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


class Proof(_Model):
    """A program that succeeds with a secret that is good and fails with one that is dead.

    `in` is the service to run in; `stdin` names the secret as `${value}`.
    """

    in_: Name = Field(alias="in")
    argv: tuple[str, ...]
    stdin: str = ""
    expect: str


class Rotation(_Model):
    """How a new value takes the place of an old one.

    Attributes:
        reload: Services to restart with the new value, in this order; all that have it in a file,
            in start order, when none is named.
        proof: Shows that the new value is good and the old one dead.
        refuse: Why this secret cannot simply be replaced; then it is not rotated.
    """

    reload: tuple[Name, ...] = ()
    proof: Proof | None = None
    refuse: str | None = None


class SecretDeclaration(_Model):
    """A secret this service brings into being.

    Attributes:
        answer: Answer path of a reference to its value. A secret whose answer is set has that value
            and is changed where it comes from.
        otherwise: What becomes of it while that answer is not set: it is made, or there is none,
            and with it none of the secret files that name it.
    """

    name: Name
    purpose: str
    kind: SecretKind = SecretKind.PASSWORD
    rotation: Rotation = Rotation()
    answer: str | None = None
    otherwise: Literal["make", "omit"] = "make"


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
    """A question that only this service asks; its answer path is `<section>.<name>`.

    A `secret` is a reference and has no default; with a default of null, `text` and `int` may be
    left open.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    type: Literal["bool", "int", "text", "choice", "secret"]
    default: bool | int | str | None = None
    title: str
    help: str
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None


class Contribution(_Model):
    """What this service adds to another one, where that one is installed too.

    Files below its folder's `to/<that service>/` are added to the other's configuration; what is
    here is what files cannot say.

    Attributes:
        to: The other service.
        ports: Ports of this service that the other one connects to, each with the reason.
        secret_files: Added to the other's secret files.
    """

    to: Name
    ports: Mapping[int, str] = {}
    secret_files: Mapping[str, str] = {}


class Condition(_Model):
    """An answer with a certain value, e.g. `vault.mode` is `bundled`; or with one of several."""

    answer: str
    equals: str | bool | tuple[str, ...]

    def holds(self, value: object) -> bool:
        """Whether the answer's value is one of those."""
        return value in self.equals if isinstance(self.equals, tuple) else value == self.equals


class Variants(_Model):
    """Images by the value of an answer; other values mean the manifest's own image."""

    answer: str
    images: Mapping[str, Image]


class SecretServerPart(_Model):
    """Says that this service is the platform's secret server, and how it is spoken to.

    Attributes:
        port: Where it listens with TLS.
        tunnel: Program in its container that connects standard input and output to that port.
        initialise: Program that initialises it and keeps the answer, encrypted, in `keeps` before
            it ends. Gets shares and threshold as arguments, the transport key on standard input.
        keeps: Data directory that holds the answer until every share is handed over.
        answer: File in it.
        tls: Data directory that `server.pem`, `server.key` and `ca.pem` are delivered to.
        reload: Program that makes it read its certificate again.
        seal: Data directory that the token of another key service is delivered to, as `token`.
    """

    port: int
    tunnel: tuple[str, ...]
    initialise: tuple[str, ...]
    keeps: Name
    answer: str
    tls: Name
    reload: tuple[str, ...] = ("kill", "-HUP", "1")
    seal: Name | None = None


class AgentPart(_Model):
    """Says that one of this service runs for each consumer of secrets, as the consumer's user.

    Attributes:
        receive: Program that takes its login on standard input: role id, wrapped secret id and
            the authority's PEM, each after a line with its length in bytes.
    """

    receive: tuple[str, ...]


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
        egress_when: It may only if this answer has this value.
        publish: Ports published on the host's public address (the edge only).
        secret_files: File name below /run/secrets → text with `${secret-name}` in it.
        gives: What it adds to others.
        when: Installed only if this answer has this value.
        variants: Other images that an answer chooses.
        server: Set for the platform's secret server.
        agent: Set for what runs once per consumer; `consumer` is that of one of them.
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
    egress_when: Condition | None = None
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
    gives: tuple[Contribution, ...] = ()
    notes: tuple[str, ...] = ()
    """What the operator must know of this service: shown at review and in the report."""
    when: Condition | None = None
    variants: Variants | None = None
    server: SecretServerPart | None = None
    agent: AgentPart | None = None
    consumer: ServiceManifest | None = Field(default=None, exclude=True)

    @property
    def images(self) -> tuple[Image, ...]:
        """Its image and those that an answer may choose instead."""
        return (self.image, *(self.variants.images.values() if self.variants else ()))

    @property
    def folder(self) -> str:
        """Folder below stacks/compose, and role in the audits: several agents share one."""
        return self.name.removesuffix(f"-{self.consumer.name}") if self.consumer else self.name
