"""What is wrong between this machine and AWS Secrets Manager, as errors with remedies.

Errors of the library are told apart by their type and by the error code of the service. No message
holds a value or a key; what the service says in words is not passed on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    LoginError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    SSOError,
    TokenRetrievalError,
)

from installer.core.errors import Problem, Remedy, SecretStoreError
from installer.core.store_grants import partition_of

_NO_CREDENTIALS = (
    CredentialRetrievalError,
    LoginError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN_KEY = frozenset(
    {
        "401",  # a refusal without a code of the service, of an endpoint or a proxy before it
        "403",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_LIMITED = frozenset(
    {
        "LimitExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_KEY_REFUSED = frozenset(
    {
        "DecryptionFailure",
        "EncryptionFailure",
        "KMSAccessDeniedException",
        "KMSInvalidStateException",
    }
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was being done when it went wrong.

    Attributes:
        action: IAM action, e.g. `secretsmanager:GetSecretValue`.
        resource: The secret's name, or a pattern.
        region: Where.
        endpoint: The address that is asked.
    """

    action: str
    resource: str
    region: str
    endpoint: str


def explain(error: Exception, attempt: Attempt) -> SecretStoreError:
    """An error of the library as one of ours."""
    if isinstance(error, ClientError):
        return SecretStoreError(_refusal(error, attempt))
    if isinstance(error, _NO_CREDENTIALS):
        return SecretStoreError(no_credentials())
    if isinstance(error, SSLError):
        return SecretStoreError(_untrusted(attempt))
    if isinstance(error, ConnectionError | ConnectionClosedError | HTTPClientError):
        return SecretStoreError(_unreachable(attempt))
    return SecretStoreError(_unexpected(attempt, type(error).__name__))


def explain_opening(error: BotoCoreError | ValueError, region: str) -> SecretStoreError:
    """Why no client can be made at all."""
    if isinstance(error, ProfileNotFound):
        profile = error.kwargs.get("profile")
        return SecretStoreError(
            Problem(
                "vault.credentials",
                f"this machine has no AWS profile {profile}",
                Remedy(
                    "correct vault.profile, or make the profile", ("aws configure list-profiles",)
                ),
                where="vault.profile",
            )
        )
    if isinstance(error, InvalidRegionError):
        return SecretStoreError(
            Problem(
                "vault.region",
                f"{region!r} is not a region of AWS",
                Remedy("give one like eu-central-1 in vault.region"),
                where="vault.region",
            )
        )
    if isinstance(error, _NO_CREDENTIALS):
        return SecretStoreError(no_credentials())
    return SecretStoreError(
        Problem(
            "vault.unexpected",
            f"no client for AWS Secrets Manager can be made: {type(error).__name__}",
            Remedy(
                "check vault.region, vault.endpoint_url and the AWS configuration of this account"
            ),
            where="vault",
        )
    )


def no_credentials() -> Problem:
    """This machine knows no way to prove itself."""
    return Problem(
        "vault.credentials",
        "this machine has no usable AWS credentials",
        Remedy(
            "give it a role, set vault.profile, or log in; keys are never taken from the answers",
            ("aws sts get-caller-identity",),
        ),
        where="vault.profile",
    )


def scheduled_for_deletion(name: str, region: str, when: str) -> Problem:
    """The secret exists, and somebody has scheduled its deletion."""
    return Problem(
        "vault.deleted",
        f"{name} is scheduled for deletion ({when}); no other value is made in its place",
        Remedy(
            "restore it, or delete it for good if its data is gone as well",
            (f"aws secretsmanager restore-secret --region {region} --secret-id {name}",),
        ),
        where=name,
    )


def too_long(name: str, size: int, largest: int) -> Problem:
    """A value that the service does not take."""
    return Problem(
        "vault.value",
        f"the value of {name} cannot be stored: it takes {size} bytes, {largest} are allowed",
        Remedy("use a shorter value, or another vault.mode"),
        where=name,
    )


def _refusal(error: ClientError, attempt: Attempt) -> Problem:
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    where = "vault"
    if code in _DENIED:
        return _denied(attempt)
    if code in _KEY_REFUSED:
        return Problem(
            "vault.permission",
            f"permission denied: the key that encrypts {attempt.resource} cannot be used",
            Remedy(
                "allow kms:Decrypt and kms:GenerateDataKey on the key of vault.kms_key_id, and see"
                " that it is enabled"
            ),
            where="vault.kms_key_id",
        )
    if code in _EXPIRED:
        return Problem(
            "vault.token_expired",
            "the AWS session of this machine has expired",
            Remedy("log in again, then run again; what was written stays and is not made again"),
            where=where,
        )
    if code in _UNKNOWN_KEY:
        return Problem(
            "vault.token_refused",
            f"AWS refuses the credentials of this machine ({code})",
            Remedy(
                "check the profile, the region and the clock of this machine",
                ("aws sts get-caller-identity",),
            ),
            where=where,
        )
    if code in _LIMITED:
        return Problem(
            "vault.rate_limited",
            "AWS Secrets Manager limits the rate of requests, also after repeated attempts",
            Remedy("run again later; what was written stays"),
            where=where,
        )
    return _unexpected(attempt, code)


def _denied(attempt: Attempt) -> Problem:
    begin = f"arn:{partition_of(attempt.region)}:secretsmanager:{attempt.region}:*:secret:"
    given = attempt.resource
    resource = given if given.startswith("arn:") else f"{begin}{given}-*"
    listing = attempt.action.endswith("ListSecrets")
    statement: Mapping[str, str] = {
        "Effect": "Allow",
        "Action": attempt.action,
        # Listing cannot be narrowed down (service authorization reference of Secrets Manager).
        "Resource": "*" if listing else resource,
    }
    return Problem(
        "vault.permission",
        f"permission denied: these credentials lack the capability {attempt.action} on the path"
        f" {attempt.resource}",
        Remedy(
            "have this statement added to their policy: path and capability are in the detail; what"
            " was written stays, and a further run goes on from there"
        ),
        where="vault",
        detail=json.dumps(statement, indent=2),
    )


def _untrusted(attempt: Attempt) -> Problem:
    return Problem(
        "vault.ca",
        f"the certificate of {attempt.endpoint} is not trusted",
        Remedy(
            "name the file with the CA of the endpoint (or of the proxy in between) in the variable"
            " AWS_CA_BUNDLE"
        ),
        where="vault.endpoint_url",
    )


def _unreachable(attempt: Attempt) -> Problem:
    return Problem(
        "vault.unreachable",
        f"AWS Secrets Manager cannot be reached at {attempt.endpoint} (region {attempt.region})",
        Remedy("check vault.region and vault.endpoint_url, and the way out of this machine"),
        where="vault.endpoint_url",
    )


def _unexpected(attempt: Attempt, code: str) -> Problem:
    return Problem(
        "vault.unexpected",
        f"{attempt.action} on {attempt.resource} ended with {code}",
        Remedy("look the code up in the API reference of AWS Secrets Manager, then run again"),
        where="vault",
    )
