"""The four dashboards of guide 7.4: complete, over metrics and labels that exist, with the alerts'
thresholds.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.programs import check, program
from tests.monitoring_logs.dashboards import (
    find_bad_log_queries,
    find_faults,
    find_unknown_metrics,
    metric_names,
    panels_of,
    queries,
)
from tests.stacks.builders import ROOT, make_plan_for
from tests.stacks.test_rendered import read_reference

REFERENCE = Path(os.environ.get("DEVPLAT_TEST_REFERENCE", ROOT.parent / "shared" / "reference"))
SOURCES = {"prometheus": "prometheus", "loki": "loki", "alertmanager": "alertmanager"}
NAMES = ("platform-overview", "infrastructure-health", "security", "ai-usage")
METRICS = yaml.safe_load((Path(__file__).parent / "known_metrics.yaml").read_text())
KNOWN = {name for group in METRICS.values() for name in group["names"]}
Board = dict[str, Any]

ASKED = {
    "platform-overview": ("active workspaces", "sessions", "request rate", "error rate"),
    "infrastructure-health": ("cpu", "memory", "disk", "services", "restarts", "connections"),
    "security": ("failed logins", "refused requests", "events of the identity", "secret server"),
    "ai-usage": ("requests", "tokens", "by model"),
}
"""What guide 7.4 wants to see, in the panels' words."""


@pytest.fixture
def boards(files: dict[str, bytes]) -> dict[str, Board]:
    """The dashboards by the names of their files."""
    folder = "grafana/dashboards/"
    found = {p.removeprefix(folder): data for p, data in files.items() if p.startswith(folder)}
    return {name.removesuffix(".json"): json.loads(data) for name, data in found.items()}


@pytest.fixture(params=NAMES)
def board(request: pytest.FixtureRequest, boards: dict[str, Board]) -> Board:
    """Each in turn."""
    return boards[request.param]


def test_there_are_the_guides_four_dashboards(boards: dict[str, Board]) -> None:
    """CK-15."""
    assert set(boards) == set(NAMES)
    assert len({board["uid"] for board in boards.values()}) == 4
    for name, wanted in ASKED.items():
        titles = " | ".join(panel["title"].lower() for panel in panels_of(boards[name]))
        assert [word for word in wanted if word not in titles] == [], name


def test_every_panel_is_complete(board: Board) -> None:
    assert list(find_faults(board, SOURCES)) == []


def test_every_metric_exists(board: Board) -> None:
    """CK-15, CK-16."""
    assert list(find_unknown_metrics(board, KNOWN)) == []


@pytest.mark.slow
def test_prometheus_parses_every_query(boards: dict[str, Board], tmp_path: Path) -> None:
    promtool = program("promtool")
    path = tmp_path / "rules.yml"

    def verdict(texts: list[str]) -> tuple[bool, str]:
        rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(texts)]
        path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
        return check(promtool, "check", "rules", path)

    texts = [text for b in boards.values() for _, text in queries(b, "prometheus")]
    good, said = verdict(texts)
    assert good, said
    assert f"{len(texts)} rules found" in said
    assert not verdict([*texts, "sum by (job (up)"])[0]


def test_every_log_query_is_one_and_over_labels_that_lines_have(board: Board) -> None:
    assert list(find_bad_log_queries(board)) == []


def test_known_metrics_are_in_the_published_lists() -> None:
    for group, body in METRICS.items():
        published = set()
        for name in str(body.get("list", "")).split():
            path = REFERENCE / "metrics" / name
            if not path.exists():
                pytest.skip(f"{path} is not here; DEVPLAT_TEST_REFERENCE names its directory")
            published |= set(re.findall(r"^(?:# TYPE )?(\w+)", path.read_text(), re.M))
        if published:
            missing = [n for n in body["names"] if n not in published]
            missing = [n for n in missing if f"{n}_bucket" not in published]
            assert missing == [], group


def test_every_known_metric_is_used(boards: dict[str, Board]) -> None:
    """A name that nobody uses would stay when the metric is gone."""
    used = {
        name
        for b in boards.values()
        for _, text in queries(b, "prometheus")
        for name in metric_names(text)
    }
    used |= {re.sub(r"_(bucket|sum|count)$", "", name) for name in used}
    assert sorted(KNOWN - used) == []


