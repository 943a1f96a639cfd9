"""What a database server outside must be like before anything is made on it; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from installer.core.errors import Problem, Remedy

OLDEST, NEWEST = 14, 17
"""Major versions: the identity provider needs the one, our `pg_dump` is of the other."""

WHERE = "database.url"


def judge_outside(found: Mapping[str, Any], mark: str) -> tuple[Problem, ...]:
    """Why databases cannot be made on a server, or must not; empty when nothing is in the way.

    Args:
        found: What the server says: `version`, `tls`, `login`, `may_make_roles`,
            `may_make_databases`, `cannot_grant`, `foreign_roles`, `foreign_databases`; of our own
            the number of `logins` of now and of `databases`, and the names of `older_logins`.
        mark: Comment of the roles of this deployment.
    """
    return (
        *_judge_server(found),
        *_judge_rights(found),
        *_judge_names(found, mark),
        *_judge_secrets(found),
    )


def unreachable(lines: Sequence[str]) -> Problem:
    """The administrator's login to the server does not work, for the reason that libpq gives."""
    return Problem(
        "database.unreachable",
        f"no login to the database outside: {lines[-1]}",
        Remedy(
            "see that database.ca_file has the authority of the server's certificate and that the"
            " name in database.url is one of that certificate's; that the server takes TLS and lets"
            " this host in; that login and password are right"
        ),
        where=WHERE,
        detail="\n".join(lines[-10:]),
    )


def _judge_server(found: Mapping[str, Any]) -> Iterator[Problem]:
    version = int(found["version"])
    if not OLDEST <= version <= NEWEST:
        yield Problem(
            "database.version",
            f"the database outside is PostgreSQL {version}; it must be {OLDEST} to {NEWEST}",
            Remedy(f"use a server of version {NEWEST}"),
            where=WHERE,
        )
    if not found["tls"]:
        yield Problem(
            "database.clear_text",
            "the connection to the database outside is not encrypted",
            Remedy("use a server that takes TLS; on RDS set rds.force_ssl to 1"),
            where=WHERE,
        )


def _judge_rights(found: Mapping[str, Any]) -> Iterator[Problem]:
    login = found["login"]
    rights = {"CREATEROLE": found["may_make_roles"], "CREATEDB": found["may_make_databases"]}
    if lacking := [right for right, has in rights.items() if not has]:
        yield Problem(
            "database.rights",
            f"the login {login} of the database outside lacks {' and '.join(lacking)}",
            Remedy(
                "name a login that has CREATEROLE and CREATEDB, as the master user of RDS; or have"
                f' an administrator run: ALTER ROLE "{login}" CREATEROLE CREATEDB'
            ),
            where=WHERE,
        )
    elif found["cannot_grant"]:
        names = ", ".join(dict.fromkeys(found["cannot_grant"]))
        yield Problem(
            "database.rights",
            f"the login {login} of the database outside cannot give the roles {names}, which the"
            " backup and the monitoring need",
            Remedy(
                f'have an administrator run: GRANT {names} TO "{login}" WITH ADMIN OPTION; or set'
                " backup.enabled and monitoring.enabled to false"
            ),
            where=WHERE,
        )


def _judge_names(found: Mapping[str, Any], mark: str) -> Iterator[Problem]:
    for kind in ("role", "database"):
        for name in found[f"foreign_{kind}s"]:
            yield Problem(
                "database.foreign",
                f"the {kind} {name} is there already and was not made by this deployment; nothing"
                " was changed",
                Remedy(
                    "use a server, or an instance, of its own; or when it is this deployment's,"
                    f" have an administrator run: COMMENT ON ROLE \"{name}\" IS '{mark}', for the"
                    " role and the owner of the database"
                ),
                where=WHERE,
            )


def _judge_secrets(found: Mapping[str, Any]) -> Iterator[Problem]:
    """Data that is there was encrypted with the secrets of its time; new ones could not read it."""
    if found["databases"] and found["older_logins"] and not found["logins"]:
        names = ", ".join(found["older_logins"])
        yield Problem(
            "database.other_secrets",
            "the databases of this deployment are on the server, and were made with other secrets"
            " than the store has now",
            Remedy(
                "run with the run directory, or the secret server, of that installation; when the"
                " server only went back to a time before a rotation, have an administrator drop"
                f" the logins of then: {names}"
            ),
            where=WHERE,
        )
