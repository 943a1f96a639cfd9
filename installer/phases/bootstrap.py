"""Bootstrap: what services need once, declared in their manifests, each kind with its own check.

A new kind is one more function here, usable by every service.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from installer.core.catalog import DatabaseAction, ExecAction
from installer.core.errors import DeployError, Problem, Remedy
from installer.core.events import Run
from installer.core.plan import Plan
from installer.core.scram import parse_scram_verifier
from installer.core.secrets import Secret, expand, scram_verifier
from installer.phases.steps import Step, no_effect
from installer.ports import Completed, Engine, Entropy, Project

_PSQL = ("psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", "postgres")


def database_steps(
    engine: Engine, project: Project, plan: Plan, secrets: Mapping[str, Secret], entropy: Entropy
) -> list[Step]:
    """A step per database that a service declares; two services may share one."""
    actions = {
        (action.provider, action.database): action
        for name in plan.services
        for action in plan.manifest(name).bootstrap
        if isinstance(action, DatabaseAction) and action.provider in plan.services
    }
    return [
        _database_step(engine, project, action, secrets[action.secret], entropy)
        for action in actions.values()
    ]


def exec_steps(
    engine: Engine, project: Project, plan: Plan, secrets: Mapping[str, Secret]
) -> list[Step]:
    """A step per program that a service wants run once."""
    return [
        _exec_step(engine, project, name, index, action, secrets)
        for name in plan.services
        for index, action in enumerate(plan.manifest(name).bootstrap)
        if isinstance(action, ExecAction)
    ]


def _database_step(
    engine: Engine, project: Project, action: DatabaseAction, secret: Secret, entropy: Entropy
) -> Step:
    """PostgreSQL: a role that may log in, its database, nobody else let in.

    The statement carries a SCRAM verifier, never the password, so that no log can have it.
    """
    role, database = _identifier(action.role), _identifier(action.database)

    def run_sql(sql: str) -> Completed:
        return engine.exec(project, action.provider, _PSQL, stdin=sql.encode())

    def is_there() -> bool:
        found = run_sql(
            f"SELECT rolpassword FROM pg_authid WHERE rolname = '{action.role}';\n"
            f"SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_database"
            f" WHERE datname = '{action.database}';\n"
        )
        lines = found.text.splitlines()
        return (
            found.status == 0
            and len(lines) == 2
            and lines[1] == action.role
            and _matches(lines[0], secret)
        )

    def make() -> Run[None]:
        verifier = scram_verifier(secret, entropy(16))
        done = run_sql(
            f"SELECT 'CREATE ROLE {role} LOGIN' WHERE NOT EXISTS"
            f" (SELECT FROM pg_roles WHERE rolname = '{action.role}')\n\\gexec\n"
            f"ALTER ROLE {role} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE"
            f" NOREPLICATION PASSWORD '{verifier}';\n"
            f"SELECT 'CREATE DATABASE {database} OWNER {role} TEMPLATE template0"
            f" ENCODING ''UTF8''' WHERE NOT EXISTS"
            f" (SELECT FROM pg_database WHERE datname = '{action.database}')\n\\gexec\n"
            f"ALTER DATABASE {database} OWNER TO {role};\n"
            f"REVOKE ALL ON DATABASE {database} FROM PUBLIC;\n"
        )
        if done.status != 0:
            raise DeployError(_refused(action.provider, f"database {action.database}", done))
        return no_effect()

    return Step(
        f"bootstrap.database.{action.database}",
        f"create the database {action.database} and its role",
        is_there,
        make,
        is_there,
    )


def _exec_step(
    engine: Engine,
    project: Project,
    service: str,
    index: int,
    action: ExecAction,
    secrets: Mapping[str, Secret],
) -> Step:
    def is_done() -> bool:
        return engine.exec(project, service, action.unless).status == 0

    def run() -> Run[None]:
        stdin = expand(action.stdin, secrets).reveal().encode()
        done = engine.exec(project, service, action.argv, stdin=stdin)
        if done.status != 0:
            raise DeployError(_refused(service, action.title, done))
        return no_effect()

    return Step(f"bootstrap.{service}.{index}", action.title, is_done, run, is_done)


def _matches(verifier: str, secret: Secret) -> bool:
    """Whether a stored verifier was made from this password, by making it again with its salt."""
    parsed = parse_scram_verifier(verifier)
    if parsed is None:
        return False
    iterations, salt = parsed
    return scram_verifier(secret, base64.b64decode(salt), iterations) == verifier


def _identifier(name: str) -> str:
    """Quoted for SQL; names come from manifests and are plain words all the same."""
    return '"' + name.replace('"', '""') + '"'


def _refused(service: str, what: str, done: Completed) -> Problem:
    lines = (done.error_text or done.text).strip().splitlines() or ["no message"]
    return Problem(
        code="deploy.bootstrap",
        summary=f"{what}: {lines[-1]}",
        where=service,
        detail="\n".join(lines[-10:]),
        remedy=Remedy(f"look at the logs of {service} on the target, then run again"),
    )
