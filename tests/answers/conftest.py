"""A small catalog of its own, so that these tests do not move with the real manifests."""

from __future__ import annotations

from typing import Any

import pytest

from installer.core.catalog import Catalog, read_catalog

_HOSTS = {
    "coder": [{"host": "coder", "port": 7080, "health": "/healthz", "wildcard": True}],
    "gitea": [{"host": "git", "port": 3000, "health": "/api/healthz"}],
    "drone": [{"host": "ci", "port": 80, "health": "/healthz"}],
    "authentik-server": [{"host": "auth", "port": 9000, "health": "/-/health/ready/"}],
    "minio": [{"host": "storage", "port": 9001, "health": "/minio/health/live"}],
}
_SECTIONS = {"drone": "ci", "minio": "storage", "ai-gateway": "ai-gateway"}
_OPTIONS = {
    "ai-gateway": [
        {"name": "upstream", "type": "text", "default": "", "title": "Upstream", "help": "URL."},
        {
            "name": "max_body_mb",
            "type": "int",
            "default": 20,
            "minimum": 1,
            "maximum": 500,
            "title": "Largest body",
            "help": "In MB.",
        },
        {
            "name": "log_level",
            "type": "choice",
            "default": "info",
            "choices": ["debug", "info", "warn"],
            "title": "Log level",
            "help": "How much is logged.",
        },
        {"name": "cache", "type": "bool", "default": True, "title": "Cache", "help": "Cache."},
    ]
}


def make_manifest(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "title": name.replace("-", " ").title(),
        "summary": "A service.",
        "group": "application",
        "licence": "MIT",
        "section": _SECTIONS.get(name),
        "image": {"repository": f"docker.io/library/{name}", "tag": "1"},
        "user": "1000:1000",
        "ingress": _HOSTS.get(name, []),
        "options": _OPTIONS.get(name, []),
        "resources": {"cpus": [1, 2], "memory_mib": [512, 1024]},
    }


def make_catalog() -> Catalog:
    names = (*_HOSTS, "traefik", "postgres", "ai-gateway")
    return read_catalog({name: make_manifest(name) for name in names})


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return make_catalog()
