"""A database outside, against real servers: of this machine's version, and of that of the images.

From PostgreSQL 16 on an administrator without superuser may do less, and that is what managed
servers give. Shown here: what we make there, that the second run makes nothing, what we refuse, and
that nothing of others is touched. TL-17, TL-18, CK-06, SE-13.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import cast

import pytest

from installer.core.plan import Plan
from installer.core.secrets import Secret, expand
from installer.phases.bootstrap import drop_other_logins, login_of, make_login
from installer.ports import Engine
from tests.phases.outside_platform import (
    CLIENT,
    PROJECT,
    actions_of,
    environment_of_client,
    few_of,
    few_on,
    furnish,
    make_outside_plan,
    reset,
    run_all,
    secrets_of,
    steps_on,
)
from tests.phases.outside_server import ADMIN, IMAGES, OutsideServer, run_outside

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_outside_plan()


@pytest.fixture(scope="module")
def rendered(plan: Plan) -> dict[str, str]:
    return environment_of_client(plan)


@pytest.fixture(scope="module")
def server(plan: Plan, rendered: dict[str, str]) -> Iterator[OutsideServer]:
    with run_outside(IMAGES) as running:
        running.make_admin()
        furnish(running, plan, rendered)
        yield running


@pytest.fixture
def clean(server: OutsideServer) -> OutsideServer:
    reset(server)
    return server


def assert_made_once(clean: OutsideServer, plan: Plan) -> None:
    secrets = secrets_of(plan)
    changed = run_all(steps_on(clean, plan, secrets))
    assert len(changed) == len(actions_of(plan)) >= 6
    assert run_all(steps_on(clean, plan, secrets)) == []
    for action in actions_of(plan):
        login, password = login_of(action, secrets[action.secret]), secrets[action.secret].reveal()
        where = "coder" if action.everything else action.database
        sql = "SET ROLE NONE; SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert clean.log_in(login, password, where, sql).text == "t\n", action.role
    powers = (
        "SELECT count(*) FROM pg_roles WHERE rolname ~ '_[0-9a-f]{8}$'"
        " AND (rolsuper OR rolcreaterole OR rolcreatedb)"
    )
    assert clean.superuser(powers) == "0"
    # the administrator is no member of what it made: it could read and write everything
    extra = " AND (set_option OR inherit_option)" if clean.major >= 16 else ""
    member = (
        "SELECT count(*) FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles"
        f" WHERE rolname = '{ADMIN}') AND roleid IN"
        f" (SELECT oid FROM pg_roles WHERE rolname !~ '^pg_'){extra}"
    )
    assert clean.superuser(member) == "0"


def test_everything_is_made_once_without_a_superuser(clean: OutsideServer, plan: Plan) -> None:
    """CK-06: connect, version and rights right; not superuser."""
    assert_made_once(clean, plan)


def test_an_older_server_does_as_well(plan: Plan, rendered: dict[str, str]) -> None:
    """One of before version 16, where administrators may do more."""
    with run_outside("machine") as older:
        older.make_admin()
        furnish(older, plan, rendered)
        assert_made_once(older, plan)
        engine = cast(Engine, older)
        for action in few_of(plan):
            keep = (Secret(f"New{action.role}Password1"),)
            make_login(engine, PROJECT, action, keep[0], os.urandom)
            drop_other_logins(engine, PROJECT, action, keep=keep)
        logins = "SELECT count(*) FROM pg_roles WHERE rolname ~ '_[0-9a-f]{8}$'"
        assert older.superuser(logins) == str(len(actions_of(plan)))


def test_each_login_gets_into_its_own_database_only(clean: OutsideServer, plan: Plan) -> None:
    """SE-13."""
    secrets = secrets_of(plan)
    run_all(few_on(clean, plan, secrets))
    (coder,) = [a for a in actions_of(plan) if a.role == "coder"]
    login, password = login_of(coder, secrets[coder.secret]), secrets[coder.secret].reveal()
    made = clean.log_in(login, password, "coder", "CREATE TABLE t (); SELECT current_user")
    assert made.text == "coder\n"
    assert "permission denied for database" in clean.log_in(login, password, "metrics").error_text
    (backup,) = [a for a in actions_of(plan) if a.everything]
    reader = login_of(backup, secrets[backup.secret]), secrets[backup.secret].reveal()
    assert clean.log_in(*reader, "coder", "SELECT count(*) FROM t").text == "0\n"
    refused = clean.log_in(*reader, "coder", "CREATE TABLE other ()")
    assert "permission denied" in refused.error_text


def test_a_password_is_replaced_while_both_work(clean: OutsideServer, plan: Plan) -> None:
    secrets = secrets_of(plan)
    run_all(few_on(clean, plan, secrets))
    engine = cast(Engine, clean)
    for action in few_of(plan):
        old, new = secrets[action.secret], Secret(f"New{action.role}Password1")
        where = "postgres" if action.everything else action.database
        make_login(engine, PROJECT, action, new, os.urandom)
        for value in (old, new):
            assert clean.log_in(login_of(action, value), value.reveal(), where).status == 0
        session = clean.open_session(login_of(action, old), old.reveal(), where)
        with session:
            drop_other_logins(engine, PROJECT, action, keep=(new,))
            said, _ = session.communicate(b"SELECT 'still here';\n")
        assert said == b""
        assert clean.log_in(login_of(action, old), old.reveal(), where).status != 0
        assert clean.log_in(login_of(action, new), new.reveal(), where).status == 0


def test_what_a_dropped_login_owns_becomes_the_owners(clean: OutsideServer, plan: Plan) -> None:
    secrets = secrets_of(plan)
    run_all(few_on(clean, plan, secrets))
    (coder,) = [a for a in actions_of(plan) if a.role == "coder"]
    old, new = secrets[coder.secret], Secret("NewPassword1")
    login = login_of(coder, old)
    clean.superuser(f"GRANT CREATE ON DATABASE coder TO {login}")
    sql = "SET ROLE NONE; CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 'kept' AS word"
    assert clean.log_in(login, old.reveal(), "coder", sql).status == 0
    make_login(cast(Engine, clean), PROJECT, coder, new, os.urandom)
    drop_other_logins(cast(Engine, clean), PROJECT, coder, keep=(new,))
    kept = clean.log_in(login_of(coder, new), new.reveal(), "coder", "SELECT word FROM s.t")
    assert (kept.status, kept.text) == (0, "kept\n")


def test_checks_and_proofs_of_the_services_run_in_the_client(
    clean: OutsideServer, plan: Plan
) -> None:
    """What verify and rotate ask; each proof fails with a password that is dead."""
    secrets = secrets_of(plan)
    run_all(steps_on(clean, plan, secrets))
    engine = cast(Engine, clean)
    proven, checked = set(), set()
    for name in plan.services:
        for secret in plan.manifest(name).secrets:
            proof = secret.rotation.proof
            if proof is None or proof.in_ != CLIENT:
                continue
            for value, good in ((secrets[secret.name], True), (Secret("dead"), False)):
                stdin = expand(proof.stdin, {"value": value}).reveal().encode()
                done = engine.exec(PROJECT, CLIENT, proof.argv, stdin=stdin)
                found = done.status == 0 and re.search(proof.expect, done.text) is not None
                assert found is good, f"{secret.name}: {done.error_text}"
            proven.add(secret.name)
        for check in plan.manifest(name).checks:
            if (check.in_ or name) != CLIENT or "authentik_" in check.stdin:
                continue  # what is in the provider's own tables is for a server that has them
            stdin = expand(check.stdin, secrets).reveal().encode()
            done = engine.exec(PROJECT, CLIENT, check.argv, stdin=stdin)
            assert re.search(check.expect, done.text), f"{check.id}: {done.text}{done.error_text}"
            checked.add(check.id)
    assert proven == set(secrets)
    assert checked >= {"database-verified", "metrics-login", "coder-row", "gitea-row", "drone-row"}


DEFECTS = [
    "ALTER ROLE {owner} LOGIN",
    "ALTER ROLE {login} NOLOGIN",
    "ALTER ROLE {login} PASSWORD 'other'",
    "ALTER ROLE {login} CREATEDB",
    "ALTER ROLE {login} RESET role",
    f"REVOKE {{owner}} FROM {{login}} GRANTED BY {ADMIN}",
    "GRANT CONNECT ON DATABASE coder TO PUBLIC",
]


def test_a_login_that_is_not_as_it_should_be_is_found_and_made_good(
    clean: OutsideServer, plan: Plan
) -> None:
    secrets = secrets_of(plan)
    steps = [s for s in steps_on(clean, plan, secrets) if s.id == "bootstrap.database.coder"]
    run_all(steps)
    (coder,) = [a for a in actions_of(plan) if a.role == "coder"]
    for defect in DEFECTS:
        clean.superuser(defect.format(owner="coder", login=login_of(coder, secrets[coder.secret])))
        assert run_all(steps) == ["bootstrap.database.coder"], defect
