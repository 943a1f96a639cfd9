"""What the owner of a secret store must grant before the installer can use it, as text to hand on.

The text follows from the answers alone; nothing is asked of the store.
"""

from __future__ import annotations

import json
from typing import Any

from installer.core.answers import Answers
from installer.core.answers_vault import VaultAws, VaultBundled, VaultExternal
from installer.core.store_rules import external_policy, installer_role, store_prefix

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
        return external_policy(vault.mount, store_prefix(answers))
    if isinstance(vault, VaultAws):
        policy = _aws_policy(vault, store_prefix(answers))
        return json.dumps(policy, indent=2) + "\n"
    if isinstance(vault, VaultBundled):
        own = installer_role(answers.deployment.name)
        return f"# nothing to grant: the bundled server is given its policies, {own} among them\n"
    return "# nothing to grant: the embedded store is an encrypted file of this machine\n"


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
