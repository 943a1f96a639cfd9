"""Checks of what says where a secret store is, and which place in it is ours.

Addresses, mounts, prefixes, namespaces and logins of a Vault-compatible server; regions and keys of
AWS. Everything is judged by its text: nothing is contacted.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult

from installer.core.fields import Check, FieldError, Verdict, reject, trim, visible, warn
from installer.core.fields_hosts import is_loopback
from installer.core.fields_urls import split_url

_ADDRESS = "https://vault.company.com:8200"


def check_vault_address(raw: object) -> Verdict:
    """Where the secret store listens; clear text only on loopback, and only once confirmed."""
    value, shown, is_local = _read_address(raw)
    if value.startswith("https:"):
        return Verdict(value)
    if not is_local:
        raise _plain_address(shown)
    concern = warn(
        "vault.addr.plain",
        f"{shown} is not HTTPS; it stays on this machine",
        f"prefer HTTPS, as {_ADDRESS}",
    )
    return Verdict(value, (concern,))


def check_seal_address(raw: object) -> Verdict:
    """Where the server that unseals ours listens, as the target's containers reach it."""
    value, shown, _ = _read_address(raw)
    if not value.startswith("https:"):
        raise _plain_address(shown)
    return Verdict(value)


def _read_address(raw: object) -> tuple[str, str, bool]:
    """The address in its one form, what is shown of it, and whether it is this machine's own."""
    text, parts, netloc = split_url(raw, "vault.addr.form", _ADDRESS)
    if parts.scheme not in {"http", "https"} or parts.path.strip("/"):
        raise reject(
            "vault.addr.form",
            f"{visible(text)} is no address of a secret store",
            f"write it as {_ADDRESS}",
        )
    return f"{parts.scheme}://{netloc}", visible(text), _is_local(parts)


def _is_local(parts: SplitResult) -> bool:
    host = (parts.hostname or "").lower()
    return host == "localhost" or is_loopback(host)


def _plain_address(shown: str) -> FieldError:
    return reject(
        "vault.addr.plain",
        f"{shown} is not HTTPS: tokens and secrets would cross the network readable",
        f"write it as {_ADDRESS}",
    )


_PATH_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_LONGEST_PATH = 200
_OF_THE_INTERFACE = frozenset({"data", "metadata", "delete", "undelete", "destroy", "subkeys"})
"""What the interface of a KV engine puts between its mount and a path."""
_OF_THE_SYSTEM = frozenset({"sys", "auth", "identity", "cubbyhole"})


def _are_parts(parts: list[str]) -> bool:
    return all(_PATH_PART.fullmatch(part) for part in parts)


def check_mount(raw: object) -> Verdict:
    """Path that a KV engine is mounted at, without what its interface adds (`data`)."""
    text = trim(str(raw))
    parts = text.removesuffix("/").split("/")
    bad = (
        len(text) > _LONGEST_PATH
        or not _are_parts(parts)
        or _OF_THE_INTERFACE & set(parts)
        or parts[0] in _OF_THE_SYSTEM
    )
    if bad:
        raise reject(
            "vault.mount_form",
            f"{visible(text)} is no mount of a KV engine; letters, digits, - and _ between slashes,"
            " without the 'data' of the interface, and not below sys",
            "write the mount alone, as secret",
        )
    return Verdict("/".join(parts))


def check_prefix(raw: object) -> Verdict:
    """Path that all our secrets lie below: plain names, so that no policy reads a pattern in it."""
    text = trim(str(raw))
    parts = text.removesuffix("/").split("/")
    if len(text) > _LONGEST_PATH or not _are_parts(parts) or parts[0] in _OF_THE_INTERFACE:
        raise reject(
            "vault.prefix_form",
            f"{visible(text)} is no prefix; letters, digits, - and _ between slashes, without the"
            " mount and the 'data' of the interface",
            "write the path below the mount, as devplat/prod",
        )
    return Verdict("/".join(parts))


def check_auth_mount(raw: object) -> Verdict:
    """Path that a login method is mounted at, without the `auth` before it."""
    text = trim(str(raw))
    parts = text.removesuffix("/").split("/")
    if len(text) > _LONGEST_PATH or not _are_parts(parts) or parts[0] in _OF_THE_SYSTEM:
        raise reject(
            "vault.mount_form",
            f"{visible(text)} is no mount of a login method; letters, digits, - and _ between"
            " slashes, without 'auth'",
            "write the mount alone, as approle",
        )
    return Verdict("/".join(parts))