def test_thresholds_are_the_alerts(boards: dict[str, Board]) -> None:
    """Guide 7.2: both thresholds of each key metric."""
    wanted = {
        ("platform-overview", "Of the capacity"): [0.8, 0.95],
        ("platform-overview", "API latency"): [2, 5],
        ("infrastructure-health", "Connections"): [0.8, 0.95],
        ("infrastructure-health", "CPU"): [0.7, 0.9],
        ("infrastructure-health", "Memory"): [0.75, 0.9],
        ("infrastructure-health", "Disk"): [0.7, 0.85],
    }
    for (name, title), values in wanted.items():
        [panel, *_] = [p for p in panels_of(boards[name]) if p["title"] == title]
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert [step["value"] for step in steps] == [None, *values], title


def test_the_capacity_is_that_of_the_answers(boards: dict[str, Board], plan: Any) -> None:
    [capacity] = boards["platform-overview"]["templating"]["list"]
    assert capacity["query"] == str(plan.workspaces) == "20"


def test_without_its_service_a_dashboard_is_not_there() -> None:
    from installer.core.rendering import render
    from installer.stacks import load_templates
    from tests.stacks.builders import load

    more = {
        "monitoring": {"enabled": True},
        "backup": {"enabled": False},
        "ai_gateway": {"enabled": False},
    }
    bundle = render(make_plan_for(load(), more=more), load_templates(ROOT, load()))
    assert "grafana/dashboards/ai-usage.json" not in bundle.files
    assert "grafana/dashboards/security.json" in bundle.files


def test_dashboards_are_valid_by_the_published_schema(board: Board) -> None:
    import jsonschema

    rules = read_reference("schemas/grafana-dashboard.json")
    kind = jsonschema.validators.validator_for(rules)
    assert [e.message for e in kind(rules).iter_errors(board)] == []
    assert list(kind(rules).iter_errors({**board, "panels": "none"}))


Change = Callable[[Board], None]


def first(board: Board) -> dict[str, Any]:
    """The first panel that shows something."""
    panel: dict[str, Any] = next(p for p in board["panels"] if p["type"] != "row")
    return panel


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda b: first(b).update(datasource={"type": "loki", "uid": "x"}), "no data source"),
        (lambda b: first(b)["fieldConfig"]["defaults"].pop("unit"), "unit None"),
        (lambda b: first(b).update(targets=[]), "no target"),
        (lambda b: first(b)["targets"][0].update(expr=" "), "without an expression"),
        (lambda b: first(b).update(type="graph"), "type graph"),
        (lambda b: b["panels"][2].update(id=1), "same id"),
        (lambda b: first(b)["gridPos"].update(x=6), "lies on"),
        (lambda b: b.update(id=3), "neither id"),
        (
            lambda b: first(b)["fieldConfig"]["defaults"]["thresholds"].update(
                steps=[{"value": None}, {"value": 5}, {"value": 2}]
            ),
            "thresholds",
        ),
    ],
)
def test_a_dashboard_that_is_incomplete_is_found(
    boards: dict[str, Board], change: Change, found: str
) -> None:
    broken = deepcopy(boards["platform-overview"])
    change(broken)
    assert any(found in fault for fault in find_faults(broken, SOURCES))


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("sum(coder_workspace_count)", "coder_workspace_count"),
        ("rate(coder_api_request_duration_seconds_bucket[5m])", "coder_api_request_duration"),
        ('up{job=~"$nothing"}', "a variable"),
    ],
)
def test_a_metric_that_nobody_has_is_found(
    boards: dict[str, Board], expression: str, found: str
) -> None:
    """The guide's own names of 7.2 and 7.3."""
    broken = deepcopy(boards["platform-overview"])
    first(broken)["targets"][0]["expr"] = expression
    assert any(found in fault for fault in find_unknown_metrics(broken, KNOWN))


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('{container="coder"}', "no line has container"),
        ('{service="coder"} | jsn', "parse error"),
        ('sum(count_over_time({role="x"} | json a="b" [5m]))', "no JSON"),
    ],
)
def test_a_log_query_that_is_none_is_found(
    boards: dict[str, Board], expression: str, found: str
) -> None:
    broken = deepcopy(boards["security"])
    first(broken)["targets"][0]["expr"] = expression
    assert any(found in fault for fault in find_bad_log_queries(broken))


def test_names_are_found_in_an_expression() -> None:
    text = 'sum by (a) (rate(x_total{le="y_z"}[5m] offset 1d)) / on (b) group_left (c) d_e'
    text += " or vector(0)"
    assert metric_names(text) == {"x_total", "d_e"}
