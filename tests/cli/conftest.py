"""Secret servers for the command line's tests, and an operator who uses one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.stores import Lab, allow_all, make_operator, watched_target
from tests.contract.vault.conftest import (  # noqa: F401 - fixtures
    launch_vault,
    vault_authority,
    vault_program,
    vault_server,
)
from tests.contract.vault.servers import VaultServer
from tests.contract.vault.store_lab import ensure_mount


@pytest.fixture
def lab(vault_server: VaultServer, tmp_path: Path) -> Iterator[Lab]:  # noqa: F811
    """With `vault.mode: external`, a token that may what it should, and a target that hangs up."""
    ensure_mount(vault_server)
    ensure_mount(vault_server, "old", "1")
    prefix = f"cli/{uuid.uuid4().hex[:12]}"
    vault = {
        "mode": "external",
        "addr": vault_server.address,
        "ca_file": str(vault_server.ca_file),
        "prefix": prefix,
    }
    with watched_target() as target:
        made = Lab(make_operator(tmp_path, target, vault), vault_server, prefix)
        made.take_token(allow_all(prefix))
        yield made
