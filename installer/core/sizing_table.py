"""The figures behind sizing and cost: profiles, vendor's rules, what one host must have.

Parsed from `assets/sizing.yaml`, where each figure names its source. A table that cannot be read
is a `StackError`; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from installer.core.errors import Problem, Remedy, StackError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Profile(_Model):
    """People with an account, and workspaces that run at the same time."""

    users: int
    workspaces: int


class Machine(_Model):
    """Cores, and memory in GiB (the vendor writes GB and means it so)."""

    vcpu: float
    mem_gb: float


class Machines(Machine):
    """So many of one kind."""

    replicas: int


class Validated(_Model):
    """A row that the vendor has tested."""

    users: int
    running_workspaces: int
    concurrent_builds: int
    control_plane: Machines
    provisioners: Machines
    database: Machine


class BuildLimit(_Model):
    """Up to here builds run inside the control plane."""

    users: int
    concurrent_builds: int


class DatabaseStep(_Model):
    """Cores of the database up to so many running workspaces."""

    running_workspaces: int
    vcpu: int


class ControlPlaneStep(_Model):
    """One replica of the control plane up to so many users; None is beyond all others."""

    users: int | None
    vcpu: int
    mem_gb: int


class Rules(_Model):
    """The vendor's rules of thumb; the asset says where each comes from."""

    users_per_vcpu: int
    memory_gib_per_vcpu: int
    builds_inside_up_to: BuildLimit
    provisioner: Machine
    workspace: Machine
    workspace_node: Machine
    workspace_node_reserve: Machine
    database_memory_gib_per_vcpu: float
    database_memory_gib_least: int
    database_storage_gib_per_1000_users: int
    database_storage_gib_least: int
    database_steps: tuple[DatabaseStep, ...]
    database_vcpu_at_1000: int
    control_plane_steps: tuple[ControlPlaneStep, ...]
    active_share: float
    builds_per_workspace: float
    home_gib_per_user: int


class LicenceLimits(_Model):
    """What the community edition carries."""

    control_plane_replicas: int
    users: int


class HostShares(_Model):
    """Which share of the limits a host must have, and what it needs for itself."""

    platform_cpu_share: float
    platform_memory_share: float
    workspace_cpu_share: float
    workspace_memory_share: float
    reserve: Machine
    engine_gib: int


class SingleHostLimit(_Model):
    """Beyond this, one host is not the answer."""

    users: int
    cpus: int
    memory_gib: int


class SizingTable(_Model):
    """The whole table. `sources` says where figures come from; `as_of` is when they were read."""

    schema_: int
    as_of: date
    sources: Mapping[str, Mapping[str, Any]]
    profiles: Mapping[str, Profile]
    validated: tuple[Validated, ...]
    rules: Rules
    licence_limits: LicenceLimits
    host: HostShares
    single_host_limit: SingleHostLimit


def parse_sizing(data: bytes) -> SizingTable:
    """Read the table.

    Raises:
        StackError: it is not YAML, or not a table.
    """
    try:
        document = yaml.load(data, Loader=_Loader)  # noqa: S506 - a safe loader
        return SizingTable.model_validate({"schema_": document.pop("schema"), **document})
    except (yaml.YAMLError, ValidationError, AttributeError, KeyError, TypeError) as error:
        raise StackError(
            Problem(
                code="stack.asset",
                summary=f"assets/sizing.yaml: {error}",
                remedy=Remedy("correct assets/sizing.yaml, or install devplat-install again"),
            )
        ) from error
