"""The engines of workspace hosts: their addresses, what they are asked with, what they said.

Facts only, as an adapter fills them in; `rules_workspaces` judges them. A key is a `Secret`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from installer.core.errors import Problem
from installer.core.secrets import Secret

TLS_PORT = 2376
"""Of an engine with TLS, as registered with IANA (docker-s)."""
PLAIN_PORT = 2375
"""Of an engine without (docker): whoever reaches it is root on that host."""

_MIB = 1024 * 1024
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """Where an engine listens with TLS."""

    host: str
    port: int = TLS_PORT

    @property
    def url(self) -> str:
        """As clients of the engine write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"


def parse_engine(url: str) -> EngineAddress:
    """The address that a checked answer names."""
    parts = urlsplit(url)
    return EngineAddress(parts.hostname or "", parts.port or TLS_PORT)


@dataclass(frozen=True, slots=True)
class EngineTrust:
    """What engines are verified by, and the client's certificate that they ask for; all PEM."""

    roots: Secret
    certificate: Secret
    key: Secret


@dataclass(frozen=True, slots=True)
class WorkspaceHost:
    """What an engine says of itself and its host (`GET /info`).

    Attributes:
        memory_mib: Of the host; its free memory is not told.
        free_gib: Free space below its directory, where its storage driver tells; else None.
        lacks: Limits that the kernel cannot enforce.
        security: As `docker info` prints them, e.g. `name=userns`.
    """

    version: str
    system: str
    architecture: str
    cpus: int
    memory_mib: int
    driver: str
    directory: str
    free_gib: float | None = None
    lacks: tuple[str, ...] = ()
    security: tuple[str, ...] = ()
    live_restore: bool = False
    running: int = 0


@dataclass(frozen=True, slots=True)
class EngineSight:
    """One engine as this machine sees it.

    Attributes:
        url: The address of the answers.
        at: When it was looked at, UTC.
        problem: Why it could not be asked with the client's certificate.
        api: Newest version of its API, e.g. `1.45`.
        tls: Version of TLS.
        certificate_until: End of the life of the server's certificate.
        client_until: The same of the client's.
        open_to: How it answered somebody without a certificate of ours.
        host: None while it could not be asked.
    """

    url: str
    at: datetime
    problem: Problem | None = None
    api: str = ""
    tls: str = ""
    certificate_until: datetime | None = None
    client_until: datetime | None = None
    open_to: tuple[str, ...] = ()
    host: WorkspaceHost | None = None


@dataclass(frozen=True, slots=True)
class WorkspaceNeeds:
    """What workspaces take of all their hosts together: cores, MiB, GiB; and of which kind."""

    urls: tuple[str, ...]
    secrets: tuple[str, str, str]
    """Names of the secrets: authority, client's certificate, its key."""
    architecture: str
    cpus: int = 0
    memory_mib: int = 0
    disk_gib: int = 0


def read_engine_info(info: Mapping[str, Any]) -> WorkspaceHost:
    """The facts of an engine's own description; what it leaves out is empty or zero."""
    limits = {"memory": "MemoryLimit", "swap": "SwapLimit", "processors": "CpuCfsQuota"}
    return WorkspaceHost(
        version=str(info.get("ServerVersion", "")),
        system=str(info.get("OSType", "")),
        architecture=_architecture(str(info.get("Architecture", ""))),
        cpus=int(info.get("NCPU", 0)),
        memory_mib=int(info.get("MemTotal", 0)) // _MIB,
        driver=str(info.get("Driver", "")),
        directory=str(info.get("DockerRootDir", "")),
        free_gib=_free_gib(info.get("DriverStatus") or ()),
        lacks=tuple(what for what, key in limits.items() if info.get(key) is False),
        security=tuple(str(option) for option in info.get("SecurityOptions") or ()),
        live_restore=bool(info.get("LiveRestoreEnabled")),
        running=int(info.get("ContainersRunning", 0)),
    )


def _architecture(machine: str) -> str:
    """As images call it."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _free_gib(status: Sequence[Sequence[Any]]) -> float | None:
    """Of drivers that keep a pool of their own; overlay2 does not tell."""
    told = {str(pair[0]): str(pair[1]) for pair in status if len(pair) == 2}
    text = told.get("Data Space Available") or told.get("Space Available") or ""
    digits = text.rstrip("BKMGTibkmgt ")
    unit = text.removeprefix(digits).strip().upper() or "B"
    try:
        return float(digits) * _UNITS[unit] / 2**30
    except (ValueError, KeyError):
        return None
