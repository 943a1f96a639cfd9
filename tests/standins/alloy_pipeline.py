"""What a line goes through in Alloy: relabelling of its container, and the stages of `loki.process`
in their order, with the map of extracted values that they share.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alloy_syntax import Block
from standin import Refused

HOURS = {"h": 3600, "m": 60, "s": 1}


@dataclass
class Entry:
    """One line on its way; `moment` is in nanoseconds."""

    moment: int
    line: str
    labels: dict[str, str]
    extracted: dict[str, Any] = field(default_factory=dict)


def relabel(labels: Mapping[str, str], rules: list[Block]) -> dict[str, str] | None:
    """Labels after the rules, without those that begin with `__`; None when it is dropped."""
    found = dict(labels)
    for rule in rules:
        given = rule.attributes
        source = str(given.get("separator", ";")).join(
            found.get(name, "") for name in given.get("source_labels", [])
        )
        match = re.fullmatch(given.get("regex", "(.*)"), source)
        action = given.get("action", "replace")
        if action == "replace":
            if match:
                wanted = re.sub(r"\$\{?(\d)\}?", r"\\\1", given.get("replacement", "$1"))
                found[given["target_label"]] = match.expand(wanted)
        elif action in ("keep", "drop"):
            if bool(match) != (action == "keep"):
                return None
        else:
            raise Refused(f"rule: the stand-in does not know the action {action!r}")
    return {name: value for name, value in found.items() if value}


def run_stages(entry: Entry, stages: list[Block]) -> bool:
    """Change an entry as the stages say; False when it is dropped."""
    entry.extracted = dict(entry.labels)
    return all(RUN[stage.name](entry, stage.attributes) for stage in stages)


def _source(entry: Entry, given: Mapping[str, Any]) -> str | None:
    if "source" not in given:
        return entry.line
    value = entry.extracted.get(given["source"])
    return None if value is None else str(value)


def _drop(entry: Entry, given: Mapping[str, Any]) -> bool:
    conditions = []
    if "older_than" in given:
        match = re.fullmatch(r"(\d+)([hms])", given["older_than"])
        age = int(match[1]) * HOURS[match[2]] if match else 0
        conditions.append(entry.moment < (time.time() - age) * 1e9)
    if "expression" in given:
        conditions.append(bool(re.search(given["expression"], _source(entry, given) or "")))
    return not (conditions and all(conditions))


def _regex(entry: Entry, given: Mapping[str, Any]) -> bool:
    match = re.search(given["expression"], _source(entry, given) or "")
    if match:
        entry.extracted |= {k: v for k, v in match.groupdict().items() if v is not None}
    return True


def _json(entry: Entry, given: Mapping[str, Any]) -> bool:
    try:
        document = json.loads(_source(entry, given) or "")
    except ValueError:
        return not given.get("drop_malformed", False)
    if isinstance(document, dict):
        for name, expression in (given.get("expressions") or {}).items():
            entry.extracted[name] = _search(document, expression or name)
    return True


def _search(document: Any, expression: str) -> Any:
    """The part of JMESPath that is used: dotted paths, and `||` between them."""
    for path in expression.split("||"):
        value = document
        for step in path.strip().split("."):
            value = value.get(step.strip('"')) if isinstance(value, dict) else None
        if value not in (None, "", [], {}, False):
            return value
    return None


def _replace(entry: Entry, given: Mapping[str, Any]) -> bool:
    text = _source(entry, given)
    if text is None:
        return True

    def swap(match: re.Match[str]) -> str:
        made, at = "", match.start()
        for number in range(1, match.re.groups + 1):
            start, end = match.span(number)
            if start >= at:
                made += text[at:start] + given.get("replace", "")
                at = end
        return made + text[at : match.end()]

    changed = re.sub(given["expression"], swap, text)
    if "source" in given:
        entry.extracted[given["source"]] = changed
    else:
        entry.line = changed
    return True


def _labels(entry: Entry, given: Mapping[str, Any]) -> bool:
    for name, source in (given.get("values") or {}).items():
        value = entry.extracted.get(source or name)
        if value is not None:
            entry.labels[name] = str(value)
    return True


def _keep(entry: Entry, given: Mapping[str, Any]) -> bool:
    entry.labels = {k: v for k, v in entry.labels.items() if k in given["values"]}
    return True


def _remove(entry: Entry, given: Mapping[str, Any]) -> bool:
    entry.labels = {k: v for k, v in entry.labels.items() if k not in given["values"]}
    return True


def _static(entry: Entry, given: Mapping[str, Any]) -> bool:
    entry.labels |= given["values"]
    return True


def _decolorize(entry: Entry, _: Mapping[str, Any]) -> bool:
    entry.line = re.sub(r"\x1b\[[0-9;]*m", "", entry.line)
    return True


RUN = {
    "stage.drop": _drop,
    "stage.regex": _regex,
    "stage.json": _json,
    "stage.replace": _replace,
    "stage.labels": _labels,
    "stage.label_keep": _keep,
    "stage.label_drop": _remove,
    "stage.static_labels": _static,
    "stage.decolorize": _decolorize,
}
