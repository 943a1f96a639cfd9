"""The manifest of one service: everything the installer knows of it, as `service.yaml` says it.

Models only; what manifests say of each other is checked in `catalog`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from installer.core.kernel import KernelSetting
from installer.core.manifest_parts import (
    AgentPart,
    CollectorPart,
    Condition,
    DatabasePart,
    DataProof,
    DrillPart,
    ExecCheck,
    Ingress,
    LoginPart,
    Name,
    Note,
    OutsideServer,
    ReaderPart,
    SecretServerPart,
    Unmet,
)
from installer.core.secrets import SecretKind

UserId = Annotated[str, Field(pattern=r"^\d+:\d+$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Image(_Model):
    """Where an image comes from; its digest is in the lock file, not here."""

    repository: str
    tag: str


class Connection(_Model):
    """A flow this service starts, if an answer does not rule it out (`when`)."""

    to: Name
    port: int
    why: str
    when: Condition | None = None


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
        when: There is one only if this answer has this value; of several, one is enough.
    """

    name: Name
    purpose: str
    kind: SecretKind = SecretKind.PASSWORD
    rotation: Rotation = Rotation()
    answer: str | None = None
    otherwise: Literal["make", "omit"] = "make"
    when: Condition | tuple[Condition, ...] | None = None

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What `when` says, as a sequence; empty where nothing is asked."""
        return self.when if isinstance(self.when, tuple) else (self.when,) if self.when else ()


class Data(_Model):
    """A directory below `target.data_dir` that outlives releases, bound to `path`."""

    name: Name
    path: str
    mode: str = "0700"
    backup: bool = True
    skip: str | None = None
    """A path below it that is not worth a backup, as `./tmp`."""
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
    """Before this service starts: a database owned by a role with a password of the store.

    Attributes:
        everything: The role owns nothing and reads every database; this one is always there.
        member_of: Roles of the server itself that the owner is a member of, as `pg_monitor`.
        outside: Set by the selection, for a server that is no part of the platform.
    """

    kind: Literal["database"]
    provider: Name
    database: str
    role: str
    secret: Name
    everything: bool = False
    member_of: tuple[str, ...] = ()
    outside: OutsideServer | None = None


class ExecAction(_Model):
    """After this service is healthy: run a program in it, or `in` another one.

    `stdin` may name secrets as `${name}`.
    `unless` is a program whose status 0 says that nothing is left to do; `unless_stdin` is for it.
    """

    kind: Literal["exec"]
    title: str
    argv: tuple[str, ...]
    stdin: str = ""
    unless: tuple[str, ...]
    unless_stdin: str = ""
    in_: Name | None = Field(default=None, alias="in")


Action = Annotated[DatabaseAction | ExecAction, Field(discriminator="kind")]


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
        secret_files: Added to the other's secret files; text goes to the end of one that is there.
    """

    to: Name
    ports: Mapping[int, str] = {}
    secret_files: Mapping[str, str] = {}


class Variants(_Model):
    """Images by the value of an answer; other values mean the manifest's own image."""

    answer: str
    images: Mapping[str, Image]


class ServiceManifest(_Model):
    """Everything the installer knows of one service.

    Attributes:
        name: Folder, compose service, DNS name and hardening role in one.
        section: Answers section that switches this service (and others of the same section) on or
            off by its `enabled`; None means always installed.
        settings: Answers section that has its options, where `section` does not.
        enabled: Default of that switch.
        user: Numeric uid:gid that the container runs as and that owns its data and secrets.
        requires: Services that must be healthy before this one starts.
        connects: Flows; each pair of services gets a network of its own, nothing else is shared.
        egress: Why this service may reach the internet, or None.
        egress_when: It may only if this answer has this value; of several, one is enough.
        trusts_edge: It connects to public names and verifies them: the secret file `edge_roots.pem`
            has the roots to do so, unless those of the system are enough.
        publish: Ports published on the host's public address (the edge only).
        secret_files: File name below /run/secrets → text with `${secret-name}` in it.
        sysctls: Kernel settings that it needs of the host.
        gives: What it adds to others.
        when: Installed only if this answer has this value.
        variants: Other images that an answer chooses.
        server: Set for the platform's secret server.
        agent: Set for what runs once per consumer; `consumer` is that of one of them.
        login: Set for what speaks to the secret server itself.
        role: Row of the audits' tables, where it is not called like the folder.
        reader: Set for what runs once per service with data to back up; `source` is that of one.
        drill: Set for what can restore a part of a backup.
        proof: Shows that restored data of this service is sound.
        database: Set for the server of the services' databases, or for what leads to it.
        relays: The edge, for what takes its place towards callers who must not meet it.
        stands_in_for: The service in whose place it is installed, for whoever names that one.
    """

    name: Name
    title: str
    summary: str
    group: Literal["edge", "application", "data", "secrets", "build", "control", "monitoring"]
    licence: str
    section: str | None = None
    settings: str | None = None
    enabled: bool = True
    image: Image
    user: UserId
    requires: tuple[Name, ...] = ()
    connects: tuple[Connection, ...] = ()
    egress: str | None = None
    egress_when: Condition | tuple[Condition, ...] | None = None
    trusts_edge: bool = False
    publish: tuple[int, ...] = ()
    ingress: tuple[Ingress, ...] = ()
    options: tuple[Option, ...] = ()
    secrets: tuple[SecretDeclaration, ...] = ()
    secret_files: Mapping[str, str] = {}
    data: tuple[Data, ...] = ()
    sysctls: tuple[KernelSetting, ...] = ()
    resources: Resources
    exceptions: tuple[Exception_, ...] = ()
    bootstrap: tuple[Action, ...] = ()
    checks: tuple[Check, ...] = ()
    gives: tuple[Contribution, ...] = ()
    notes: tuple[str, ...] = ()
    """What the operator must know of this service: shown at review and in the report."""
    notes_when: tuple[Note, ...] = ()
    """The same, of some answers only; the selection puts them before `notes`."""
    unmet: tuple[Unmet, ...] = ()
    when: Condition | None = None
    variants: Variants | None = None
    server: SecretServerPart | None = None
    agent: AgentPart | None = None
    consumer: ServiceManifest | None = Field(default=None, exclude=True)
    login: LoginPart | None = None
    role: Name | None = None
    reader: ReaderPart | None = None
    source: ServiceManifest | None = Field(default=None, exclude=True)
    drill: DrillPart | None = None
    collector: CollectorPart | None = None
    proof: DataProof | None = None
    database: DatabasePart | None = None
    relays: Name | None = None
    stands_in_for: Name | None = None

    @property
    def options_in(self) -> str | None:
        """Answers section that has its options."""
        return self.settings or self.section

    @property
    def egress_conditions(self) -> tuple[Condition, ...]:
        """What `egress_when` says, as a sequence; empty where nothing is asked."""
        when = self.egress_when
        return when if isinstance(when, tuple) else (when,) if when else ()

    @property
    def images(self) -> tuple[Image, ...]:
        """Its image and those that an answer may choose instead."""
        return (self.image, *(self.variants.images.values() if self.variants else ()))

    @property
    def folder(self) -> str:
        """Folder below stacks/compose, and role in the audits: several agents share one."""
        of = self.consumer or self.source
        return self.name.removesuffix(f"-{of.name}") if of else self.name

    @property
    def part(self) -> str | None:
        """Name of the part of a backup that it makes and restores, if it does."""
        source = self.source.name if self.drill and self.source else None
        return self.drill.part or source if self.drill else None

    @property
    def audited_as(self) -> str:
        """Row of the tables of the audits."""
        return self.role or self.folder
