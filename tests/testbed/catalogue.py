"""What images there are to make: `tests/standins/images.yaml`, and the names and tags under which
the product's manifests ask for them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from tests.testbed.commands import TestbedError
from tests.testbed.places import ROOT, STANDINS

GROUPS: Mapping[str, tuple[str, ...]] = {
    "base": ("libc6", "base-files", "busybox-static", "netbase", "ca-certificates", "tini"),
    "python": ("python3", "python3-yaml", "python3-psycopg2", "curl", "dumb-init", "openssl"),
    "postgres": ("postgresql-17", "postgresql-client-17", "gosu"),
    "valkey": ("valkey-server", "valkey-tools", "gosu"),
    "registry": ("docker-registry",),
    "openpgp": ("gpg",),
    "restic": ("restic", "jq", "tar", "util-linux"),
    "bash": ("bash",),
    "prometheus": ("prometheus", "promtool"),
    "alertmanager": ("prometheus-alertmanager",),
    "exporters": (
        "prometheus-node-exporter",
        "prometheus-postgres-exporter",
        "prometheus-redis-exporter",
        "prometheus-blackbox-exporter",
    ),
}
"""Package groups; each is one layer on top of `base`, without what `base` already holds."""

REGISTRY_IMAGE = "devplat-testbed/registry"

REAL_PROGRAMS: Mapping[str, tuple[str, str]] = {
    "docker.io/openbao/openbao": ("DEVPLAT_TEST_VAULT_BIN", "usr/bin/bao"),
    "docker.io/grafana/loki": ("DEVPLAT_TEST_LOKI_BIN", "usr/bin/loki"),
}
"""Image → the variable that names a real program, and its path in the image."""


@dataclass(frozen=True)
class ImageSpec:
    """One image: package groups below, files of ours on top, and the image configuration.

    Attributes:
        kind: `stand-in`, `debian` for the real program in Debian's build, or `real` for one that
            the environment names.
        files: Names below tests/standins, copied to /opt/standin.
        programs: Path in the image → module in /opt/standin whose `main(argv)` it runs, or
            `module:function`.
        scripts: Path in the image → name below tests/standins, copied executable.
        binaries: Path in the image → a program file of this machine.
        links: Path in the image → what it points to.
        accounts: Name → `uid:gid`, or `uid:gid:home`.
        directories: Path → `uid:gid mode`.
        absent: Programs the real image does not have either.
        config: As in the OCI image configuration (`Entrypoint`, `Cmd`, `User`, `Env` …).
        tags: Further tags to serve besides the product's own.
    """

    repository: str
    kind: str
    groups: tuple[str, ...]
    files: tuple[str, ...] = ()
    programs: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    binaries: Mapping[str, Path] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)
    directories: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


def read_images(path: Path = STANDINS / "images.yaml") -> dict[str, ImageSpec]:
    """The image specifications by the repository's full name (with the registry's host)."""
    document = yaml.safe_load(path.read_text())
    images = {}
    for repository, body in document.items():
        lists = {k: tuple(body.pop(k, ())) for k in ("groups", "files", "absent", "tags")}
        spec = ImageSpec(**{"repository": repository, **lists, **body})
        images[repository] = _use_real_program(spec)
    return images


def _use_real_program(spec: ImageSpec) -> ImageSpec:
    """The image with the real program in the stand-in's place, where the environment names one."""
    variable, path = REAL_PROGRAMS.get(spec.repository, ("", ""))
    named = os.environ.get(variable)
    if not named:
        return spec
    if not Path(named).is_file():
        raise TestbedError(f"{variable} names {named}, and there is no such file")
    return replace(spec, kind="real", files=(), programs={}, binaries={path: Path(named)})


def full_name(repository: str) -> str:
    """A repository with its registry: `postgres` is `docker.io/library/postgres`."""
    head, _, rest = repository.partition("/")
    if not rest:
        return f"docker.io/library/{head}"
    if "." in head or ":" in head or head == "localhost":
        return repository
    return f"docker.io/{repository}"


def path_in_registry(repository: str) -> str:
    """The repository's path as a registry is asked for it, without the host."""
    path = full_name(repository).partition("/")[2]
    return f"library/{path}" if "/" not in path else path


def product_references(root: Path = ROOT) -> dict[str, str]:
    """The product's images, `repository:tag` as its manifests spell them → the service."""
    references: dict[str, str] = {}
    for manifest in sorted((root / "stacks" / "compose").glob("*/service.yaml")):
        body = yaml.safe_load(manifest.read_text()) or {}
        others = body.get("variants", {}).get("images", {}).values()
        for image in filter(None, [body.get("image"), *others]):
            references[f"{image['repository']}:{image['tag']}"] = manifest.parent.name
    return references


def wanted_references(images: Mapping[str, ImageSpec]) -> dict[str, ImageSpec]:
    """Every `repository:tag` to serve → its image.

    Raises:
        TestbedError: when a manifest names a repository that has no image here.
    """
    by_path = {path_in_registry(name): spec for name, spec in images.items()}
    wanted: dict[str, ImageSpec] = {}
    missing = []
    for reference, service in product_references().items():
        spec = by_path.get(path_in_registry(reference.rpartition(":")[0]))
        if spec is None:
            missing.append(f"{reference} (service {service})")
        else:
            wanted[reference] = spec
    if missing:
        raise TestbedError(
            f"tests/standins/images.yaml has no image for {', '.join(missing)}; add one"
        )
    for name, spec in images.items():
        wanted |= {f"{name}:{tag}": spec for tag in spec.tags}
    return wanted
