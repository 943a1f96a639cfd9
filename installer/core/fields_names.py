"""Checks of names: the deployment, accounts, time zones, buckets, labels, methods, images.

Each allows what the strictest consumer allows, so that a name never has to be escaped anywhere.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Collection
from importlib import resources

from installer.core.fields import (
    Check,
    Verdict,
    as_items,
    check_each,
    check_text,
    first_invisible,
    nearest,
    reject,
    trim,
    visible,
)

_DEPLOYMENT = re.compile(r"[a-z0-9][a-z0-9_-]*", re.ASCII)
_LONGEST_DEPLOYMENT = 63  # a host name's label; the project's name is part of container names


def check_deployment_name(raw: object) -> Verdict:
    """Name of the Compose project (Compose specification, "name"), also part of paths."""
    text = trim(str(raw))
    if len(text) > _LONGEST_DEPLOYMENT:
        raise reject(
            "name.too_long",
            f"{visible(text)} has {len(text)} characters; at most {_LONGEST_DEPLOYMENT} are"
            " possible",
            "shorten the name",
        )
    if not _DEPLOYMENT.fullmatch(text):
        raise reject(
            "name.form",
            f"{visible(text)} is no deployment name; allowed: a-z, 0-9, - and _, beginning with a"
            " letter or digit",
            "write lower-case letters and digits, as devplat or prod-2",
        )
    return Verdict(text)


_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?", re.ASCII)


def check_account(code: str) -> Check:
    """A check for the name of an account of a POSIX system (useradd(8), with capitals and dots)."""

    def check(raw: object) -> Verdict:
        text = trim(str(raw))
        if not _ACCOUNT.fullmatch(text):
            raise reject(
                code,
                f"{visible(text)} is no account name; allowed: letters, digits, . _ and -, at most"
                " 64, beginning with a letter or _",
                "write the account's name alone",
            )
        return Verdict(text)

    return check


check_ssh_user = check_account("ssh.user.form")
check_admin_user = check_account("admin.username.form")

_REGISTRY_USER = re.compile(r"[!-9;-~]{1,255}", re.ASCII)


def check_registry_user(raw: object) -> Verdict:
    """An account at a registry: any visible ASCII but the colon that ends it (RFC 7617, 2).

    Accounts of machines have signs that people's have not: `robot$ci`, `_json_key`, `team+ci`.
    """
    text = trim(str(raw))
    if not _REGISTRY_USER.fullmatch(text):
        raise reject(
            "registry.username_form",
            f"{visible(text)} is no account of a registry; allowed: 1 to 255 visible ASCII"
            " characters, without blanks and colons",
            "write the account's name alone",
        )
    return Verdict(text)


@functools.cache
def _zones() -> frozenset[str]:
    """The names that the time zone data of this release knows; the same on every machine."""
    text = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii")
    return frozenset(text.split())


def check_timezone(raw: object) -> Verdict:
    """An IANA time zone."""
    text = trim(str(raw))
    if text in _zones():
        return Verdict(text)
    by_lower = {zone.lower(): zone for zone in _zones()}
    if text.lower() in by_lower:
        return Verdict(by_lower[text.lower()])
    near = nearest(text, sorted(_zones()))
    raise reject(
        "timezone.unknown",
        f"{visible(text)} is no time zone of the IANA database",
        f"write an IANA name, as {near or 'UTC or Europe/Berlin'}",
    )


_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?=[a-z0-9])){1,61}[a-z0-9]", re.ASCII)
_BUCKET_AFFIXES = (("xn--", "sthree-", "amzn-s3-demo-"), ("-s3alias", "--ol-s3", "--x-s3"))


def check_bucket(raw: object) -> Verdict:
    """A bucket's name by the rules of S3 for general purpose buckets."""
    text = trim(str(raw))
    prefixes, suffixes = _BUCKET_AFFIXES
    fits = (
        3 <= len(text) <= 63
        and _BUCKET.fullmatch(text)
        and not _is_ip(text)
        and not text.startswith(prefixes)
        and not text.endswith(suffixes)
    )
    if not fits:
        raise reject(
            "bucket.form",
            f"{visible(text)} is no bucket name; allowed: 3 to 63 of a-z, 0-9, - and single dots,"
            " not shaped like an address",
            "write the bucket's name alone, as company-backups",
        )
    return Verdict(text)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_LABEL_KEY = re.compile(r"[a-z0-9](?:[a-z0-9._/-]*[a-z0-9])?", re.ASCII)
_LABEL_FORBIDDEN = frozenset("`$\"'\\{}|&<>;")
_OWN_NAMESPACES = frozenset({"devplat", "com.docker", "io.docker", "org.dockerproject"})


def check_label_key(reserved: Collection[str]) -> Check:
    """A check for a label's key; `reserved` are first segments that steer a service."""

    def check(raw: object) -> Verdict:
        text = str(raw)
        if len(text) > 128 or not _LABEL_KEY.fullmatch(text):
            raise reject(
                "label.key_form",
                f"{visible(text)} is no label key; allowed: a-z, 0-9, . _ / and -, at most 128",
                "write lower-case letters, as team or com.company.team",
            )
        first = re.split(r"[._/-]", text)[0]
        own = any(re.match(rf"{re.escape(space)}(?:[./]|\Z)", text) for space in _OWN_NAMESPACES)
        if own or first in reserved:
            raise reject(
                "label.reserved",
                f"the label {visible(text)} steers a service or the engine; answers cannot set it",
                "choose a key of your own, as com.company.team",
            )
        return Verdict(text)

    return check


