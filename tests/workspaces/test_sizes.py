"""The platform's host is sized without workspaces; what they need is asked of their own hosts."""

from __future__ import annotations

from typing import Any

import yaml

from installer import drawing
from installer.core.draft import from_file, validate
from installer.core.images import ImageLock, lock_keys
from installer.core.owner import Owner
from installer.job import Job
from installer.output.workspace_hosts import format_workspace_hosts
from installer.stacks import load_stacks
from tests.stacks.builders import BASE
from tests.workspaces.conftest import HOSTS, IMAGE, SEPARATE

OWNER = Owner("test", "ops", "bastion", "", "2026-01-01T00:00:00+00:00")


def draw(workspaces: Any) -> Job:
    stacks = load_stacks()
    answers = {**BASE, "backup": {"enabled": False}, "workspaces": dict(workspaces)}
    given = from_file(yaml.safe_dump(answers).encode(), "answers.yaml", 0o600)
    services = stacks.catalog.services.values()
    images = lock_keys(image for service in services for image in service.images)
    lock = ImageLock(dict.fromkeys(images, f"sha256:{'0' * 64}"))
    validated = validate(given, stacks.catalog)
    return drawing.draw_up(
        validated.answers, validated.warnings, stacks, OWNER, lambda process: False, lock
    )


def test_workspaces_elsewhere_are_taken_from_the_platforms_host_and_asked_of_theirs() -> None:
    here, elsewhere = draw({"image": IMAGE}), draw(SEPARATE)
    assert here.requirements.workspaces is None
    wanted = elsewhere.requirements.workspaces
    assert wanted is not None
    assert wanted.urls == HOSTS
    assert wanted.architecture == "amd64"
    # 20 workspaces of 1 vCPU, shared by two, and of 2 GB each; the filter of the engine, which none
    # of them needs there; the homes of 50 people
    saved = here.requirements.memory_mib - elsewhere.requirements.memory_mib
    assert saved == 20 * 2 * 1024 + 64
    assert here.requirements.cpus - elsewhere.requirements.cpus == 10
    assert here.requirements.disk_gib_images - elsewhere.requirements.disk_gib_images == 500
    assert (wanted.cpus, wanted.memory_mib) == (11, 42 * 1024)
    assert wanted.disk_gib >= 500
    assert wanted.secrets == (
        "workspace-engine-ca",
        "workspace-engine-certificate",
        "workspace-engine-key",
    )


def test_the_report_has_both_kinds_of_hosts_and_what_they_cost() -> None:
    here, elsewhere = draw({"image": IMAGE}), draw(SEPARATE)
    assert "workspace hosts" not in here.facts["sizing"]
    assert "workspace hosts with 11 CPUs, 42 GiB memory" in elsewhere.facts["sizing"]
    assert "4 workspace hosts, one of them to spare" in elsewhere.facts["cost"]
    assert "workspace hosts" not in here.facts["cost"]


def test_an_uninstallation_says_what_stays_on_the_hosts_of_workspaces() -> None:
    lines = list(format_workspace_hosts("devplat", HOSTS))
    assert [line for line in lines if HOSTS[1] in line and "not touched" in line]
    assert [line for line in lines if "volume rm" in line and "devplat.deployment=devplat" in line]
    assert [line for line in lines if "workspaces.key" in line]
    assert list(format_workspace_hosts("devplat", ())) == []
