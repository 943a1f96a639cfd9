"""Preflight asks the engines of workspace hosts with what the answers refer to, and stops a run."""

from __future__ import annotations

from dataclasses import replace

from installer.core.errors import ContainerRuntimeError, InstallError
from installer.core.events import CheckFinished, Event, Outcome
from installer.core.requirements import Requirements
from installer.core.secrets import Secret
from installer.core.workspace_engines import EngineAddress, EngineSight, EngineTrust
from installer.phases.preflight import preflight
from tests.preflight.builders import WORKSPACE_HOST, WORKSPACE_NEEDS, sound_sight
from tests.preflight.test_preflight import SCRIPT, needs, ports_for, sound_text


class Probe:
    """Gives one sight, and remembers what it was asked."""

    def __init__(self, sight: EngineSight) -> None:
        self.sight = sight
        self.asked: list[tuple[str, str]] = []

    def look(self, address: EngineAddress, trust: EngineTrust) -> EngineSight:
        self.asked.append((address.url, trust.key.reveal()))
        return replace(self.sight, url=address.url)


def examine(recorded: object, sight: EngineSight) -> tuple[Probe, list[Event], object]:
    probe = Probe(sight)
    _, _, ports = ports_for(lambda _: sound_text(recorded))
    given = {name: Secret(f"value of {name}") for name in WORKSPACE_NEEDS.secrets}
    ports = replace(ports, engines=probe, given=given)
    wanted: Requirements = needs(workspaces=WORKSPACE_NEEDS)
    run, events = preflight(wanted, ports, SCRIPT), []
    while True:
        try:
            events.append(next(run))
        except StopIteration as stop:
            return probe, events, stop.value
        except InstallError as error:
            return probe, events, error


def results_of(events: list[Event]) -> list[tuple[str, Outcome]]:
    told = [event.result for event in events if isinstance(event, CheckFinished)]
    return [(r.id, r.outcome) for r in told if r.id.startswith("PF-WORKSPACES")]


def test_engines_are_asked_with_the_clients_key_and_a_sound_one_is_no_news(
    recorded: object,
) -> None:
    probe, events, _ = examine(recorded, sound_sight())
    assert probe.asked == [(WORKSPACE_HOST, "value of key")]
    assert {outcome for _, outcome in results_of(events)} == {Outcome.PASS}


def test_an_engine_that_everybody_can_use_ends_the_run_before_anything_is_changed(
    recorded: object,
) -> None:
    _, events, ended = examine(recorded, sound_sight(open_to=("without TLS on port 2375",)))
    assert isinstance(ended, ContainerRuntimeError)
    assert "workspaces.open" in {problem.code for problem in ended.problems}
    assert ("PF-WORKSPACES-OPEN", Outcome.FAIL) in results_of(events)
    assert "value of" not in str(ended)
