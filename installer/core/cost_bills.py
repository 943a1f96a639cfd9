"""What machines and services a custom size consists of, as bills for `cost` to price.

Only lists: no price is multiplied here. A machine that no list has is named by its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal

from installer.core.cost_table import Instance, Item, Part, Pricing
from installer.core.scaling import ScaleOut
from installer.core.sizing import HostRequirements
from installer.core.sizing_table import Machine

MACHINE = "machine/"
"""Prefix of the price key of a machine that no list has."""

_EGRESS_TIERS = (
    ("network/egress_internet_gb_first_10tb", 10_240),
    ("network/egress_internet_gb_next_40tb", 40_960),
    ("network/egress_internet_gb_beyond_50tb", None),
)
"""Price key and GB of each tier of transfer to the internet, in a month."""


def bill_host(pricing: Pricing, host: HostRequirements, users: int) -> list[Item]:
    """One machine that carries everything."""
    size = Machine(vcpu=host.cpus, mem_gb=math.ceil(host.memory_mib / 1024))
    return [
        _machines(pricing, "host", 1, size),
        _item("EBS storage", f"{host.disk_gib} GB gp3", "storage/ebs_gp3_gb_month", host.disk_gib),
        Item(
            resource="Public address",
            specification="1 IPv4",
            parts=(Part(price="network/public_ipv4_hour", hours="month"),),
        ),
        *_by_users(pricing, users),
    ]


def bill_workspaces(pricing: Pricing, scale: ScaleOut, disk_gib: int) -> list[Item]:
    """Machines for workspaces alone, with the homes on their disks."""
    disk = disk_gib + scale.workspace_nodes * pricing.table.custom.root_disk_gb
    return [
        _machines(pricing, "workspace", scale.workspace_nodes, scale.workspace_node),
        _item("EBS storage", f"{disk} GB gp3", "storage/ebs_gp3_gb_month", disk),
    ]


def bill_scale(pricing: Pricing, scale: ScaleOut, home_gib_per_user: int) -> list[Item]:
    """Control plane, database and workspaces on machines of their own."""
    rules = pricing.table.custom
    builds = rules.builds_per_provisioner_machine
    builders = math.ceil(scale.provisioners / builds)
    machines = scale.replicas + builders + scale.workspace_nodes
    disk = scale.users * home_gib_per_user + machines * rules.root_disk_gb
    build_machine = Machine(vcpu=builds, mem_gb=builds)
    items = [
        _machines(pricing, "control_plane", scale.replicas, scale.replica),
        _machines(pricing, "provisioner", builders, build_machine),
        _machines(pricing, "workspace", scale.workspace_nodes, scale.workspace_node),
        _database(pricing, scale),
        *rules.fixed,
        _balancer(pricing, scale.users),
        _item("EBS storage", f"{disk} GB gp3", "storage/ebs_gp3_gb_month", disk),
        *_by_users(pricing, scale.users),
        _item(rules.licence.resource, f"{scale.users} users", rules.licence.price, scale.users),
    ]
    return [item for item in items if item.parts]


def find_instance(pricing: Pricing, purpose: str, size: Machine) -> Instance | None:
    """The cheapest machine for a purpose with so many cores and GiB of memory, none burstable."""
    rule = pricing.table.custom.machines[purpose]
    families = tuple(f"{family}." for family in rule.families)
    fitting = [
        instance
        for instance in pricing.prices.instances[rule.group]
        if instance.name.startswith(families)
        and not instance.burstable
        and instance.vcpu >= size.vcpu
        and instance.mem_gib >= Decimal(str(size.mem_gb))
    ]
    return min(fitting, key=lambda instance: (instance.usd, instance.name), default=None)


def _machines(pricing: Pricing, purpose: str, count: int, size: Machine) -> Item:
    """So many machines of the cheapest kind that is large enough; of an unknown kind if none is."""
    instance = find_instance(pricing, purpose, size)
    name = instance.name if instance else f"{size.vcpu:g} vCPU and {size.mem_gb:g} GB"
    key = instance.key if instance else f"{MACHINE}{name}"
    parts = (Part(price=key, hours="month", count=Decimal(count)),) if count else ()
    resource = pricing.table.custom.machines[purpose].resource
    return Item(resource=resource, specification=f"{name} x {count}", parts=parts)


def _database(pricing: Pricing, scale: ScaleOut) -> Item:
    """The database with a standby in another zone, and its storage."""
    item = _machines(pricing, "database", 1, scale.database)
    instance = item.parts[0].model_copy(update={"factor": "rds/multi_az_instance_factor"})
    storage = Part(
        price="rds/storage_gp3_gb_month_multi_az", count=Decimal(scale.database_storage_gib)
    )
    name = item.specification.removesuffix(" x 1")
    return item.model_copy(
        update={
            "specification": f"{name} Multi-AZ, {scale.database_storage_gib} GB",
            "parts": (instance, storage),
        }
    )


def _balancer(pricing: Pricing, users: int) -> Item:
    lcu = max(Decimal(1), _ceil(users * pricing.table.custom.lcu_per_1000_users / 1000))
    return Item(
        resource="ALB",
        specification=f"1 ALB, {lcu} LCU and 2 public addresses (assumed)",
        parts=(
            Part(price="load_balancer/alb_hour", hours="month"),
            Part(price="load_balancer/alb_lcu_hour", hours="month", count=lcu),
            Part(price="network/public_ipv4_hour", hours="month", count=Decimal(2)),
        ),
    )


def _by_users(pricing: Pricing, users: int) -> list[Item]:
    """Transfer and backups, by the assumptions for each user."""
    rules = pricing.table.custom
    egress = _ceil(users * rules.egress_gb_per_user)
    backup = _ceil(users * rules.backup_gb_per_user)
    return [
        Item(
            resource="Data transfer",
            specification=f"{egress} GB to the internet (assumed)",
            parts=tuple(_egress(int(egress))),
        ),
        _item("S3 (backups)", f"{backup} GB (assumed)", "storage/s3_standard_gb_month", backup),
    ]


def _egress(amount: int) -> Iterator[Part]:
    """The tiers that an amount of GB fills, one after the other."""
    for price, size in _EGRESS_TIERS:
        filled = amount if size is None else min(amount, size)
        if filled:
            yield Part(price=price, count=Decimal(filled))
        amount -= filled


def _item(resource: str, specification: str, price: str, count: int | Decimal) -> Item:
    parts = (Part(price=price, count=Decimal(count)),)
    return Item(resource=resource, specification=specification, parts=parts)


def _ceil(value: Decimal) -> Decimal:
    return Decimal(math.ceil(value))
