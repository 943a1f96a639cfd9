"""The section `storage` of the answers: the object store of the services.

Told apart by `mode`. What its fields say of each other is in `storage_consumers`, which knows who
needs a bucket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from installer.core.answers_fields import OptionalFile, Section, Switch, about
from installer.core.fields import Rule
from installer.core.fields_names import check_bucket, check_client
from installer.core.fields_secrets import check_reference, check_secret_text
from installer.core.fields_storage import check_endpoint, check_region
from installer.core.secretrefs import SecretRef

_Keys = Annotated[
    Mapping[str, SecretRef],
    Rule(
        check_reference(check_secret_text),
        takes="mapping",
        private=True,
        check_key=check_client,
        join_key="-".join,
    ),
]


class StorageBundled(Section):
    """The platform's own object store, unless that is not installed."""

    mode: Literal["bundled"] = "bundled"


class StorageExternal(Section):
    """An S3 service of the company or of a cloud; no object store is installed."""

    mode: Literal["external"]
    endpoint: Annotated[str, Rule(check_endpoint)] = about(
        "Endpoint",
        "Address of the S3 service, without a bucket.",
        "https://s3.eu-central-1.amazonaws.com",
    )
    region: Annotated[str, Rule(check_region)] = about(
        "Region",
        "Region of the buckets; requests are signed for it.",
        "eu-central-1",
        default="us-east-1",
    )
    path_style: Switch = about(
        "Path style",
        "The bucket is in the path of the address; off, its name is put before the endpoint's, as"
        " Amazon wants it.",
        default=True,
    )
    ca_file: OptionalFile = about(
        "Authority",
        "PEM file on this machine: the root that signed the endpoint's certificate, when it is a"
        " private one.",
        "certs/root.pem",
        default=None,
    )
    buckets: Annotated[
        Mapping[str, str],
        Rule(check_bucket, takes="mapping", check_key=check_client, join_key="-".join),
    ] = about("Buckets", "Service and the bucket that is its own.", default={})
    access_keys: _Keys = about(
        "Access keys", "Service and a reference to the id of its key.", default={}
    )
    secret_keys: _Keys = about(
        "Secret keys", "Service and a reference to the secret of its key.", default={}
    )

    @property
    def authority(self) -> str:
        """Host of the endpoint, with its port where it has one."""
        return self.endpoint.partition("://")[2]


Storage = Annotated[StorageBundled | StorageExternal, Field(discriminator="mode")]
