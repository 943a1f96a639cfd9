"""Checks of single answers about an S3 service: its address and its region."""

from __future__ import annotations

import re

from installer.core.fields import Verdict, reject, trim, visible
from installer.core.fields_urls import split_url

_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def check_endpoint(raw: object) -> Verdict:
    """The address of an S3 service: HTTPS, a host and perhaps a port, nothing after it."""
    example = "https://s3.eu-central-1.amazonaws.com"
    text, parts, netloc = split_url(raw, "storage.endpoint_form", example)
    if parts.scheme != "https":
        raise reject(
            "storage.endpoint_plain",
            f"{visible(text)} is not HTTPS: objects would go in clear text",
            f"write it as {example}",
        )
    if parts.path.strip("/"):
        raise reject(
            "storage.endpoint_path",
            f"{visible(text)} has a path; services put their bucket there",
            "write the address alone, and the buckets in storage.buckets",
        )
    return Verdict(f"https://{netloc.removesuffix(':443')}")  # as it is signed


def check_region(raw: object) -> Verdict:
    """A region as it stands in the scope of a signature (Signature Version 4)."""
    text = trim(str(raw)).lower()
    if not _REGION.fullmatch(text):
        raise reject(
            "storage.region_form",
            f"{visible(text)} is no region; allowed: a-z, 0-9 and -",
            "write it as eu-central-1; us-east-1 where the service knows none",
        )
    return Verdict(text)
