"""The segmentation table: tiers, allowed flows, refused flows; and which conditional flows count.

Parsed from `assets/segmentation.yaml`. Everything that is not allowed is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from installer.core.manifest import ServiceManifest
from installer.core.policy.table import table_error

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Pair = tuple[str, str]
"""Source and destination of a flow, as roles."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Flow(_Model):
    """One row: who may, or must not, connect to whom. `port` is a container port or `any`."""

    id: str
    source: str
    destination: str
    port: int | str
    why: str
    proto: str = "tcp"
    basis: str = ""
    only_if: str | None = None

    @property
    def pair(self) -> Pair:
        """Source and destination."""
        return self.source, self.destination

    def __str__(self) -> str:
        return name_pair(self.pair)


class SegmentationTable(_Model):
    """The whole table.

    Attributes:
        internal_tiers: Tiers whose networks have no way out.
        single_consumer_tiers: Tiers of which each network has one consumer only.
        unless_declared: Ids of refusals whose own reason makes an exception, which a service that
            declares the flow makes use of.
        if_declared: Ids of allowed flows that count only where a service declares them.
        outside: The place that a network with a way out leads to.
    """

    version: int
    tiers: Mapping[str, tuple[str, ...]]
    allow: tuple[Flow, ...]
    deny_probes: tuple[Flow, ...]
    internal_tiers: tuple[str, ...] = ()
    single_consumer_tiers: tuple[str, ...] = ()
    unless_declared: tuple[str, ...] = ()
    if_declared: tuple[str, ...] = ()
    outside: str

    def roles_in(self, tiers: Iterable[str]) -> frozenset[str]:
        """The roles of some tiers."""
        return frozenset(role for tier in tiers for role in self.tiers[tier])

    def settle(self, declared: frozenset[Pair]) -> SegmentationTable:
        """This table with the exceptions that these flows make use of among the allowed flows.

        Flows that nobody needs to declare, and nobody does, are not allowed.
        """
        used = tuple(
            f for f in self.deny_probes if f.id in self.unless_declared and f.pair in declared
        )
        made = tuple(f for f in self.allow if f.id not in self.if_declared or f.pair in declared)
        return self.model_copy(
            update={
                "allow": (*made, *used),
                "deny_probes": tuple(f for f in self.deny_probes if f not in used),
            }
        )


@dataclass(frozen=True, slots=True)
class FlowConditions:
    """What decides about flows that are allowed on a condition, and about address ranges.

    Attributes:
        declared: Flows that the chosen services declare; see `declared_flows`.
        known: Text of a condition → whether it holds. A condition that is not here holds for flows
            that are declared.
        pool: Range that all subnets come from, when the answers give one.
        occupied: Ranges in use on the host and its VPNs.
    """

    declared: frozenset[Pair] = frozenset()
    known: Mapping[str, bool] = field(default_factory=dict)
    pool: str | None = None
    occupied: tuple[str, ...] = ()

    def allow(self, flow: Flow) -> bool:
        """Whether an allowed flow counts in this deployment."""
        if flow.only_if is None:
            return True
        return self.known.get(flow.only_if, flow.pair in self.declared)


def declared_flows(
    manifests: Iterable[ServiceManifest], edge: str | None, outside: str
) -> frozenset[Pair]:
    """The flows that manifests declare, those through the edge and to the outside included.

    Args:
        manifests: Of the chosen services only.
        edge: The service that public names lead to.
        outside: How the table calls what is not the deployment.
    """
    flows: set[Pair] = set()
    for manifest in manifests:
        name = manifest.role or manifest.name
        flows |= {(name, connection.to) for connection in manifest.connects}
        if manifest.ingress and edge is not None and manifest.name != edge:
            flows.add((edge, manifest.name))
        if manifest.egress:
            flows.add((name, outside))
        if manifest.publish:
            flows.add((outside, manifest.name))
    return frozenset(flows)


def name_pair(pair: Pair) -> str:
    """A pair as results show it."""
    return f"{pair[0]} -> {pair[1]}"


def parse_segmentation(data: bytes) -> SegmentationTable:
    """Read the table.

    Raises:
        StackError: it is not YAML, or not a table.
    """
    try:
        document = _with_own(yaml.load(data, Loader=_Loader))  # noqa: S506 - a safe loader
        flows = {key: [_rename(row) for row in document[key]] for key in ("allow", "deny_probes")}
        table = SegmentationTable.model_validate({**document, **flows})
        table.roles_in((*table.internal_tiers, *table.single_consumer_tiers))
    except (yaml.YAMLError, ValidationError, TypeError, KeyError) as error:
        raise table_error("segmentation.yaml", error) from error
    return table


def _with_own(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with `own_tiers` and `own_allow` in the parts that they add to."""
    merged = dict(document)
    tiers, allow = merged.pop("own_tiers", {}), merged.pop("own_allow", [])
    merged["tiers"] = {
        tier: [*roles, *tiers.get(tier, ())] for tier, roles in merged["tiers"].items()
    }
    merged["allow"] = [*merged["allow"], *allow]
    return merged


def _rename(row: Mapping[str, object]) -> dict[str, object]:
    """`from` is a reserved word."""
    names = {"from": "source", "to": "destination"}
    return {names.get(key, key): value for key, value in row.items()}
