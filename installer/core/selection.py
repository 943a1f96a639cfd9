"""Which services these answers install, as manifests that are complete for this installation.

An image that an answer chooses is chosen here, the edge's certificate becomes secret files of the
edge, and a `per consumer` service becomes one service for each consumer of secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from installer.core.answers_choices import TlsAcme
from installer.core.catalog import Catalog
from installer.core.manifest import ServiceManifest
from installer.core.networks import edge_of

if TYPE_CHECKING:
    from installer.core.answers import Answers

CERTIFICATE_FILES = ("tls_fullchain.pem", "tls_key.pem")
"""Names below the edge's /run/secrets when it does not get its own certificates."""
EDGE = "edge."
"""Begins the names of the edge's secrets; the file's name follows."""


def select_services(answers: Answers, catalog: Catalog) -> Catalog:
    """The manifests of what is installed, by name."""
    chosen = {
        name: _with_egress(_with_image(manifest, answers), answers)
        for name, manifest in catalog.services.items()
        if _is_wanted(manifest, answers)
    }
    edge = edge_of(chosen.values())
    if edge is not None:
        chosen[edge] = _with_certificate(chosen[edge], answers)
    for agent in [manifest for manifest in chosen.values() if manifest.agent]:
        del chosen[agent.name]
        for consumer in [m for m in chosen.values() if m.secret_files and not m.consumer]:
            made = _agent_for(agent, consumer)
            chosen[made.name] = made
            chosen[consumer.name] = consumer.model_copy(
                update={"requires": (*consumer.requires, made.name)}
            )
    return Catalog(dict(sorted(chosen.items())))


def certificate_files(answers: Answers) -> tuple[str, ...]:
    """The edge's files: a certificate and its key, or what it needs to get its own."""
    tls = answers.tls
    if isinstance(tls, TlsAcme):
        return tuple(sorted(tls.acme.credentials))
    return CERTIFICATE_FILES


def _is_wanted(manifest: ServiceManifest, answers: Answers) -> bool:
    if manifest.when and not manifest.when.holds(answers.at(manifest.when.answer)):
        return False
    return not manifest.section or bool(answers.options_of(manifest.section)["enabled"])


def _with_image(manifest: ServiceManifest, answers: Answers) -> ServiceManifest:
    if manifest.variants is None:
        return manifest
    image = manifest.variants.images.get(str(answers.at(manifest.variants.answer)))
    return manifest.model_copy(update={"image": image}) if image else manifest


def _with_egress(manifest: ServiceManifest, answers: Answers) -> ServiceManifest:
    condition = manifest.egress_when
    if condition is None or condition.holds(answers.at(condition.answer)):
        return manifest
    return manifest.model_copy(update={"egress": None})


def _with_certificate(edge: ServiceManifest, answers: Answers) -> ServiceManifest:
    files = {file: f"${{{EDGE}{file}}}" for file in certificate_files(answers)}
    return edge.model_copy(update={"secret_files": {**edge.secret_files, **files}})


def _agent_for(agent: ServiceManifest, consumer: ServiceManifest) -> ServiceManifest:
    return agent.model_copy(
        update={
            "name": f"{agent.name}-{consumer.name}",
            "title": f"{agent.title} of {consumer.title}",
            "user": consumer.user,
            "consumer": consumer,
        }
    )
