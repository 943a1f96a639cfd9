"""Logins of databases, against a real server: owners that cannot log in, a role per password."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any, cast

import pytest

from installer.core.errors import DeployError
from installer.core.manifest import DatabaseAction
from installer.core.secrets import Secret, expand
from installer.phases.bootstrap import (
    _database_step,
    drop_other_logins,
    login_of,
    make_login,
)
from installer.ports import Engine, Project
from tests.phases.postgres import Cluster, run_cluster
from tests.stacks.builders import load

pytestmark = pytest.mark.slow

PROJECT = Project("devplat", "/opt/devplat")
OLD, NEW = Secret("OldPassword1"), Secret("NewPassword2")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with run_cluster() as running:
        yield running


@pytest.fixture
def engine(cluster: Cluster) -> Engine:
    return cast(Engine, cluster)


def action_for(name: str) -> DatabaseAction:
    return DatabaseAction(
        kind="database", provider="postgres", database=name, role=name, secret="password"
    )


def bootstrap(engine: Engine, name: str, secret: Secret) -> DatabaseAction:
    action = action_for(name)
    step = _database_step(engine, PROJECT, action, secret, os.urandom)
    assert not step.check()
    assert list(step.do()) == []
    assert step.verify()
    return action


def may_log_in(cluster: Cluster, action: DatabaseAction, secret: Secret) -> bool:
    done = cluster.log_in(login_of(action, secret), secret.reveal(), action.database)
    return done.status == 0


def test_a_login_acts_as_the_owner_and_the_owner_cannot_log_in(
    cluster: Cluster, engine: Engine
) -> None:
    action = bootstrap(engine, "first", OLD)
    login = login_of(action, OLD)
    assert login == expand("first_${id:x}", {"x": OLD}).reveal()
    done = cluster.log_in(login, OLD.reveal(), "first", "CREATE TABLE t (); SELECT current_user")
    assert (done.status, done.text) == (0, "first\n")
    assert (
        cluster.superuser("SELECT tableowner FROM pg_tables WHERE tablename = 't'", "first")
        == "first"
    )
    refused = cluster.log_in("first", OLD.reveal(), "first")
    assert refused.status != 0


def test_a_role_that_could_log_in_by_itself_no_longer_can(cluster: Cluster, engine: Engine) -> None:
    cluster.superuser("CREATE ROLE second LOGIN PASSWORD 'OldPassword1'")
    cluster.superuser("CREATE DATABASE second OWNER second")
    assert cluster.log_in("second", "OldPassword1", "second").status == 0
    action = bootstrap(engine, "second", OLD)
    assert cluster.log_in("second", "OldPassword1", "second").status != 0
    assert may_log_in(cluster, action, OLD)


def test_logins_reach_their_own_database_only(cluster: Cluster, engine: Engine) -> None:
    third, _ = bootstrap(engine, "third", OLD), bootstrap(engine, "fourth", NEW)
    for database in ("fourth", "postgres", "template1"):
        done = cluster.log_in(login_of(third, OLD), OLD.reveal(), database)
        assert done.status != 0
        assert "no pg_hba.conf entry" in done.error_text
    # and not by a right that PUBLIC has, should the rules ever let it through
    public = "SELECT has_database_privilege('third', 'fourth', 'CONNECT')"
    assert cluster.superuser(public) == "f"


def test_two_passwords_work_until_the_old_one_is_dropped(cluster: Cluster, engine: Engine) -> None:
    action = bootstrap(engine, "fifth", OLD)
    make_login(engine, PROJECT, action, NEW, os.urandom)
    assert may_log_in(cluster, action, OLD)
    assert may_log_in(cluster, action, NEW)
    with cluster.open_session(login_of(action, OLD), OLD.reveal(), "fifth") as session:
        drop_other_logins(engine, PROJECT, action, keep=(NEW,))
        said, _ = session.communicate(b"SELECT 'still here';\n")
    assert said == b""
    assert not may_log_in(cluster, action, OLD)
    assert may_log_in(cluster, action, NEW)


def test_what_a_dropped_login_owns_becomes_the_owners(cluster: Cluster, engine: Engine) -> None:
    action = bootstrap(engine, "sixth", OLD)
    sql = "RESET ROLE; SET ROLE NONE; CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 'kept' AS word"
    login = login_of(action, OLD)
    cluster.superuser(f"GRANT CREATE ON DATABASE sixth TO {login}")
    assert cluster.log_in(login, OLD.reveal(), "sixth", sql).status == 0
    assert (
        cluster.superuser("SELECT tableowner FROM pg_tables WHERE schemaname = 's'", "sixth")
        == login
    )
    make_login(engine, PROJECT, action, NEW, os.urandom)
    drop_other_logins(engine, PROJECT, action, keep=(NEW,))
    done = cluster.log_in(login_of(action, NEW), NEW.reveal(), "sixth", "SELECT word FROM s.t")
    assert (done.status, done.text) == (0, "kept\n")


def test_dropping_leaves_other_roles_alone(cluster: Cluster, engine: Engine) -> None:
    action = bootstrap(engine, "seventh", OLD)
    other = bootstrap(engine, "seventh_more", NEW)
    cluster.superuser("CREATE ROLE seventh_reader LOGIN IN ROLE seventh")
    cluster.superuser("CREATE ROLE seventh_0123abcd LOGIN")  # named like one, and no member
    drop_other_logins(engine, PROJECT, action, keep=(OLD,))
    drop_other_logins(engine, PROJECT, action, keep=(OLD,))
    found = cluster.superuser("SELECT rolname FROM pg_roles WHERE rolname ~ '^seventh' ORDER BY 1")
    assert set(found.splitlines()) == {
        "seventh", "seventh_reader", "seventh_0123abcd", "seventh_more",
        login_of(action, OLD), login_of(other, NEW),
    }  # fmt: skip


@pytest.mark.parametrize(
    "defect",
    [
        "ALTER ROLE {owner} LOGIN",
        "ALTER ROLE {owner} PASSWORD 'other'",
        "ALTER ROLE {login} NOLOGIN",
        "ALTER ROLE {login} PASSWORD 'other'",
        "ALTER ROLE {login} SUPERUSER",
        "ALTER ROLE {login} RESET role",
        "REVOKE {owner} FROM {login}",
        "ALTER DATABASE {owner} OWNER TO postgres",
    ],
)
def test_a_login_that_is_not_as_it_should_be_is_found_and_made_good(
    cluster: Cluster, engine: Engine, defect: str
) -> None:
    action = action_for("eighth")
    step = _database_step(engine, PROJECT, action, OLD, os.urandom)
    if not step.check():
        list(step.do())
    assert step.verify()
    cluster.superuser(defect.format(owner="eighth", login=login_of(action, OLD)))
    assert not step.check()
    list(step.do())
    assert step.verify()


def test_no_password_is_in_the_log_even_of_statements(cluster: Cluster, engine: Engine) -> None:
    """SE-02."""
    cluster.superuser("ALTER SYSTEM SET log_statement = 'all'")
    cluster.superuser("SELECT pg_reload_conf()")
    password = Secret("CanaryPassword3")
    action = bootstrap(engine, "ninth", password)
    drop_other_logins(engine, PROJECT, action, keep=(password,))
    assert "CREATE ROLE" in cluster.log
    assert "CanaryPassword3" not in cluster.log


DATABASES = {
    action.database: (manifest, action)
    for manifest in load().services.values()
    for action in manifest.bootstrap
    if isinstance(action, DatabaseAction) and not action.everything  # tests/backup has its own
}


@pytest.mark.parametrize("database", sorted(DATABASES))
def test_the_check_and_the_proof_of_each_service_log_in_as_it_does(
    cluster: Cluster, engine: Engine, database: str
) -> None:
    """SE-20: the proof holds for the new password, and for the old one no longer."""
    manifest, action = DATABASES[database]
    list(_database_step(engine, PROJECT, action, OLD, os.urandom).do())
    checks = [c for c in manifest.checks if f"{{{action.secret}}}" in c.stdin]
    check = min(checks, key=lambda c: "row-seen" not in c.expect)
    stdin = expand(check.stdin, {action.secret: OLD}).reveal().encode()
    done = cluster.exec(PROJECT, action.provider, check.argv, stdin=stdin)
    assert done.status == 0
    assert re.search(check.expect, done.text, re.MULTILINE)
    [proof] = [s.rotation.proof for s in manifest.secrets if s.name == action.secret]
    assert proof is not None

    def holds(value: Secret) -> bool:
        given = expand(proof.stdin, {"value": value}).reveal().encode()
        done = cluster.exec(PROJECT, proof.in_, proof.argv, stdin=given)
        return done.status == 0 and proof.expect in done.text

    assert [holds(OLD), holds(NEW)] == [True, False]
    make_login(engine, PROJECT, action, NEW, os.urandom)
    drop_other_logins(engine, PROJECT, action, keep=(NEW,))
    assert [holds(OLD), holds(NEW)] == [False, True]


def test_a_server_that_refuses_is_an_error_with_its_last_line(engine: Engine) -> None:
    action = DatabaseAction(
        kind="database", provider="postgres", database="none", role="none", secret="x"
    )
    with pytest.raises(DeployError) as caught:
        drop_other_logins(engine, PROJECT, action, keep=())
    assert "none" in caught.value.problems[0].summary
    assert caught.value.problems[0].where == "postgres"


def test_names_that_are_no_plain_words_are_quoted(cluster: Cluster, engine: Engine) -> None:
    action = bootstrap(engine, 'it\'s "odd"', OLD)
    assert may_log_in(cluster, action, OLD)
    drop_other_logins(engine, PROJECT, action, keep=())
    assert not may_log_in(cluster, action, OLD)


def test_the_password_is_in_no_statement() -> None:
    seen: list[bytes] = []

    class Recorder:
        def exec(
            self, project: object, service: str, argv: tuple[str, ...], *, stdin: bytes
        ) -> Any:
            seen.append(stdin + " ".join(argv).encode())
            return type("Done", (), {"status": 0, "text": ""})()

    recorder = cast(Engine, Recorder())
    make_login(recorder, PROJECT, action_for("x"), OLD, os.urandom)
    drop_other_logins(recorder, PROJECT, action_for("x"), keep=(NEW,))
    assert len(seen) == 2
    assert not any(secret.reveal().encode() in text for text in seen for secret in (OLD, NEW))


def test_a_role_that_measures_sees_statistics_of_all_and_data_of_none(
    cluster: Cluster, engine: Engine
) -> None:
    """Role postgres-exporter of the hardening table: pg_monitor only."""
    bootstrap(engine, "watched", NEW)
    plain = action_for("measures")
    member = plain.model_copy(update={"member_of": ("pg_monitor",)})
    step = _database_step(engine, PROJECT, plain, OLD, os.urandom)
    assert list(step.do()) == []
    assert step.verify()
    step = _database_step(engine, PROJECT, member, OLD, os.urandom)
    assert not step.check()  # the login is there, and what it is for is not
    assert list(step.do()) == []
    assert step.verify()
    login = login_of(member, OLD)
    seen = "SELECT count(*) FROM pg_stat_activity WHERE query = '<insufficient privilege>'"
    assert cluster.log_in(login, OLD.reveal(), "measures", seen).text == "0\n"
    assert cluster.log_in(login, OLD.reveal(), "watched").status != 0
