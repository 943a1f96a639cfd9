"""What is refused of a database outside, against real servers; and that nothing of others changes.

Another authority, another name, no TLS, too few rights, names that are taken, other secrets. TL-17,
TL-18, CK-06.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from installer.core.errors import DeployError
from installer.core.plan import Plan
from installer.phases.bootstrap import drop_other_logins
from installer.phases.external_database import reach_steps
from installer.ports import Engine
from tests.phases.outside_platform import (
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
from tests.phases.outside_server import IMAGES, PASSWORD, OutsideServer, run_outside

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


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE ROLE gitea LOGIN; CREATE DATABASE gitea OWNER gitea",
        "CREATE DATABASE gitea",
        "CREATE ROLE gitea; COMMENT ON ROLE gitea IS 'devplat-install other company.com'",
    ],
)
def test_what_others_have_made_is_refused_and_not_touched(
    clean: OutsideServer, plan: Plan, sql: str
) -> None:
    for statement in sql.split("; "):
        clean.superuser(statement)
    before = clean.superuser("SELECT rolname, rolcanlogin FROM pg_roles ORDER BY 1")
    with pytest.raises(DeployError) as refusal:
        run_all(steps_on(clean, plan, secrets_of(plan)))
    assert {problem.code for problem in refusal.value.problems} == {"database.foreign"}
    assert "gitea" in refusal.value.problems[0].summary
    assert clean.superuser("SELECT rolname, rolcanlogin FROM pg_roles ORDER BY 1") == before


def test_data_of_others_stays_as_it_is(clean: OutsideServer, plan: Plan) -> None:
    clean.superuser("CREATE DATABASE payroll")
    clean.superuser("CREATE TABLE wages AS SELECT 1 AS amount", "payroll")
    clean.superuser("CREATE ROLE coder_0123abcd LOGIN")  # named like one of ours
    state = (
        "SELECT datname, datacl, datdba FROM pg_database WHERE datname = 'payroll' UNION ALL"
        " SELECT rolname, NULL, oid FROM pg_roles WHERE rolname = 'coder_0123abcd' AND rolcanlogin"
    )
    before = clean.superuser(state)
    secrets = secrets_of(plan)
    run_all(few_on(clean, plan, secrets))
    for action in few_of(plan):
        drop_other_logins(cast(Engine, clean), PROJECT, action, keep=(secrets[action.secret],))
    assert clean.superuser(state) == before
    assert before.count("\n") == 1


@pytest.mark.parametrize(
    ("rights", "revoke", "lacking"),
    [
        ("NOCREATEROLE CREATEDB", "", "CREATEROLE"),
        ("CREATEROLE NOCREATEDB", "", "CREATEDB"),
        ("NOCREATEROLE NOCREATEDB", "", "CREATEROLE and CREATEDB"),
        ("CREATEROLE CREATEDB", "REVOKE pg_monitor FROM weak", "pg_monitor"),
    ],
)
def test_a_login_that_may_do_too_little_is_refused_with_what_to_do(
    clean: OutsideServer,
    plan: Plan,
    rendered: dict[str, str],
    rights: str,
    revoke: str,
    lacking: str,
) -> None:
    clean.make_admin("weak", rights)
    if revoke:
        clean.superuser(revoke)
    furnish(clean, plan, rendered, "weak")
    try:
        with pytest.raises(DeployError) as refusal:
            run_all(steps_on(clean, plan, secrets_of(plan)))
    finally:
        furnish(clean, plan, rendered)
    (problem,) = refusal.value.problems
    assert problem.code == "database.rights"
    assert lacking in problem.summary
    assert "RDS" in problem.remedy.summary or "ADMIN OPTION" in problem.remedy.summary
    assert clean.superuser("SELECT count(*) FROM pg_roles WHERE rolname = 'coder'") == "0"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"PGSSLROOTCERT": "other-roots.pem"}, "certificate verify failed"),
        ({"PGHOST": "other.company.com"}, "other.company.com"),
        ({"PGPORT": "closed"}, "Connection refused"),
    ],
)
def test_a_server_that_cannot_be_verified_is_never_told_the_password(
    clean: OutsideServer, plan: Plan, change: dict[str, str], said: str
) -> None:
    """TL-17, TL-18: another authority, another name; and a server that is not there."""
    if "PGSSLROOTCERT" in change:
        change = {"PGSSLROOTCERT": f"{clean.folder}/{change['PGSSLROOTCERT']}"}
    sound, port = dict(clean.container), clean.port
    clean.container |= change
    if "PGPORT" in change:
        clean.port = 1
    try:
        (problem,) = obstacles(clean, plan)
    finally:
        clean.container, clean.port = sound, port
    assert problem.code == "database.unreachable"
    assert said in (problem.detail or "")
    assert PASSWORD not in f"{problem}"
    assert obstacles(clean, plan) == ()


def test_a_server_without_tls_is_refused(plan: Plan, rendered: dict[str, str]) -> None:
    """TL-17."""
    with run_outside("machine", tls=False) as plain:
        plain.make_admin()
        furnish(plain, plan, rendered)
        (problem,) = obstacles(plain, plan)
        assert problem.code == "database.unreachable"
        assert "SSL" in problem.summary
        # and it would have been let in without: the refusal is ours
        plain.container["PGSSLMODE"] = "disable"
        assert [p.code for p in obstacles(plain, plan)] == ["database.clear_text"]


def obstacles(server: OutsideServer, plan: Plan) -> tuple[Any, ...]:
    steps = reach_steps(cast(Engine, server), PROJECT, actions_of(plan), ["coder_0123abcd"])
    assert [step.id for step in steps] == ["bootstrap.outside"]
    if steps[0].check():
        return ()
    with pytest.raises(DeployError) as refusal:
        list(steps[0].do())
    return refusal.value.problems


def test_new_secrets_are_not_put_over_data_of_old_ones(clean: OutsideServer, plan: Plan) -> None:
    """A lost store must not make what is encrypted in the databases unreadable."""
    run_all(few_on(clean, plan, secrets_of(plan)))
    others = secrets_of(plan)
    with pytest.raises(DeployError) as refusal:
        run_all(few_on(clean, plan, others))
    (problem,) = refusal.value.problems
    assert problem.code == "database.other_secrets"
    # the way out that it names, for a server that went back to a time before a rotation
    for name in problem.remedy.summary.partition("of then: ")[2].split(", "):
        clean.superuser(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')
    assert len(run_all(few_on(clean, plan, others))) == len(few_of(plan))
