"""Pieces of SQL that every statement about roles and databases is made of."""

from __future__ import annotations


def identifier(name: str) -> str:
    """Quoted for SQL; names come from manifests and are plain words all the same."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text for SQL, in quotes."""
    return "'" + value.replace("'", "''") + "'"


def create_role(name: str) -> str:
    """A role that cannot log in, unless there is one of that name."""
    return (
        f"SELECT {text(f'CREATE ROLE {identifier(name)} NOLOGIN')} WHERE NOT EXISTS"
        f" (SELECT FROM pg_roles WHERE rolname = {text(name)})\n\\gexec\n"
    )
