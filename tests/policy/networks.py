"""The segmentation audit on the sound document, and changes to who is on which network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from installer.core.events import CheckResult, Outcome
from installer.core.segmentation import FlowConditions, audit_networks, parse_segmentation
from tests.policy.builders import ROOT, sound_document

TABLE = parse_segmentation((ROOT / "assets/segmentation.yaml").read_bytes())
DECLARED = frozenset(
    {
        ("coder", "socket-proxy-coder"),
        ("coder", "internet"),
        ("backup", "vault"),
        ("backup", "postgres"),
    }
)
CONDITIONS = FlowConditions(DECLARED, pool="172.30.0.0/16", occupied=("10.0.0.0/8",))

Change = Callable[[dict[str, Any]], object]


def audit(
    change: Change = lambda _: None, conditions: FlowConditions = CONDITIONS
) -> tuple[CheckResult, ...]:
    document = sound_document()
    change(document)
    return audit_networks(document, TABLE, conditions)


def failures(results: Iterable[CheckResult]) -> set[tuple[str, str | None]]:
    return {(r.id, r.where) for r in results if r.outcome is not Outcome.PASS}


def join(service: str, network: str) -> Change:
    return lambda document: document["services"][service]["networks"].update({network: {}})


def leave(service: str, network: str) -> Change:
    return lambda document: document["services"][service]["networks"].pop(network)


def subnet(network: str, *ranges: str) -> Change:
    config = [{"subnet": text} for text in ranges]
    return lambda document: document["networks"][network].update({"ipam": {"config": config}})
