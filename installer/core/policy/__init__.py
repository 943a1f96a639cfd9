"""The hardening audit of a bundle and of running containers, by `assets/hardening.yaml`."""

from installer.core.policy.audit import audit_compose, audit_inspect, audit_processes
from installer.core.policy.context import AuditContext
from installer.core.policy.findings import NOT_OFFERED
from installer.core.policy.table import HardeningTable, parse_hardening

__all__ = [
    "NOT_OFFERED",
    "AuditContext",
    "HardeningTable",
    "audit_compose",
    "audit_inspect",
    "audit_processes",
    "parse_hardening",
]
