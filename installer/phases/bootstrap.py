"""Bootstrap: what services need once, declared in their manifests, each kind with its own check.

A new kind is one more function here, usable by every service.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping

from installer.core.errors import DeployError, Problem, Remedy
from installer.core.events import Run
from installer.core.manifest import DatabaseAction, ExecAction
from installer.core.plan import Plan
from installer.core.scram import parse_scram_verifier
from installer.core.secrets import Secret, expand, scram_verifier
from installer.phases.external_database import (
    drop_outside_logins,
    is_outside_login,
    let_reader_in,
    make_outside_database,
    make_outside_login,
    reach_steps,
)
from installer.phases.statements import create_role, identifier, text
from installer.phases.steps import Step, no_effect
from installer.ports import Completed, Engine, Entropy, Project


def database_steps(
    engine: Engine, project: Project, plan: Plan, secrets: Mapping[str, Secret], entropy: Entropy
) -> list[Step]:
    """A step per database that a service declares; two services may share one."""
    actions = {
        (action.provider, action.database, action.everything): action
        for name in plan.services
        for action in plan.manifest(name).bootstrap
        if isinstance(action, DatabaseAction) and action.provider in plan.services
    }
    # whoever reads everything is let into what has been made by then
    ordered = sorted(actions.values(), key=lambda action: action.everything)
    return [
        *reach_steps(engine, project, ordered, [login_of(a, secrets[a.secret]) for a in ordered]),
        *(
            _database_step(engine, project, action, secrets[action.secret], entropy)
            for action in ordered
        ),
    ]


def exec_steps(
    engine: Engine, project: Project, plan: Plan, secrets: Mapping[str, Secret]
) -> list[Step]:
    """A step per program that a service wants run once."""
    return [
        _exec_step(engine, project, name, index, action, secrets)
        for name in plan.services
        for index, action in enumerate(plan.manifest(name).bootstrap)
        if isinstance(action, ExecAction) and (action.in_ or name) in plan.services
    ]


def make_login(
    engine: Engine, project: Project, action: DatabaseAction, secret: Secret, entropy: Entropy
) -> None:
    """PostgreSQL: a role that may log in with this password and acts as the database's owner.

    Each password has a role of its own (`login_of`), so that an old and a new one work at the same
    time. The owner itself cannot log in. The statement carries a SCRAM verifier, never the
    password, so that no log can have it.

    Raises:
        DeployError: the database server refuses.
    """
    login = login_of(action, secret)
    verifier = scram_verifier(secret, entropy(16))
    if action.outside:
        make_outside_login(engine, project, action, login, verifier)
        return
    rights = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
    sql = (
        "BEGIN;\n"
        f"{create_role(action.role)}{create_role(login)}"
        f"ALTER ROLE {identifier(action.role)} WITH NOLOGIN {rights} PASSWORD NULL;\n"
        f"ALTER ROLE {identifier(login)} WITH LOGIN INHERIT {rights} PASSWORD '{verifier}';\n"
        f"GRANT {identifier(action.role)} TO {identifier(login)};\n"
        f"{_grant_memberships(action)}"
        f"ALTER ROLE {identifier(login)} SET role TO {text(action.role)};\n"
        "COMMIT;\n"
    )
    _run_sql(engine, project, action, sql, what=f"login to the database {action.database}")


def drop_other_logins(
    engine: Engine, project: Project, action: DatabaseAction, keep: Collection[Secret]
) -> None:
    """Remove the logins of a database but those of these passwords; their connections end.

    What one of them owns, having set aside the owner's role, becomes the owner's.

    Raises:
        DeployError: the database server refuses.
    """
    if action.outside:
        keep_logins = [login_of(action, secret) for secret in keep]
        drop_outside_logins(engine, project, action, keep_logins)
        return
    kept = ", ".join(sorted(text(login_of(action, secret)) for secret in keep))
    others = (
        "FROM pg_roles AS login WHERE NOT login.rolsuper"
        f" AND pg_has_role(login.oid, {text(action.role)}, 'MEMBER')"
        f" AND login.rolname ~ {text(f'^{action.role}_[0-9a-f]{{8}}$')}"
        f" AND login.rolname <> ALL (ARRAY[{kept}]::text[])"
    )

    def each(statement: str) -> str:
        """Run for every one of them; `%1$I` is its name, `%2$I` the owner's."""
        return (
            f"SELECT format({text(statement)}, login.rolname, {text(action.role)}) {others}\n"
            "\\gexec\n"
        )

    sql = (
        f"{each('ALTER ROLE %1$I NOLOGIN')}"
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        f" WHERE usename IN (SELECT login.rolname {others});\n"
        "BEGIN;\n"
        f"{each('REASSIGN OWNED BY %1$I TO %2$I')}"
        f"{each('DROP OWNED BY %1$I')}"
        f"{each('DROP ROLE %1$I')}"
        "COMMIT;\n"
    )
    what = f"old logins to the database {action.database}"
    _run_sql(engine, project, action, sql, what=what, database=action.database)