def check_label_value(raw: object) -> Verdict:
    """A label's value: visible characters that no rule, shell or template reads as syntax."""
    text = str(raw)
    bad = first_invisible(text) or next((c for c in text if c in _LABEL_FORBIDDEN), None)
    if bad:
        raise reject(
            "label.bad_char",
            f"{visible(text)} holds {bad}, which is not allowed in label values",
            "use letters, digits, blanks and . _ - : / @ + , = ( )",
        )
    if len(text) > 255:
        raise reject(
            "label.too_long",
            f"{visible(text)} has {len(text)} characters; at most 255 are possible",
            "shorten the label",
        )
    return Verdict(text)


def join_label_key(segments: Collection[str]) -> str:
    """One key of nested segments: labels are written flat or nested."""
    return ".".join(segments)


MFA_METHODS = ("webauthn", "totp", "static")


def check_mfa_methods(raw: object) -> Verdict:
    """Second factors to offer; recovery codes (`static`) never stand alone."""
    verdict = check_each(as_items(raw), _check_method)
    methods = tuple(dict.fromkeys(verdict.value))
    if not set(methods) - {"static"}:
        raise reject(
            "mfa.method",
            "no second factor is left that a person can use every day",
            "name webauthn or totp, or both",
        )
    return Verdict(methods)


def _check_method(raw: object) -> Verdict:
    text = trim(str(raw))
    if text not in MFA_METHODS:
        raise reject(
            "mfa.method",
            f"{visible(text)} is not offered as a second factor; allowed: {', '.join(MFA_METHODS)}",
            "choose webauthn or totp: messages can be redirected, and are no second factor alone",
        )
    return Verdict(text)


_REPOSITORY = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*",
    re.ASCII,
)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_check_reference_text = check_text(512)


def check_image(raw: object) -> Verdict:
    """A full image reference with its digest (OCI distribution specification, 1.1)."""
    text = trim(_check_reference_text(raw).value)
    name, at, digest = text.partition("@")
    head, colon, tag = name.rpartition(":")
    repository, tag = (head, tag) if colon and "/" not in tag else (name, "")
    if not _REPOSITORY.fullmatch(repository) or (tag and not _TAG.fullmatch(tag)):
        raise reject(
            "image.form",
            f"{visible(text)} is no image reference",
            "write registry/repository:tag@sha256:… with 64 hexadecimal digits",
        )
    if not at:
        raise reject(
            "image.unpinned",
            f"{visible(text)} has no digest: what its tag names can change",
            "add the digest: …@sha256: and 64 hexadecimal digits",
        )
    if not _DIGEST.fullmatch(digest):
        raise reject(
            "image.digest_form",
            f"{visible(text)} has a malformed digest; it is sha256: and 64 hexadecimal digits",
            "copy the digest as the registry shows it",
        )
    return Verdict(text)


_WAIVER_CODE = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+", re.ASCII)


def check_waiver_code(raw: object) -> Verdict:
    """The code of a warning, as it is shown with it."""
    text = trim(str(raw))
    if len(text) > 80 or not _WAIVER_CODE.fullmatch(text):
        raise reject(
            "waiver.code_form",
            f"{visible(text)} is no code of a warning",
            "copy the code from the warning, as domain.not_public",
        )
    return Verdict(text)


_check_reason = check_text(500)


def check_waiver_reason(raw: object) -> Verdict:
    """Why a warning is accepted; recorded in the report."""
    verdict = _check_reason(raw)
    if not verdict.value.strip():
        raise reject("waiver.reason", "a waiver without a reason", "say who accepts it, and why")
    return verdict


_CLIENT = re.compile(r"[a-z][a-z0-9-]{0,39}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}", re.ASCII)
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)


def check_variable(raw: object) -> Verdict:
    """Name of an environment variable, in capitals."""
    text = trim(str(raw)).upper()
    if not _VARIABLE.fullmatch(text):
        raise reject(
            "acme.credential_name",
            f"{visible(raw)} is no name of a variable",
            "write the variable's name as the DNS provider's page shows it: AWS_ACCESS_KEY_ID",
        )
    return Verdict(text)


def check_client(raw: object) -> Verdict:
    """Name of a service that is a client of the identity provider."""
    text = trim(str(raw)).lower()
    if not _CLIENT.fullmatch(text):
        raise reject(
            "identity.client_name",
            f"{visible(raw)} is no name of a service",
            "write the service's name, as gitea",
        )
    return Verdict(text)


def check_provider(raw: object) -> Verdict:
    """The code of a DNS provider, as lego lists it."""
    text = trim(str(raw)).lower()
    if not _PROVIDER.fullmatch(text):
        raise reject(
            "acme.dns_provider",
            f"{visible(raw)} is no code of a DNS provider",
            "write the provider's code, as route53 or cloudflare",
        )
    return Verdict(text)
