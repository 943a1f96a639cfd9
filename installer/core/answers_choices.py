"""The sections of the answers that exist in alternatives: certificates, database.

Each is a union told apart by `mode`, so that what belongs to one alternative cannot be written
together with another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from installer.core.answers_fields import (
    LocalFile,
    OptionalFile,
    OptionalSecret,
    Section,
    about,
    choice_rule,
)
from installer.core.fields import Rule
from installer.core.fields_domains import check_acme_email
from installer.core.fields_names import check_provider, check_variable
from installer.core.fields_secrets import (
    check_database_reference,
    check_reference,
    check_secret_text,
)
from installer.core.fields_urls import check_directory_url
from installer.core.secretrefs import SecretRef

TlsProfile = Annotated[Literal["intermediate", "modern"], choice_rule("intermediate", "modern")]


class _Tls(Section):
    profile: TlsProfile = about(
        "TLS profile",
        "Mozilla's server side TLS profile: intermediate is TLS 1.2 and 1.3, modern is TLS 1.3.",
        default="intermediate",
    )


class TlsPrivateCa(_Tls):
    """Certificates of an authority of our own; users' machines must trust its root."""

    mode: Literal["private-ca"] = "private-ca"


class TlsFiles(_Tls):
    """Certificates that somebody else issues."""

    mode: Literal["files"]
    certificate_file: LocalFile = about(
        "Certificate", "PEM file on this machine: the server's certificate, then its chain.",
        "certs/fullchain.pem",
    )  # fmt: skip
    key_file: LocalFile = about(
        "Key", "PEM file on this machine: the private key.", "certs/privkey.pem"
    )
    key_passphrase: OptionalSecret = about(
        "Passphrase of the key", "Reference to it, when the key is encrypted.", default=None
    )
    chain_file: OptionalFile = about(
        "Chain", "PEM file: intermediate certificates, when not in the first.", default=None
    )


Challenge = Literal["http-01", "tls-alpn-01", "dns-01"]


class Acme(Section):
    """Automatic certificates (RFC 8555)."""

    email: Annotated[str, Rule(check_acme_email)] = about(
        "Contact", "Address for notices of the authority.", "admin@company.com"
    )
    directory_url: Annotated[str, Rule(check_directory_url)] = about(
        "Directory",
        "Directory URL of the authority.",
        default="https://acme-v02.api.letsencrypt.org/directory",
    )
    challenge: Annotated[Challenge, choice_rule("http-01", "tls-alpn-01", "dns-01")] = about(
        "Challenge",
        "How names are proven; names with a wildcard need dns-01.",
        default="dns-01",
    )
    dns_provider: Annotated[str | None, Rule(check_provider)] = about(
        "DNS provider", "Code of the provider, for dns-01.", "route53", default=None
    )
    credentials: Annotated[
        Mapping[str, SecretRef],
        Rule(
            check_reference(check_secret_text),
            takes="mapping",
            private=True,
            check_key=check_variable,
            join_key="_".join,
        ),
    ] = about(
        "Credentials", "The provider's variables, each with a reference to its value.", default={}
    )


class TlsAcme(_Tls):
    """Certificates of an ACME authority, obtained and renewed by the edge."""

    mode: Literal["acme"]
    acme: Acme = Field(title="ACME", description="Account and challenge.")


Tls = Annotated[TlsPrivateCa | TlsFiles | TlsAcme, Field(discriminator="mode")]


class DatabaseBundled(Section):
    """The database is part of the platform."""

    mode: Literal["bundled"] = "bundled"


class DatabaseExternal(Section):
    """The database exists already."""

    mode: Literal["external"]
    url: Annotated[
        SecretRef | str, Rule(check_database_reference, takes="secret", private=True)
    ] = about(
        "URL",
        "As text without a password, or by reference.",
        "postgres://devplat@db.company.com:5432/devplat?sslmode=verify-full",
    )
    password: OptionalSecret = about(
        "Password", "Reference to it, when the URL has none.", default=None
    )


Database = Annotated[DatabaseBundled | DatabaseExternal, Field(discriminator="mode")]
