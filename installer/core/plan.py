"""What would be installed: services in order, names, networks, limits, images, secrets to exist.

A plan is made of answers and the catalog alone, so that the same answers give the same plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from installer.core.agent_templates import agent_marker, agent_template
from installer.core.catalog import Catalog, start_order
from installer.core.database import DatabaseAccess, read_access
from installer.core.errors import AnswersError
from installer.core.identity_clients import find_missing_clients
from installer.core.images import ImageLock, pin_images
from installer.core.manifest import ServiceManifest
from installer.core.networks import Network, edge_of, make_networks
from installer.core.schedule import schedule_slots
from installer.core.secrets import SecretSpec, certificate_hosts
from installer.core.selection import is_given
from installer.core.sizing import ServiceResources, Sizing
from installer.core.storage_consumers import find_missing_buckets
from installer.core.store_rules import store_prefix

if TYPE_CHECKING:
    from installer.core.answers import Answers


@dataclass(frozen=True, slots=True)
class Route:
    """A public name and where the edge sends it; `pattern` matches the names directly below."""

    service: str
    host_key: str
    host: str
    port: int
    wildcard: bool
    health: str
    deny: tuple[str, ...]
    login_paths: tuple[str, ...]
    deny_writes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the templates and the phases need; made by `make_plan` only.

    `services` is in start order. `resources` has CPUs in cores, memory in MiB.
    """

    answers: Answers
    catalog: Catalog
    services: tuple[str, ...]
    hosts: Mapping[str, str]
    routes: tuple[Route, ...]
    networks: tuple[Network, ...]
    resources: Mapping[str, ServiceResources]
    sizing: Sizing
    images: Mapping[str, str]
    secrets: tuple[SecretSpec, ...]

    @property
    def deployment(self) -> str:
        """Name of the compose project."""
        return self.answers.deployment.name

    @property
    def base_domain(self) -> str:
        """The domain below which the public names lie."""
        return self.answers.domain.base

    @property
    def wildcard(self) -> str:
        """`*.` and the host whose sub-names are workspace apps; empty when there are none."""
        return self.answers.domain.wildcard

    @property
    def install_dir(self) -> str:
        """Directory of releases, state and the secrets' tmpfs on the target."""
        return self.answers.target.install_dir

    @property
    def data_dir(self) -> str:
        """Directory of what outlives releases on the target."""
        return self.answers.target.data_dir

    @property
    def timezone(self) -> str:
        """IANA name."""
        return self.answers.timezone

    @property
    def users(self) -> int:
        """People with an account."""
        return self.answers.sizing.users

    @property
    def workspaces(self) -> int:
        """Workspaces that run at the same time."""
        return self.answers.sizing.concurrent_workspaces

    @property
    def admin(self) -> object:
        """`username` and `email` of the first administrator."""
        return self.answers.admin

    @property
    def tls(self) -> object:
        """The `tls` section."""
        return self.answers.tls

    @property
    def trusted_cidrs(self) -> tuple[str, ...]:
        """Load balancers whose forwarded headers are believed."""
        return tuple(self.answers.network.trusted_cidr)

    @property
    def public_names(self) -> tuple[str, ...]:
        """Every public name, the wildcard last."""
        wildcards = (self.wildcard,) if self.wildcard else ()
        return (*(route.host for route in self.routes), *wildcards)

    @property
    def edge(self) -> str | None:
        """The service that publishes ports."""
        return edge_of(self.manifest(name) for name in self.services)

    @property
    def subnets(self) -> Mapping[str, str]:
        """Network name → CIDR."""
        return {network.name: network.subnet for network in self.networks}

    @property
    def networks_of(self) -> Mapping[str, tuple[str, ...]]:
        """Service name → names of its networks."""
        return {
            name: tuple(n.name for n in self.networks if name in n.members)
            for name in self.services
        }

    @property
    def edge_subnets_of(self) -> Mapping[str, tuple[str, ...]]:
        """Service name → CIDRs of the networks it shares with the edge."""
        return {
            name: tuple(
                n.subnet for n in self.networks if name in n.members and self.edge in n.members
            )
            for name in self.services
        }

    @property
    def backup_slots(self) -> Mapping[str, object]:
        """When backups are made, as numbers."""
        return schedule_slots(self.answers.backup.schedule)

    @property
    def server(self) -> ServiceManifest | None:
        """The platform's own secret server, if it has one."""
        return next((m for m in self.catalog.services.values() if m.server), None)

    @property
    def collector(self) -> ServiceManifest | None:
        """The service that makes the backups, if there are any."""
        return next((m for m in self.catalog.services.values() if m.collector), None)

    @property
    def database(self) -> DatabaseAccess | None:
        """How services reach their databases, if any has one."""
        return read_access(self.answers, self.catalog.services.values())

    @property
    def agents(self) -> Mapping[str, str]:
        """Consumer of secrets → the service that renders its files; empty without a server."""
        agents = (m for m in self.catalog.services.values() if m.consumer)
        return {m.consumer.name: m.name for m in agents if m.consumer}

    def agent_files(self, consumer: str) -> Mapping[str, str]:
        """Secret file of a consumer → its text in the agent's template language."""
        return {
            file: agent_template(text, self._secret_path)
            for file, text in sorted(self.manifest(consumer).secret_files.items())
        }

    def agent_marker(self, consumer: str) -> str:
        """Text of the agent's last file, which shows that it has rendered the others."""
        return agent_marker(self.manifest(consumer).secret_files.values(), self._secret_path)

    def _secret_path(self, name: str) -> str:
        return f"{self.answers.at('vault.mount')}/data/{store_prefix(self.answers)}/{name}"

    def manifest(self, name: str) -> ServiceManifest:
        """The manifest of a service of this plan."""
        return self.catalog.services[name]


