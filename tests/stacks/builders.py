"""The stacks of the checkout, and bundles rendered from a few answers by the product's own core."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from installer.core.bundle import Bundle
from installer.core.catalog import Catalog
from installer.core.draft import from_file, validate
from installer.core.images import ImageLock, lock_keys
from installer.core.plan import Plan, make_plan
from installer.core.rendering import render
from installer.core.selection import select_services
from installer.core.sizing import SizingRequest, make_sizing
from installer.core.sizing_table import parse_sizing
from installer.stacks import load_catalog, load_templates

ROOT = Path(__file__).parents[2]
FOLDERS = tuple(sorted(path.parent.name for path in ROOT.glob("stacks/compose/*/service.yaml")))

BASE: dict[str, Any] = {
    "version": 1,
    "domain": {"base": "company.com"},
    "ssh": {"host": "203.0.113.10"},
    "admin": {"email": "admin@company.com"},
    "waivers": {
        "vault.plain_shares": "no custodian in these tests",
        "vault.possession_unproven": "nobody there to type a share",
        "vault.auto_unseal": "agreed with the key service's owner",
        "size.beyond_compose": "agreed for the first year",
    },
}
OPTIONAL = ("redis", "drone", "minio", "ai_gateway", "monitoring", "backup")
VARIANTS: dict[str, dict[str, Any]] = {
    "everything": {},
    "nothing-optional": {name: {"enabled": False} for name in OPTIONAL},
    "acme-behind-balancer": {
        "tls": {
            "mode": "acme",
            "profile": "modern",
            "acme": {
                "email": "admin@company.com",
                "challenge": "dns-01",
                "dns_provider": "cloudflare",
                "credentials": {"CF_DNS_API_TOKEN": "env:CF_TOKEN"},
            },
        },
        "network": {
            "trusted_cidr": ["10.1.0.0/16"],
            "http_proxy": "http://proxy.company.com:3128",
            "https_proxy": "http://proxy.company.com:3128",
        },
        "sizing": {"profile": "medium", "users": 200, "concurrent_workspaces": 50},
        "timezone": "Europe/Berlin",
        "vault": {"flavor": "vault"},
    },
    "unsealed-by-another-server": {
        "deployment": {"name": "dev-2"},
        "vault": {
            "seal": "transit",
            "seal_address": "https://vault.company.com:8200",
            "seal_key": "devplat-unseal",
            "seal_token": "env:SEAL_TOKEN",
            "single_sign_on": True,
            "prefix": "teams/platform",
        },
    },
    "unsealed-by-aws": {
        "vault": {
            "flavor": "vault",
            "seal": "awskms",
            "seal_key": "alias/unseal",
            "seal_region": "eu-central-1",
        },
    },
    "no-secret-server": {"vault": {"mode": "embedded"}},
    "database-outside": {
        "database": {
            "mode": "external",
            "url": "postgres://master@db.company.com/postgres?sslmode=verify-full",
            "password": "env:DATABASE_PASSWORD",
            "ca_file": "certs/database.pem",
        },
    },
}


@functools.cache
def load() -> Catalog:
    """The catalog of the checkout."""
    return load_catalog(ROOT)


def make_plan_for(
    catalog: Catalog, variant: str = "everything", more: Mapping[str, Any] | None = None
) -> Plan:
    """The plan of one of the variants, with more answers, by some catalog."""
    data = yaml.safe_dump({**BASE, **VARIANTS[variant], **(more or {})}).encode()
    answers = validate(from_file(data, "answers.yaml", 0o600), catalog).answers
    chosen = select_services(answers, catalog)
    manifests = chosen.services.values()
    sizing = make_sizing(
        manifests,
        parse_sizing((ROOT / "assets/sizing.yaml").read_bytes()),
        SizingRequest(answers.sizing.profile, answers.sizing.users),
    )
    lock = ImageLock(dict.fromkeys(lock_keys(m.image for m in manifests), f"sha256:{'0' * 64}"))
    return make_plan(answers, chosen, sizing, lock)


@functools.cache
def make(variant: str) -> tuple[Plan, Bundle]:
    """Plan and bundle of one of the variants."""
    catalog = load()
    plan = make_plan_for(catalog, variant)
    return plan, render(plan, load_templates(ROOT, catalog))


def services_of(bundle: Bundle) -> Mapping[str, Mapping[str, Any]]:
    """The compose services of a bundle, before `$` is escaped."""
    found: Mapping[str, Mapping[str, Any]] = bundle.document["services"]
    return found
