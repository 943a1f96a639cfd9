"""Releases, things of the engine, and a plan of a few services, as the core reads them."""

from __future__ import annotations

import hashlib
from typing import Any

import yaml

from installer.core.draft import from_file, validate
from installer.core.history import History, ReleaseRecord
from installer.core.images import ImageLock, lock_keys
from installer.core.layout import Layout
from installer.core.plan import Plan, make_plan
from installer.core.removal import Found, Thing
from installer.core.selection import select_services
from installer.core.sizing import SizingRequest, make_sizing
from installer.core.sizing_table import parse_sizing
from tests.stacks.builders import BASE, ROOT, load

LAYOUT = Layout("/opt/devplat", "/var/lib/devplat")
FILES = "/opt/devplat/current/compose.yaml,/opt/devplat/compose.override.yaml"


def reference(name: str, tag: str) -> str:
    return f"registry.test/{name}:{tag}@sha256:{hashlib.sha256(tag.encode()).hexdigest()}"


def record(release: str, kind: Any = "apply", **given: Any) -> ReleaseRecord:
    values: dict[str, Any] = {
        "run": f"run-{release}",
        "at": "2026-01-01T00:00:00+00:00",
        "product": "1.0.0",
        "answers": "0" * 64,
        "images": {"gitea": reference("gitea", "1")},
        **given,
    }
    return ReleaseRecord(release=release, kind=kind, **values)


def history(*names: str, current: str | None = "", pending: str | None = None) -> History:
    """`name` or `name:rollback`, oldest first; the last one is active unless said otherwise."""
    records = tuple(record(n.partition(":")[0], n.partition(":")[2] or "apply") for n in names)
    active = records[-1].release if current == "" and records else current or None
    present = {r.release: r.images for r in records}
    return History(records, present, active, pending)


def thing(name: str, **given: Any) -> Thing:
    return Thing(id=hashlib.sha256(name.encode()).hexdigest(), name=name, **given)


def ours(name: str, **given: Any) -> Thing:
    return thing(name, owner="trial", project="trial", **given)


def found(**given: Any) -> Found:
    """A deployment called trial with one service, and somebody else's things beside it."""
    values: dict[str, Any] = {
        "engine": True,
        "containers": (ours("trial-gitea-1", files=FILES), thing("theirs")),
        "networks": (ours("trial_gitea-to-db"), thing("bridge"), thing("their-net")),
        "volumes": (ours("trial_gitea-secrets"), thing("their-data")),
        "entries": ("compose.override.yaml", "current", "releases", "secrets", "state"),
        "data": ("gitea", "postgres"),
        "state": ("journal.json", "verified.json"),
        "mounted": True,
        "services": frozenset({"gitea", "postgres"}),
        **given,
    }
    return Found(**values)


def make_plan_of(sections: dict[str, Any]) -> Plan:
    """A plan of the smallest answers and these."""
    catalog = load()
    data = yaml.safe_dump({**BASE, **sections}).encode()
    answers = validate(from_file(data, "answers.yaml", 0o600), catalog).answers
    chosen = select_services(answers, catalog)
    manifests = chosen.services.values()
    sizing = make_sizing(
        manifests,
        parse_sizing((ROOT / "assets/sizing.yaml").read_bytes()),
        SizingRequest(answers.sizing.profile, answers.sizing.users),
    )
    keys = lock_keys(manifest.image for manifest in manifests)
    lock = ImageLock(dict.fromkeys(keys, f"sha256:{'0' * 64}"))
    return make_plan(answers, chosen, sizing, lock)
