"""The screens of a run: consent, what it asks, stopping and watching it, and its results."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, RichLog, Static

from installer.core.events import Outcome
from installer.tui.modals import Choose, Evidence, SecretQuestion
from installer.tui.results import ResultsScreen
from installer.tui.review import ReviewScreen
from installer.tui.running import RunScreen
from installer.tui.wizard import WizardScreen
from tests.tui.driving import GIVEN, LARGE, SMALL, answer_everything, play, see, until
from tests.tui.front import CHECK, PROBLEM, REPORT, FakeFront, FakeRun, events


def test_consent_is_the_name_typed_and_nothing_starts_before() -> None:
    front = FakeFront(last_report=REPORT)

    async def script(pilot: Pilot[int]) -> None:
        await answer_everything(pilot, GIVEN)
        await see(pilot, ReviewScreen)
        assert [command for command, _ in front.started] == ["plan"]
        await pilot.press(*"other", "enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ReviewScreen)
        pilot.app.screen.query_one("#name", Input).value = ""
        await pilot.press(*"devplat", "enter")
        await see(pilot, ResultsScreen)

    # welcome offers the report's verification too, below
    play(front, script)
    assert front.started[1] == ("apply", ("--yes", "--plan", "0123456789ab"))


def test_a_plan_that_fails_leads_back_to_the_questions() -> None:
    failed = FakeRun("plan", events(status=5, problems=[PROBLEM]))
    front = FakeFront(runs={"plan": failed})

    async def script(pilot: Pilot[int]) -> None:
        await answer_everything(pilot, GIVEN)
        await see(pilot, RunScreen)
        now = pilot.app.screen.query_one("#now", Static)
        await until(pilot, lambda: "status 5" in str(now.content))
        log = pilot.app.screen.query_one("#log", RichLog)
        assert "coder never became healthy" in "".join(line.text for line in log.lines)
        assert "docker logs coder" in "".join(line.text for line in log.lines)
        await pilot.press("escape")
        await see(pilot, WizardScreen)

    play(front, script)
    assert [command for command, _ in front.started] == ["plan"]


def test_what_a_run_asks_is_put_hidden_and_answered() -> None:
    run = FakeRun(asks="Passphrase of the key: ", looks=1)
    front = FakeFront(under_way=run, last_report=REPORT)

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, SecretQuestion)
        entry = pilot.app.screen.query_one("#secret", Input)
        assert entry.password
        await pilot.press(*"hush", "enter")
        await see(pilot, ResultsScreen)

    play(front, script)
    assert run.told == ["hush"]


def test_what_was_typed_for_the_plan_is_not_asked_for_again() -> None:
    runs = {name: FakeRun(name, asks="Passphrase: ", looks=1) for name in ("plan", "apply")}
    front = FakeFront(runs=runs, last_report=REPORT)

    async def script(pilot: Pilot[int]) -> None:
        await answer_everything(pilot, GIVEN)
        await see(pilot, SecretQuestion)
        await pilot.press(*"hush", "enter")
        await see(pilot, ReviewScreen)
        await pilot.press(*"devplat", "enter")
        await see(pilot, ResultsScreen)

    play(front, script)
    assert runs["plan"].told == runs["apply"].told == ["hush"]


def test_a_stop_is_asked_for_once_and_the_safe_answer_is_first() -> None:
    """F-067."""
    run = FakeRun(looks=10**6)
    front = FakeFront(under_way=run)

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, RunScreen)
        await pilot.press("ctrl+c")
        await see(pilot, Choose)
        await pilot.press("enter")
        await see(pilot, RunScreen)
        assert not run.interrupted
        await pilot.press("ctrl+c")
        await see(pilot, Choose)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: run.interrupted)
        await pilot.press("escape")

    play(front, script)


def test_a_run_under_way_is_offered_first_and_shown_from_its_start() -> None:
    """F-068."""
    run = FakeRun(looks=10**6)

    async def script(pilot: Pilot[int]) -> None:
        assert pilot.app.focused is not None
        assert pilot.app.focused.id == "watch"
        await pilot.press("enter")
        await see(pilot, RunScreen)
        await until(pilot, lambda: "ship files" in shown(pilot))
        await pilot.press("escape")

    def shown(pilot: Pilot[int]) -> str:
        tree = pilot.app.screen.query_one("#steps-done")
        return " ".join(str(node.label) for node in tree.root.children)

    play(FakeFront(under_way=run), script)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_results_show_what_is_not_passed_first_and_its_evidence(size) -> None:
    front = FakeFront(last_report=REPORT)

    def detail(pilot: Pilot[int]) -> str:
        return str(pilot.app.screen.query_one("#detail", Static).content)

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("tab", "enter")
        await see(pilot, ResultsScreen)
        table = pilot.app.screen.query_one("#table", DataTable)
        assert table.row_count == 2
        assert "disk is not full" in str(table.get_row_at(0))
        await until(pilot, lambda: "docker logs coder" in detail(pilot))
        await pilot.press("enter")
        await see(pilot, Evidence)
        await pilot.press("escape")
        await see(pilot, ResultsScreen)
        await pilot.press("p")
        assert table.row_count == 4

    play(front, script, size=size)
    assert [command for command, _ in front.started] == ["verify"]


def test_a_report_with_every_outcome_is_shown() -> None:
    checks = [{**CHECK, "outcome": outcome.value, "id": outcome.name} for outcome in Outcome]
    front = FakeFront(last_report={**REPORT, "checks": checks})

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("tab", "enter")
        await see(pilot, ResultsScreen)
        await pilot.press("p")
        table = pilot.app.screen.query_one("#table", DataTable)
        assert table.row_count == len(Outcome)
        assert "fail" in str(table.get_row_at(0)[0])
        assert "pass" in str(table.get_row_at(table.row_count - 1)[0])

    play(front, script)


def test_a_failed_run_can_be_tried_again() -> None:
    failing = FakeRun("apply", events(status=15, problems=[PROBLEM]), looks=1)
    front = FakeFront(runs={"apply": failing}, last_report=REPORT)

    async def script(pilot: Pilot[int]) -> None:
        await answer_everything(pilot, GIVEN)
        await see(pilot, ReviewScreen)
        await pilot.press(*"devplat", "enter")
        await see(pilot, RunScreen)
        await until(pilot, lambda: "status 15" in str(now(pilot).content))
        await pilot.press("escape")
        await see(pilot, Choose)
        front.runs["apply"] = FakeRun("apply", looks=1)
        await pilot.press("tab", "enter")
        await see(pilot, ResultsScreen)

    def now(pilot: Pilot[int]) -> Static:
        return pilot.app.screen.query_one("#now", Static)

    play(front, script)
    assert [command for command, _ in front.started] == ["plan", "apply", "apply"]
    assert front.started[1] == front.started[2]
