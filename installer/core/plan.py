"""What would be installed: services in order, names, networks, limits, images, secrets to exist.

A plan is made of answers and the catalog alone, so that the same answers give the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from installer.core.catalog import Catalog, ServiceManifest, start_order
from installer.core.images import ImageLock, pin_images
from installer.core.networks import Network, edge_of, make_networks
from installer.core.secrets import SecretSpec
from installer.core.sizing import ServiceResources, Sizing

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
        """`*.` and the host whose sub-names are workspace apps."""
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
        return (*(route.host for route in self.routes), self.wildcard)

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

    def manifest(self, name: str) -> ServiceManifest:
        """The manifest of a service of this plan."""
        return self.catalog.services[name]


def choose_services(answers: Answers, catalog: Catalog) -> tuple[str, ...]:
    """The services that these answers switch on, in start order."""
    chosen = {
        service.name
        for service in catalog.services.values()
        if not service.section or answers.options_of(service.section)["enabled"]
    }
    return start_order(catalog, chosen)


def make_plan(answers: Answers, catalog: Catalog, sizing: Sizing, lock: ImageLock) -> Plan:
    """Turn answers into a plan.

    Raises:
        AnswersError: an image has no digest, or the network pool is too small.
        StackError: the manifests contradict each other.
    """
    services = choose_services(answers, catalog)
    manifests = {name: catalog.services[name] for name in services}
    hosts = {i.host: answers.domain.hosts[i.host] for m in manifests.values() for i in m.ingress}
    routes = tuple(
        Route(
            service=manifest.name,
            host_key=ingress.host,
            host=hosts[ingress.host],
            port=ingress.port,
            wildcard=ingress.wildcard,
            health=ingress.health,
            deny=ingress.deny,
            login_paths=ingress.login_paths,
        )
        for manifest in sorted(manifests.values(), key=lambda m: m.name)
        for ingress in manifest.ingress
    )
    overrides = {name: ref for name in services if (ref := answers.image_of(name))}
    return Plan(
        answers=answers,
        catalog=catalog,
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
            SecretSpec(secret.name, secret.kind, secret.purpose)
            for manifest in manifests.values()
            for secret in manifest.secrets
        ),
    )
