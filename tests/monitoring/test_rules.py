"""Alerts: Prometheus' own reader takes each rule, each fires when it has to and not otherwise, and
each metric that one names exists.

A case is in `cases/*.yaml`; an alert without a case for both is found (CK-16).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.bundles import (
    alerts_of,
    bundle_of,
    folder_rules,
    metric_names,
    render_with,
    rules_of,
)
from tests.monitoring.programs import check, program
from tests.stacks.builders import ROOT

HERE = Path(__file__).parent
REFERENCE = Path(os.environ.get("DEVPLAT_TEST_REFERENCE", ROOT.parent / "shared" / "reference"))
GUIDE = {
    "CoderHighLatency/critical",
    "CoderWorkspaceFailure/warning",
    "DatabaseConnectionsHigh/warning",
}
"""The alerts of guide 7.3, by its names."""
KEY_METRICS = (
    "CoderWorkspacesNearCapacity",
    "CoderHighLatency",
    "DatabaseConnectionsHigh",
    "NodeCpuUsageHigh",
    "NodeMemoryUsageHigh",
    "NodeDiskUsageHigh",
)
"""Of guide 7.2: each with a warning and a critical threshold."""
SUFFIX = re.compile(r"_(bucket|sum|count|total)$")

Rules = Mapping[str, Any]
Case = tuple[str, str, Mapping[str, Any]]


def every_rule() -> dict[str, Any]:
    """The rules of a full installation, and those of the backup."""
    return {**rules_of(bundle_of()[1]), **folder_rules("backup")}


def read_cases() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((HERE / "cases").glob("*.yaml")):
        for name, pair in yaml.safe_load(path.read_text()).items():
            assert name not in found, f"{name} twice"
            found[name] = pair
    return found


def find_uncovered(rules: Rules, cases: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Alerts without a case that fires or one that does not, and cases of no alert."""
    names = {name for name, _ in alerts_of(rules)}
    for name in sorted(names):
        missing = {"fires", "silent"} - set(cases.get(name, {}))
        yield from (f"{name} has no case that {kind}" for kind in sorted(missing))
    yield from (f"{name} is no alert" for name in sorted(set(cases) - names))


