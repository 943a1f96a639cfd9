"""The section `workspaces` of the answers: on which host workspaces run.

Told apart by `mode`; what services ask for besides is added to both alternatives from the catalog.
"""

from __future__ import annotations

from typing import Annotated, Literal

from installer.core.answers_fields import LocalFile, Section, about
from installer.core.fields import Rule
from installer.core.fields_engines import check_certificate_pem, check_engines, check_key_pem
from installer.core.fields_secrets import check_reference
from installer.core.secretrefs import SecretRef


class WorkspacesHere(Section):
    """Containers of the platform's own host, behind a filter in front of its engine."""

    mode: Literal["host"] = "host"


class WorkspacesSeparate(Section):
    """Containers of hosts of their own; the platform's host runs none (guide 2.1)."""

    mode: Literal["separate"]
    hosts: Annotated[tuple[str, ...], Rule(check_engines, takes="list")] = about(
        "Workspace hosts",
        "The engine of each, with TLS and client certificates (--tlsverify); people choose one when"
        " they make a workspace. Each has to reach the platform's public names.",
        ["tcp://ws1.company.com:2376"],
    )
    ca_file: LocalFile = about(
        "Authority of the engines",
        "PEM file on this machine: what the engines' certificates are verified by, as ca.pem.",
        "certs/ws-ca.pem",
    )
    certificate: Annotated[
        SecretRef, Rule(check_reference(check_certificate_pem), takes="secret", private=True)
    ] = about(
        "Client certificate",
        "Reference to the certificate that the engines let in, in PEM.",
        "file:/secure/ws/cert.pem",
    )
    key: Annotated[
        SecretRef, Rule(check_reference(check_key_pem), takes="secret", private=True)
    ] = about(
        "Client key",
        "Reference to its private key, in PEM and without a passphrase. Whoever has it is root on"
        " the workspace hosts.",
        "file:/secure/ws/key.pem",
    )
