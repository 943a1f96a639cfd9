"""What the phases need from the outside, as protocols, and `Ports`, which holds one of each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from installer.core.secrets import Secret
from installer.ports_probes import BucketProbe, DnsProbe, EngineProbe, TlsProbe
from installer.ports_secrets import (
    CertificateIssuer,
    Custody,
    HandedShare,
    KeptSnapshot,
    RoleKey,
    SealStatus,
    SecretServer,
    SecretStore,
    ServerPorts,
    ServiceIssuer,
    Snapshots,
)

__all__ = [
    "BucketProbe",
    "ByteStream",
    "CertificateIssuer",
    "Clock",
    "Command",
    "Completed",
    "Container",
    "Custody",
    "DnsProbe",
    "Engine",
    "EngineInfo",
    "EngineProbe",
    "Entropy",
    "HandedShare",
    "Host",
    "HttpProbe",
    "HttpRequest",
    "HttpResponse",
    "KeptSnapshot",
    "OpenPorts",
    "OutputLine",
    "Ports",
    "Project",
    "Resolver",
    "RoleKey",
    "SealStatus",
    "SecretServer",
    "SecretStore",
    "ServerPorts",
    "ServiceIssuer",
    "Snapshots",
    "Talk",
    "TlsProbe",
]

Y = TypeVar("Y")
R = TypeVar("R")
Talk: TypeAlias = Generator[Y, None, R]
"""Yields while it works, returns a value at the end."""


@dataclass(frozen=True, slots=True)
class Command:
    """A POSIX shell script for a host.

    Attributes:
        script: Run by `sh -c`. Never holds a secret: process lists show it.
        stdin: Bytes for its standard input, in pieces of at most 256 KiB; secrets go here.
        privileged: Run as root, by the way the host's answers name (sudo, or being root).
        timeout_s: Seconds without any output after which the command counts as hung.
    """

    script: str
    stdin: Iterable[bytes] = ()
    privileged: bool = False
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command left behind."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, undecodable bytes made visible."""
        return self.stdout.decode("utf-8", "backslashreplace")

    @property
    def error_text(self) -> str:
        """Standard error as text, undecodable bytes made visible."""
        return self.stderr.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class OutputLine:
    """A line of a running command, or a heartbeat (`stream="beat"`, empty) when it is silent."""

    text: str
    stream: Literal["out", "err", "beat"]


class ByteStream(Protocol):
    """A connected, bidirectional stream, socket-like enough for an HTTP client."""

    def sendall(self, data: bytes) -> None: ...
    def recv(self, size: int) -> bytes: ...
    def close(self) -> None: ...


class Host(Protocol):
    """A machine that commands are run on. Three methods act."""

    name: str

    def run(self, command: Command) -> Completed:
        """Run to the end; a non-zero status is a value, not an error.

        Raises:
            SshConnectError: the connection is lost, or the command said nothing for its time limit.
            PrivilegeError: root was asked for and refused.
        """
        ...

    def stream(self, command: Command) -> Talk[OutputLine, Completed]:
        """Run, yielding lines as they come and a heartbeat at least every 2 s; returns the end.

        Raises: as `run`.
        """
        ...

    def dial(self, argv: Sequence[str], *, privileged: bool = False) -> ByteStream:
        """Run a command whose standard input and output are the stream.

        Raises: as `run`.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Container:
    """One container of the project, as the engine describes it.

    `inspect` is the engine's own JSON (`GET /containers/{id}/json`).
    """

    service: str
    state: str
    health: str | None
    inspect: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Project:
    """A compose project on a host: its name, its directory, its files relative to it."""

    name: str
    directory: str
    files: tuple[str, ...] = ("compose.yaml",)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What the engine says of its host.

    Attributes:
        memory: Bytes.
        security_options: As `docker info` prints them, e.g. `name=apparmor`.
        cgroup_version: 1 or 2.
    """

    memory: int
    security_options: tuple[str, ...]
    cgroup_version: int


