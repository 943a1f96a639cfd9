"""The checklists on the screen: open items first, statements handed over, refusals told."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from installer.core.errors import Problem, Remedy, UsageError
from installer.tui.checklist import ChecklistScreen
from installer.tui.modals import Texts
from installer.tui.results import ResultsScreen
from tests.tui.driving import LARGE, SMALL, play, see, until
from tests.tui.front import REPORT, FakeFront, FakeRun
from tests.tui.lists import STANDING


async def open_list(pilot: Pilot[int]) -> None:
    await pilot.press("enter")
    await see(pilot, ResultsScreen)
    await pilot.press("c")
    await see(pilot, ChecklistScreen)


def make_front(**more) -> FakeFront:
    ended = FakeRun("verify", looks=1)
    return FakeFront(
        under_way=None, last_report=REPORT, standing=STANDING, runs={"verify": ended}, **more
    )


def shown(pilot: Pilot[int]) -> list[str]:
    table = pilot.app.screen.query_one("#table", DataTable)
    return [str(table.get_row_at(row)[1]) for row in range(table.row_count)]


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_open_items_come_first_with_what_to_do(size) -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("tab")
        await open_list(pilot)
        assert shown(pilot) == ["CK-02", "CK-50", "CK-01"]
        detail = pilot.app.screen.query_one("#detail", Static)
        await until(pilot, lambda: "what to do: close the port" in str(detail.content))
        headline = str(pilot.app.screen.query_one("#headline", Static).content)
        assert "1 fail" in headline
        await pilot.press("q")
        await see(pilot, ResultsScreen)

    play(make_front(), script, size=size)


def test_a_statement_is_handed_over_with_name_and_note() -> None:
    front = make_front()

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("tab")
        await open_list(pilot)
        await pilot.press("down", "a")
        await see(pilot, Texts)
        await pilot.press(*"Ada", "enter", *"seen", "enter")
        await see(pilot, ChecklistScreen)
        await pilot.press("up", "w")
        await see(pilot, Texts)
        await pilot.press(*"Ben", "enter", *"soon", "enter", *"2026-12-01", "enter")
        await see(pilot, ChecklistScreen)
        await pilot.press("e")
        await until(pilot, lambda: ("export",) in front.stated)

    play(front, script)
    assert front.stated[0] == ("attest", "CK-50", "Ada", "seen")
    assert front.stated[1] == ("waive", "CK-02", "Ben", "soon", "2026-12-01")


def test_a_statement_that_is_refused_says_why() -> None:
    """CR-01: what is measured cannot be stated."""
    refused = UsageError(Problem("checklist.automatic", "it is measured", Remedy("verify")))
    front = make_front(refuses=refused)

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("tab")
        await open_list(pilot)
        await pilot.press("a")
        await see(pilot, Texts)
        await pilot.press(*"Ada", "enter", *"seen", "enter")
        await until(
            pilot,
            lambda: any("it is measured" in n.message for n in pilot.app._notifications),
        )

    play(front, script)
    assert front.stated == []
