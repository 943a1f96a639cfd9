"""The runner of steps: what is journaled, what is undone, what is believed."""

import pytest

from installer.core.errors import DeployError, Problem, Remedy
from installer.core.events import Outcome, StepFinished, StepStarted
from installer.phases.steps import Step, no_effect, run_steps


class Journal:
    def __init__(self):
        self.lines = []

    def begin(self, step):
        self.lines.append(f"begin {step}")

    def end(self, step):
        self.lines.append(f"end {step}")

    def undone(self, step):
        self.lines.append(f"undone {step}")


class World:
    """A host of flags: a step sets its own."""

    def __init__(self, *there):
        self.there = set(there)

    def step(self, name, *, fails=False, lies=False, undoable=True):
        def do():
            if fails:
                raise DeployError(Problem("x", "broken", Remedy("mend it")))
            if not lies:
                self.there.add(name)
            return no_effect()

        def undo():
            self.there.discard(name)
            return no_effect()

        def seen():
            return name in self.there

        return Step(name, name, seen, do, seen, undo if undoable else None)


def run(steps, journal):
    events = []
    generator = run_steps(steps, journal)
    try:
        while True:
            events.append(next(generator))
    except StopIteration as stop:
        return events, stop.value, None
    except DeployError as error:
        return events, None, error


def test_a_step_that_is_already_true_is_neither_done_nor_journaled():
    world, journal = World("a"), Journal()
    events, changed, _ = run([world.step("a")], journal)
    assert changed == ()
    assert journal.lines == []
    assert [e.changed for e in events if isinstance(e, StepFinished)] == [False]


def test_a_change_is_journaled_before_and_after():
    journal = Journal()
    _, changed, _ = run([World().step("a")], journal)
    assert changed == ("a",)
    assert journal.lines == ["begin a", "end a"]


def test_a_failure_undoes_what_this_run_changed_in_reverse_and_nothing_else():
    world, journal = World("old"), Journal()
    steps = [world.step("old"), world.step("a"), world.step("b"), world.step("c", fails=True)]
    events, _, error = run(steps, journal)
    assert error.problems[0].summary == "broken"
    assert world.there == {"old"}
    assert [line for line in journal.lines if line.startswith("undone")] == [
        "undone c",
        "undone b",
        "undone a",
    ]
    started = [e.step for e in events if isinstance(e, StepStarted)]
    finished = [e.step for e in events if isinstance(e, StepFinished)]
    assert sorted(started) == sorted(finished)


def test_what_must_be_kept_is_not_undone():
    world = World()
    run([world.step("data", undoable=False), world.step("x", fails=True)], Journal())
    assert world.there == {"data"}


def test_a_change_that_is_not_observed_is_a_failure_although_nothing_complained():
    events, _, error = run([World().step("a", lies=True)], Journal())
    assert error.problems[0].code == "deploy.not_observed"
    assert events[-2].step == "a.undo" or events[-1].outcome in (Outcome.FAIL, Outcome.PASS)


def test_a_failing_undo_does_not_stop_the_others():
    world = World()
    broken = world.step("b")

    def refuse():
        raise DeployError(Problem("x", "cannot", Remedy("?")))

    broken = Step("b", "b", broken.check, broken.do, broken.verify, refuse)
    run([world.step("a"), broken, world.step("c", fails=True)], Journal())
    assert world.there == {"b"}


@pytest.mark.parametrize("cut", range(1, 4))
def test_a_rerun_after_any_step_ends_like_an_undisturbed_run(cut):
    world = World()
    names = ["a", "b", "c", "d"]
    run([world.step(n) for n in names[:cut]], Journal())
    _, changed, _ = run([world.step(n) for n in names], Journal())
    assert world.there == set(names)
    assert changed == tuple(names[cut:])
