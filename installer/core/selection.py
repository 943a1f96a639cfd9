"""Which services these answers install, as manifests that are complete for this installation.

An image that an answer chooses is chosen here, what services give each other is added, secrets that
the answers leave out are left out with their files, the edge's certificate becomes secret files of
the edge, and a `per consumer` service becomes one service for each consumer of secrets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from installer.core.answers_choices import ACME_CA_FILE, ACME_MAC_FILE, TlsAcme
from installer.core.catalog import Catalog
from installer.core.database import direct_clients, read_access
from installer.core.manifest import Connection, Rotation, SecretDeclaration, ServiceManifest
from installer.core.manifest_parts import Condition
from installer.core.networks import edge_of
from installer.core.secretrefs import SecretRef, SecretSource
from installer.core.secrets import named_secrets

if TYPE_CHECKING:
    from installer.core.answers import Answers

CERTIFICATE_FILES = ("tls_fullchain.pem", "tls_key.pem")
"""Names below the edge's /run/secrets when it does not get its own certificates."""
ROOTS = "roots.pem"
"""Ends the name of the secret that clients of the edge verify it by."""
ROOTS_FILE = "edge_roots.pem"
"""Name below the /run/secrets of a client that `trusts_edge`."""
EDGE = "edge."
"""Begins the names of the edge's secrets; the file's name follows."""


def select_services(answers: Answers, catalog: Catalog) -> Catalog:
    """The manifests of what is installed, by name.

    Raises:
        StackError: a manifest names something that is not known of the database.
    """
    chosen = {
        name: _with_flows(_with_image(manifest, answers), answers)
        for name, manifest in catalog.services.items()
        if _is_wanted(manifest, answers)
    }
    chosen = _with_gifts(chosen)
    chosen = _with_secrets(chosen, answers)
    chosen = _with_database(chosen, answers)
    edge = edge_of(chosen.values())
    if edge is not None:
        chosen[edge] = _with_certificate(chosen[edge], answers)
        chosen = {name: _with_roots(manifest, answers) for name, manifest in chosen.items()}
    for agent in [manifest for manifest in chosen.values() if manifest.agent]:
        del chosen[agent.name]
        for consumer in [m for m in chosen.values() if _is_consumer(m)]:
            made = _agent_for(agent, consumer)
            chosen[made.name] = made
            chosen[consumer.name] = consumer.model_copy(
                update={"requires": (*consumer.requires, made.name)}
            )
    for reader in [manifest for manifest in chosen.values() if manifest.reader]:
        del chosen[reader.name]
        for source in [m for m in chosen.values() if any(data.backup for data in m.data)]:
            made_reader = _reader_for(reader, source)
            chosen[made_reader.name] = made_reader
    return Catalog(dict(sorted(chosen.items())))


def certificate_files(answers: Answers) -> tuple[str, ...]:
    """The edge's files: a certificate and its key, or what it needs to get its own."""
    tls = answers.tls
    if isinstance(tls, TlsAcme):
        own = {ACME_CA_FILE: tls.acme.ca_file, ACME_MAC_FILE: tls.acme.eab_hmac}
        return tuple(sorted([*tls.acme.credentials, *(name for name in own if own[name])]))
    return CERTIFICATE_FILES


def _is_wanted(manifest: ServiceManifest, answers: Answers) -> bool:
    if manifest.when and not manifest.when.holds_among(answers.at):
        return False
    return not manifest.section or bool(answers.options_of(manifest.section)["enabled"])


def _with_image(manifest: ServiceManifest, answers: Answers) -> ServiceManifest:
    if manifest.variants is None:
        return manifest
    image = manifest.variants.images.get(str(answers.at(manifest.variants.answer)))
    return manifest.model_copy(update={"image": image}) if image else manifest


def _with_flows(manifest: ServiceManifest, answers: Answers) -> ServiceManifest:
    connects = tuple(c for c in manifest.connects if not c.when or _holds((c.when,), answers))
    egress = manifest.egress if _holds(manifest.egress_conditions, answers) else None
    ingress = tuple(i for i in manifest.ingress if not i.when or _holds((i.when,), answers))
    checks = tuple(c for c in manifest.checks if not c.when or _holds((c.when,), answers))
    told = [note.text for note in manifest.notes_when if _holds((note.when,), answers)]
    return manifest.model_copy(
        update={
            "connects": connects,
            "egress": egress,
            "ingress": ingress,
            "checks": checks,
            "notes": (*told, *manifest.notes),
        }
    )


