"""Checks of URLs: what every plain one has to be, an ACME directory, a registry, a proxy.

Everything is judged by its text: nothing is resolved, and nothing is contacted.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from installer.core.fields import (
    Verdict,
    as_items,
    check_each,
    check_text,
    first_invisible,
    reject,
    trim,
    visible,
)
from installer.core.fields_hosts import normal_host

_check_line = check_text(1000)


def split_url(raw: object, code: str, example: str) -> tuple[str, SplitResult, str]:
    """The text, its parts, and its host and port in their one form.

    Raises:
        FieldError: with `code`, for what no plain URL has: a user, a query, characters of syntax.
    """
    text = trim(_check_line(raw).value)
    error = reject(code, f"{visible(text)} is no plain URL", f"write it as {example}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as cause:
        raise error from cause
    if parts.username is not None or parts.password is not None:
        raise reject(
            code,
            "the URL holds a user or a password",
            f"write it without, as {example}; secrets have fields of their own",
        )
    host = normal_host(parts.hostname or "")
    bad = parts.fragment or parts.query or re.search(r"[\s\"'`\\{}|^<>$]", text) or port == 0
    if not parts.scheme or host is None or bad:
        raise error
    netloc = f"[{host}]" if ":" in host else host
    return text, parts, netloc + (f":{port}" if port else "")


def check_directory_url(raw: object) -> Verdict:
    """The directory of an ACME authority (RFC 8555, 6.1: HTTPS only)."""
    example = "https://acme-v02.api.letsencrypt.org/directory"
    text, parts, netloc = split_url(raw, "acme.url_form", example)
    if parts.scheme != "https":
        raise reject(
            "acme.plain",
            f"{visible(text)} is not HTTPS, and ACME needs it",
            f"write it as {example}",
        )
    return Verdict(f"https://{netloc}{parts.path}")


def check_issuer(raw: object) -> Verdict:
    """The issuer of an OpenID Connect provider (OpenID Connect Core 1.0, 2: HTTPS, no query).

    Its path is kept as it is: a provider compares issuers byte for byte.
    """
    example = "https://login.company.com/realms/platform"
    text, parts, netloc = split_url(raw, "identity.issuer_form", example)
    if parts.scheme != "https":
        raise reject(
            "identity.issuer_plain",
            f"{visible(text)} is not HTTPS, and OpenID Connect needs it",
            f"write it as {example}",
        )
    discovery = "/.well-known/openid-configuration"
    if parts.path.endswith(discovery):
        raise reject(
            "identity.issuer_form",
            f"{visible(text)} is the discovery document, not the issuer",
            f"leave out {discovery}",
        )
    return Verdict(f"https://{netloc}{parts.path}")


_MIRROR_PATH = re.compile(r"(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*/?", re.ASCII)


def check_mirror(raw: object) -> Verdict:
    """A registry that stands in front of every image, with HTTPS."""
    example = "https://mirror.company.com"
    text = trim(_check_line(raw).value)
    whole = text if "://" in text else f"https://{text}"
    _, parts, netloc = split_url(whole, "registry.form", example)
    if parts.scheme == "http":
        raise reject(
            "registry.plain",
            f"{visible(text)} is plain HTTP: images could be replaced on the way",
            f"write it as {example}",
        )
    if parts.scheme != "https" or not _MIRROR_PATH.fullmatch(parts.path):
        raise reject(
            "registry.form",
            f"{visible(text)} is no registry",
            f"write it as {example} or {example}/path",
        )
    return Verdict(f"https://{netloc}{parts.path.rstrip('/')}")


def check_proxy(raw: object) -> Verdict:
    """A forward proxy, `http://host:port`."""
    text, parts, netloc = split_url(raw, "proxy.form", "http://proxy.company.com:3128")
    if parts.scheme not in {"http", "https"} or parts.path.strip("/"):
        raise reject(
            "proxy.form",
            f"{visible(text)} is no proxy",
            "write it as http://proxy.company.com:3128",
        )
    return Verdict(f"{parts.scheme}://{netloc}")


_NO_PROXY = re.compile(r"\*|\.?[A-Za-z0-9:*][A-Za-z0-9.:/-]*", re.ASCII)


def check_no_proxy(raw: object) -> Verdict:
    """Names, suffixes and networks that are reached without the proxy."""
    return check_each(as_items(raw), _check_no_proxy_entry)


def _check_no_proxy_entry(raw: object) -> Verdict:
    text = trim(str(raw))
    if first_invisible(text) or len(text) > 255 or not _NO_PROXY.fullmatch(text):
        raise reject(
            "proxy.form",
            f"{visible(text)} is neither a name nor a network",
            "write names, suffixes and networks, as .company.com or 10.0.0.0/8",
        )
    return Verdict(text)
