"""Price list and bills of material: `assets/aws-prices.yaml` and `assets/cost.yaml`, parsed.

Money is decimal. A table that cannot be read is a `StackError`; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from installer.core.errors import Problem, Remedy, StackError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Instance:
    """A machine that can be rented: its price key, cores, memory in GiB, USD an hour."""

    key: str
    name: str
    vcpu: int
    mem_gib: Decimal
    usd: Decimal
    burstable: bool


@dataclass(frozen=True, slots=True)
class PriceList:
    """List prices of one region.

    Attributes:
        prices: `group/name` → USD per unit, or a plain factor.
        instances: Group → machines of that group.
        unknown: What the list does not have, in words.
    """

    region: str
    as_of: date
    hours_per_month: int
    prices: Mapping[str, Decimal]
    instances: Mapping[str, tuple[Instance, ...]]
    unknown: tuple[str, ...]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Model):
    """So many units of one price; `hours: month` for prices by the hour; `factor` names another."""

    price: str
    count: Decimal = Decimal(1)
    hours: Literal["month"] | None = None
    factor: str | None = None


class Item(_Model):
    """A row of an estimate, and what the guide says of the same row."""

    resource: str
    specification: str
    parts: tuple[Part, ...]
    guide_usd: Decimal | None = None
    note: str = ""


class ProfileBill(_Model):
    """Everything a profile of the guide consists of."""

    users: int
    workspaces: int
    guide_total_usd: Decimal
    items: tuple[Item, ...]


class MachineRule(_Model):
    """Which machines serve a purpose: those of some families in a group of the price list."""

    resource: str
    group: str
    families: tuple[str, ...]


class LicenceRule(_Model):
    """What a licence is called, and the key of its price for each user and month."""

    resource: str
    price: str


class CustomRules(_Model):
    """How a custom size becomes machines; the asset says which figures are assumed.

    Attributes:
        machines: By purpose: host, control_plane, provisioner, workspace, database.
        fixed: Rows that do not grow with users.
    """

    machines: Mapping[str, MachineRule]
    fixed: tuple[Item, ...]
    licence: LicenceRule
    builds_per_provisioner_machine: int
    lcu_per_1000_users: Decimal
    egress_gb_per_user: Decimal
    backup_gb_per_user: Decimal
    root_disk_gb: int


class CostTable(_Model):
    """Bills of the profiles, prices that must be asked for, and rules for custom sizes."""

    schema_: int
    guide: str
    profiles: Mapping[str, ProfileBill]
    asked: Mapping[str, str]
    custom: CustomRules


@dataclass(frozen=True, slots=True)
class Pricing:
    """Prices to go by: the list, bills of material, and what the operator has answered.

    Attributes:
        given: Price key → USD, for prices that were asked for, or instead of list prices.
    """

    prices: PriceList
    table: CostTable
    given: Mapping[str, Decimal]


def parse_prices(data: bytes) -> PriceList:
    """Read the price list.

    Raises:
        StackError: it is not YAML, or not a price list.
    """
    try:
        document = yaml.load(data, Loader=_Loader)  # noqa: S506 - a safe loader
        groups = {k: v for k, v in document.items() if isinstance(v, Mapping) and k != "sources"}
        return PriceList(
            region=document["region"],
            as_of=document["as_of"],
            hours_per_month=document["hours_per_month"],
            prices=dict(_prices(groups)),
            instances={group: tuple(_instances(group, rows)) for group, rows in groups.items()},
            unknown=tuple(document["unknown"]),
        )
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ArithmeticError) as error:
        raise _error("aws-prices.yaml", error) from error


def parse_cost(data: bytes) -> CostTable:
    """Read the bills of material.

    Raises:
        StackError: it is not YAML, or not such a table.
    """
    try:
        document = yaml.load(data, Loader=_Loader)  # noqa: S506 - a safe loader
        return CostTable.model_validate({"schema_": document.pop("schema"), **document})
    except (yaml.YAMLError, ValidationError, AttributeError, KeyError, TypeError) as error:
        raise _error("cost.yaml", error) from error


def _prices(groups: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Decimal]]:
    for group, rows in groups.items():
        for name, row in rows.items():
            if isinstance(row, Mapping):
                amount = row.get("usd", row.get("value"))
                yield f"{group}/{name}", Decimal(str(amount))


def _instances(group: str, rows: Mapping[str, Any]) -> Iterator[Instance]:
    for name, row in rows.items():
        if isinstance(row, Mapping) and "vcpu" in row:
            yield Instance(
                key=f"{group}/{name}",
                name=name,
                vcpu=row["vcpu"],
                mem_gib=Decimal(str(row["mem_gib"])),
                usd=Decimal(str(row["usd"])),
                burstable=bool(row.get("burstable", False)),
            )


def _error(name: str, reason: object) -> StackError:
    return StackError(
        Problem(
            code="stack.asset",
            summary=f"assets/{name}: {reason}",
            remedy=Remedy(f"correct assets/{name}, or install devplat-install again"),
        )
    )
