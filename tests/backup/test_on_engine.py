"""Backup, list, drill and restore in place on a real engine, by the console script.

BK-12, BK-13, BK-14, BK-18.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.core.report import hash_evidence
from tests.integration.operator import CORE_ONLY, REHEARSAL, Operator, make_operator
from tests.testbed.bed import Testbed
from tests.testbed.hosts import Host

pytestmark = [pytest.mark.engine, pytest.mark.slow]
PSQL = "docker exec -i -u postgres trial-postgres-1 psql -XqAt -d coder"


@pytest.fixture(scope="module")
def operator(
    tmp_path_factory: pytest.TempPathFactory, module_host: Host, testbed: Testbed
) -> Iterator[Operator]:
    """An installed platform whose backups go to a directory of the host."""
    made = make_operator(
        tmp_path_factory.mktemp("operator"),
        module_host,
        testbed.lock_file,
        **CORE_ONLY,
        monitoring={"enabled": False},
        backup={"enabled": True, "place": "path"},
    )
    made.answers["waivers"] |= {
        "backup.same_host": REHEARSAL,
        "backup.key_on_host_only": REHEARSAL,
    }
    done = made.install()
    assert done.returncode == 0, done.stderr[-3000:]
    yield made


def run(operator: Operator, *words: str) -> str:
    done = operator.run(*words)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout + done.stderr


def sql(host: Host, text: str) -> str:
    return host.ssh(f'{PSQL} -c "{text}"').strip()


def test_a_backup_is_made_listed_and_tried_beside_the_platform(
    operator: Operator, module_host: Host
) -> None:
    """BK-06, BK-12, BK-13, BK-14, BK-21: complete, compared, timed; the platform is not touched."""
    sql(module_host, "CREATE TABLE canary (word text); INSERT INTO canary VALUES ('before')")
    told = run(operator, "backup", "now")
    assert "pass    make a backup and verify it" in told
    listed = run(operator, "backup", "list").splitlines()
    assert "database gitea" in listed[0] or "database authentik-server gitea" in listed[0]
    before = module_host.ssh("docker ps --no-trunc --format '{{.ID}} {{.Names}}' | sort")
    told = run(operator, "restore", "--into", "drill")
    assert before == module_host.ssh("docker ps --no-trunc --format '{{.ID}} {{.Names}}' | sort")
    report = operator.reports()[-1]
    assert report["evidence"] == hash_evidence(report)
    found = {check["id"]: check["outcome"] for check in report["checks"]}
    assert found["restore.checksum"] == found["restore.compared"] == "pass"
    assert found["restore.untouched"] == found["restore.timing"] == "pass"
    left = module_host.ssh(
        "sudo ls /opt/devplat/drills /var/lib/devplat/restore; docker network ls"
    )
    assert "drill" not in left.replace("/opt/devplat/drills:", "")
    assert module_host.ssh("sudo ls /var/lib/devplat/backup/scratch").strip() == ""
    prom = module_host.ssh("sudo cat /var/lib/devplat/backup/metrics/devplat_backup.prom")
    assert 'devplat_backup_last_result{part="all"} 1' in prom
    assert "devplat_backup_drill_timestamp_seconds 1" in prom


def test_a_reader_has_no_way_anywhere_and_cannot_write(
    operator: Operator, module_host: Host
) -> None:
    """HD-22, SD-*: its network leads nowhere, its data is read-only."""
    name = "trial-backup-files-gitea-1"
    found = json.loads(module_host.ssh(f"docker inspect {name}"))[0]
    networks = list(found["NetworkSettings"]["Networks"])
    assert networks == ["trial_backup-files-gitea-alone"]
    inside = json.loads(module_host.ssh(f"docker network inspect {networks[0]}"))[0]
    assert inside["Internal"] is True
    assert len(inside["Containers"]) == 1
    assert found["Config"]["User"] == "1000:65531"
    assert {m["RW"] for m in found["Mounts"] if m["Destination"].startswith("/data")} == {False}


def test_a_restore_in_place_wants_the_name_and_brings_back_what_was(
    operator: Operator, module_host: Host, tmp_path: Path
) -> None:
    """BK-18, BK-13: typed confirmation, a safety backup, the old data kept; F-089's neighbour."""
    del tmp_path
    sql(module_host, "INSERT INTO canary VALUES ('after')")
    refused = operator.run("--unattended", "restore", "--yes", "--confirm", "devplat")
    assert refused.returncode == 24
    assert sql(module_host, "SELECT count(*) FROM canary") == "2"
    run_id = run(operator, "backup", "list").split()[0]
    told = run(
        operator, "--unattended", "restore", "--backup", run_id, "--yes", "--confirm", "trial"
    )
    assert sql(module_host, "SELECT string_agg(word, ',') FROM canary") == "before", told
    kept = module_host.ssh("sudo find /var/lib/devplat/restore -maxdepth 3 -name data").split()
    assert f"/var/lib/devplat/restore/before-{run_id}/postgres/data" in kept
    assert module_host.ssh("sudo ls /opt/devplat/state").count("restoring") == 0
    assert run(operator, "verify")
