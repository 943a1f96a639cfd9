"""From users and running workspaces to limits of each service and to what the host must have.

Pure: figures from the table, limits from the manifests, wishes from the answers. Beyond what one
host carries the result is a warning that names the way out, never a refusal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from installer.core.errors import Problem, Remedy
from installer.core.manifest import Resources, ServiceManifest
from installer.core.scaling import (
    ScaleOut,
    database,
    database_storage,
    exact,
    running_workspaces,
    scale_out,
    single_control_plane,
)
from installer.core.sizing_table import Machine, SizingTable

CUSTOM = "custom"
"""The profile that goes by the vendor's formulas."""

_LOW, _HIGH = 50, 200
"""Users that the two figures of a manifest are for."""


@dataclass(frozen=True, slots=True)
class ServiceResources:
    """Limits of one service: CPUs in cores, memory in MiB, processes; disk in GiB, estimated."""

    cpus: float
    memory_mib: int
    pids: int
    disk_gib: int = 0


@dataclass(frozen=True, slots=True)
class HostRequirements:
    """What a host must have: CPUs in cores, memory in MiB, disk in GiB.

    Attributes:
        data_gib: Below the data directory.
        engine_gib: Below the engine's own directory: images, logs, and homes of workspaces.
    """

    cpus: int
    memory_mib: int
    data_gib: int
    engine_gib: int

    @property
    def disk_gib(self) -> int:
        """Both disks together."""
        return self.data_gib + self.engine_gib


@dataclass(frozen=True, slots=True)
class SizingRequest:
    """What the answers say of size.

    Attributes:
        profile: `small`, `medium` or `custom`.
        users: People with an account; a named profile counts with at least its own figure.
        workspaces: That run at the same time; None takes the profile's, or the vendor's share.
        memory_mib: Service → memory limit instead of the computed one.
        cpus: Service → CPU limit instead of the computed one.
        workspaces_on_host: Whether workspaces run on the host of the platform.
        workspace: Size of one workspace; None takes the vendor's least.
        home_gib: Disk of each user's home; None takes the vendor's default.
    """

    profile: str = "small"
    users: int | None = None
    workspaces: int | None = None
    memory_mib: Mapping[str, int] = field(default_factory=dict)
    cpus: Mapping[str, float] = field(default_factory=dict)
    workspaces_on_host: bool = True
    workspace: Machine | None = None
    home_gib: int | None = None


@dataclass(frozen=True, slots=True)
class Sizing:
    """The result. `workspaces_on_host` counts those that the host carries beside the platform.

    `workspace_hosts` is what other hosts must have together, where these carry them.
    """

    users: int
    workspaces: int
    workspaces_on_host: int
    services: Mapping[str, ServiceResources]
    host: HostRequirements
    scale: ScaleOut
    warnings: tuple[Problem, ...] = ()
    workspace_hosts: HostRequirements | None = None


def make_sizing(
    manifests: Iterable[ServiceManifest], table: SizingTable, request: SizingRequest
) -> Sizing:
    """Limits for each service, and the host that carries them.

    Args:
        manifests: Of the chosen services.
        table: Figures and rules.
        request: From the answers.
    """
    users, workspaces = _figures(table, request)
    services = {
        manifest.name: _limits(manifest, table, request, users, workspaces)
        for manifest in manifests
    }
    on_host = workspaces if request.workspaces_on_host else 0
    sizing = Sizing(
        users=users,
        workspaces=workspaces,
        workspaces_on_host=on_host,
        services=services,
        host=_host(services.values(), table, request, users, on_host),
        scale=scale_out(table, users, workspaces, request.workspace),
        workspace_hosts=(
            None if request.workspaces_on_host else _host((), table, request, users, workspaces)
        ),
    )
    return replace(sizing, warnings=tuple(_warn(sizing, table, request)))


def interpolate(pair: tuple[float, float], users: int) -> Fraction:
    """The value between a manifest's figures for 50 and 200 users, and on beyond at the same slope.

    Never below the figure for 50 users.
    """
    low, high = map(exact, pair)
    return max(low, low + (high - low) * Fraction(users - _LOW, _HIGH - _LOW))


def _figures(table: SizingTable, request: SizingRequest) -> tuple[int, int]:
    profile = table.profiles.get(request.profile)
    if profile is not None:
        return (
            max(profile.users, request.users or 0),
            max(profile.workspaces, request.workspaces or 0),
        )
    users = request.users or table.profiles["small"].users
    if request.workspaces is not None:
        return users, request.workspaces
    return users, running_workspaces(table, users)


def _limits(
    manifest: ServiceManifest,
    table: SizingTable,
    request: SizingRequest,
    users: int,
    workspaces: int,
) -> ServiceResources:
    resources, name = manifest.resources, manifest.name
    computed = _by_manifest(resources, users)
    if request.profile == CUSTOM and resources.formula is not None:
        computed = _by_formula(resources, table, users, workspaces)
    return ServiceResources(
        cpus=request.cpus.get(name, computed.cpus),
        memory_mib=request.memory_mib.get(name, computed.memory_mib),
        pids=computed.pids,
        disk_gib=computed.disk_gib,
    )


