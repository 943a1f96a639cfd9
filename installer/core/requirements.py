"""What a deployment asks of its host and of the network around it.

Made from answers, plan and sizing by the caller; the preflight rules judge `HostFacts` against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from installer.core.buckets import BucketPlace
from installer.core.kernel import KernelSetting
from installer.core.workspace_engines import WorkspaceNeeds

ENGINE_MINIMUM = (24, 0)
"""Oldest engine whose behaviour the bundle relies on."""

COMPOSE_MINIMUM = (2, 24)
"""First compose with `required: false` in `env_file` and `depends_on`, and with `!override`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """Everything preflight judges by.

    Attributes:
        deployment: Name of the compose project.
        install_dir: Releases, state and the secrets' tmpfs.
        data_dir: What outlives releases.
        cpus: Cores of the whole stack; 0 asks for nothing, as with the sizes below.
        memory_mib: Memory of the whole stack in MiB.
        disk_gib_install: Free space below `install_dir`, in GiB.
        disk_gib_data: Free space below `data_dir`, in GiB.
        disk_gib_images: Free space below the engine's own directory, in GiB.
        service_memory_mib: Memory limit of each service.
        ports: TCP ports that will be published.
        address: Address they are published on; `all` for every one.
        pool: Range that container networks are taken from.
        names: Public names, without wildcards.
        wildcards: Names whose direct sub-names must all resolve, as `*.host.example.com`.
        base_domain: Domain that the names lie below.
        addresses: Addresses that names may point to (the host's, a load balancer's, a NAT's).
            Empty: existence is checked, the target is not.
        dns_required: False turns missing or wrong names into warnings.
        images: Full references of the images that will be pulled.
        registry_login: Credentials for the registry exist; the probe does not have them.
        privileged: The run needs root on the host.
        markers: Paths below `data_dir` whose presence matters.
        probe_label: A DNS label that nobody has used; finds wildcard records.
        probe_containers: May start a short-lived container to resolve names from inside.
        sysctls: Kernel settings that services need.
        host_apply: What of the host the run may change (`answers_host.HOST_CHANGES`).
        resolvers: Name servers, address:port, that are asked directly too.
        acme_host: Host of the ACME directory; empty when none issues for the names.
        acme_challenge: The challenge that it is to use.
        buckets: Buckets of an external S3 service, with a key for each.
        vantage: Where outside the firewall ports are tried from; empty when nowhere.
        workspaces: What is asked of workspace hosts, where there are any.
        database: `host/port` of a database outside; empty when there is none.
        replaced: Services of the platform whose place something outside takes.
        waivers: Problem code → reason; only the codes of `checks.WAIVABLE` can be waived.
    """

    deployment: str
    install_dir: str
    data_dir: str
    cpus: float = 0
    memory_mib: int = 0
    disk_gib_install: float = 0
    disk_gib_data: float = 0
    disk_gib_images: float = 0
    service_memory_mib: Mapping[str, int] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    address: str = "all"
    pool: str | None = None
    names: tuple[str, ...] = ()
    wildcards: tuple[str, ...] = ()
    base_domain: str = ""
    addresses: tuple[str, ...] = ()
    dns_required: bool = True
    images: tuple[str, ...] = ()
    registry_login: bool = False
    privileged: bool = True
    markers: tuple[str, ...] = ()
    probe_label: str = ""
    probe_containers: bool = True
    engine_minimum: tuple[int, int] = ENGINE_MINIMUM
    compose_minimum: tuple[int, int] = COMPOSE_MINIMUM
    sysctls: tuple[KernelSetting, ...] = ()
    host_apply: tuple[str, ...] = ()
    resolvers: tuple[str, ...] = ()
    acme_host: str = ""
    acme_challenge: str = ""
    buckets: tuple[BucketPlace, ...] = ()
    vantage: str = ""
    workspaces: WorkspaceNeeds | None = None
    database: str = ""
    replaced: tuple[str, ...] = ()
    waivers: Mapping[str, str] = field(default_factory=dict)

    @property
    def wildcard_probes(self) -> dict[str, str]:
        """Wildcard → a name below it that only the wildcard can answer."""
        if not self.probe_label:
            return {}
        return {wildcard: self.probe_label + wildcard[1:] for wildcard in self.wildcards}

    @property
    def catch_all_probe(self) -> str | None:
        """A name that must not exist unless the base domain has a wildcard record."""
        if not (self.probe_label and self.base_domain):
            return None
        return f"{self.probe_label}.{self.base_domain}"

    @property
    def probed_names(self) -> tuple[str, ...]:
        """Every name to resolve."""
        extra = (self.catch_all_probe,) if self.catch_all_probe else ()
        return tuple(dict.fromkeys((*self.names, *self.wildcard_probes.values(), *extra)))
