"""Checks of dashboards: structure, names of metrics, labels of logs. Each check is a function from
a dashboard to what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from loki_query import QueryError, parse_log, parse_metric

STREAM_LABELS = {"deployment", "service", "role", "level"}
"""What the log collector leaves on a line."""
UNITS = {
    "short", "percentunit", "s", "reqps", "ops", "bytes", "Bps", "currencyUSD",
}  # fmt: skip
KINDS = {"row", "stat", "gauge", "bargauge", "timeseries", "table", "logs", "piechart"}
WORDS = {
    "by",
    "on",
    "or",
    "and",
    "unless",
    "without",
    "offset",
    "ignoring",
    "group_left",
    "bool",
    "d",
}
BUILT_IN = {"$__rate_interval": "5m", "$__interval": "5m", "$__range": "1h"}

Panel = Mapping[str, Any]


def panels_of(board: Mapping[str, Any]) -> list[Panel]:
    """The panels that show something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def find_faults(board: Mapping[str, Any], sources: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the form; `sources` is uid → type of the provisioned data sources."""
    if "id" in board or "__inputs" in board or not re.fullmatch(r"[a-z-]{1,40}", board["uid"]):
        yield "want a fixed uid, and neither id nor __inputs"
    if not 39 <= board["schemaVersion"] <= 42:
        yield f"schemaVersion {board['schemaVersion']}"
    ids = [panel["id"] for panel in board["panels"]]
    if len(ids) != len(set(ids)):
        yield "two panels have the same id"
    for variable in board["templating"]["list"]:
        source = variable.get("datasource")
        if source and sources.get(source["uid"]) != source["type"]:
            yield f"variable {variable['name']}: no data source {source}"
    for panel in panels_of(board):
        yield from (f"{panel['title']}: {fault}" for fault in _panel_faults(panel, sources))
    yield from _overlaps(board["panels"])


def _panel_faults(panel: Panel, sources: Mapping[str, str]) -> Iterator[str]:
    source = panel.get("datasource") or {}
    if sources.get(source.get("uid", "")) != source.get("type", "-"):
        yield f"no data source {source}"
    if panel["type"] not in KINDS:
        yield f"type {panel['type']}"
    if not panel.get("targets"):
        yield "no target"
    defaults = panel["fieldConfig"]["defaults"]
    if defaults.get("unit") not in UNITS:
        yield f"unit {defaults.get('unit')}"
    for target in panel.get("targets", []):
        if target.get("datasource") != source:
            yield "a target of another data source"
        if not target.get("expr", "").strip():
            yield "a target without an expression"
    steps = [step["value"] for step in defaults["thresholds"]["steps"]]
    if steps[0] is not None or steps[1:] != sorted(steps[1:]):
        yield f"thresholds {steps}"


def _overlaps(panels: list[Panel]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        at = panel["gridPos"]
        if at["x"] + at["w"] > 24:
            yield f"{panel['title']}: wider than the page"
        for cell in [(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])]:
            if taken.setdefault(cell, panel["title"]) != panel["title"]:
                yield f"{panel['title']} lies on {taken[cell]}"
                break


def queries(board: Mapping[str, Any], kind: str) -> Iterator[tuple[str, str]]:
    """Panel and expression of every target of a data source's type, variables filled in."""
    values = {f"${v['name']}": ".+" for v in board["templating"]["list"] if v["type"] == "query"}
    values |= {
        f"${v['name']}": v["query"] for v in board["templating"]["list"] if v["type"] == "constant"
    }
    for panel in panels_of(board):
        for target in panel["targets"]:
            if target["datasource"]["type"] == kind:
                text = target["expr"]
                for name, value in {**BUILT_IN, **values}.items():
                    text = text.replace(name, value)
                yield panel["title"], text


def metric_names(expression: str) -> set[str]:
    """Names of metrics in a PromQL expression."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text)
    text = re.sub(r"\b(by|on|without|ignoring|group_left)\s*\([^)]*\)", " ", text)
    text = re.sub(r"\boffset\s+\w+", " ", text)
    found = re.findall(r"(?<![\w.])[a-zA-Z_:][\w:]*(?!\w*\s*\()", text)
    return {name for name in found if name not in WORDS}


def base_name(name: str) -> str:
    """Of a histogram's series, its name."""
    return re.sub(r"_(bucket|sum|count)$", "", name)


def find_unknown_metrics(board: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    """Metrics that nobody has."""
    for title, text in queries(board, "prometheus"):
        for name in sorted(metric_names(text)):
            if name not in known and base_name(name) not in known:
                yield f"{title}: {name}"
        if "$" in text:
            yield f"{title}: a variable that the dashboard does not have in {text}"


def find_bad_log_queries(board: Mapping[str, Any]) -> Iterator[str]:
    """Log queries that cannot be parsed, or over labels that no line has."""
    for title, text in queries(board, "loki"):
        try:
            parse_log(text) if text.startswith("{") else parse_metric(text)
        except QueryError as error:
            yield f"{title}: {error}"
        for selector in re.findall(r"\{([^}]*)\}", re.sub(r"`[^`]*`", "", text)):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            yield from (f"{title}: no line has {name}" for name in sorted(labels - STREAM_LABELS))
        if len(re.findall(r"\| json ", text)) != text.count('| __error__=""'):
            yield f"{title}: a line that is no JSON would fail the query"
