"""The section `identity` of the answers: who tells the services who somebody is, by OpenID Connect.

Told apart by `mode`. What its fields say of each other is in `answers_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from installer.core.answers_fields import Section, about
from installer.core.fields import Rule, check_text
from installer.core.fields_names import check_client
from installer.core.fields_secrets import check_reference, check_secret_text
from installer.core.fields_urls import check_issuer
from installer.core.secretrefs import SecretRef


class IdentityBundled(Section):
    """The platform's own identity provider, which asks for the second factor."""

    mode: Literal["bundled"] = "bundled"


class IdentityExternal(Section):
    """An OpenID Connect provider of the company; it has to ask for the second factor itself."""

    mode: Literal["external"]
    issuer: Annotated[str, Rule(check_issuer)] = about(
        "Issuer",
        "Its issuer URL; <issuer>/.well-known/openid-configuration is read from there.",
        "https://login.company.com/realms/platform",
    )
    client_ids: Annotated[
        Mapping[str, str],
        Rule(check_text(200), takes="mapping", check_key=check_client, join_key="-".join),
    ] = about("Client ids", "Service and the id of its client at the provider.", default={})
    client_secrets: Annotated[
        Mapping[str, SecretRef],
        Rule(
            check_reference(check_secret_text),
            takes="mapping",
            private=True,
            check_key=check_client,
            join_key="-".join,
        ),
    ] = about("Client secrets", "Service and a reference to the secret of its client.", default={})
    admin_group: Annotated[str, Rule(check_text(200))] = about(
        "Administrators",
        "Group of the provider whose members administer the services.",
        default="platform-admins",
    )


Identity = Annotated[IdentityBundled | IdentityExternal, Field(discriminator="mode")]
