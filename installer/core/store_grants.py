"""What the owner of a secret store must grant before the installer can use it, as text to hand on.

The text follows from the answers alone; nothing is asked of the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from installer.core.answers import Answers
from installer.core.answers_fields import Section
from installer.core.answers_vault import VaultAws, VaultBundled, VaultExternal
from installer.core.secretrefs import SecretRef, SecretSource
from installer.core.store_rules import (
    external_policy,
    installer_role,
    reading_policy,
    store_prefix,
)

_OWN_SECRETS = (
    "CreateSecret", "DeleteSecret", "DescribeSecret", "GetSecretValue", "PutSecretValue",
    "TagResource",
)  # fmt: skip
"""Actions of AWS Secrets Manager on the secrets below our prefix."""
_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
}


def describe_grants(answers: Answers) -> str:
    """A policy of the store's own language, or a line that says why none is needed."""
    vault = answers.vault
    if isinstance(vault, VaultExternal):
        own = external_policy(vault.mount, store_prefix(answers))
        return own + _referenced_policy(answers, vault.mount)
    if isinstance(vault, VaultAws):
        policy = _aws_policy(vault, store_prefix(answers))
        policy["Statement"] += _referenced_statements(answers, vault.region)
        return json.dumps(policy, indent=2) + "\n"
    if isinstance(vault, VaultBundled):
        own = installer_role(answers.deployment.name)
        return f"# nothing to grant: the bundled server is given its policies, {own} among them\n"
    return "# nothing to grant: the embedded store is an encrypted file of this machine\n"


def _referenced_policy(answers: Answers, mount: str) -> str:
    """What references of the answers read, beside our own secrets."""
    known: set[str] = set()
    guessed: set[str] = set()
    for path in _locations(answers, SecretSource.VAULT):
        engine, _, below = path.partition("/")
        if path.startswith(f"{mount}/"):
            own = path.removeprefix(f"{mount}/").removeprefix("data/")
            known.add(f"{mount}/data/{own}")
        elif below.startswith("data/"):
            known.add(path)
        else:
            guessed |= {path, f"{engine}/data/{below}"}
    text = "\n# what the answers refer to\n" + reading_policy(sorted(known)) if known else ""
    if guessed:
        text += (
            "\n# what the answers refer to, by the version of the key/value engine there: 1, or 2"
            " with data; delete the other\n" + reading_policy(sorted(guessed))
        )
    return text


def _referenced_statements(answers: Answers, region: str) -> list[dict[str, Any]]:
    names = sorted(set(_locations(answers, SecretSource.AWS)))
    begin = f"arn:{partition_of(region)}:secretsmanager:{region}:*:secret:"
    # the service adds a hyphen and six characters of its own to a name
    resources = [name if name.startswith("arn:") else f"{begin}{name}-??????" for name in names]
    action = "secretsmanager:GetSecretValue"
    statement = {"Sid": "References", "Effect": "Allow", "Action": action, "Resource": resources}
    return [statement] if names else []


def _locations(value: object, source: SecretSource) -> Iterator[str]:
    """Where the references to a store lead, anywhere in the answers."""
    if isinstance(value, SecretRef):
        if value.source is source:
            yield value.location.strip("/")
    elif isinstance(value, Section):
        for name in type(value).model_fields:
            yield from _locations(getattr(value, name), source)
    elif isinstance(value, Mapping | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _locations(item, source)


def _aws_policy(vault: VaultAws, prefix: str) -> dict[str, Any]:
    """An IAM policy document (IAM User Guide, "JSON policy elements")."""
    partition = partition_of(vault.region)
    secrets = f"arn:{partition}:secretsmanager:{vault.region}:*:secret:{prefix}/*"
    own = [f"secretsmanager:{action}" for action in _OWN_SECRETS]
    statements: list[dict[str, Any]] = [
        {"Sid": "OwnSecrets", "Effect": "Allow", "Action": own, "Resource": secrets},
        # listing knows no resource; names are told, values are not
        {
            "Sid": "Names",
            "Effect": "Allow",
            "Action": "secretsmanager:ListSecrets",
            "Resource": "*",
        },
    ]
    if vault.kms_key_id:
        statements.append(_kms_statement(vault.kms_key_id, vault.region, partition))
    return {"Version": "2012-10-17", "Statement": statements}


def _kms_statement(key: str, region: str, partition: str) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Sid": "OwnKey",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
    }
    via = {"kms:ViaService": f"secretsmanager.{region}.amazonaws.com*"}
    name = key.rpartition(":")[2]
    if name.startswith("alias/"):
        # a policy cannot name a key by its alias but in a condition
        statement["Resource"] = f"arn:{partition}:kms:{region}:*:key/*"
        statement["Condition"] = {
            "StringLike": via,
            "ForAnyValue:StringEquals": {"kms:ResourceAliases": name},
        }
        return statement
    arn = key if key.startswith("arn:") else f"arn:{partition}:kms:{region}:*:key/{key}"
    return {**statement, "Resource": arn, "Condition": {"StringLike": via}}


def partition_of(region: str) -> str:
    """The partition of AWS that a region is in, as its ARNs name it."""
    for begin, partition in _PARTITIONS.items():
        if region.startswith(begin):
            return partition
    return "aws"
