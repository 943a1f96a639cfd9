"""The platform beside a server outside: its plan, its client, what makes databases there."""

from __future__ import annotations

import os
from typing import Any, cast

from installer.core.manifest import DatabaseAction
from installer.core.plan import Plan
from installer.core.rendering import render
from installer.core.secrets import Secret, SecretKind, expand, make_secret
from installer.phases.bootstrap import database_steps
from installer.phases.steps import Step
from installer.ports import Engine, Project
from installer.stacks import load_templates
from tests.phases.outside_server import ADMIN, HOST, PASSWORD, OutsideServer
from tests.stacks.builders import BASE, ROOT, load, make_plan_for

PROJECT = Project("devplat", "/opt/devplat")
CLIENT = "database-client"
ANSWERS: dict[str, Any] = {
    "database": {
        "mode": "external",
        "url": f"postgres://{ADMIN}@{HOST}/postgres?sslmode=verify-full",
        "password": "env:DATABASE_PASSWORD",
        "ca_file": "certs/database.pem",
    },
    "backup": {"enabled": True, "place": "path", "passphrase": "env:PASS"},
    "waivers": {**BASE["waivers"], "backup.same_host": "these tests"},
}


def make_outside_plan() -> Plan:
    """Everything that has a database, and its backup."""
    return make_plan_for(load(), "no-secret-server", ANSWERS)


def environment_of_client(plan: Plan) -> dict[str, str]:
    """The environment of the client's container."""
    body = render(plan, load_templates(ROOT, load())).document["services"][CLIENT]
    return dict(body["environment"])


def furnish(
    server: OutsideServer, plan: Plan, rendered: dict[str, str], login: str = ADMIN
) -> None:
    """What the container has: its rendered environment, and its secret files."""
    files = plan.manifest(CLIENT).secret_files
    service = expand(files["pg_service.conf"], {"database-admin-password": Secret(PASSWORD)})
    text = service.reveal().replace(f"user={ADMIN}", f"user={login}")
    server.container = {
        **rendered,
        "PGHOSTADDR": "127.0.0.1",  # where the name leads
        "PGSERVICEFILE": server.write(f"pg_service-{login}.conf", text),
        "PGSSLROOTCERT": f"{server.folder}/roots.pem",
    }


def actions_of(plan: Plan) -> list[DatabaseAction]:
    return [
        action
        for name in plan.services
        for action in plan.manifest(name).bootstrap
        if isinstance(action, DatabaseAction)
    ]


def few_of(plan: Plan) -> list[DatabaseAction]:
    """One of each kind: an owner, a member of a role of the server, who reads everything."""
    return [a for a in actions_of(plan) if a.role in ("coder", "metrics", "backup")]


def secrets_of(plan: Plan) -> dict[str, Secret]:
    return {a.secret: make_secret(SecretKind.PASSWORD, os.urandom) for a in actions_of(plan)}


def steps_on(server: OutsideServer, plan: Plan, secrets: dict[str, Secret]) -> list[Step]:
    return database_steps(cast(Engine, server), PROJECT, plan, secrets, os.urandom)


def few_on(server: OutsideServer, plan: Plan, secrets: dict[str, Secret]) -> list[Step]:
    ends = tuple(f".{action.role}" for action in few_of(plan))
    steps = steps_on(server, plan, secrets)
    return [step for step in steps if step.id.endswith((*ends, ".outside"))]


def run_all(steps: list[Step]) -> list[str]:
    changed = []
    for step in steps:
        if not step.check():
            assert list(step.do()) == []
            assert step.verify(), step.id
            changed.append(step.id)
    return changed


def reset(server: OutsideServer) -> None:
    """The server as it was before."""
    databases = "SELECT datname FROM pg_database WHERE datname !~ '^(postgres|template.)$'"
    for name in server.superuser(databases).split():
        server.superuser(f'DROP DATABASE "{name}" WITH (FORCE)')
    roles = (
        "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'"
        f" AND rolname NOT IN ('root_of_server', '{ADMIN}')"
    )
    found = server.superuser(roles).split()
    server.superuser("".join(f'DROP OWNED BY "{name}"; DROP ROLE "{name}";' for name in found))
