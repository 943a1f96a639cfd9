"""Whether a custom seccomp profile allows no more than the engine's default one.

The comparison is by system call and condition, on the safe side: a rule with conditions of its own
is accepted only where the default has the same rule, or allows the call without any condition.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_REFUSALS = frozenset(
    f"SCMP_ACT_{name}" for name in ("ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP")
)
_CONDITIONS = ("args", "includes", "excludes")


def parse_profile(data: bytes | str) -> Mapping[str, Any] | None:
    """A seccomp profile in the engine's JSON form, or None when it is not one."""
    try:
        document = json.loads(data)
    except ValueError:
        return None
    if isinstance(document, dict) and isinstance(document.get("defaultAction"), str):
        return document
    return None


def allows_more(profile: Mapping[str, Any], default: Mapping[str, Any]) -> tuple[str, ...]:
    """System calls that `profile` lets through and `default` does not, sorted; `*` for all."""
    extra = set() if profile["defaultAction"] in _REFUSALS else {"*"}
    allowed = _rules_by_call(default)
    for call, rules in _rules_by_call(profile).items():
        known = allowed.get(call, [])
        if {} not in known and any(rule not in known for rule in rules):
            extra.add(call)
    return tuple(sorted(extra))


def _rules_by_call(profile: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """System call → the conditions under which it gets through; `{}` is without any."""
    rules: dict[str, list[dict[str, Any]]] = {}
    for entry in profile.get("syscalls") or ():
        if entry.get("action") in _REFUSALS:
            continue
        conditions = {key: entry[key] for key in _CONDITIONS if entry.get(key)}
        for call in entry.get("names") or [entry.get("name", "")]:
            rules.setdefault(call, []).append(conditions)
    return rules