def login_of(action: DatabaseAction, secret: Secret) -> str:
    """Name of the role that logs in with this password; files name it `<role>_${id:<secret>}`."""
    return expand(f"{action.role}_${{id:password}}", {"password": secret}).reveal()


def _database_step(
    engine: Engine, project: Project, action: DatabaseAction, secret: Secret, entropy: Entropy
) -> Step:
    """PostgreSQL: an owner that cannot log in, a login, a database that lets nobody else in."""
    if action.outside:
        return _outside_step(engine, project, action, secret, entropy)
    if action.everything:
        return _reader_step(engine, project, action, secret, entropy)
    database, owner = identifier(action.database), identifier(action.role)
    creation = f"CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8'"

    def is_there() -> bool:
        query = _describe_login(action, secret).encode()
        found = engine.exec(project, action.provider, _psql(), stdin=query)
        verifier, _, rest = found.text.strip().partition("|")
        return found.status == 0 and rest == "t|t|t|t" and _matches(verifier, secret)

    def make() -> Run[None]:
        make_login(engine, project, action, secret, entropy)
        sql = (
            f"SELECT {text(creation)} WHERE NOT EXISTS"
            f" (SELECT FROM pg_database WHERE datname = {text(action.database)})\n\\gexec\n"
            f"ALTER DATABASE {database} OWNER TO {owner};\n"
            f"REVOKE ALL ON DATABASE {database} FROM PUBLIC;\n"
        )
        _run_sql(engine, project, action, sql, what=f"database {action.database}")
        return no_effect()

    return Step(
        f"bootstrap.database.{action.database}",
        f"create the database {action.database} and its login",
        is_there,
        make,
        is_there,
    )


def _outside_step(
    engine: Engine, project: Project, action: DatabaseAction, secret: Secret, entropy: Entropy
) -> Step:
    """The same on a server that is no part of the platform, by what the login itself can do."""

    def is_there() -> bool:
        return is_outside_login(engine, project, action, login_of(action, secret), secret)

    def make() -> Run[None]:
        make_login(engine, project, action, secret, entropy)
        if action.everything:
            let_reader_in(engine, project, action)
        else:
            make_outside_database(engine, project, action)
        return no_effect()

    name = f"reader.{action.role}" if action.everything else f"database.{action.database}"
    title = f"create the database {action.database} and its login, outside"
    if action.everything:
        title = "make the login that reads every database of ours"
    return Step(f"bootstrap.{name}", title, is_there, make, is_there)


