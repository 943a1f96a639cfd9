"""What preflight learned of a host, as values.

`facts_parse.parse_facts` makes them from the output of the probe script; nothing here judges. A
field that is None is unknown: the probe could not run or did not finish. No field holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from installer.core.buckets import BucketSight
from installer.core.dns_message import CaaRecord
from installer.core.facts_host import Upkeep
from installer.core.outside import Rehearsal
from installer.core.workspace_engines import EngineSight

Addresses = tuple[str, ...] | None
"""IP addresses of a name; empty when it does not exist, None when that is not known."""


@dataclass(frozen=True, slots=True)
class OsRelease:
    """The fields of os-release(5) that matter; `like` are the families it says it belongs to."""

    id: str
    version: str
    title: str
    like: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """In MiB."""

    total_mib: int
    available_mib: int | None
    swap_mib: int


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The host's clock against this machine's, in seconds; positive: the host is ahead.

    `uncertainty_s` is half of the time that the exchange took beyond the host's own work.
    `synchronised` is what the host's time service says of itself.
    """

    skew_s: float
    uncertainty_s: float
    synchronised: bool | None


@dataclass(frozen=True, slots=True)
class Account:
    """The account that the probe ran as.

    `sudo`: `absent`, `present` (not tried), `free` (no password asked), `refused` (a password is
    asked or it is not allowed). `login` is the account behind sudo. `client` is the address that
    this session comes from, as the host sees it.
    """

    user: str
    uid: int
    groups: tuple[str, ...]
    sudo: str
    login: str | None = None
    login_groups: tuple[str, ...] = ()
    client: str | None = None


class PathKind(StrEnum):
    """What is found at a path. OTHER also: it lies below something that is no directory."""

    DIRECTORY = "directory"
    ABSENT = "absent"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PathFacts:
    """A directory that will be used, and the file system below its nearest existing parent.

    Sizes in bytes, for an unprivileged writer. `inodes` is 0 on file systems without a fixed
    number. `entries` are the names in it (at most 100), `options` those of the mount.
    """

    path: str
    existing: str
    kind: PathKind
    writable: bool
    mode: int | None
    owner: tuple[int, int] | None
    mount: str
    device: str
    fs_type: str
    read_only: bool
    size: int | None
    available: int | None
    inodes: int | None
    inodes_free: int | None
    entries: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def file_system(self) -> str:
        """What two paths have in common when they share their space: a device, else a mount."""
        return self.device if "/" in self.device else self.mount


class EngineState(StrEnum):
    """Whether the engine can be used, and if not, why."""

    RUNNING = "running"
    STOPPED = "stopped"
    ABSENT = "absent"
    DENIED = "denied"  # it runs, but this account may not use its socket
    FOREIGN = "foreign"  # another engine behind the same command
    SILENT = "silent"  # it does not answer within the time limit


@dataclass(frozen=True, slots=True)
class Socket:
    """The engine's socket."""

    mode: int
    owner: str
    group: str
    gid: int


@dataclass(frozen=True, slots=True)
class EngineNetwork:
    """A network of the engine; `project` is its compose project."""

    name: str
    subnets: tuple[str, ...]
    project: str | None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineContainer:
    """A container of the engine; `ports` are the published (host address, port) pairs."""

    name: str
    status: str
    project: str | None
    directory: str | None
    ports: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Engine:
    """The container engine. Fields below `state` are set when it runs, with few exceptions.

    `limits` are the resource limits that the kernel does not support. `members` are the accounts
    in the group of the socket. `userland_proxy` and `log_bounded` come from its configuration.
    """

    state: EngineState
    detail: str = ""
    version: str | None = None
    compose: str | None = None
    legacy_compose: str | None = None
    root_dir: str | None = None
    socket: Socket | None = None
    members: tuple[str, ...] = ()
    config_mode: int | None = None
    networks: tuple[EngineNetwork, ...] = ()
    containers: tuple[EngineContainer, ...] = ()
    security: tuple[str, ...] = ()
    missing_limits: tuple[str, ...] = ()
    logging_driver: str | None = None
    log_bounded: bool | None = None
    live_restore: bool | None = None
    experimental: bool | None = None
    swarm: str | None = None
    insecure_registries: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    proxied: bool = False
    userland_proxy: bool | None = None
    tls_verify: bool = False
    storage_driver: str | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening TCP socket; `address` is `*` for every address of both families."""

    address: str
    port: int
    process: str | None = None


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """An IPv4 route other than the default one."""

    destination: str
    device: str


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """Addresses (without loopback and link-local), IPv4 routes, listeners, name servers.

    `database` is what a PostgreSQL server outside answers to a request for TLS: `S`, `N`, nothing
    when it cannot be reached; None when it was not asked.
    """

    addresses: tuple[str, ...] | None
    routes: tuple[RouteFacts, ...] | None
    listeners: tuple[Listener, ...] | None
    name_servers: tuple[str, ...] = ()
    database: str | None = None


class ImageState(StrEnum):
    """What is known of an image without pulling it."""

    PRESENT = "present"
    AVAILABLE = "available"
    ABSENT = "absent"
    DENIED = "denied"
    LIMITED = "limited"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """One image reference. `platforms` as `linux/amd64`; empty when not told."""

    state: ImageState
    platforms: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Installation:
    """What an earlier run left: releases, state files, lock text, and data that is there.

    `data` says of each `<service>/<name>` below the data directory whether anything is in it.
    `markers` are those asked for that exist.
    """

    current: str | None = None
    releases: tuple[str, ...] = ()
    state_files: tuple[str, ...] = ()
    lock: str | None = None
    data: Mapping[str, bool] = field(default_factory=dict)
    markers: tuple[str, ...] = ()
    secrets_on_tmpfs: bool = False

    @property
    def found(self) -> bool:
        """Whether there is an installation, complete or not."""
        return bool(self.current or self.releases or self.state_files)


@dataclass(frozen=True, slots=True)
class Dns:
    """What names resolve to, from three places and by name servers that were asked directly.

    `issuers` are the CAA records that apply to a name or wildcard; None when nobody answered.
    """

    bastion: Mapping[str, Addresses] = field(default_factory=dict)
    host: Mapping[str, Addresses] = field(default_factory=dict)
    container: Mapping[str, Addresses] = field(default_factory=dict)
    resolvers: Mapping[str, Mapping[str, Addresses]] = field(default_factory=dict)
    issuers: Mapping[str, tuple[CaaRecord, ...] | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Everything preflight learned of one host.

    `paths` has the keys `install`, `data` and `engine`. `unfinished` names the probes that did not
    end within their time limit. `buckets` are seen from this machine, by their consumer.
    """

    os: OsRelease
    kernel: str
    release: str
    machine: str
    cpus: int | None
    memory: Memory | None
    cgroup: int | None
    systemd: bool
    clock: ClockReading | None
    account: Account
    paths: Mapping[str, PathFacts]
    network: HostNetwork
    engine: Engine
    images: Mapping[str, ImageFacts]
    installation: Installation
    dns: Dns
    unfinished: tuple[str, ...] = ()
    upkeep: Upkeep = field(default_factory=Upkeep)
    buckets: Mapping[str, BucketSight] = field(default_factory=dict)
    rehearsal: Rehearsal | None = None
    workspaces: tuple[EngineSight, ...] = ()

    @property
    def engine_gid(self) -> int | None:
        """Numeric group of the engine's socket, for services that need it."""
        return self.engine.socket.gid if self.engine.socket else None
