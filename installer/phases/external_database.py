"""Roles and databases on a server that is no part of the platform, as its administrator's login.

That login is no superuser and sees no passwords: whether a login of ours is right is shown by using
it. Every role that is made carries a comment; whatever exists without it is somebody else's and is
never changed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from installer.core.database_rules import judge_outside, unreachable
from installer.core.errors import DeployError, Problem, Remedy
from installer.core.events import Run
from installer.core.manifest import DatabaseAction
from installer.core.manifest_parts import OutsideServer
from installer.core.secrets import Secret
from installer.phases.statements import create_role, identifier, text
from installer.phases.steps import Step, no_effect
from installer.ports import Completed, Engine, Project

READS_EVERYTHING = "pg_read_all_data"

_ADMIN = ("psql", "--no-psqlrc", "-qAtw", "-v", "ON_ERROR_STOP=1", "-d")
_LOGIN = (
    "read -r PGUSER; read -r PGPASSWORD; export PGUSER PGPASSWORD\n"
    'exec psql --no-psqlrc -qAtw -v ON_ERROR_STOP=1 -h "$DATABASE_HOST" -d "$1"'
)


@dataclass(frozen=True, slots=True)
class Outside:
    """The server of some actions, and what runs programs against it."""

    engine: Engine
    project: Project
    provider: str
    server: OutsideServer

    def administer(self, sql: str, database: str | None = None) -> Completed:
        """Run SQL as the administrator."""
        where = f"service=admin{f' dbname={database}' if database else ''}"
        return self.engine.exec(self.project, self.provider, (*_ADMIN, where), stdin=sql.encode())

    def change(self, sql: str, what: str, database: str | None = None) -> None:
        """The same, for a change.

        Raises:
            DeployError: the server refuses.
        """
        done = self.administer(sql, database)
        if done.status != 0:
            raise DeployError(_refused(what, done))

    def use(self, login: str, secret: Secret, database: str, sql: str) -> Completed:
        """Run SQL as a login of ours; its password goes by standard input."""
        stdin = f"{login}\n{secret.reveal()}\n{sql}".encode()
        argv = ("sh", "-c", _LOGIN, "login", database)
        return self.engine.exec(self.project, self.provider, argv, stdin=stdin)


def reach_steps(
    engine: Engine,
    project: Project,
    actions: Iterable[DatabaseAction],
    logins: Collection[str],
) -> list[Step]:
    """Before anything is made on a server outside: it is the right one, and ours to use.

    Args:
        engine: Runs programs in the service that leads there.
        project: That it is in.
        actions: Every database that is to be there.
        logins: Names of the logins that the secrets of now are for.
    """
    outside = [action for action in actions if action.outside]
    if not outside:
        return []
    server = _server_of(engine, project, outside[0])

    def is_fit() -> bool:
        return not find_obstacles(server, outside, logins)

    def refuse() -> Run[None]:
        if problems := find_obstacles(server, outside, logins):
            raise DeployError(*problems)
        return no_effect()

    return [Step("bootstrap.outside", "look at the database outside", is_fit, refuse, is_fit)]


def find_obstacles(
    server: Outside, actions: Sequence[DatabaseAction], logins: Collection[str]
) -> tuple[Problem, ...]:
    """Why databases cannot be made on the server, or must not; empty when nothing is in the way."""
    done = server.administer(_examination(server, actions, logins))
    if done.status != 0:
        return (unreachable(_lines(done)),)
    return judge_outside(json.loads(done.text), server.server.mark)


def make_outside_login(
    engine: Engine, project: Project, action: DatabaseAction, login: str, verifier: str
) -> None:
    """An owner that cannot log in and a login that acts as it, as `bootstrap.make_login`.

    Raises:
        DeployError: the server refuses.
    """
    server = _server_of(engine, project, action)
    owner, own, mark = identifier(action.role), identifier(login), text(server.server.mark)
    # Attributes that only a superuser may name are left as CREATE ROLE sets them: off.
    members = [*action.member_of, *([READS_EVERYTHING] if action.everything else ())]
    sql = (
        "BEGIN;\n"
        f"{create_role(action.role)}{create_role(login)}"
        f"COMMENT ON ROLE {owner} IS {mark};\nCOMMENT ON ROLE {own} IS {mark};\n"
        f"ALTER ROLE {owner} WITH NOLOGIN NOCREATEDB NOCREATEROLE PASSWORD NULL;\n"
        f"ALTER ROLE {own} WITH LOGIN INHERIT NOCREATEDB NOCREATEROLE PASSWORD '{verifier}';\n"
        f"GRANT {owner} TO {own};\n"
        + "".join(f"GRANT {identifier(name)} TO {owner};\n" for name in members)
        + f"ALTER ROLE {own} SET role TO {text(action.role)};\n"
        "COMMIT;\n"
    )
    server.change(sql, f"login to the database {action.database}")


def drop_outside_logins(
    engine: Engine, project: Project, action: DatabaseAction, kept: Collection[str]
) -> None:
    """As `bootstrap.drop_other_logins`, of roles that carry our comment.

    Raises:
        DeployError: the server refuses.
    """
    server = _server_of(engine, project, action)
    names = ", ".join(sorted(map(text, kept)))
    others = (
        "FROM pg_roles AS login WHERE NOT login.rolsuper"
        f" AND pg_has_role(login.oid, {text(action.role)}, 'MEMBER')"
        f" AND login.rolname ~ {text(f'^{action.role}_[0-9a-f]{{8}}$')}"
        f" AND shobj_description(login.oid, 'pg_authid') = {text(server.server.mark)}"
        f" AND login.rolname <> ALL (ARRAY[{names}]::text[])"
    )

    def each(statement: str) -> str:
        """Run for every one of them; `%1$I` is its name, `%2$I` the owner's."""
        return (
            f"SELECT format({text(statement)}, login.rolname, {text(action.role)}) {others}\n"
            "\\gexec\n"
        )

    owner = identifier(action.role)
    database = server.server.maintenance if action.everything else action.database
    sql = (
        f"{each('ALTER ROLE %1$I NOLOGIN')}"
        # whoever is no superuser ends sessions, and gives away what is owned, as a member only
        f"{each('GRANT %1$I TO CURRENT_USER')}"
        f"GRANT {owner} TO CURRENT_USER;\n"
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        f" WHERE usename IN (SELECT login.rolname {others});\n"
        # as a member of its owner only, too
        f'\\connect "service=admin dbname={database}"\n'
        "BEGIN;\n"
        f"{each('REASSIGN OWNED BY %1$I TO %2$I')}"
        f"{each('DROP OWNED BY %1$I')}"
        f"{each('DROP ROLE %1$I')}"
        "COMMIT;\n"
        f"REVOKE {owner} FROM CURRENT_USER;\n"
    )
    server.change(sql, f"old logins to the database {action.database}")


