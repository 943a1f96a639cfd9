"""The sections of the answers that exist in alternatives: certificates, database.

Each is a union told apart by `mode`, so that what belongs to one alternative cannot be written
together with another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from installer.core.answers_fields import (
    LocalFile,
    OptionalFile,
    OptionalSecret,
    Section,
    Switch,
    about,
    choice_rule,
)
from installer.core.fields import Rule
from installer.core.fields_acme import (
    check_certificate_days,
    check_dns_delay,
    check_key_identifier,
    check_resolvers,
)
from installer.core.fields_domains import check_acme_email
from installer.core.fields_names import check_provider, check_variable
from installer.core.fields_secrets import (
    check_database_address,
    check_reference,
    check_secret_text,
)
from installer.core.fields_urls import check_directory_url
from installer.core.secretrefs import SecretRef

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
LETS_ENCRYPT_STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"

HSTS_FULL_S = 63_072_000
"""Two years: Mozilla's server-side TLS guidelines."""
HSTS_SHORT_S = 300
"""Soon over, for a host that may have to go back to another certificate, or to none."""

TlsProfile = Annotated[Literal["intermediate", "modern"], choice_rule("intermediate", "modern")]


HstsChoice = Annotated[Literal["auto", "full", "short"], choice_rule("auto", "full", "short")]


class _Tls(Section):
    hsts: HstsChoice = about(
        "HSTS",
        "How long browsers insist on HTTPS: full is two years, short is five minutes; auto is short"
        " while certificates come from a staging authority, else full.",
        default="auto",
    )
    profile: TlsProfile = about(
        "TLS profile",
        "Mozilla's server side TLS profile: intermediate is TLS 1.2 and 1.3, modern is TLS 1.3.",
        default="intermediate",
    )

    @property
    def is_staging(self) -> bool:
        """Whether the certificates are ones that nobody trusts, to try with."""
        return False

    @property
    def hsts_seconds(self) -> int:
        """The max-age that the edge sends."""
        is_short = self.hsts == "short" or (self.hsts == "auto" and self.is_staging)
        return HSTS_SHORT_S if is_short else HSTS_FULL_S


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
        default=LETS_ENCRYPT,
    )
    challenge: Annotated[Challenge, choice_rule("http-01", "tls-alpn-01", "dns-01")] = about(
        "Challenge",
        "How names are proven; names with a wildcard need dns-01.",
        default="dns-01",
    )
    staging: Switch = about(
        "Staging",
        "Get certificates that nobody trusts from the staging directory, to try the challenge"
        " without using up rate limits; their account and storage are apart. Then set it to false.",
        default=False,
    )
    staging_url: Annotated[str, Rule(check_directory_url)] = about(
        "Staging directory",
        "Directory URL that staging uses.",
        default=LETS_ENCRYPT_STAGING,
    )
    ca_file: OptionalFile = about(
        "Root of the directory",
        "PEM file on this machine: the authority that signed the directory's own certificate, when"
        " it is a private one.",
        "certs/root.pem",
        default=None,
    )
    eab_kid: Annotated[str | None, Rule(check_key_identifier)] = about(
        "Key identifier",
        "Of the account at the authority that the new one is bound to (external account binding).",
        default=None,
    )
    eab_hmac: OptionalSecret = about(
        "MAC key", "Reference to the key that belongs to it, in base64url.", default=None
    )
    certificate_days: Annotated[int, Rule(check_certificate_days, takes="number")] = about(
        "Life of certificates",
        "Days that the authority's certificates live; renewal begins when a third is left.",
        default=90,
    )
    dns_provider: Annotated[str | None, Rule(check_provider)] = about(
        "DNS provider", "Code of the provider, for dns-01.", "route53", default=None
    )
    dns_resolvers: Annotated[tuple[str, ...], Rule(check_resolvers, takes="list")] = about(
        "DNS resolvers",
        "Name servers, address:port, that are asked for the zone and whether a challenge's record"
        " is there; the edge's own when there are none.",
        default=(),
    )
    dns_delay_s: Annotated[int, Rule(check_dns_delay, takes="number")] = about(
        "DNS delay", "Seconds before that is looked at.", default=0
    )
    dns_check: Annotated[
        Literal["authoritative", "resolvers", "none"],
        choice_rule("authoritative", "resolvers", "none"),
    ] = about(
        "DNS check",
        "Who must have a challenge's record before the authority is told: the zone's own name"
        " servers; only the resolvers, where those servers cannot be reached from here; nobody.",
        default="authoritative",
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

    @property
    def directory(self) -> str:
        """The directory in use."""
        return self.staging_url if self.staging else self.directory_url

    @property
    def storage(self) -> str:
        """A file name of the directory's own: accounts and certificates of two never mix."""
        place = self.directory.removeprefix("https://").removesuffix("/directory").rstrip("/")
        return re.sub(r"[^A-Za-z0-9.-]", "_", place)


ACME_CA_FILE = "acme_ca.pem"
"""Name below the edge's /run/secrets of the root of a private directory."""
ACME_MAC_FILE = "acme_eab_hmac"
"""The same of the MAC key for external account binding."""


class TlsAcme(_Tls):
    """Certificates of an ACME authority, obtained and renewed by the edge."""

    mode: Literal["acme"]
    acme: Acme = Field(title="ACME", description="Account and challenge.")

    @property
    def is_staging(self) -> bool:
        """Whether the staging directory is in use."""
        return self.acme.staging


Tls = Annotated[TlsPrivateCa | TlsFiles | TlsAcme, Field(discriminator="mode")]


class DatabaseBundled(Section):
    """The database is part of the platform."""

    mode: Literal["bundled"] = "bundled"


class DatabaseExternal(Section):
    """The server of the databases exists already, as a managed one of a cloud.

    Roles and databases are made on it, one of each for a service, with passwords of our own.
    """

    mode: Literal["external"]
    url: Annotated[str, Rule(check_database_address, private=True)] = about(
        "URL",
        "Where the server is, a login that may make roles and databases (CREATEROLE and CREATEDB,"
        " as the master user of RDS), and a database to begin in. Without a password; TLS is always"
        " verified.",
        "postgres://master@db.company.com:5432/postgres?sslmode=verify-full",
    )
    password: OptionalSecret = about(
        "Password",
        "Reference to the password of that login.",
        "env:DATABASE_PASSWORD",
        default=None,
    )
    ca_file: OptionalFile = about(
        "Authority of the server",
        "PEM file on this machine: what every client verifies the server's certificate by. Of RDS"
        " it is the bundle of the region.",
        "certs/rds-eu-central-1.pem",
        default=None,
    )


Database = Annotated[DatabaseBundled | DatabaseExternal, Field(discriminator="mode")]
