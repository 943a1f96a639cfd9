"""The hardening table: assertions, roles with their deviations, and the notes as conditions.

Parsed from `assets/hardening.yaml`, which repeats the acceptance catalogue and adds its notes in a
machine-readable form. A table that cannot be read is a `StackError`; no service is looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from installer.core.errors import Problem, Remedy, StackError
from installer.core.policy.operators import OPERATORS
from installer.core.policy.paths import parse_path
from installer.core.policy.seccomp import parse_profile

Side: TypeAlias = Literal["compose", "inspect"]
Severity: TypeAlias = Literal["must", "should"]

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(_Model):
    """One condition of an assertion on one side.

    Attributes:
        severity: Instead of the assertion's own.
        roles: Only for these roles; empty means for all.
        offered: Counts only on hosts with this feature; elsewhere a failure is reported as "not
            offered by the host".
        instead: Feature whose presence makes up for the one above, so that nothing is reported.
    """

    path: str
    op: str
    value: Any = None
    severity: Severity | None = None
    roles: tuple[str, ...] = ()
    offered: str | None = None
    instead: str | None = None

    @field_validator("path")
    @classmethod
    def _is_path(cls, path: str) -> str:
        parse_path(path)
        return path

    @field_validator("op")
    @classmethod
    def _is_operator(cls, op: str) -> str:
        if op not in OPERATORS:
            raise ValueError(f"{op!r} is no operator")
        return op


class Sides(_Model):
    """Conditions on either side."""

    inspect: tuple[Condition, ...] = ()
    compose: tuple[Condition, ...] = ()

    def on(self, side: Side) -> tuple[Condition, ...]:
        """The conditions on one side."""
        return self.compose if side == "compose" else self.inspect


class Assertion(Sides):
    """What must hold for every container. `probe` says what to do where no document shows it."""

    id: str
    title: str
    severity: Severity
    references: tuple[str, ...] = ()
    note: str = ""
    probe: str = ""


class Deviation(_Model):
    """An assertion that a role may fail, within limits, and what makes up for it."""

    assertion: str
    allowed: str
    reason: str
    compensation: str


class Role(_Model):
    """A row of the table. `memory_min` is a size, `publish` lists `address:port/protocol`."""

    user: str = "any non-zero"
    cap_add: tuple[str, ...] = ()
    read_only: bool = True
    tmpfs: tuple[str, ...] = ()
    memory_min: str = "0"
    publish: tuple[str, ...] = ()
    secrets_in_env_allowed: tuple[str, ...] = ()
    notes: str = ""
    deviations: tuple[Deviation, ...] = ()


class Coverage(_Model):
    """How far a listed deviation reaches.

    Attributes:
        covers: Regular expression over the elements at fault; others still fail.
        at_most: How many elements it covers at most.
        used_when: Conditions that show that the deviation is in use although nothing fails.
    """

    role: str
    assertion: str
    covers: str = ".*"
    at_most: int | None = None
    used_when: Sides = Sides()


class ExecutableTmpfs(_Model):
    """A tmpfs that a role may execute from, and why."""

    role: str
    path: str
    reason: str


class RolePattern(_Model):
    """Roles whose whole name matches are judged by the row `role`."""

    matches: str
    role: str


class HostFeature(_Model):
    """A condition of the table, by path, that counts only where the host offers a feature."""

    assertion: str
    path: str
    offered: str
    instead: str | None = None


class NotNeeded(_Model):
    """Conditions, by path, that an assertion drops while all conditions of `when` hold."""

    assertion: str
    paths: tuple[str, ...]
    when: Sides


class HardeningTable(_Model):
    """The whole table; `roles` holds the catalogue's rows and those of `own_roles`."""

    version: int
    operators: Mapping[str, str] = Field(default_factory=dict)
    assertions: tuple[Assertion, ...]
    roles: Mapping[str, Role]
    role_patterns: tuple[RolePattern, ...] = ()
    notes: Mapping[str, Sides] = Field(default_factory=dict)
    coverage: tuple[Coverage, ...] = ()
    general_deviations: tuple[Deviation, ...] = ()
    exec_tmpfs: tuple[ExecutableTmpfs, ...] = ()
    host_features: tuple[HostFeature, ...] = ()
    not_needed: tuple[NotNeeded, ...] = ()
    left_to_others: Mapping[str, str] = Field(default_factory=dict)
    settings_about_secrets: tuple[str, ...] = ()
    redacted: tuple[str, ...] = ()
    processes: Mapping[str, str] = Field(default_factory=dict)
    seccomp_default: Mapping[str, Any] = Field(default_factory=dict)

    def find_role(self, label: str) -> tuple[str, Role] | None:
        """The row of a role label, by its name or by a pattern."""
        if label in self.roles:
            return label, self.roles[label]
        for pattern in self.role_patterns:
            if re.fullmatch(pattern.matches, label):
                return pattern.role, self.roles[pattern.role]
        return None

    def conditions_of(self, assertion: Assertion, side: Side) -> tuple[Condition, ...]:
        """The conditions of an assertion on one side, those of its note last."""
        own = tuple(self._with_features(assertion.id, c) for c in assertion.on(side))
        return (*own, *self.notes.get(assertion.id, Sides()).on(side))

    def deviation_of(self, role: Role, assertion: str) -> Deviation | None:
        """The deviation that the table lists for a role, or for every role."""
        listed = (*role.deviations, *self.general_deviations)
        return next((d for d in listed if d.assertion == assertion), None)

    def coverage_of(self, role: str, assertion: str) -> Coverage:
        """How far the role's deviation reaches; without an entry, it covers everything."""
        return next(
            (c for c in self.coverage if (c.role, c.assertion) == (role, assertion)),
            Coverage(role=role, assertion=assertion),
        )

    def executable_paths(self, role: str) -> frozenset[str]:
        """The tmpfs paths that a role may execute from."""
        return frozenset(entry.path for entry in self.exec_tmpfs if entry.role == role)

    def _with_features(self, assertion: str, condition: Condition) -> Condition:
        for feature in self.host_features:
            if (feature.assertion, feature.path) == (assertion, condition.path):
                update = {"offered": feature.offered, "instead": feature.instead}
                return condition.model_copy(update=update)
        return condition


def parse_hardening(data: bytes, seccomp_default: bytes = b"") -> HardeningTable:
    """Read the table, and the engine's default seccomp profile to hold custom ones against.

    Raises:
        StackError: it is not YAML, or not a table.
    """
    try:
        document = yaml.load(data, Loader=_Loader)  # noqa: S506 - a safe loader
        roles = {**document.pop("own_roles", {}), **document["roles"]}
        table = HardeningTable.model_validate(
            {**document, "roles": roles, "seccomp_default": parse_profile(seccomp_default) or {}}
        )
    except (yaml.YAMLError, ValidationError, AttributeError, KeyError, TypeError) as error:
        raise table_error("hardening.yaml", error) from error
    known = {assertion.id for assertion in table.assertions}
    named = {*table.notes, *table.left_to_others, *(c.assertion for c in table.coverage)}
    named |= {d.assertion for role in table.roles.values() for d in role.deviations}
    if unknown := sorted(named - known):
        raise table_error("hardening.yaml", f"names {', '.join(unknown)}, which is no assertion")
    return table


def table_error(name: str, reason: object) -> StackError:
    """The error about an asset that cannot be used."""
    return StackError(
        Problem(
            code="stack.asset",
            summary=f"assets/{name}: {reason}",
            remedy=Remedy(f"correct assets/{name}, or install devplat-install again"),
        )
    )