def is_outside_login(
    engine: Engine, project: Project, action: DatabaseAction, login: str, secret: Secret
) -> bool:
    """Whether the login works, owns its database or reads every one of ours, and no more."""
    server = _server_of(engine, project, action)
    where = server.server.maintenance if action.everything else action.database
    done = server.use(login, secret, where, _login_question(server, action))
    return done.status == 0 and done.text.strip() == "t"


def make_outside_database(engine: Engine, project: Project, action: DatabaseAction) -> None:
    """The database of an owner that is there; nobody else gets in.

    Raises:
        DeployError: the server refuses.
    """
    server = _server_of(engine, project, action)
    database, owner = identifier(action.database), identifier(action.role)
    creation = f"CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8'"
    sql = (
        f"GRANT {owner} TO CURRENT_USER;\n"
        f"SELECT {text(creation)} WHERE NOT EXISTS"
        f" (SELECT FROM pg_database WHERE datname = {text(action.database)})\n\\gexec\n"
        f"SET ROLE {owner};\n"
        f"REVOKE ALL ON DATABASE {database} FROM PUBLIC;\n"
        "RESET ROLE;\n"
        f"REVOKE {owner} FROM CURRENT_USER;\n"
    )
    server.change(sql, f"database {action.database}")


def let_reader_in(engine: Engine, project: Project, action: DatabaseAction) -> None:
    """The reader may connect to every database of this deployment.

    Raises:
        DeployError: the server refuses.
    """
    server = _server_of(engine, project, action)
    shut = _shut_out(server, action)

    def each(statement: str) -> str:
        columns = f"datname, {text(action.role)}, pg_get_userbyid(datdba)"
        return f"SELECT format({text(statement)}, {columns}) {shut}\n\\gexec\n"

    sql = (
        f"{each('GRANT %3$I TO CURRENT_USER')}"
        f"{each('SET ROLE %3$I; GRANT CONNECT ON DATABASE %1$I TO %2$I; RESET ROLE')}"
        "SELECT format('REVOKE %I FROM CURRENT_USER', rolname) FROM pg_roles"
        f" WHERE shobj_description(oid, 'pg_authid') = {text(server.server.mark)}"
        " AND oid IN (SELECT datdba FROM pg_database)\n\\gexec\n"
    )
    server.change(sql, f"login that reads everything, {action.role}")


def _server_of(engine: Engine, project: Project, action: DatabaseAction) -> Outside:
    if action.outside is None:
        raise ValueError(f"{action.provider} is a part of the platform")
    return Outside(engine, project, action.provider, action.outside)