def _holds(conditions: Sequence[Condition], answers: Answers) -> bool:
    """Whether one of them does, or there is none."""
    return not conditions or any(c.holds_among(answers.at) for c in conditions)


def _with_gifts(chosen: Mapping[str, ServiceManifest]) -> dict[str, ServiceManifest]:
    """Each manifest with the connections and secret files that others give it."""
    given = dict(chosen)
    for giver in chosen.values():
        for gift in giver.gives:
            if gift.to not in given:
                continue
            taker = given[gift.to]
            flows = [Connection(to=giver.name, port=p, why=why) for p, why in gift.ports.items()]
            added = {
                "connects": (*taker.connects, *flows),
                "secret_files": {
                    **taker.secret_files,
                    # a file that is there already is added to, as a list of users
                    **{f: taker.secret_files.get(f, "") + t for f, t in gift.secret_files.items()},
                },
            }
            given[gift.to] = taker.model_copy(update=added)
    return given


def _with_secrets(
    chosen: Mapping[str, ServiceManifest], answers: Answers
) -> dict[str, ServiceManifest]:
    """Each manifest without what the answers leave out; given secrets are not rotated by us."""
    secrets = [secret for manifest in chosen.values() for secret in manifest.secrets]
    absent = {secret.name for secret in secrets if _is_absent(secret, answers)}
    return {
        name: manifest.model_copy(
            update={
                "secrets": tuple(
                    _as_given(secret) if is_given(secret, answers) else secret
                    for secret in manifest.secrets
                    if secret.name not in absent
                ),
                "secret_files": {
                    file: text
                    for file, text in manifest.secret_files.items()
                    if absent.isdisjoint(named_secrets(text))
                },
            }
        )
        for name, manifest in chosen.items()
    }


def _is_absent(secret: SecretDeclaration, answers: Answers) -> bool:
    if not _holds(secret.conditions, answers):
        return True
    return secret.otherwise == "omit" and not is_given(secret, answers)


def is_given(secret: SecretDeclaration, answers: Answers) -> bool:
    """Whether the answers refer to the value of a secret, or name the file with it."""
    value = answers.at(secret.answer) if secret.answer else None
    if isinstance(value, SecretRef):
        return value.source is not SecretSource.GENERATE
    return bool(value)


def _as_given(secret: SecretDeclaration) -> SecretDeclaration:
    why = f"its value comes from {secret.answer}; change it there and run the installer again"
    return secret.model_copy(update={"rotation": Rotation(refuse=why)})


def _with_database(
    chosen: Mapping[str, ServiceManifest], answers: Answers
) -> dict[str, ServiceManifest]:
    """Each manifest with the way to the database that these answers choose."""
    server = next((manifest for manifest in chosen.values() if manifest.database), None)
    access = read_access(answers, chosen.values())
    if server is None or access is None:
        return dict(chosen)
    return {name: direct_clients(manifest, server, access) for name, manifest in chosen.items()}


def _with_certificate(edge: ServiceManifest, answers: Answers) -> ServiceManifest:
    files = {file: f"${{{EDGE}{file}}}" for file in certificate_files(answers)}
    return edge.model_copy(update={"secret_files": {**edge.secret_files, **files}})


def _reader_for(reader: ServiceManifest, source: ServiceManifest) -> ServiceManifest:
    """It owns what the service owns, and is of the group of whoever collects."""
    group = reader.reader.group if reader.reader else 0
    return reader.model_copy(
        update={
            "name": f"{reader.name}-{source.name}",
            "title": f"{reader.title} of {source.title}",
            "user": f"{source.user.partition(':')[0]}:{group}",
            "source": source,
        }
    )


def _with_roots(client: ServiceManifest, answers: Answers) -> ServiceManifest:
    tls = answers.tls
    if not client.trusts_edge or (isinstance(tls, TlsAcme) and not tls.acme.ca_file):
        return client
    name = ACME_CA_FILE if isinstance(tls, TlsAcme) else ROOTS
    files = {**client.secret_files, ROOTS_FILE: f"${{{EDGE}{name}}}"}
    return client.model_copy(update={"secret_files": files})


def _is_consumer(manifest: ServiceManifest) -> bool:
    return bool(manifest.secret_files or manifest.login) and not manifest.consumer


def _agent_for(agent: ServiceManifest, consumer: ServiceManifest) -> ServiceManifest:
    return agent.model_copy(
        update={
            "name": f"{agent.name}-{consumer.name}",
            "title": f"{agent.title} of {consumer.title}",
            "user": consumer.user,
            "consumer": consumer,
        }
    )
