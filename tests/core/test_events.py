"""Rules of the stream: bracketed steps, texts reached wherever they are."""

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest

from installer.core.errors import DeployError, ExitCode, InstallError, Mark, Problem, Remedy
from installer.core.events import (
    CheckFinished,
    CheckResult,
    Outcome,
    RunFinished,
    Stamped,
    StepFinished,
    StepOutput,
    StepProgress,
    StepStarted,
    map_text,
    span,
)
from installer.output.jsonl import format_line, schema

PROBLEM = Problem(
    "a.b",
    "hunter2 leaked",
    Remedy("look", ("cat hunter2",)),
    "hunter2",
    "x\nhunter2",
    Mark("hunter2.yaml", 1, 2),
)
EVENTS = [
    StepStarted("s", "hunter2"),
    StepProgress("s", 1, None, "hunter2"),
    StepOutput("s", "hunter2"),
    StepFinished("s", Outcome.FAIL, changed=False, problem=PROBLEM),
    CheckFinished("s", CheckResult("c", "hunter2", Outcome.FAIL, found="hunter2", problem=PROBLEM)),
    RunFinished(ExitCode.DEPLOY_FAILED, (PROBLEM,)),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_every_text_of_every_event_is_reached(event):
    changed = map_text(event, lambda text: text.replace("hunter2", "…"))
    assert "hunter2" not in repr(changed)
    assert type(changed) is type(event)


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_the_json_form_meets_the_published_schema(event):
    line = json.loads(format_line(Stamped(1, "2026-01-01T00:00:00+00:00", event)))
    jsonschema.validate(line, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**line, "extra": 1}, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**line, "type": "other"}, schema())


def failing():
    yield StepOutput("s", "line")
    raise DeployError(PROBLEM)


def test_a_failing_body_is_finished_all_the_same():
    events = []
    with pytest.raises(DeployError):
        for event in span("s", "t", failing()):
            events.append(event)
    assert [type(e) for e in events] == [StepStarted, StepOutput, StepFinished]
    assert events[-1].problem == PROBLEM


def tree(base):
    for cls in base.__subclasses__():
        yield cls
        yield from tree(cls)


def test_exit_statuses_are_the_catalogues():
    import yaml

    table = yaml.safe_load(Path("tests/acceptance/faults.yaml").read_text())["error_classes"]
    assert {c["name"]: c["exit_status"] for c in table} == {c.class_name: int(c) for c in ExitCode}


def test_every_failing_status_below_a_signal_has_one_error_class():
    by_code = [cls.exit_code for cls in tree(InstallError)]
    expected = [c for c in ExitCode if c is not ExitCode.OK and c < ExitCode.INTERRUPTED_HUP]
    assert sorted(by_code) == expected


def test_an_error_without_a_problem_cannot_be_made():
    with pytest.raises(ValueError, match="at least one problem"):
        DeployError()


def test_events_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        EVENTS[0].title = "x"
