"""What an uninstallation removes and leaves, as lines for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from installer.core.removal import Removal

RUN_DIRECTORY = (
    ("answers.yaml", "the answers that repeat the installation"),
    ("secrets.store", "the encrypted secret store; data that is kept cannot be used without it"),
    ("custody", "what the secret server is opened with, encrypted to its custodians"),
    ("snapshots", "snapshots of the secret server"),
    ("runs", "logs and reports"),
)
"""What lies in a run directory, and what it is good for."""

OURS = ("embedded", "bundled")
"""Modes whose store is in the run directory or in the data."""


def format_removal(removal: Removal) -> Iterator[str]:
    """Everything that would be removed, by name, then what stays and why."""
    for kind, things in (
        ("container", removal.containers),
        ("network", removal.networks),
        ("volume", removal.volumes),
    ):
        for thing in things:
            yield f"- {kind:<9} {thing.name}"
    for reference in removal.images:
        yield f"- image     {reference}"
    for kind, record in sorted(removal.changes.items()):
        yield f"~ host      {describe_undo(kind, record)}"
    if removal.mounted:
        yield f"- secrets   {removal.layout.secrets}, in memory"
    for name in removal.entries:
        yield f"- files     {removal.layout.install_dir}/{name}"
    if removal.has_state:
        yield f"- files     {removal.layout.state}, last"
    for name in removal.data:
        yield f"- DATA      {removal.layout.data_dir}/{name}"
    for kept in removal.kept:
        yield f"= stays     {kept.what}: {kept.why}"


def describe_undo(kind: str, record: Mapping[str, Any]) -> str:
    """What is taken back of the host, in words."""
    path = record.get("path", "?")
    if kind == "systemd":
        return f"{path} is disabled and removed"
    before = record.get("before", {}).items()
    old = ", ".join(f"{k}={json.dumps(v)}" if v is not None else f"no {k}" for k, v in before)
    return f"{path} is put back: {old}"


def format_run_directory(root: Path, store: str) -> Iterator[str]:
    """What there still is of a deployment that is gone from its host.

    Args:
        root: The run directory.
        store: `vault.mode`; a store of somebody else keeps our secrets.
    """
    if store not in OURS:
        yield f"its secrets stay in the store of vault.mode {store}; remove them there"
    yield f"{root} stays on this machine:"
    for name, what in RUN_DIRECTORY:
        if (root / name).exists():
            yield f"  {name}: {what}"
