"""The static segmentation audit of a compose model, by the table in `assets/segmentation.yaml`."""

from installer.core.segmentation.audit import audit_networks
from installer.core.segmentation.table import (
    FlowConditions,
    SegmentationTable,
    declared_flows,
    parse_segmentation,
)

__all__ = [
    "FlowConditions",
    "SegmentationTable",
    "audit_networks",
    "declared_flows",
    "parse_segmentation",
]