def check_namespace(raw: object) -> Verdict:
    """A namespace of the server, as `team-a` or `org/team-a`."""
    text = trim(str(raw))
    parts = text.removesuffix("/").split("/")
    reserved = _OF_THE_SYSTEM | {"root", "audit"}
    if len(text) > _LONGEST_PATH or not _are_parts(parts) or reserved & set(parts):
        raise reject(
            "vault.namespace_form",
            f"{visible(text)} is no namespace; letters, digits, - and _ between slashes, and no"
            " part of the system itself",
            "write it as team-a or org/team-a, or leave it out",
        )
    return Verdict("/".join(parts))


_LOGIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


def check_login_name(what: str, example: str) -> Check:
    """A check for the public half of a login: a role's name or id."""

    def check(raw: object) -> Verdict:
        text = trim(str(raw))
        if not _LOGIN_NAME.fullmatch(text):
            raise reject(
                "vault.login_form",
                f"{visible(text)} is no {what}; letters, digits, . - and _",
                f"copy it whole, as {example}",
            )
        return Verdict(text)

    return check


check_role_id = check_login_name("role id", "db02de05-fa39-4855-059b-67221c5c2f63")
check_role = check_login_name("name of a role", "devplat-installer")

_SEAL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9:/._-]{0,255}", re.ASCII)


def check_seal_key(raw: object) -> Verdict:
    """The key that unseals: a name at a transit engine, or what AWS calls a key of its own."""
    text = trim(str(raw))
    if not _SEAL_KEY.fullmatch(text):
        raise reject(
            "vault.seal_key_form",
            f"{visible(text)} is no name of a key; letters, digits and : / . _ -",
            "write the key's name, as devplat-unseal, or its ARN",
        )
    return Verdict(text)


_REGION = re.compile(r"[a-z]{2,5}(?:-[a-z]{1,12}){1,3}-[1-9][0-9]?", re.ASCII)


def check_region(raw: object) -> Verdict:
    """A region of AWS by its code."""
    text = trim(str(raw))
    if not _REGION.fullmatch(text):
        raise reject(
            "vault.region_form",
            f"{visible(text)} is no code of an AWS region",
            "write the region's code, as eu-central-1",
        )
    return Verdict(text)


_KMS_ARN = r"arn:aws[a-z-]{0,20}:kms:[a-z0-9-]{1,32}:[0-9]{12}:"
_KMS_ID = r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})"
_KMS_ALIAS = r"alias/[A-Za-z0-9/_-]{1,250}"
_KMS_KEY = re.compile(f"{_KMS_ARN}(?:key/{_KMS_ID}|{_KMS_ALIAS})|{_KMS_ID}|{_KMS_ALIAS}", re.ASCII)


def check_kms_key(raw: object) -> Verdict:
    """A key of AWS KMS: its id, its alias, or the ARN of either."""
    text = trim(str(raw))
    if not is_kms_key(text):
        raise reject(
            "vault.kms_key_form",
            f"{visible(text)} is no key of AWS KMS: an id, an alias/NAME, or an ARN",
            "copy the key's ARN, or write alias/devplat",
        )
    return Verdict(text)


def is_kms_key(text: str) -> bool:
    """Whether the text has one of the forms that AWS KMS calls a key by."""
    return bool(_KMS_KEY.fullmatch(text))


_PROFILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 _./@+-]{0,99}", re.ASCII)


def check_profile(raw: object) -> Verdict:
    """A profile of the AWS configuration of this machine."""
    text = trim(str(raw))
    if not _PROFILE.fullmatch(text):
        raise reject(
            "vault.profile_form",
            f"{visible(text)} is no name of an AWS profile",
            "write the profile's name as ~/.aws/config has it",
        )
    return Verdict(text)


def check_endpoint(raw: object) -> Verdict:
    """Where AWS Secrets Manager is reached privately; clear text only on loopback."""
    example = "https://vpce-0123-example.secretsmanager.eu-central-1.vpce.amazonaws.com"
    text, parts, netloc = split_url(raw, "vault.endpoint.form", example)
    if parts.scheme not in {"http", "https"} or parts.path.strip("/"):
        raise reject(
            "vault.endpoint.form",
            f"{visible(text)} is no endpoint of a service",
            f"write it as {example}",
        )
    if parts.scheme == "http" and not _is_local(parts):
        raise reject(
            "vault.endpoint.plain",
            f"{visible(text)} is not HTTPS: secrets would cross the network readable",
            f"write it as {example}",
        )
    return Verdict(f"{parts.scheme}://{netloc}")
