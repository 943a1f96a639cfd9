"""The log store with the rendered configuration and rules: keeps lines, finds them again, and
raises each alert for lines that it is about, and for no others. On the stand-in, and on the real
program where DEVPLAT_TEST_LOKI_BIN names one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from loki_config import read_config
from loki_query import QueryError, parse_metric
from loki_rules import read_rules
from standin import Refused

from tests.monitoring_logs.lab import LokiLab, wait_for
from tests.monitoring_logs.samples import LOUD, QUIET
from tests.stacks.test_rendered import read_reference

LATE = ("discover_log_levels", "flush_on_shutdown", "volume_enabled", "log_format")


def rules_of(files: dict[str, bytes]) -> dict[str, Any]:
    """Alert → rule, of every file."""
    return {
        rule["alert"]: rule
        for path, data in files.items()
        if path.startswith("loki/rules/")
        for group in yaml.safe_load(data)["groups"]
        for rule in group["rules"]
    }


def test_a_line_that_is_pushed_is_found_again(loki: LokiLab) -> None:
    labels = {"service": "canary", "role": "canary", "level": "info", "deployment": "devplat"}
    status, body = loki.push(labels, ["canary one", "canary two"])
    assert status == 204, body
    found = wait_for(lambda: loki.lines('{service="canary"} |= "two"'))
    assert found == ["canary two"]
    values = json.loads(loki.ask("GET", "/loki/api/v1/label/service/values")[1])["data"]
    assert "canary" in values


def test_lines_that_are_too_old_or_have_too_many_labels_are_refused(loki: LokiLab) -> None:
    labels = {"service": "old", "role": "old", "level": "info"}
    assert loki.push(labels, ["old"], age=200 * 3600)[0] == 400
    many = {f"label_{number}": "x" for number in range(11)}
    assert loki.push(many, ["too many labels"])[0] == 400
    assert loki.lines('{service="old"}') == []


@pytest.mark.parametrize(
    "query",
    ['{service=~".*"}', '{service="x"', '{service="x"} | jsn', 'sum(count_over_time({a="b"}))'],
)
def test_queries_that_are_none_are_refused(loki: LokiLab, query: str) -> None:
    assert "parse error" in loki.query_error(query)


def test_a_line_that_is_no_json_fails_a_count_unless_it_is_left_out(loki: LokiLab) -> None:
    labels = {"service": "mixed", "role": "mixed", "level": "info"}
    assert loki.push(labels, ['{"a": "b"}', "no json"])[0] == 204
    wait_for(lambda: len(loki.lines('{service="mixed"}')) == 2)
    count = 'sum by (a) (count_over_time({service="mixed"} | json a="a" %s[10m]))'
    assert "JSONParserErr" in loki.query_error(count % "")
    assert loki.query_error(count % '| __error__="" ') == ""


@pytest.mark.slow
def test_alerts_fire_for_the_lines_they_are_about_and_for_no_others(
    loki: LokiLab, files: dict[str, bytes]
) -> None:
    """MF-10, MF-16, CK-17: guessing and removed devices alert; each alert has a case."""
    rules = rules_of(files)
    assert set(LOUD) == set(rules)
    for sample in QUIET:
        assert loki.push(sample.labels, sample.lines)[0] == 204
    for sample in QUIET:
        query = f'{{role="{sample.role}"}}'
        assert wait_for(lambda query=query: loki.lines(query)), sample.role
    evaluated = len(loki.ask("GET", "/loki/api/v1/rules")[1])
    assert evaluated
    before = [loki.firing() for _ in range(8) if not wait_for(lambda: False, 0.5)]
    assert before == [set()] * 8
    for sample in LOUD.values():
        assert loki.push(sample.labels, sample.lines)[0] == 204
    wait_for(lambda: loki.firing() >= set(rules), 60)
    assert loki.firing() == set(rules)
    wait_for(lambda: set(loki.told()) >= set(rules), 60)
    assert set(loki.told()) == set(rules)
    for name, alert in loki.told().items():
        assert alert["labels"]["severity"] == rules[name]["labels"]["severity"]
        assert "{{" not in json.dumps(alert["annotations"])
    guessed = loki.told()["SecondFactorGuessing"]
    assert guessed["labels"]["user_username"] == "ada"
    assert "ada" in guessed["annotations"]["summary"]


def test_rules_are_listed_by_their_files(loki: LokiLab) -> None:
    status, body = loki.ask("GET", "/loki/api/v1/rules")
    assert status == 200
    listed = yaml.safe_load(body)
    assert {"platform.yaml", "authentik.yaml", "vault.yaml"} <= set(listed)
    assert b"ErrorsInLogs" in body  # what the smoke test looks for


def test_every_rule_tells_how_bad_it_is_and_what_to_do(files: dict[str, bytes]) -> None:
    for name, rule in rules_of(files).items():
        assert rule["labels"]["severity"] in ("warning", "critical"), name
        assert {"summary", "description"} == set(rule["annotations"]), name
        fields = re.findall(r"\| json ", rule["expr"])
        assert len(fields) == rule["expr"].count('| __error__=""'), name
        named = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        by = set(re.findall(r"by \(([^)]*)\)", rule["expr"])[0].split(", ")) if named else set()
        assert named <= by, name


def test_the_configuration_limits_and_forgets(files: dict[str, bytes], plan: Any) -> None:
    document = yaml.safe_load(files["loki/config.yaml"])
    assert document["compactor"]["retention_enabled"] is True
    assert document["limits_config"]["retention_period"] == "720h"
    [audits] = document["limits_config"]["retention_stream"]
    assert audits["period"] == "2160h"
    assert document["limits_config"]["max_line_size_truncate"] is True
    assert document["server"]["grpc_listen_address"] == "127.0.0.1"
    assert document["analytics"] == {"reporting_enabled": False}
    # no accounts: only those who need it reach it
    others = {n for network in plan.networks_of["loki"] for n in network.split("-to-")} - {"loki"}
    assert others == {"alloy", "grafana", "prometheus", "alertmanager"}


def test_the_configuration_is_valid_by_the_published_schema(files: dict[str, bytes]) -> None:
    """The schema is older than the program, so fields that it does not know are left out."""
    import jsonschema

    rules = read_reference("schemas/loki.json")
    document = yaml.safe_load(files["loki/config.yaml"])

    def known(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: known(v) for k, v in value.items() if k not in LATE}
        return value

    def errors(given: Any) -> list[str]:
        found = jsonschema.Draft7Validator(rules).iter_errors(given)
        return [e.message for e in found if "Additional properties" not in e.message]

    assert errors(known(document)) == []
    assert errors({**document, "auth_enabled": "no"})


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("retention_enabled: true", "retention_enabld: true", "field retention_enabld not found"),
        ("  delete_request_store: filesystem\n", "", "delete-request-store"),
        ("schema: v13", "schema: v12", "v13 is required"),
        ("query_timeout: 1m", "query_timeout: soon", "duration"),
        ("replication_factor: 1", "replication_factor: one", "cannot unmarshal"),
    ],
)
def test_a_configuration_that_loki_refuses_is_refused_here(
    files: dict[str, bytes], tmp_path: Path, old: str, new: str, reason: str
) -> None:
    text = files["loki/config.yaml"].decode()
    assert old in text
    path = tmp_path / "config.yaml"
    path.write_text(text)
    read_config(path)
    path.write_text(text.replace(old, new))
    with pytest.raises(Refused, match=reason):
        read_config(path)
    program = os.environ.get("DEVPLAT_TEST_LOKI_BIN")
    if program:  # and the real one agrees
        checked = subprocess.run(
            [program, "-verify-config", f"-config.file={path}"], capture_output=True, check=False
        )
        assert checked.returncode != 0


def test_a_rule_that_loki_refuses_is_refused_here(tmp_path: Path) -> None:
    rule = {"alert": "A", "expr": 'sum(count_over_time({a="b"} [5m])) > 1'}
    folder = tmp_path / "fake"
    folder.mkdir()

    def write(**changed: Any) -> None:
        group = {"name": "g", "rules": [{**rule, **changed}]}
        (folder / "a.yaml").write_text(yaml.safe_dump({"groups": [group]}))

    write()
    assert read_rules(tmp_path)[0].rules
    for wrong in ({"expr": "sum("}, {"exprr": "x"}, {"for": "soon"}):
        write(**wrong)
        with pytest.raises(Refused, match="ruler"):
            read_rules(tmp_path)


def test_the_stand_in_counts_as_logql_does() -> None:
    now = 1_000 * 10**9
    entries = [
        (now - n * 10**9, f'{{"a": "{n % 2}", "b": {{"c": {n}}}}}', {"s": "x"}) for n in range(10)
    ]
    found = parse_metric('sum by (a) (count_over_time({s="x"} | json a="a", c="b.c" [5s]))')(
        entries, now
    )
    assert found == {(("a", "0"),): 3, (("a", "1"),): 2}
    assert parse_metric('sum(count_over_time({s="x"} [5s])) > 5')(entries, now) == {}
    with pytest.raises(QueryError, match="parse error"):
        parse_metric('quantile_over_time(0.9, {s="x"} [5s])')
