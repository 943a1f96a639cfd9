"""Accounts and policies of MinIO's stand-in: who may do what, as the real one reads its policies.

The real administration speaks an encrypted protocol; the stand-in's is its own, in plain JSON.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT_ONLY = "consoleAdmin"
BUILT_IN = (ROOT_ONLY, "readwrite", "readonly", "writeonly", "diagnostics")
VERSIONS = ("2012-10-17", "")
ACTIONS = frozenset(
    "s3:" + name
    for name in """
    AbortMultipartUpload CreateBucket DeleteBucket ForceDeleteBucket DeleteBucketPolicy
    DeleteBucketCors DeleteObject GetBucketLocation GetBucketNotification GetBucketPolicy
    GetBucketCors GetObject GetObjectAttributes HeadBucket ListAllMyBuckets ListBucket
    GetBucketPolicyStatus ListBucketVersions ListBucketMultipartUploads ListenNotification
    ListenBucketNotification ListMultipartUploadParts PutLifecycleConfiguration
    GetLifecycleConfiguration PutBucketNotification PutBucketPolicy PutBucketCors PutObject
    DeleteObjectVersion DeleteObjectVersionTagging GetObjectVersion GetObjectVersionAttributes
    GetObjectVersionTagging PutObjectVersionTagging BypassGovernanceRetention PutObjectRetention
    GetObjectRetention GetObjectLegalHold PutObjectLegalHold GetBucketObjectLockConfiguration
    PutBucketObjectLockConfiguration GetBucketTagging PutBucketTagging GetObjectTagging
    PutObjectTagging DeleteObjectTagging PutEncryptionConfiguration GetEncryptionConfiguration
    PutBucketVersioning GetBucketVersioning GetReplicationConfiguration PutReplicationConfiguration
    RestoreObject *
    """.split()
)
_RESOURCE = re.compile(r"arn:aws:s3:::(.+)")


class PolicyError(Exception):
    """What MinIO says of a policy that it does not take."""


def check_policy(text: bytes) -> dict[str, Any]:
    """A policy that MinIO takes.

    Raises:
        PolicyError: in its words.
    """
    try:
        policy = json.loads(text)
        statements = policy["Statement"]
    except ValueError as error:
        raise PolicyError(f"invalid character: {error}") from error
    except (KeyError, TypeError) as error:
        raise PolicyError("Invalid arguments specified") from error
    if not statements:
        raise PolicyError("Invalid arguments specified")
    if policy.get("Version", "") not in VERSIONS:
        raise PolicyError(f"invalid version '{policy['Version']}'")
    for statement in statements:
        _check_statement(statement)
    return dict(policy)


def _check_statement(statement: Mapping[str, Any]) -> None:
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise PolicyError(f"invalid Effect {statement.get('Effect')}")
    actions, resources = _listed(statement, "Action"), _listed(statement, "Resource")
    if not actions:
        no_list = statement.get("Action") is None
        raise PolicyError("Action must not be empty" if no_list else "empty actions not allowed")
    for action in actions:
        if not any(fnmatchcase(known, action) for known in ACTIONS):
            raise PolicyError(f"unsupported action '{action}'")
    if not resources:
        raise PolicyError("Resource must not be empty")
    for resource in resources:
        if not _RESOURCE.fullmatch(resource):
            raise PolicyError(f"invalid resource '{resource}'")


def _listed(statement: Mapping[str, Any], name: str) -> list[str]:
    value = statement.get(name) or []
    return [value] if isinstance(value, str) else list(value)


class Accounts:
    """Users and policies, in a file beside the buckets; temporary keys in memory."""

    def __init__(self, folder: Path, root: Mapping[str, str]) -> None:
        self.path = folder / "iam.json"
        self.root = dict(root)
        self.temporary: dict[str, dict[str, Any]] = {}

    def read(self) -> dict[str, Any]:
        """`users` and `policies`."""
        if not self.path.is_file():
            return {"users": {}, "policies": {}}
        return dict(json.loads(self.path.read_text()))

    def write(self, held: Mapping[str, Any]) -> None:
        """Keep both."""
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(held))

    def keys(self) -> dict[str, str]:
        """Access key → secret key of everybody who may sign."""
        users = {a: u["secret"] for a, u in self.read()["users"].items() if u["enabled"]}
        fresh = {a: t["secret"] for a, t in self.temporary.items() if t["until"] > time.time()}
        return {**users, **fresh, **self.root}

    def is_token(self, access: str, token: str) -> bool:
        """Whether a temporary key comes with its token, and another one with none."""
        held = self.temporary.get(access)
        return token == held["token"] if held else not token

    def may(self, access: str, action: str, resource: str) -> bool:
        """Whether somebody may do this with `<bucket>` or `<bucket>/<key>`."""
        if access in self.root:
            return True
        held = self.read()
        names = self.temporary.get(access) or held["users"].get(access) or {}
        if ROOT_ONLY in names.get("policies", ()):
            return True
        found = [
            statement["Effect"]
            for name in names.get("policies", ())
            for statement in held["policies"].get(name, {}).get("Statement", ())
            if _covers(statement, action, resource)
        ]
        return "Allow" in found and "Deny" not in found

    def is_policy(self, name: str) -> bool:
        """Whether there is a policy of that name."""
        return name in BUILT_IN or name in self.read()["policies"]


def _covers(statement: Mapping[str, Any], action: str, resource: str) -> bool:
    patterns = (_RESOURCE.fullmatch(text) for text in _listed(statement, "Resource"))
    return any(fnmatchcase(action, text) for text in _listed(statement, "Action")) and any(
        match and fnmatchcase(resource, match[1]) for match in patterns
    )
