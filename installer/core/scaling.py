"""The vendor's formulas: what so many users and running workspaces take when spread over machines.

Exact arithmetic throughout, so that 0.6 × 50 is 30 and not a little more. All counts round up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from installer.core.sizing_table import Machine, SizingTable


@dataclass(frozen=True, slots=True)
class ScaleOut:
    """A deployment over several machines; memory and storage in GiB, CPUs per machine.

    Attributes:
        replicas: Of the control plane, which takes a licence when more than one.
        provisioners: Machines for builds of their own (licensed), one for each concurrent build.
    """

    users: int
    running_workspaces: int
    concurrent_builds: int
    replicas: int
    replica: Machine
    provisioners: int
    database: Machine
    database_storage_gib: int
    workspace_nodes: int
    workspace_node: Machine


def exact(value: float) -> Fraction:
    """The decimal number that a float was written as."""
    return Fraction(str(value))


def running_workspaces(table: SizingTable, users: int) -> int:
    """Workspaces that run at the same time when nobody says how many."""
    return math.ceil(users * exact(table.rules.active_share))


def concurrent_builds(table: SizingTable, workspaces: int) -> int:
    """Workspaces that start or stop at the same time."""
    return math.ceil(workspaces * exact(table.rules.builds_per_workspace))


def external_provisioners(table: SizingTable, users: int, workspaces: int) -> int:
    """Builds that the control plane cannot run by the way: none or all of them."""
    limit = table.rules.builds_inside_up_to
    builds = concurrent_builds(table, workspaces)
    return 0 if users <= limit.users and builds <= limit.concurrent_builds else builds


def single_control_plane(table: SizingTable, users: int, workspaces: int) -> Machine:
    """The one replica that runs without a licence, builds included."""
    rules = table.rules
    step = table.rules.control_plane_steps[0]
    vcpu = max(step.vcpu, math.ceil(Fraction(users, rules.users_per_vcpu)))
    memory = step.mem_gb
    if vcpu > step.vcpu:
        memory = max(rules.control_plane_steps[-1].mem_gb, rules.memory_gib_per_vcpu * vcpu)
    builds = external_provisioners(table, users, workspaces)
    return Machine(
        vcpu=vcpu + builds * rules.provisioner.vcpu,
        mem_gb=memory + builds * rules.provisioner.mem_gb,
    )


def database(table: SizingTable, users: int, workspaces: int) -> Machine:
    """The control plane's database; at 1000 users and above by doubling, at most as validated."""
    rules = table.rules
    if users >= 1000:
        vcpu = rules.database_vcpu_at_1000 * 2 ** math.ceil(math.log2(Fraction(users, 1000)))
        rows = [int(row.database.vcpu) for row in table.validated if row.users >= users]
        vcpu = min([vcpu, *rows])
    else:
        steps = [s.vcpu for s in rules.database_steps if workspaces <= s.running_workspaces]
        vcpu = min([*steps, rules.database_vcpu_at_1000])
    memory = max(rules.database_memory_gib_least, vcpu * rules.database_memory_gib_per_vcpu)
    return Machine(vcpu=vcpu, mem_gb=memory)


def database_storage(table: SizingTable, users: int) -> int:
    """GiB of the control plane's database."""
    rules = table.rules
    grown = math.ceil(Fraction(users * rules.database_storage_gib_per_1000_users, 1000))
    return max(rules.database_storage_gib_least, grown)


def workspace_nodes(table: SizingTable, workspaces: int, workspace: Machine) -> int:
    """Nodes for running workspaces, one of them to spare."""
    node, reserve = table.rules.workspace_node, table.rules.workspace_node_reserve
    share = max(
        exact(workspace.vcpu) / (exact(node.vcpu) - exact(reserve.vcpu)),
        exact(workspace.mem_gb) / (exact(node.mem_gb) - exact(reserve.mem_gb)),
    )
    return math.ceil(workspaces * share) + 1


def scale_out(
    table: SizingTable, users: int, workspaces: int, workspace: Machine | None = None
) -> ScaleOut:
    """The formulas together.

    Args:
        table: The vendor's figures.
        users: People with an account.
        workspaces: That run at the same time.
        workspace: Size of one; the vendor's least by default.
    """
    step = next(s for s in table.rules.control_plane_steps if s.users is None or users <= s.users)
    return ScaleOut(
        users=users,
        running_workspaces=workspaces,
        concurrent_builds=concurrent_builds(table, workspaces),
        replicas=max(2, math.ceil(Fraction(users, table.rules.users_per_vcpu * step.vcpu)) + 1),
        replica=Machine(vcpu=step.vcpu, mem_gb=step.mem_gb),
        provisioners=external_provisioners(table, users, workspaces),
        database=database(table, users, workspaces),
        database_storage_gib=database_storage(table, users),
        workspace_nodes=workspace_nodes(table, workspaces, workspace or table.rules.workspace),
        workspace_node=table.rules.workspace_node,
    )
