"""The stand-in's ruler: rule files as Loki reads them from a local directory, evaluated each
interval; alerts that fire go to Alertmanager.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from loki_query import Entry, QueryError, Vector, parse_metric, seconds
from standin import Refused, say

TENANT = "fake"
RULE_KEYS = {"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"}
GROUP_KEYS = {"name", "interval", "limit", "query_offset", "rules"}


@dataclass
class Rule:
    """One alert; `since` is when each of its instances began to hold."""

    body: Mapping[str, Any]
    evaluate: Callable[[list[Entry], int], Vector]
    wait: float
    since: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)
    firing: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)


@dataclass
class Group:
    """Rules of one file that are evaluated together."""

    file: str
    body: Mapping[str, Any]
    interval: float
    rules: list[Rule]
    due: float = 0


def read_rules(folder: Path) -> list[Group]:
    """The groups of the only tenant.

    Raises:
        Refused: a file is no rule file, or an expression is none.
    """
    if not folder.is_dir():
        raise Refused(f"ruler: unable to read rule dir {folder}")
    groups = []
    for path in sorted((folder / TENANT).glob("*")):
        document = yaml.safe_load(path.read_text()) or {}
        if set(document) - {"groups", "namespace"}:
            raise Refused(f"ruler: {path}: unknown field {sorted(set(document) - {'groups'})[0]}")
        groups += [_read_group(path, body) for body in document.get("groups") or []]
    return groups


def _read_group(path: Path, body: Mapping[str, Any]) -> Group:
    if set(body) - GROUP_KEYS or not body.get("name"):
        raise Refused(f"ruler: {path}: group with fields {sorted(body)}")
    rules = []
    for rule in body.get("rules") or []:
        if set(rule) - RULE_KEYS or "expr" not in rule or "alert" not in rule:
            raise Refused(f"ruler: {path}: rule with fields {sorted(rule)}")
        try:
            made = parse_metric(rule["expr"])
            wait = seconds(str(rule.get("for", "0s")))
        except QueryError as error:
            raise Refused(f"ruler: {path}: {rule['alert']}: {error}") from error
        rules.append(Rule(rule, made, wait))
    return Group(path.name, body, seconds(str(body.get("interval", "1m"))), rules)


def rules_as_yaml(groups: list[Group]) -> bytes:
    """As Loki lists them: file → groups."""
    listed: dict[str, list[Any]] = {}
    for group in groups:
        listed.setdefault(group.file, []).append(dict(group.body))
    return yaml.safe_dump(listed, sort_keys=False).encode()


class Ruler:
    """Evaluates groups for as long as the program runs."""

    def __init__(
        self, groups: list[Group], entries: Callable[[], list[Entry]], alertmanager: str
    ) -> None:
        self.groups, self.entries, self.alertmanager = groups, entries, alertmanager
        self.failures = 0

    def run(self) -> None:
        """Never ends."""
        while True:
            now = time.time()
            for group in self.groups:
                if now >= group.due:
                    group.due = now + group.interval
                    self.evaluate(group, now)
            time.sleep(0.2)

    def evaluate(self, group: Group, now: float) -> None:
        """One round of a group."""
        sent = []
        for rule in group.rules:
            try:
                found = rule.evaluate(self.entries(), int(now * 1e9))
            except QueryError as error:
                self.failures += 1
                say(json.dumps({"level": "warn", "msg": "rule failed", "err": str(error)}))
                continue
            rule.since = {key: rule.since.get(key, now) for key in found}
            rule.firing = {k: found[k] for k, at in rule.since.items() if now - at >= rule.wait}
            sent += [_alert(rule, key, value, now) for key, value in rule.firing.items()]
        if sent and self.alertmanager:
            self.send(sent)

    def send(self, alerts: list[dict[str, Any]]) -> None:
        """Hand alerts over; Alertmanager may be away."""
        request = urllib.request.Request(
            f"{self.alertmanager.rstrip('/')}/api/v2/alerts",
            json.dumps(alerts).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except OSError as error:
            say(json.dumps({"level": "error", "msg": "notification failed", "err": str(error)}))

    def alerts(self) -> dict[str, Any]:
        """What fires, as the interface lists it."""
        return {
            "alerts": [
                {**_alert(rule, key, value, time.time()), "state": "firing"}
                for group in self.groups
                for rule in group.rules
                for key, value in rule.firing.items()
            ]
        }


def _alert(
    rule: Rule, key: tuple[tuple[str, str], ...], value: float, now: float
) -> dict[str, Any]:
    labels = {**dict(key), **(rule.body.get("labels") or {}), "alertname": rule.body["alert"]}

    def fill(text: str) -> str:
        text = re.sub(r"\{\{ *\$value *\}\}", f"{value:g}", text)
        return re.sub(r"\{\{ *\$labels\.(\w+) *\}\}", lambda m: dict(key).get(m[1], ""), text)

    return {
        "labels": labels,
        "annotations": {k: fill(str(v)) for k, v in (rule.body.get("annotations") or {}).items()},
        "startsAt": datetime.fromtimestamp(now, UTC).isoformat(),
        "value": str(value),
    }
