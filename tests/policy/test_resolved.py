"""The audits say the same of our own model and of what the real Compose makes of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from installer.core.compose import dump_document
from installer.core.events import CheckResult, Outcome
from installer.core.policy import audit_compose
from installer.core.segmentation import audit_networks
from tests.policy.builders import audit_context, hardening_table, sound_document
from tests.policy.networks import CONDITIONS, TABLE

PLUGINS = (
    Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"), "cli-plugins"),
    *(Path(root, "docker/cli-plugins") for root in ("/usr/local/lib", "/usr/lib", "/usr/libexec")),
)


def find_compose() -> str | None:
    """The program of Compose; `config` needs neither engine nor docker command."""
    places = [str(plugins / "docker-compose") for plugins in PLUGINS]
    return next((found for p in (*places, "docker-compose") if (found := shutil.which(p))), None)


def resolve(document: dict[str, Any], directory: Path) -> dict[str, Any]:
    compose = find_compose()
    if compose is None:
        pytest.skip(f"no Compose in {', '.join(map(str, PLUGINS))} or on the path")
    (directory / "compose.yaml").write_bytes(dump_document(document, "test"))
    done = subprocess.run(
        [compose, "-f", "compose.yaml", "config", "--format", "json"],
        cwd=directory,
        check=True,
        capture_output=True,
        timeout=60,
    )
    resolved: dict[str, Any] = json.loads(done.stdout)
    return resolved


def verdicts(results: Iterable[CheckResult]) -> list[tuple[str, str | None, Outcome]]:
    return [(r.id, r.where, r.outcome) for r in results]


def test_the_resolved_model_is_judged_like_our_own(tmp_path: Path) -> None:
    resolved = resolve(sound_document(), tmp_path)
    context = audit_context(project_dir=str(tmp_path))
    ours = audit_compose(sound_document(), hardening_table(), audit_context())
    assert verdicts(audit_compose(resolved, hardening_table(), context)) == verdicts(ours)
    networks = audit_networks(sound_document(), TABLE, CONDITIONS)
    assert verdicts(audit_networks(resolved, TABLE, CONDITIONS)) == verdicts(networks)


def test_a_defect_is_found_in_the_resolved_model_too(tmp_path: Path) -> None:
    document = sound_document()
    document["services"]["gitea"]["volumes"].append("/etc:/host/etc:ro")
    document["services"]["gitea"]["networks"]["coder-to-postgres"] = {}
    resolved = resolve(document, tmp_path)
    context = audit_context(project_dir=str(tmp_path))
    hardening = audit_compose(resolved, hardening_table(), context)
    failed = [(r.id, r.where) for r in hardening if r.outcome is Outcome.FAIL]
    assert failed == [("HD-22", "gitea")]
    networks = audit_networks(resolved, TABLE, CONDITIONS)
    pairs = [r.where for r in networks if r.outcome is Outcome.FAIL]
    assert pairs == ["coder -> gitea"]
