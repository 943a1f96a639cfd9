"""What can be installed: the manifests of `stacks/compose/*/service.yaml`, and their order.

There is no list of services anywhere: a folder is a service, and its manifest says everything the
installer must know. A mistake in a manifest is a `StackError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import ValidationError

from installer.core.errors import Problem, Remedy, StackError
from installer.core.manifest import DatabaseAction, ServiceManifest


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
    def settings(self) -> Mapping[str, tuple[ServiceManifest, ...]]:
        """Answers section → the services that have options there."""
        settings: dict[str, tuple[ServiceManifest, ...]] = {}
        for service in self.services.values():
            if name := service.options_in:
                settings[name] = (*settings.get(name, ()), service)
        return settings

    @property
    def hosts(self) -> Mapping[str, str]:
        """Key of `domain.hosts` → title of what is behind it, of either where an answer decides."""
        titles: dict[str, list[str]] = {}
        for service in self.services.values():
            for ingress in service.ingress:
                titles.setdefault(ingress.host, []).append(service.title)
        return {host: " or ".join(named) for host, named in titles.items()}


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


def start_order(catalog: Catalog) -> tuple[str, ...]:
    """All services, each after everything it requires; ties by name.

    Raises:
        StackError: on a cycle.
    """
    services = catalog.services
    graph = {name: sorted(services.keys() & services[name].requires) for name in sorted(services)}
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
            other = services.get(hosts.get(ingress.host, ""))
            if other is not None and not _are_alternatives(service, other):
                problems.append(_problem(service.name, f"host {ingress.host} declared twice"))
            hosts[ingress.host] = service.name
    for service in services.values():
        wanted = {*service.requires, *(c.to for c in service.connects)}
        wanted |= {gift.to for gift in service.gives}
        wanted |= {service.stands_in_for} if service.stands_in_for else set()
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


def _are_alternatives(one: ServiceManifest, other: ServiceManifest) -> bool:
    """Whether one answer decides between two services, so that they are never there together."""
    a, b = one.when, other.when
    return bool(a and b and a.answer == b.answer and a.equals and b.equals and a.equals != b.equals)


def _problem(service: str, summary: str) -> Problem:
    return Problem(
        code="stack.manifest",
        summary=summary,
        where=service,
        remedy=Remedy(f"correct stacks/compose/{service}/service.yaml"),
    )