def unit_test(file: str, cases: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A test file of promtool: how many alerts of each kind fire at that time."""
    tests = []
    for name, pair in cases.items():
        alert, severity = name.split("/")
        for kind, case in pair.items():
            count = case.get("count", 1 if kind == "fires" else 0)
            firing = f'ALERTS{{alertname="{alert}",severity="{severity}",alertstate="firing"}}'
            expected = {
                "expr": f"count({firing}) or vector(0)",
                "eval_time": case["at"],
                "exp_samples": [{"labels": "{}", "value": count}],
            }
            series = [{"series": s, "values": values} for s, values in case["series"].items()]
            tests.append({"interval": "1m", "input_series": series, "promql_expr_test": [expected]})
    return {"rule_files": [file], "evaluation_interval": "1m", "tests": tests}


def run_cases(folder: Path, rules: Rules, cases: Mapping[str, Mapping[str, Any]]) -> str:
    """What promtool says against the cases; empty when they all hold."""
    tests = []
    for name, document in rules.items():
        own = {alert: cases[alert] for alert, _ in alerts_of({name: document}) if alert in cases}
        if own:
            (folder / name).write_text(yaml.safe_dump(document))
            tests.append(folder / f"cases-{name}")
            tests[-1].write_text(yaml.safe_dump(unit_test(name, own), sort_keys=False))
    passed, said = check(program("promtool"), "test", "rules", *tests)
    return "" if passed else said


def test_promtool_takes_every_rule_and_its_templates(tmp_path: Path) -> None:
    """CK-16."""
    for name, document in every_rule().items():
        file = tmp_path / name
        file.write_text(yaml.safe_dump(document))
        taken, said = check(
            program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", file
        )
        assert taken, said


@pytest.mark.slow
def test_every_alert_fires_when_it_has_to_and_not_otherwise(tmp_path: Path) -> None:
    """CK-16, CK-30."""
    assert run_cases(tmp_path, every_rule(), read_cases()) == ""


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    assert list(find_uncovered(every_rule(), read_cases())) == []


def test_the_guides_alerts_and_both_thresholds_of_its_key_metrics_are_there() -> None:
    """Guide 7.2 and 7.3."""
    names = {name for name, _ in alerts_of(every_rule())}
    assert names >= GUIDE
    assert names >= {f"{name}/{level}" for name in KEY_METRICS for level in ("warning", "critical")}


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for name, rule in alerts_of(every_rule()):
        assert rule["labels"]["severity"] in ("warning", "critical", "none"), name
        assert rule["annotations"]["summary"] and rule["annotations"]["description"], name


def test_the_capacity_is_the_number_of_workspaces_that_the_host_is_sized_for() -> None:
    sizing = {"profile": "medium", "users": 200, "concurrent_workspaces": 50}
    waivers = {"size.beyond_compose": "agreed for the first year"}
    _, bundle = render_with({"sizing": sizing, "waivers": waivers | WAIVERS})
    rules = dict(alerts_of(rules_of(bundle)))
    assert "/ 50 > 0.8" in rules["CoderWorkspacesNearCapacity/warning"]["expr"]


def test_rules_are_not_about_services_that_are_not_installed() -> None:
    off = {name: {"enabled": False} for name in ("redis", "drone", "minio", "ai_gateway")}
    _, bundle = render_with({**off, "vault": {"mode": "embedded"}})
    assert not {"redis.yml", "drone.yml", "minio.yml", "ai-gateway.yml", "vault.yml"} & set(
        rules_of(bundle)
    )


# Metrics that exist


def published_names() -> set[str]:
    """The metrics of the reference's lists; the test is skipped where it is not there."""
    files = sorted((REFERENCE / "metrics").glob("*.*"))
    if not files:
        pytest.skip(f"no {REFERENCE}/metrics; DEVPLAT_TEST_REFERENCE names where it is")
    names: set[str] = set()
    for path in files:
        for line in path.read_text().splitlines():
            if line.startswith("# TYPE ") or (line and not line.startswith("#")):
                word = line.split()[2] if line.startswith("#") else re.split(r"[\s{]", line)[0]
                names |= {word, SUFFIX.sub("", word)}
    return names


def further_names() -> set[str]:
    """Metrics of programs that the reference has no list of, each with where it was read."""
    known = yaml.safe_load((HERE / "names.yaml").read_text())
    return {name for names in known.values() for name in names}


def find_unknown_metrics(rules: Rules, known: set[str]) -> Iterator[str]:
    for name, rule in alerts_of(rules):
        for metric in sorted(metric_names(str(rule["expr"]))):
            if metric not in known and SUFFIX.sub("", metric) not in known:
                yield f"{name} names {metric}"


# Seeded defects: each check finds what it is there for.


def test_an_alert_without_its_cases_is_found() -> None:
    cases = read_cases()
    del cases["VaultSealed/critical"]
    del cases["RedisDown/critical"]["silent"]
    cases["Nothing/warning"] = {"fires": {}, "silent": {}}
    assert list(find_uncovered(every_rule(), cases)) == [
        "RedisDown/critical has no case that silent",
        "VaultSealed/critical has no case that fires",
        "VaultSealed/critical has no case that silent",
        "Nothing/warning is no alert",
    ]


def test_a_metric_that_nobody_has_is_found() -> None:
    """The guide's own three."""
    expressions = (
        "histogram_quantile(0.99, coder_api_request_duration_seconds_bucket) > 5",
        "increase(coder_workspace_build_failed_total[5m]) > 3",
        "sum by (instance) (pg_stat_activity_count) / pg_settings_max_connection > 0.8",
    )
    rules = [
        {"alert": f"A{n}", "labels": {"severity": "warning"}, "expr": text}
        for n, text in enumerate(expressions)
    ]
    found = find_unknown_metrics({"x.yml": {"groups": [{"rules": rules}]}}, published_names())
    assert list(found) == [
        "A0/warning names coder_api_request_duration_seconds_bucket",
        "A1/warning names coder_workspace_build_failed_total",
        "A2/warning names pg_settings_max_connection",
    ]


FAILED_COUNT = 'increase(coderd_workspace_builds_total{status="failed"}[5m]) > 3'
LATENCY = "histogram_quantile(0.99, coderd_api_request_latencies_seconds_bucket) > 5"
CONNECTIONS = "pg_stat_activity_count / pg_settings_max_connections > 0.8"
"""The guide's expressions, with the names corrected and nothing else."""
TURNED = '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])) < 0.9'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alert", "expression"),
    [
        ("CoderWorkspaceFailure/warning", FAILED_COUNT),
        ("CoderHighLatency/critical", LATENCY),
        ("DatabaseConnectionsHigh/warning", CONNECTIONS),
        ("NodeCpuUsageHigh/critical", TURNED),
        ("VaultSealed/critical", "vector(1)"),
    ],
)
def test_an_expression_that_does_not_fire_as_it_should_is_found(
    tmp_path: Path, alert: str, expression: str
) -> None:
    rules = every_rule()
    changed = dict(alerts_of(rules))[alert]
    assert isinstance(changed, dict)
    changed["expr"] = expression
    assert "FAILED" in run_cases(tmp_path, rules, {alert: read_cases()[alert]})


def test_a_rule_that_is_no_promql_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    rule = {"alert": "A", "expr": "sum by instance (up) >", "annotations": {"x": "{{ $nothing }}"}}
    file.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
    taken, said = check(program("promtool"), "check", "rules", file)
    assert not taken
    assert "could not parse expression" in said


WAIVERS = {
    "vault.plain_shares": "no custodian in these tests",
    "vault.possession_unproven": "nobody there to type a share",
}