def _by_manifest(resources: Resources, users: int) -> ServiceResources:
    return ServiceResources(
        cpus=math.ceil(interpolate(resources.cpus, users) * 100) / 100,
        memory_mib=math.ceil(interpolate(resources.memory_mib, users)),
        pids=resources.pids,
        disk_gib=math.ceil(interpolate(resources.disk_gib, users)),
    )


def _by_formula(
    resources: Resources, table: SizingTable, users: int, workspaces: int
) -> ServiceResources:
    computed = _by_manifest(resources, users)
    disk = computed.disk_gib
    if resources.formula == "database":
        machine = database(table, users, workspaces)
        disk = max(resources.disk_gib[0], database_storage(table, users))
    else:
        machine = single_control_plane(table, users, workspaces)
    return ServiceResources(
        cpus=float(machine.vcpu),
        memory_mib=math.ceil(exact(machine.mem_gb) * 1024),
        pids=computed.pids,
        disk_gib=disk,
    )


def _host(
    services: Iterable[ServiceResources],
    table: SizingTable,
    request: SizingRequest,
    users: int,
    workspaces: int,
) -> HostRequirements:
    """Shares of the limits, running workspaces and the host's own need, added up.

    Cores go to the nearest whole: the share is a rule of thumb, and a tenth of a core more is none.
    """
    shares, listed = table.host, list(services)
    workspace = request.workspace or table.rules.workspace
    home = table.rules.home_gib_per_user if request.home_gib is None else request.home_gib
    cpus = (
        sum(exact(s.cpus) for s in listed) * exact(shares.platform_cpu_share)
        + workspaces * exact(workspace.vcpu) * exact(shares.workspace_cpu_share)
        + exact(shares.reserve.vcpu)
    )
    memory_gib = (
        Fraction(sum(s.memory_mib for s in listed), 1024) * exact(shares.platform_memory_share)
        + workspaces * exact(workspace.mem_gb) * exact(shares.workspace_memory_share)
        + exact(shares.reserve.mem_gb)
    )
    return HostRequirements(
        cpus=max(1, math.floor(cpus + Fraction(1, 2))),
        memory_mib=math.ceil(memory_gib * 1024),
        data_gib=sum(s.disk_gib for s in listed),
        engine_gib=shares.engine_gib + (users * home if workspaces else 0),
    )


def _warn(sizing: Sizing, table: SizingTable, request: SizingRequest) -> Iterable[Problem]:
    profile = table.profiles.get(request.profile)
    if profile is not None and (sizing.users, sizing.workspaces) != (
        profile.users,
        profile.workspaces,
    ):
        yield Problem(
            code="size.beyond_profile",
            summary=f"{sizing.users} users and {sizing.workspaces} workspaces are more than profile"
            f" {request.profile} is for ({profile.users} and {profile.workspaces})",
            where="sizing.profile",
            remedy=Remedy(
                "choose a larger profile, or custom, which goes by the vendor's formulas"
            ),
        )
    limit, host = table.single_host_limit, sizing.host
    too_many = sizing.users > limit.users
    if too_many or host.cpus > limit.cpus or host.memory_mib > limit.memory_gib * 1024:
        yield _beyond_compose(sizing, table, "users" if too_many else "concurrent_workspaces")
    if sizing.users > table.licence_limits.users:
        yield Problem(
            code="size.licence_needed",
            summary=f"{sizing.users} users take more than one replica of the control plane, the"
            f" community edition runs {table.licence_limits.control_plane_replicas}",
            where="sizing.users",
            remedy=Remedy(
                f"plan for a licence above {table.licence_limits.users} users: it allows"
                f" {sizing.scale.replicas} replicas and provisioners of their own"
            ),
        )


def _beyond_compose(sizing: Sizing, table: SizingTable, answer: str) -> Problem:
    """The warning that one host is not the answer, with the figures of the way out."""
    scale, host, limit = sizing.scale, sizing.host, table.single_host_limit
    memory = math.ceil(host.memory_mib / 1024)
    builds = f", {scale.provisioners} provisioners" if scale.provisioners else ""
    return Problem(
        code="size.beyond_compose",
        summary=f"{sizing.users} users with {sizing.workspaces} running workspaces take a host of"
        f" {host.cpus} CPUs and {memory} GiB; compose on one host is for up to {limit.users} users,"
        f" {limit.cpus} CPUs and {limit.memory_gib} GiB",
        where=f"sizing.{answer}",
        detail=f"spread over machines: control plane {scale.replicas} x"
        f" {_show(scale.replica)} (licensed), database {_show(scale.database)} with"
        f" {scale.database_storage_gib} GiB{builds}, {scale.workspace_nodes} workspace nodes of"
        f" {_show(scale.workspace_node)}; derived from the vendor's figures as of {table.as_of}",
        remedy=Remedy(
            f"move workspaces to hosts of their own ({scale.workspace_nodes} nodes of"
            f" {_show(scale.workspace_node)}), or the platform to Kubernetes or AWS"
        ),
    )


def _show(machine: Machine) -> str:
    return f"{machine.vcpu:g} vCPU/{machine.mem_gb:g} GB"
