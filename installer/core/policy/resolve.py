"""The special values of the table, turned into what the operators compare with.

A value may name the role's row, the host, another path of the same document, or a test that no
regular expression can express.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from installer.core.policy.context import AuditContext
from installer.core.policy.exposure import exposes_in_file, exposes_secret
from installer.core.policy.operators import Test
from installer.core.policy.paths import SERVICE_PREFIX, Json, select
from installer.core.policy.quantities import parse_size
from installer.core.policy.seccomp import allows_more, parse_profile
from installer.core.policy.table import HardeningTable, Role, Side

_SECCOMP_OPTION = re.compile(r"seccomp[:=](?P<profile>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Subject:
    """One service or container under audit, in the normal form of `normal`.

    `row` is the name of its role's row in the table, empty when there is none.
    """

    side: Side
    service: str
    label: str
    row: str
    role: Role
    document: Mapping[str, Any]
    table: HardeningTable
    context: AuditContext


def resolve_value(value: Json, assertion: str, subject: Subject) -> Json:
    """A value of the table as what it stands for in this subject."""
    if isinstance(value, list | tuple):
        return [resolve_value(item, assertion, subject) for item in value]
    if isinstance(value, Mapping) and "op" in value:
        return {**value, "value": resolve_value(value.get("value"), assertion, subject)}
    if not isinstance(value, str):
        return value
    if value in _SPECIAL:
        return _SPECIAL[value](subject, assertion)
    if value.startswith(("HostConfig.", SERVICE_PREFIX)):
        return select(subject.document, value).values[0]
    if assertion in subject.table.settings_about_secrets:
        return _exposing(value)
    context = subject.context
    return value.replace("<install_dir>", re.escape(context.install_dir)).replace(
        "<data_dir>", re.escape(context.data_dir)
    )


def _exposing(expression: str) -> Test:
    return lambda setting: exposes_secret(setting, expression)


def _expression_of(subject: Subject, assertion: str) -> str:
    """The expression that the other side of the same assertion uses."""
    wanted = next(a for a in subject.table.assertions if a.id == assertion)
    return str(wanted.inspect[0].value["value"])


def _same_expression(subject: Subject, assertion: str) -> Test:
    return _exposing(_expression_of(subject, assertion))


def _file_without_secrets(subject: Subject, assertion: str) -> Test:
    """A file of the bundle whose lines expose nothing; a file that is not there is not one."""
    expression, context = _expression_of(subject, assertion), subject.context

    def test(path: str) -> bool:
        data = context.files.get(path.removeprefix("./"))
        if data is None or exposes_in_file(data, expression):
            return False
        return not context.secrets.is_in(data.decode("utf-8"))

    return test


def _bundled_seccomp(subject: Subject, _: str) -> Test:
    """A security option that is no custom profile, or one of the bundle within the default."""
    default, context = subject.table.seccomp_default, subject.context

    def test(option: str) -> bool:
        match = _SECCOMP_OPTION.fullmatch(option)
        if match is None or match["profile"] in ("", "builtin", "unconfined"):
            return True  # "unconfined" is for the assertion's own condition
        inline = parse_profile(match["profile"])
        if inline is not None:  # the engine shows the profile's text, Compose its path
            bundled = (parse_profile(data) for data in context.files.values())
            return any(inline == profile for profile in bundled) and not allows_more(
                inline, default
            )
        data = context.files.get(match["profile"].removeprefix("./"))
        profile = None if data is None else parse_profile(data)
        return profile is not None and not allows_more(profile, default)

    return test


def _noexec_unless_listed(subject: Subject, _: str) -> Test:
    """`path=options` of a tmpfs: `noexec`, or a path that the role may execute from."""
    executable = subject.table.executable_paths(subject.row)

    def test(entry: str) -> bool:
        path, _, options = entry.partition("=")
        return path in executable or "noexec" in options.split(",")

    return test


def _half_of_host_memory(subject: Subject, _: str) -> int | None:
    memory = subject.context.host_memory
    return None if memory is None else memory // 2


def _locked_image(subject: Subject, _: str) -> Test:
    """The reference in the lock file, where that is known."""
    locked = subject.context.images.get(subject.service)
    return lambda reference: locked in (None, reference)


_SPECIAL: Mapping[str, Callable[[Subject, str], Any]] = {
    "roles.<role>.cap_add": lambda subject, _: list(subject.role.cap_add),
    "roles.<role>.memory_min": lambda subject, _: parse_size(subject.role.memory_min),
    "host memory / 2": _half_of_host_memory,
    "any known secret value": lambda subject, _: subject.context.secrets.is_in,
    "same expression": _same_expression,
    "file without secret values": _file_without_secrets,
    "seccomp profile of the bundle": _bundled_seccomp,
    "noexec unless listed": _noexec_unless_listed,
    "locked image": _locked_image,
}
