"""The secret store in AWS Secrets Manager: one secret of the service for each of ours.

The version a write makes is named after what it replaces, so that of two that write at once one is
refused; a secret whose deletion is scheduled is never taken for one that does not exist. Each write
is read back. Importing this needs the library that only this store uses.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from installer.core.errors import IntegrityError, Problem, Remedy, SecretStoreError
from installer.core.secrets import Secret, SecretSpec

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError as error:
    raise SecretStoreError(
        Problem(
            "vault.no_library",
            "vault.mode aws-secrets-manager needs the library boto3, which is not installed",
            Remedy("install it beside the installer", ("pip install 'devplat-install[aws]'",)),
            where="vault.mode",
        )
    ) from error

from installer.adapters.aws_problems import (
    Attempt,
    explain,
    explain_opening,
    scheduled_for_deletion,
    too_long,
)
from installer.adapters.vault_problems import foreign_form, lost_race, no_text, not_stored

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

LARGEST = 65_536
"""Bytes of one value (quotas of AWS Secrets Manager)."""
_VERSIONS = uuid.UUID("6f9f0c39-3c0f-4f0b-9d67-0d5e7a3f1c52")
_SETTLE_S, _SETTLES = 0.5, 20
"""The service is eventually consistent: pause between looks, and how many there are."""
_CURRENT, _PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"


@dataclass(frozen=True, slots=True)
class _Stored:
    value: Secret
    number: int


def open_aws_store(
    *,
    region: str,
    prefix: str,
    deployment: str,
    kms_key_id: str | None = None,
    profile: str | None = None,
    endpoint_url: str | None = None,
) -> AwsStore:
    """A store with the credentials that this machine has; nothing is asked before the first use.

    Raises:
        SecretStoreError: `vault.region`, `vault.credentials`.
    """
    try:
        client = boto3.session.Session(profile_name=profile, region_name=region).client(
            "secretsmanager",
            endpoint_url=endpoint_url,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 5},
                connect_timeout=10,
                read_timeout=30,
                # values in clear stay on this machine, whatever its proxy would do with them
                proxies={} if (endpoint_url or "").startswith("http:") else None,
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise explain_opening(error, region) from error
    return AwsStore(client, prefix=prefix, deployment=deployment, kms_key_id=kms_key_id)


class AwsStore:
    """A `SecretStore` port over the secrets `<prefix>/<name>` of one account and region.

    What lies there: `{"value": …, "kind": …, "purpose": …, "version": …}`.
    """

    def __init__(
        self,
        client: SecretsManagerClient,
        *,
        prefix: str,
        deployment: str,
        kms_key_id: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._prefix = prefix.strip("/")
        self._deployment = deployment
        self._key: dict[str, Any] = {"KmsKeyId": kms_key_id} if kms_key_id else {}
        self._sleep = sleep

    def get(self, name: str) -> Secret | None:
        """The current value, or None.

        Raises:
            SecretStoreError: `vault.deleted`, its deletion is scheduled; others.
            IntegrityError: `vault.form`, somebody else's data lies there.
        """
        found = self._read(name)
        return found.value if found else None

    def ensure(self, spec: SecretSpec, make: Callable[[], Secret]) -> Secret:
        """The stored value of `spec.name`; made, stored and read back when absent.

        Raises: as `get`.
        """
        present = self._read(spec.name)
        if present is not None:
            return present.value
        value = make()
        if self._create(spec, value):
            return self._read_back(spec.name, value)
        winner = self._await(spec.name, lambda found: found is not None)
        if winner is None:
            raise SecretStoreError(lost_race(self._id(spec.name)))
        return winner.value

    def names(self) -> frozenset[str]:
        """The names that have a value; those whose deletion is scheduled are not among them."""
        start = f"{self._prefix}/"
        found: set[str] = set()
        with self._attempt("ListSecrets", "*"):
            pages = self._client.get_paginator("list_secrets").paginate(
                Filters=[{"Key": "name", "Values": [start]}]
            )
            for page in pages:
                found |= {str(each.get("Name", "")) for each in page["SecretList"]}
        below = {name.removeprefix(start) for name in found if name.startswith(start)}
        return frozenset(name for name in below if "/" not in name)

    def replace(self, spec: SecretSpec, value: Secret) -> Secret:
        """Store a new version over the current one, or the first one; returns it as read back.

        Raises: as `get`; `vault.cas`, somebody else replaced it at the same time.
        """
        before = self._read(spec.name)
        stored = self._put(spec, value, before.number) if before else self._create(spec, value)
        if not stored:
            raise SecretStoreError(lost_race(self._id(spec.name)))
        return self._read_back(spec.name, value)

    def previous(self, name: str) -> Secret | None:
        """The value before the current one, or None when there was none."""
        found = self._read(name, _PREVIOUS)
        return found.value if found else None

    def version(self, name: str) -> int | None:
        """How many values the name has had, 1 for the first; None when it has none."""
        found = self._read(name)
        return found.number if found else None

    def remove(self, name: str) -> None:
        """Remove a name with all its versions, at once; no error when there is none."""
        with self._attempt("DeleteSecret", self._id(name)):
            try:
                self._client.delete_secret(SecretId=self._id(name), ForceDeleteWithoutRecovery=True)
            except self._client.exceptions.ResourceNotFoundException:
                return
        # The service deletes in the background, and refuses the name until it has.
        for _ in range(_SETTLES):
            if self._describe(self._id(name)) is None:
                return
            self._sleep(_SETTLE_S)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _id(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _read(self, name: str, stage: str = _CURRENT) -> _Stored | None:
        with self._attempt("GetSecretValue", self._id(name)):
            try:
                answer = self._client.get_secret_value(SecretId=self._id(name), VersionStage=stage)
            except self._client.exceptions.ResourceNotFoundException:
                return None
            except self._client.exceptions.InvalidRequestException:
                self._refuse_scheduled(self._id(name))
                raise
        return _parse(answer, self._id(name))

    def _create(self, spec: SecretSpec, value: Secret) -> bool:
        """The first version; False when the name exists."""
        text = self._serialise(spec, value, 1)
        with self._attempt("CreateSecret", self._id(spec.name)):
            try:
                self._client.create_secret(
                    Name=self._id(spec.name),
                    SecretString=text,
                    ClientRequestToken=self._version_id(spec.name, 1),
                    Description=spec.purpose[:2048],
                    Tags=[{"Key": "deployment", "Value": self._deployment}],
                    **self._key,
                )
            except self._client.exceptions.ResourceExistsException:
                return False
            except self._client.exceptions.InvalidRequestException:
                self._refuse_scheduled(self._id(spec.name))
                raise
        return True

    def _put(self, spec: SecretSpec, value: Secret, over: int) -> bool:
        """The version after `over`; False when there is another one by now."""
        text = self._serialise(spec, value, over + 1)
        with self._attempt("PutSecretValue", self._id(spec.name)):
            try:
                self._client.put_secret_value(
                    SecretId=self._id(spec.name),
                    SecretString=text,
                    ClientRequestToken=self._version_id(spec.name, over + 1),
                )
            except self._client.exceptions.ResourceExistsException:
                return False
            except self._client.exceptions.InvalidRequestException:
                self._refuse_scheduled(self._id(spec.name))
                raise
        return True

    def _version_id(self, name: str, number: int) -> str:
        """The same for all who write this version; a repeated request is recognised by it."""
        return str(uuid.uuid5(_VERSIONS, f"{self._id(name)}\n{number}"))

    def _serialise(self, spec: SecretSpec, value: Secret, number: int) -> str:
        document = {
            "value": value.reveal(),
            "kind": spec.kind.value,
            "purpose": spec.purpose,
            "version": number,
        }
        text = json.dumps(document, ensure_ascii=False, sort_keys=True)
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise SecretStoreError(no_text(spec.name, "it is not UTF-8")) from error
        if size > LARGEST:
            raise SecretStoreError(too_long(spec.name, size, LARGEST))
        return text

    def _read_back(self, name: str, written: Secret) -> Secret:
        stored = self._await(name, lambda found: found is not None and found.value == written)
        if stored is None or stored.value != written:
            raise IntegrityError(not_stored(self._id(name)))
        return stored.value

    def _await(self, name: str, settled: Callable[[_Stored | None], bool]) -> _Stored | None:
        """Read until it is as it should be, for as long as the service may take to agree."""
        found = self._read(name)
        for _ in range(_SETTLES):
            if settled(found):
                break
            self._sleep(_SETTLE_S)
            found = self._read(name)
        return found

    def _refuse_scheduled(self, full_name: str) -> None:
        described = self._describe(full_name)
        when = described.get("DeletedDate") if described else None
        if described is not None and when is not None:
            region = self._client.meta.region_name
            raise SecretStoreError(scheduled_for_deletion(full_name, region, f"{when:%Y-%m-%d}"))

    def read_text(self, full_name: str) -> str | None:
        """The text of any secret of the account, by its name or ARN; None when there is none.

        Raises:
            SecretStoreError: `vault.deleted`, its deletion is scheduled; others.
        """
        with self._attempt("GetSecretValue", full_name):
            try:
                return self._client.get_secret_value(SecretId=full_name).get("SecretString")
            except self._client.exceptions.ResourceNotFoundException:
                return None
            except self._client.exceptions.InvalidRequestException:
                self._refuse_scheduled(full_name)
                raise

    def _describe(self, full_name: str) -> dict[str, Any] | None:
        with self._attempt("DescribeSecret", full_name):
            try:
                return dict(self._client.describe_secret(SecretId=full_name))
            except self._client.exceptions.ResourceNotFoundException:
                return None

    @contextmanager
    def _attempt(self, operation: str, resource: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            meta = self._client.meta
            attempt = Attempt(
                f"secretsmanager:{operation}", resource, meta.region_name, meta.endpoint_url
            )
            raise explain(error, attempt) from error


def _parse(answer: object, where: str) -> _Stored:
    text = answer.get("SecretString") if isinstance(answer, dict) else None
    try:
        document = json.loads(text or "")
    except ValueError:
        document = None
    fields = document if isinstance(document, dict) else {}
    value, number = fields.get("value"), fields.get("version", 1)
    if not isinstance(value, str) or not isinstance(number, int):
        raise IntegrityError(foreign_form(where, 'it is no JSON with a text called "value"'))
    return _Stored(Secret(value), number)
