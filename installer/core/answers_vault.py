"""The section `vault` of the answers: where the platform's secrets are kept, in four alternatives.

Told apart by `mode`, so that what belongs to one alternative cannot be written together with
another. What its fields say of each other is in `answers_vault_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from installer.core.answers_fields import (
    OptionalFile,
    OptionalSecret,
    Section,
    Switch,
    about,
    choice_rule,
)
from installer.core.fields import Rule
from installer.core.fields_custodians import check_custodian_key, check_custodian_name
from installer.core.fields_secrets import (
    check_jwt,
    check_reference,
    check_references,
    check_secret_text,
    check_unseal_share,
    check_vault_token,
)
from installer.core.fields_sizes import check_key_shares, check_threshold
from installer.core.fields_stores import (
    check_auth_mount,
    check_endpoint,
    check_kms_key,
    check_mount,
    check_namespace,
    check_prefix,
    check_profile,
    check_region,
    check_role,
    check_role_id,
    check_seal_address,
    check_seal_key,
    check_vault_address,
)
from installer.core.secretrefs import SecretRef, SecretSource

Flavor = Literal[
    "openbao",
    "vault",
]
Seal = Literal["shamir", "transit", "awskms"]
Mount = Annotated[str, Rule(check_mount)]
Prefix = Annotated[str | None, Rule(check_prefix)]
OptionalToken = Annotated[
    SecretRef | None, Rule(check_reference(check_vault_token), takes="secret", private=True)
]


KeyShares = Annotated[int, Rule(check_key_shares, takes="number")]
KeyThreshold = Annotated[int, Rule(check_threshold, takes="number")]


class _Kept(Section):
    """What two alternatives ask alike: the local store."""

    passphrase: Annotated[
        SecretRef, Rule(check_reference(check_secret_text), takes="secret", private=True)
    ] = about(
        "Passphrase",
        "Reference to the passphrase of the encrypted store in the run directory.",
        "prompt",
        default=SecretRef(SecretSource.ENV, "DEVPLAT_STORE_PASSPHRASE"),
    )


class VaultBundled(_Kept):
    """Secrets are kept by a server that is part of the platform."""

    mode: Literal["bundled"] = "bundled"
    flavor: Annotated[Flavor, choice_rule("openbao", "vault")] = about(
        "Flavor",
        "Which server: openbao (MPL 2.0), or vault (BUSL 1.1, see its licence).",
        default="openbao",
    )
    key_shares: KeyShares = about(
        "Key shares", "Parts that the unseal key is split into, at most 255.", default=5
    )
    key_threshold: KeyThreshold = about(
        "Threshold", "Parts needed to unseal; more than half of them unless set.", default=3
    )
    custodians: Annotated[
        Mapping[str, str],
        Rule(
            check_custodian_key,
            takes="mapping",
            # a private key pasted here gets a message of its own
            private=True,
            check_key=check_custodian_name,
            join_key=".".join,
        ),
    ] = about(
        "Custodians",
        "Who holds a key share, one each, as NAME: KEY below it. The key is an age recipient"
        " (age1…), a line of an SSH public key, or the path of an OpenPGP public key (/… or ~/…)."
        " Without custodians the shares come out in clear.",
        default={},
    )
    unseal_shares: Annotated[
        tuple[SecretRef, ...],
        Rule(check_references(check_unseal_share), takes="list", private=True),
    ] = about(
        "Unseal shares",
        "References to key shares, to unseal without anybody typing them.",
        "file:/run/keys/share-1",
        default=(),
    )
    token: OptionalToken = about(
        "Token",
        "Break glass: reference to a token to act with instead of the installer's own login.",
        "prompt",
        default=None,
    )
    seal: Annotated[Seal, choice_rule("shamir", "transit", "awskms")] = about(
        "Seal",
        "What unseals: shamir is people with key shares; transit is another such server, awskms"
        " a key of AWS, without anybody.",
        default="shamir",
    )
    seal_address: Annotated[str | None, Rule(check_seal_address)] = about(
        "Seal address",
        "With seal transit: where that server listens.",
        "https://vault.company.com:8200",
        default=None,
    )
    seal_key: Annotated[str | None, Rule(check_seal_key)] = about(
        "Seal key",
        "With seal transit: name of the key there; with awskms: id, alias or ARN.",
        "devplat-unseal",
        default=None,
    )
    seal_mount: Mount = about(
        "Seal mount", "With seal transit: path of its engine.", default="transit"
    )
    seal_token: OptionalToken = about(
        "Seal token",
        "With seal transit: reference to a token for that key.",
        "env:SEAL_TOKEN",
        default=None,
    )
    seal_region: Annotated[str | None, Rule(check_region)] = about(
        "Seal region", "With seal awskms: region of the key.", "eu-central-1", default=None
    )
    single_sign_on: Switch = about(
        "Single sign-on",
        "Whether the administrators' group may log in through the identity provider to look after"
        " the server: policies, logins, audit devices, names of secrets, and no secret.",
        default=False,
    )
    mount: Mount = about("Mount", "Path of the KV engine, version 2.", default="secret")
    prefix: Prefix = about(
        "Prefix",
        "Path of our secrets below the mount; devplat/<deployment> unless set.",
        "devplat/prod",
        default=None,
    )


class VaultEmbedded(_Kept):
    """Secrets are kept by the product itself, in an encrypted file of the run directory."""

    mode: Literal["embedded"]
    key_shares: KeyShares = about(
        "Key shares", "Without effect here: a passphrase opens this store.", default=5
    )
    key_threshold: KeyThreshold = about("Threshold", "Without effect here.", default=3)


class VaultExternal(Section):
    """Secrets are kept by a server that exists already."""

    mode: Literal["external"]
    addr: Annotated[str, Rule(check_vault_address)] = about(
        "Address", "Where it listens.", "https://vault.company.com:8200"
    )
    ca_file: OptionalFile = about(
        "Authority", "PEM file: authority of its certificate, when it is a private one.",
        "certs/vault-ca.pem", default=None,
    )  # fmt: skip
    namespace: Annotated[str | None, Rule(check_namespace)] = about(
        "Namespace", "Namespace that the mount lies in.", "team-a", default=None
    )
    mount: Mount = about("Mount", "Path of the KV engine, version 2.", default="secret")
    prefix: Prefix = about(
        "Prefix",
        "Path of our secrets below the mount; devplat/<deployment> unless set.",
        "devplat/prod",
        default=None,
    )
    auth_mount: Annotated[str | None, Rule(check_auth_mount)] = about(
        "Login mount",
        "Path of the login method; approle or jwt unless set.",
        "team-a/approle",
        default=None,
    )
    token: OptionalToken = about(
        "Token",
        "Reference to a token to log in with. Exactly one of token, role_id and jwt is needed.",
        "env:VAULT_TOKEN",
        default=None,
    )
    role_id: Annotated[str | None, Rule(check_role_id)] = about(
        "Role id",
        "Role id of an AppRole, together with secret_id.",
        "db02de05-fa39-4855-059b-67221c5c2f63",
        default=None,
    )
    secret_id: OptionalSecret = about(
        "Secret id", "Reference to the AppRole's secret id.", "env:SECRET_ID", default=None
    )
    jwt: Annotated[
        SecretRef | None, Rule(check_reference(check_jwt), takes="secret", private=True)
    ] = about(
        "JWT",
        "Reference to a token that an OIDC provider issued, together with jwt_role.",
        "file:/run/keys/ci.jwt",
        default=None,
    )
    jwt_role: Annotated[str | None, Rule(check_role)] = about(
        "JWT role", "Role that the JWT logs in to.", "devplat-installer", default=None
    )


class VaultAws(Section):
    """Secrets are kept by AWS Secrets Manager."""

    mode: Literal["aws-secrets-manager"]
    region: Annotated[str, Rule(check_region)] = about(
        "Region", "Region that they are kept in.", "eu-central-1"
    )
    prefix: Prefix = about(
        "Prefix",
        "Begins the names of our secrets; devplat/<deployment> unless set.",
        "devplat/prod",
        default=None,
    )
    kms_key_id: Annotated[str | None, Rule(check_kms_key)] = about(
        "KMS key", "Key that encrypts them, instead of the account's own.", "alias/devplat",
        default=None,
    )  # fmt: skip
    profile: Annotated[str | None, Rule(check_profile)] = about(
        "Profile",
        "Profile of the AWS configuration of this machine to log in with.",
        "devplat",
        default=None,
    )
    endpoint_url: Annotated[str | None, Rule(check_endpoint)] = about(
        "Endpoint",
        "Where the service is reached, instead of its public address.",
        "https://vpce-0123-example.secretsmanager.eu-central-1.vpce.amazonaws.com",
        default=None,
    )


Vault = Annotated[
    VaultBundled | VaultEmbedded | VaultExternal | VaultAws, Field(discriminator="mode")
]