def _reader_step(
    engine: Engine, project: Project, action: DatabaseAction, secret: Secret, entropy: Entropy
) -> Step:
    """PostgreSQL: a login that reads every database and writes none."""
    role = text(action.role)
    shut_out = (
        "FROM pg_database WHERE datallowconn AND NOT datistemplate"
        f" AND NOT has_database_privilege({role}, oid, 'CONNECT')"
    )

    def is_there() -> bool:
        # in two questions: the second cannot be asked of a role that is not there
        member = (
            "SELECT login.rolpassword FROM pg_authid AS login, pg_authid AS reader"
            " WHERE login.rolcanlogin AND NOT reader.rolcanlogin"
            f" AND login.rolname = {text(login_of(action, secret))} AND reader.rolname = {role}"
            " AND pg_has_role(login.oid, reader.oid, 'MEMBER')"
            " AND pg_has_role(reader.oid, 'pg_read_all_data', 'MEMBER');\n"
        )
        found = engine.exec(project, action.provider, _psql(), stdin=member.encode())
        if found.status != 0 or not _matches(found.text.strip(), secret):
            return False
        count = f"SELECT count(*) {shut_out};\n".encode()
        return engine.exec(project, action.provider, _psql(), stdin=count).text.strip() == "0"

    def make() -> Run[None]:
        make_login(engine, project, action, secret, entropy)
        sql = (
            f"GRANT pg_read_all_data TO {identifier(action.role)};\n"
            f"SELECT format('GRANT CONNECT ON DATABASE %I TO %I', datname, {role}) {shut_out}"
            "\n\\gexec\n"
        )
        _run_sql(engine, project, action, sql, what=f"login that reads everything, {action.role}")
        return no_effect()

    return Step(
        f"bootstrap.reader.{action.role}",
        "make the login that reads every database",
        is_there,
        make,
        is_there,
    )


def _describe_login(action: DatabaseAction, secret: Secret) -> str:
    """A query for one row: the stored verifier, then four things that must be true."""
    return (
        "SELECT login.rolpassword,"
        " NOT owner.rolcanlogin AND owner.rolpassword IS NULL,"
        " login.rolcanlogin AND NOT login.rolsuper AND pg_has_role(login.oid, owner.oid, 'MEMBER'),"
        f" coalesce({text('role=' + action.role)} = ANY (setting.setconfig), false),"
        f" base.datdba = owner.oid{_has_memberships(action)}"
        " FROM pg_authid AS owner CROSS JOIN pg_authid AS login CROSS JOIN pg_database AS base"
        " LEFT JOIN pg_db_role_setting AS setting"
        " ON setting.setrole = login.oid AND setting.setdatabase = 0"
        f" WHERE owner.rolname = {text(action.role)}"
        f" AND login.rolname = {text(login_of(action, secret))}"
        f" AND base.datname = {text(action.database)};\n"
    )


def _grant_memberships(action: DatabaseAction) -> str:
    return "".join(
        f"GRANT {identifier(name)} TO {identifier(action.role)};\n" for name in action.member_of
    )


def _has_memberships(action: DatabaseAction) -> str:
    return "".join(
        f" AND pg_has_role(owner.oid, {text(name)}, 'USAGE')" for name in action.member_of
    )


def _run_sql(
    engine: Engine,
    project: Project,
    action: DatabaseAction,
    sql: str,
    *,
    what: str,
    database: str = "postgres",
) -> None:
    done = engine.exec(project, action.provider, _psql(database), stdin=sql.encode())
    if done.status != 0:
        raise DeployError(_refused(action.provider, what, done))


def _psql(database: str = "postgres") -> tuple[str, ...]:
    return ("psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", database)


def _exec_step(
    engine: Engine,
    project: Project,
    service: str,
    index: int,
    action: ExecAction,
    secrets: Mapping[str, Secret],
) -> Step:
    inside = action.in_ or service

    def is_done() -> bool:
        stdin = expand(action.unless_stdin, secrets).reveal().encode()
        return engine.exec(project, inside, action.unless, stdin=stdin).status == 0

    def run() -> Run[None]:
        stdin = expand(action.stdin, secrets).reveal().encode()
        done = engine.exec(project, inside, action.argv, stdin=stdin)
        if done.status != 0:
            raise DeployError(_refused(inside, action.title, done))
        return no_effect()

    return Step(f"bootstrap.{service}.{index}", action.title, is_done, run, is_done)


def _matches(verifier: str, secret: Secret) -> bool:
    """Whether a stored verifier was made from this password, by making it again with its salt."""
    parsed = parse_scram_verifier(verifier)
    if parsed is None:
        return False
    iterations, salt = parsed
    return scram_verifier(secret, base64.b64decode(salt), iterations) == verifier


def _refused(service: str, what: str, done: Completed) -> Problem:
    lines = (done.error_text or done.text).strip().splitlines() or ["no message"]
    return Problem(
        code="deploy.bootstrap",
        summary=f"{what}: {lines[-1]}",
        where=service,
        detail="\n".join(lines[-10:]),
        remedy=Remedy(f"look at the logs of {service} on the target, then run again"),
    )
