"""What the audit must know besides the document: paths, the host, declared exceptions, secrets.

Holds facts only. A fact that is not known is None or empty, and is then not held against anyone,
except where a note of the table says that it counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from installer.core.manifest import Exception_
from installer.core.policy.exposure import KnownSecrets
from installer.core.secrets import Secret

FEATURE_CGROUP_V2 = "cgroup-v2"
FEATURE_APPARMOR = "apparmor"


@dataclass(frozen=True)
class AuditContext:
    """Facts of one deployment.

    Attributes:
        install_dir: Where releases and materialised secrets lie on the target.
        data_dir: Where data lies on the target.
        project_dir: What Compose resolved relative bind sources against, when it did.
        bind_addresses: Addresses that the edge may publish on; `0.0.0.0` and `::` only when the
            answers ask for all interfaces. Empty: any address but those two.
        exceptions: Service → the exceptions its manifest declares.
        known_secrets: Name → value; only searched for, never shown.
        host_memory: Bytes of memory of the target.
        security_options: `SecurityOptions` of the engine, as `docker info` prints them; None when
            not asked.
        cgroup_version: 1 or 2; None when not asked.
        images: Service → its image reference in the lock file.
        files: Path in the bundle → bytes, for env files and seccomp profiles.
        real_paths: Bind source → the same with links resolved, as seen on the target.
    """

    install_dir: str = "/opt/devplat"
    data_dir: str = "/var/lib/devplat"
    project_dir: str | None = None
    bind_addresses: tuple[str, ...] = ()
    exceptions: Mapping[str, tuple[Exception_, ...]] = field(default_factory=dict)
    known_secrets: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    host_memory: int | None = None
    security_options: tuple[str, ...] | None = None
    cgroup_version: int | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    real_paths: Mapping[str, str] = field(default_factory=dict)
    secrets: KnownSecrets = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "secrets", KnownSecrets(self.known_secrets))

    def offers(self, feature: str) -> bool:
        """Whether the host has `apparmor`, `selinux` or `cgroup-v2`.

        A host that was not asked counts as one with AppArmor and cgroup v2, the stricter reading.
        """
        if feature == FEATURE_CGROUP_V2:
            return self.cgroup_version != 1
        if self.security_options is None:
            return feature == FEATURE_APPARMOR
        return feature in _option_names(self.security_options)


def _option_names(options: Iterable[str]) -> frozenset[str]:
    """Names in entries like `name=apparmor` and `name=seccomp,profile=builtin`."""
    return frozenset(option.removeprefix("name=").split(",", 1)[0] for option in options)
