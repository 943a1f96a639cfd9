"""Databases through dump, storage and drill, with a real server. BK-01, BK-13, BK-16, BK-22."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from installer.core.manifest import DatabaseAction
from installer.core.secrets import Secret
from installer.phases.bootstrap import database_steps, login_of
from installer.ports import Project
from tests.backup.world import ANSWERS, World, bundle
from tests.phases.postgres import ACCOUNT, Cluster, find_programs, run_cluster
from tests.stacks.builders import load, make_plan_for

pytestmark = pytest.mark.slow

ACCESS = bundle().files["postgres/pg_hba.conf"].data.decode()
SECRET = Secret("correct-horse-battery-staple-9")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with run_cluster() as server:
        for database in ("coder", "gitea"):
            server.superuser(f"CREATE ROLE {database} NOLOGIN")
            server.superuser(f"CREATE DATABASE {database} OWNER {database}")
            server.superuser(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
        server.superuser(
            "SET ROLE coder; CREATE TABLE users (id int PRIMARY KEY, name text);"
            "INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 500) AS n;"
            'CREATE SCHEMA odd; CREATE TABLE odd."a name; with\'quotes" (x int);'
            "CREATE TABLE empty (x int)",
            "coder",
        )
        yield server


@pytest.fixture
def reader(cluster: Cluster) -> DatabaseAction:
    """The login of the backup, made by the installer's own step."""
    plan = make_plan_for(load(), "no-secret-server", ANSWERS)
    (action,) = [
        a for n in plan.services for a in plan.manifest(n).bootstrap
        if isinstance(a, DatabaseAction) and a.everything
    ]  # fmt: skip
    names = {
        a.secret for n in plan.services for a in plan.manifest(n).bootstrap
        if isinstance(a, DatabaseAction)
    }  # fmt: skip
    steps = database_steps(
        cluster,  # type: ignore[arg-type]
        Project("devplat", "/nowhere"),
        plan,
        dict.fromkeys(names, SECRET),
        os.urandom,
    )
    step = steps[-1]
    assert step.id == "bootstrap.reader.backup"
    assert not step.check()
    for _ in step.do():
        pass
    assert step.verify()
    # the rendered rule, for this machine's address instead of that of the backup's network
    (rule,) = [line for line in ACCESS.splitlines() if "+pg_read_all_data" in line]
    rules = cluster.folder / "data/pg_hba.conf"
    rules.write_text(f"{rules.read_text()}{rule.replace(rule.split()[3], '127.0.0.1/32')}\n")
    cluster.superuser("SELECT pg_reload_conf()")
    return action


@pytest.fixture
def databases(
    tmp_path: Path, programs: Path, cluster: Cluster, reader: DatabaseAction
) -> Iterator[World]:
    """A world whose one part is the databases, dumped over TCP by the login of the backup."""
    made = World(tmp_path / "databases", programs, parts=("database",))
    passfile = made.root / "pgpass"
    passfile.write_text(f"*:*:*:{login_of(reader, SECRET)}:{SECRET.reveal()}\n")
    passfile.chmod(0o600)
    try:
        made.serve(
            "database",
            "backup-database",
            PATH=f"{find_programs()}:{os.environ['PATH']}",
            PGHOST="127.0.0.1",
            PGPORT=str(cluster.port),
            PGPASSFILE=str(passfile),
        )
        yield made
    finally:
        made.close()