def make_plan(answers: Answers, chosen: Catalog, sizing: Sizing, lock: ImageLock) -> Plan:
    """Turn answers into a plan.

    Args:
        answers: Validated.
        chosen: The manifests of what is installed (`selection.select_services`).
        sizing: Limits of each.
        lock: Digests.

    Raises:
        AnswersError: an image has no digest, the network pool is too small, or a company's identity
            provider or S3 service does not know a service.
        StackError: the manifests contradict each other.
    """
    missing = (*find_missing_clients(answers, chosen), *find_missing_buckets(answers, chosen))
    if missing:
        raise AnswersError(*missing)
    services = start_order(chosen)
    manifests = {name: chosen.services[name] for name in services}
    hosts = {i.host: answers.domain.hosts[i.host] for m in manifests.values() for i in m.ingress}
    routes = _routes_to(manifests.values(), hosts, bool(answers.domain.wildcard))
    overrides = {n: ref for n, m in manifests.items() if (ref := answers.image_of(m.folder))}
    return Plan(
        answers=answers,
        catalog=chosen,
        services=services,
        hosts=hosts,
        routes=routes,
        networks=make_networks(
            manifests, tuple(route.host for route in routes), answers.network.pool
        ),
        resources={name: sizing.services[name] for name in services},
        sizing=sizing,
        images=pin_images(
            {name: m.image for name, m in manifests.items()},
            lock,
            overrides,
            answers.registry.mirror,
        ),
        secrets=tuple(
            SecretSpec(
                secret.name,
                secret.kind,
                secret.purpose,
                secret.answer if is_given(secret, answers) else None,
                certificate_hosts(manifest.name, secret.kind),
            )
            for manifest in manifests.values()
            for secret in manifest.secrets
        ),
    )


def _routes_to(
    manifests: Iterable[ServiceManifest], hosts: Mapping[str, str], wildcard: bool
) -> tuple[Route, ...]:
    """Every public name of these services; `wildcard` says whether there is a wildcard name."""
    return tuple(
        Route(
            service=manifest.name,
            host_key=ingress.host,
            host=hosts[ingress.host],
            port=ingress.port,
            wildcard=ingress.wildcard and wildcard,
            health=ingress.health,
            deny=ingress.deny,
            login_paths=ingress.login_paths,
            deny_writes=ingress.deny_writes,
        )
        for manifest in sorted(manifests, key=lambda m: m.name)
        for ingress in manifest.ingress
    )
