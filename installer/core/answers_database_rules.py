"""What the answers about a database outside say of each other.

A rule sees the values that were acceptable by themselves and says nothing where one is missing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from installer.core.answers_findings import AnswersRule, Finding, Values
from installer.core.fields import Concern, visible

_URL = "database.url"
_EXAMPLE = "postgres://master@db.company.com:5432/postgres?sslmode=verify-full"
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}", re.ASCII)
"""Names of logins and databases that need no quotes anywhere; `@` as managed servers have it."""


def _login_is_complete(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    if values.get("database.mode") != "external":
        return
    if "database.password" in values and values["database.password"] is None:
        concern = Concern(
            "database.password_missing",
            "the login of the administrator has no password, so nothing can be made",
            "refer to it, as env:DATABASE_PASSWORD",
        )
        yield Finding("database.password", concern, (_URL,))
    if "database.ca_file" in values and not values["database.ca_file"]:
        concern = Concern(
            "database.ca_missing",
            "without the authority of the server's certificate no client can verify the server",
            "name the PEM file with it: of RDS the bundle of the region"
            " (truststore.pki.rds.amazonaws.com), of a public authority its root alone",
        )
        yield Finding("database.ca_file", concern, (_URL,))


def _names_are_plain(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    url = values.get(_URL)
    if values.get("database.mode") != "external" or not isinstance(url, str):
        return
    parts = urlsplit(url)
    login, name = unquote(parts.username or ""), unquote(parts.path.removeprefix("/"))
    for what, text in (("login", login), ("database", name)):
        if not _PLAIN.fullmatch(text):
            concern = Concern(
                "database.url_form",
                f"the {what} {visible(text)!r} of the URL is no name of letters, digits and . _ - @"
                if text
                else f"the URL names no {what}",
                f"name the administrator's login and a database to begin in, as {_EXAMPLE}",
            )
            yield Finding(_URL, concern)
    if _is_this_machine(parts.hostname or ""):
        concern = Concern(
            "database.loopback",
            f"{visible(parts.hostname or '')} is, to a container, the container itself",
            "name the server as other hosts reach it, and as its certificate does",
        )
        yield Finding(_URL, concern)


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback or ip_address(host).is_unspecified
    except ValueError:
        return False


DATABASE_RULES: tuple[AnswersRule, ...] = (
    _login_is_complete,
    _names_are_plain,
)