class Engine(Protocol):
    """The container engine of one host."""

    def info(self) -> EngineInfo:
        """What the host offers. Raises `ContainerRuntimeError`."""
        ...

    def pull(self, project: Project, services: Sequence[str]) -> Talk[OutputLine, None]:
        """Fetch what is missing. Raises `ImageError`, `IntegrityError`, `RemoteIoError`."""
        ...

    def up(
        self, project: Project, services: Sequence[str], *, wait_s: int | None
    ) -> Talk[OutputLine, None]:
        """Start, wait until healthy. Raises `DeployError` naming the service and its last lines.

        `wait_s=None` does not wait for these services, only for those they depend on.
        """
        ...

    def containers(self, project: Project) -> tuple[Container, ...]:
        """Every container that carries the project's label, running or not."""
        ...

    def exec(
        self, project: Project, service: str, argv: Sequence[str], *, stdin: bytes = b""
    ) -> Completed:
        """Run a program inside a running service; secrets go by `stdin`."""
        ...

    def dial(self, project: Project, service: str, argv: Sequence[str]) -> ByteStream:
        """A program inside a running service whose standard input and output are the stream."""
        ...

    def restart(self, project: Project, services: Sequence[str]) -> Talk[OutputLine, None]:
        """Restart containers as they are, without waiting for health."""
        ...

    def stop(self, project: Project, services: Sequence[str]) -> Talk[OutputLine, None]:
        """Stop containers and leave them where they are."""
        ...

    def logs(self, project: Project, service: str, *, tail: int) -> tuple[str, ...]:
        """The last lines a service wrote."""
        ...

    def down(self, project: Project) -> Talk[OutputLine, None]:
        """Stop and remove the project's containers and networks; volumes and data stay."""
        ...

    def image_ids(self, references: Sequence[str]) -> Mapping[str, str]:
        """The ids of those references that the engine already has."""
        ...


class Resolver(Protocol):
    """Name resolution as this machine sees it."""

    def addresses(self, name: str) -> tuple[str, ...]:
        """IPv4 and IPv6 addresses of a name; empty when it does not exist."""
        ...


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to one address under a public name.

    Attributes:
        url: With the public name; the name is sent as SNI and Host.
        address: Connect here instead of resolving the name, when given.
        roots_pem: Trust these roots besides the system's, when given.
    """

    url: str
    address: str | None = None
    roots_pem: bytes | None = None
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back; `headers` has lower-case names; `tls_version` is e.g. `TLSv1.3`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    tls_version: str | None = None


class HttpProbe(Protocol):
    """One HTTP request, no redirects followed, certificates always verified."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Raises `TlsError` when verification fails, `VerifyError` when nothing answers."""
        ...


class Clock(Protocol):
    """Time, so that tests can hold it."""

    def now(self) -> datetime: ...  # aware, UTC
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


Entropy: TypeAlias = Callable[[int], bytes]
"""Random bytes from the system's generator, so that tests can choose them."""


@dataclass(frozen=True, slots=True)
class Ports:
    """One of each port, opened for one run.

    `given` has the values of the secrets that the answers refer to, by the secret's name. Without
    `tls`, what servers would agree to is not looked at; without `dns`, no name server is asked.
    `services` issues for the platform's own servers, if any of them is verified.
    `views` are where else the platform is looked at from, by name. `engines` looks at workspace
    hosts.
    """

    host: Host
    engine: Engine
    secrets: SecretStore
    certificates: CertificateIssuer
    server: ServerPorts | None
    resolver: Resolver
    http: HttpProbe
    clock: Clock
    entropy: Entropy
    given: Mapping[str, Secret] = field(default_factory=dict)
    tls: TlsProbe | None = None
    dns: DnsProbe | None = None
    buckets: BucketProbe | None = None
    services: ServiceIssuer | None = None
    views: Mapping[str, Host] = field(default_factory=dict)
    engines: EngineProbe | None = None


OpenPorts = Callable[[], AbstractContextManager[Ports]]