def _shut_out(server: Outside, action: DatabaseAction) -> str:
    return (
        "FROM pg_database WHERE datallowconn AND NOT datistemplate"
        f" AND shobj_description(datdba, 'pg_authid') = {text(server.server.mark)}"
        f" AND NOT has_database_privilege({text(action.role)}, oid, 'CONNECT')"
    )


def _login_question(server: Outside, action: DatabaseAction) -> str:
    """One row with one column: whether everything about the login is as it should be."""
    conditions = [
        f"current_user = {text(action.role)}",
        "NOT login.rolsuper AND NOT login.rolcreaterole AND NOT login.rolcreatedb",
        "NOT owner.rolsuper AND NOT owner.rolcreaterole AND NOT owner.rolcreatedb",
        "NOT owner.rolcanlogin",
        f"shobj_description(login.oid, 'pg_authid') = {text(server.server.mark)}",
        *(f"pg_has_role({text(name)}, 'USAGE')" for name in action.member_of),
    ]
    if action.everything:
        conditions += [
            f"pg_has_role({text(READS_EVERYTHING)}, 'USAGE')",
            f"NOT EXISTS (SELECT {_shut_out(server, action)})",
        ]
    else:
        conditions += [
            "EXISTS (SELECT FROM pg_database WHERE datname = current_database()"
            " AND datdba = owner.oid)",
            "NOT has_database_privilege('public', current_database(), 'CONNECT')",
        ]
    return (
        f"SELECT {' AND '.join(conditions)} FROM pg_roles AS login, pg_roles AS owner"
        f" WHERE login.rolname = session_user AND owner.rolname = {text(action.role)};\n"
    )


def _examination(
    server: Outside, actions: Sequence[DatabaseAction], logins: Collection[str]
) -> str:
    """A question for one object: the server, the administrator's rights, what is not ours."""
    mark = text(server.server.mark)
    roles = ", ".join(text(action.role) for action in actions)
    databases = ", ".join(text(a.database) for a in actions if not a.everything) or "NULL"
    wanted = ", ".join(map(text, _wanted_roles(actions)))
    current = f"ARRAY[{', '.join(map(text, sorted(logins)))}]::text[]"
    ours = f"shobj_description(oid, 'pg_authid') = {mark}"
    return (
        "SELECT json_build_object(\n"
        " 'version', current_setting('server_version_num')::int / 10000,\n"
        " 'tls', (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()),\n"
        " 'login', current_user,\n"
        " 'may_make_roles', me.rolsuper OR me.rolcreaterole,\n"
        " 'may_make_databases', me.rolsuper OR me.rolcreatedb,\n"
        # until version 15, who may make roles may give every one of them
        " 'cannot_grant', (SELECT coalesce(json_agg(wanted), '[]') FROM"
        f" unnest(ARRAY[{wanted}]::text[]) AS wanted WHERE NOT me.rolsuper"
        " AND (current_setting('server_version_num')::int >= 160000 OR NOT me.rolcreaterole)"
        " AND NOT pg_has_role(wanted, 'USAGE WITH ADMIN OPTION')),\n"
        " 'foreign_roles', (SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles"
        f" WHERE rolname IN ({roles}) AND shobj_description(oid, 'pg_authid')"
        f" IS DISTINCT FROM {mark}),\n"
        " 'foreign_databases', (SELECT coalesce(json_agg(datname), '[]') FROM pg_database"
        f" WHERE datname IN ({databases}) AND shobj_description(datdba, 'pg_authid')"
        f" IS DISTINCT FROM {mark}),\n"
        f" 'logins', (SELECT count(*) FROM pg_roles WHERE {ours} AND rolname = ANY ({current})),\n"
        f" 'older_logins', (SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles WHERE {ours}"
        f" AND rolname ~ '_[0-9a-f]{{8}}$' AND rolname <> ALL ({current})),\n"
        " 'databases', (SELECT count(*) FROM pg_database AS base"
        f" WHERE shobj_description(datdba, 'pg_authid') = {mark})\n"
        ") FROM pg_roles AS me WHERE me.rolname = current_user;\n"
    )


def _wanted_roles(actions: Sequence[DatabaseAction]) -> list[str]:
    """Roles of the server itself that the administrator has to give to ours."""
    named = [name for action in actions for name in action.member_of]
    return [*named, *(READS_EVERYTHING for action in actions if action.everything)]


def _lines(done: Completed) -> list[str]:
    return (done.error_text or done.text).strip().splitlines() or ["no message"]


def _refused(what: str, done: Completed) -> Problem:
    lines = _lines(done)
    return Problem(
        "deploy.bootstrap",
        f"{what}, on the database outside: {lines[-1]}",
        Remedy("have an administrator of the server look at its log, then run again"),
        where="database.url",
        detail="\n".join(lines[-10:]),
    )