def drill(world: World, name: str = "drill") -> subprocess.CompletedProcess[str]:
    """The drill of the databases, as the account that its container runs as."""
    programs = find_programs()
    place = Path("/tmp") / f"devplat-drill-{os.getpid()}"
    shutil.rmtree(place, ignore_errors=True)
    try:
        shutil.copytree(world.root / "scratch" / name, place / "restore")
        shutil.copytree(world.root / "backup-database", place / "scripts")
        (place / "ready").mkdir()
        subprocess.run(["chown", "-R", f"{ACCOUNT}:", place], check=True)
        place.chmod(0o711)
        return subprocess.run(
            ["runuser", "-u", ACCOUNT, "--", "sh", str(place / "scripts/drill.sh"), "database"],
            env={
                "PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8",
                "BACKUP_RESTORE": str(place / "restore"), "BACKUP_READY": str(place / "ready"),
                "BACKUP_SOCKET": str(place / "ready"), "BACKUP_PORT": "5999",
            },
            capture_output=True, text=True, check=False, cwd="/tmp",
        )  # fmt: skip
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_databases_come_back_with_the_rows_of_the_manifest(
    databases: World, cluster: Cluster
) -> None:
    """BK-13: a canary from before the backup is there, one from after it is not."""
    cluster.superuser("INSERT INTO users VALUES (9001, 'canary before')", "coder")
    status, told = databases.backup()
    assert status == 0, told + (databases.root / "database.log").read_text()
    cluster.superuser("INSERT INTO users VALUES (9002, 'canary after')", "coder")
    facts = databases.manifest()["parts"][0]["facts"]
    assert set(facts["databases"]) == {"coder", "gitea", "postgres"}
    assert facts["databases"]["coder"]["entries"] > 3
    assert databases.fetch("drill")["state"] == "ready"
    rows = (databases.root / "scratch/drill/database.rows").read_text()
    assert "coder\tpublic.users\t501" in rows
    assert "coder\todd.a name; with'quotes\t0" in rows
    done = drill(databases)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"tables": 3, "rows": 501}
    assert SECRET.reveal() not in databases.restic("dump", "latest", "manifest.json")


def test_roles_and_owners_come_back_without_passwords(databases: World) -> None:
    """BK-01: globals are part of it; what opens a door is not."""
    assert databases.backup()[0] == 0
    assert databases.fetch("drill")["state"] == "ready"
    part = databases.root / "scratch/drill/database.tar"
    told = subprocess.run(
        ["tar", "-xOf", part, "./globals.sql"], capture_output=True, text=True, check=True
    )
    assert "CREATE ROLE coder" in told.stdout
    assert "SCRAM-SHA-256" not in told.stdout


@pytest.mark.parametrize("how", ["empty table", "flipped count"])
def test_a_useless_backup_fails_the_drill(databases: World, cluster: Cluster, how: str) -> None:
    """BK-22, BK-13: a dump that is valid and lacks rows; a manifest that says another number."""
    assert databases.backup()[0] == 0
    assert databases.fetch("drill")["state"] == "ready"
    assert drill(databases).returncode == 0
    place = databases.root / "scratch/drill"
    if how == "empty table":
        cluster.superuser("DELETE FROM users", "coder")
        assert databases.backup()[0] == 0
        expected = (place / "database.rows").read_text()
        assert databases.fetch("drill")["state"] == "ready"
        (place / "database.rows").write_text(expected)
    else:
        rows = (place / "database.rows").read_text()
        (place / "database.rows").write_text(rows.replace("\t500", "\t501"))
    done = drill(databases)
    assert done.returncode != 0
    assert "rows differ" in done.stderr
    assert "public.users" in done.stderr


def test_a_dump_that_fails_fails_the_backup(databases: World, cluster: Cluster) -> None:
    """BK-03: a database that the login is shut out of is an error, not a gap."""
    cluster.superuser("CREATE DATABASE late")
    cluster.superuser("REVOKE ALL ON DATABASE late FROM PUBLIC")
    status, told = databases.backup()
    assert status != 0
    assert "part database: it could not be stored" in told
    assert "permission denied for database" in (databases.root / "database.log").read_text()
    assert databases.complete() == []


def test_the_login_of_the_backup_reads_everything_and_writes_nothing(
    cluster: Cluster, reader: DatabaseAction
) -> None:
    """SE-13, and the access rule lets it into every database."""
    login = login_of(reader, SECRET)
    assert (
        cluster.log_in(login, SECRET.reveal(), "coder", "SELECT count(*) FROM users").text
        == "500\n"
    )
    for sql in ("DELETE FROM users", "CREATE TABLE x (x int)", "SET ROLE coder"):
        assert cluster.log_in(login, SECRET.reveal(), "coder", sql).status != 0, sql
