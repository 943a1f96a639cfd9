"""Backup of a database outside: ours only, tried by the drill, put in place by hand. BK-01.

With real servers, and the rendered scripts of the image.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from io import BytesIO

import pytest

from installer.core.drills import plan_trials
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.core.secrets import Secret
from installer.phases.bootstrap import login_of
from installer.ports import Completed
from installer.stacks import load_templates
from tests.phases.outside_platform import (
    ANSWERS,
    CLIENT,
    actions_of,
    furnish,
    run_all,
    secrets_of,
    steps_on,
)
from tests.phases.outside_server import HOST, IMAGES, OutsideServer, run_outside
from tests.stacks.builders import ROOT, load, make_plan_for

pytestmark = pytest.mark.slow

ROWS = 500


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan_for(load(), "no-secret-server", ANSWERS)


@pytest.fixture(scope="module")
def secrets(plan: Plan) -> dict[str, Secret]:
    return secrets_of(plan)


@pytest.fixture(scope="module")
def server(plan: Plan, secrets: dict[str, Secret]) -> Iterator[OutsideServer]:
    bundle = render(plan, load_templates(ROOT, load()))
    with run_outside(IMAGES) as running:
        running.make_admin()
        furnish(running, plan, dict(bundle.document["services"][CLIENT]["environment"]))
        run_all(steps_on(running, plan, secrets))
        running.superuser("CREATE ROLE clerk LOGIN")
        running.superuser("CREATE DATABASE payroll OWNER clerk")
        login = log_in(running, plan, secrets, "coder")
        sql = f"CREATE TABLE users AS SELECT n AS id FROM generate_series(1, {ROWS}) AS n"
        assert login(sql).status == 0
        for path, file in bundle.files.items():
            if path.startswith(("backup-database/", f"{CLIENT}/")):
                running.write(path.replace("/", "-"), file.data.decode())
        (running.outer / "scripts").mkdir()
        for name in ("part.sh", "dump.sql", "ours.sql", "roles.sql", "rows.sql", "drill.sh"):
            (running.outer / f"backup-database-{name}").rename(running.outer / "scripts" / name)
        yield running


def log_in(server, plan, secrets, role):
    (action,) = [a for a in actions_of(plan) if a.role == role]
    login, password = login_of(action, secrets[action.secret]), secrets[action.secret].reveal()
    return lambda sql: server.log_in(login, password, action.database, sql)


def folder(server: OutsideServer, name: str) -> str:
    made = server.outer / name
    made.mkdir(exist_ok=True)
    os.chown(made, server.programs.owner, server.programs.owner)
    return f"{server.folder}/{name}"


def backup(server: OutsideServer, plan: Plan, secrets: dict[str, Secret], **more: str) -> Completed:
    body = render(plan, load_templates(ROOT, load())).document["services"]["backup-database"]
    (action,) = [a for a in actions_of(plan) if a.everything]
    password = secrets[action.secret].reveal()
    line = f"*:*:*:{login_of(action, secrets[action.secret])}:{password}\n"
    environment = {
        **body["environment"],
        "PGHOSTADDR": "127.0.0.1",
        "PGSSLROOTCERT": f"{server.folder}/roots.pem",
        "PGSERVICEFILE": "",
        "PGPASSFILE": server.write("pgpass", line),
        **more,
    }
    assert (environment["PGHOST"], environment["PGSSLMODE"]) == (HOST, "verify-full")
    shutil.rmtree(server.outer / "work", ignore_errors=True)
    work = folder(server, "work")
    return server.script(f"{server.folder}/scripts/part.sh", work, **environment)


@pytest.fixture(scope="module")
def dumped(
    server: OutsideServer, plan: Plan, secrets: dict[str, Secret]
) -> tuple[dict[str, bytes], dict[str, object]]:
    done = backup(server, plan, secrets)
    assert done.status == 0, done.error_text
    (server.outer / "database.tar").write_bytes(done.stdout)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as tar:
        held = ((m.name.removeprefix("./"), tar.extractfile(m)) for m in tar if m.isfile())
        files = {name: stream.read() for name, stream in held if stream}
    return files, json.loads((server.outer / "work/facts.json").read_text())


def test_ours_are_dumped_and_nothing_of_others(dumped, plan: Plan) -> None:
    files, facts = dumped
    ours = {a.database for a in actions_of(plan) if not a.everything}
    assert set(facts["databases"]) == ours
    assert set(files) == {*(f"{name}.dump" for name in ours), "globals.sql"}
    assert {"public.users": ROWS} in facts["databases"]["coder"]["rows"]
    roles = files["globals.sql"].decode()
    assert "clerk" not in roles
    assert "SCRAM" not in roles
    assert "GRANT coder TO coder_" in roles


def test_without_the_comment_of_this_deployment_there_is_no_backup(
    server: OutsideServer, plan: Plan, secrets: dict[str, Secret]
) -> None:
    """A backup of nothing must not count."""
    done = backup(server, plan, secrets, BACKUP_MARK="devplat-install other company.com")
    assert done.status == 3
    assert "no database" in done.error_text


def test_the_drill_restores_what_was_dumped_and_finds_a_row_too_few(
    server: OutsideServer, dumped
) -> None:
    """BK-13."""
    _, facts = dumped
    rows = sorted(
        f"{database}\t{table}\t{count}\n"
        for database, seen in facts["databases"].items()
        for row in seen["rows"]
        for table, count in row.items()
    )
    restore, ready = folder(server, "restore"), folder(server, "ready")
    (server.outer / "restore/database.tar").write_bytes(
        (server.outer / "database.tar").read_bytes()
    )

    def drill(text: str) -> Completed:
        (server.outer / "restore/database.rows").write_text(text)
        return server.script(
            f"{server.folder}/scripts/drill.sh", "database", BACKUP_RESTORE=restore,
            BACKUP_READY=ready, BACKUP_SOCKET=folder(server, "socket"), BACKUP_PORT="5432",
                PGHOSTADDR="",  # nothing leads out of the drill
        )  # fmt: skip

    sound = drill("".join(rows))
    assert sound.status == 0, sound.error_text
    assert json.loads(sound.text)["rows"] >= ROWS
    wrong = drill("".join(rows).replace(f"public.users\t{ROWS}", f"public.users\t{ROWS + 1}"))
    assert wrong.status == 1
    assert "rows differ" in wrong.error_text


def test_a_dump_is_put_in_place_by_hand_and_the_old_database_stays(
    server: OutsideServer, plan: Plan, secrets: dict[str, Secret], dumped
) -> None:
    files, _ = dumped
    coder = log_in(server, plan, secrets, "coder")
    assert coder("INSERT INTO users VALUES (0)").status == 0
    script = f"{server.folder}/{CLIENT}-restore.sh"
    cut = server.script(script, "coder", stdin=files["coder.dump"][:2000])
    assert cut.status != 0
    assert coder("SELECT count(*) FROM users").text == f"{ROWS + 1}\n", "half a dump changed data"
    done = server.script(script, "coder", stdin=files["coder.dump"])
    assert done.status == 0, done.error_text
    assert coder("SELECT count(*) FROM users").text == f"{ROWS}\n"
    before = done.text.split()[-5]
    assert server.superuser("SELECT count(*) FROM users", before) == str(ROWS + 1)
    # others' databases are not taken for ours
    foreign = server.script(script, "payroll", stdin=files["coder.dump"])
    assert foreign.status == 3
    assert server.superuser("SELECT count(*) FROM pg_database WHERE datname ~ '^payroll'") == "1"
    # the installer's next run lets the reader into what is new
    assert run_all(steps_on(server, plan, secrets)) == ["bootstrap.reader.backup"]


def test_a_restore_leaves_the_server_to_its_own_means(plan: Plan) -> None:
    (trial,) = plan_trials(plan, ("database",))
    assert trial.owner is None, "no directory of ours takes the place of another"
    assert trial.restorer.drill is not None
    assert trial.restorer.drill.by_hand
    bundled = make_plan_for(
        load(), "no-secret-server", {**ANSWERS, "database": {"mode": "bundled"}}
    )
    (trial,) = plan_trials(bundled, ("database",))
    assert trial.owner is not None
    assert trial.restorer.drill is not None
    assert trial.restorer.drill.by_hand is None
