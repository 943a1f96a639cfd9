"""The screens: what is typed arrives, what the core says is shown, and nothing else is decided."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from installer.core import draft
from installer.core.interview import Interview
from installer.plain import Dialogue
from installer.tui.fields import FieldRow, row_id
from installer.tui.review import ReviewScreen
from installer.tui.size import TooSmall
from installer.tui.wizard import WizardScreen
from tests.tui.driving import (
    CATALOG,
    GIVEN,
    LARGE,
    SMALL,
    answer_everything,
    play,
    row,
    said,
    see,
    type_into,
    until,
)
from tests.tui.front import FakeFront


def lines_for(interview: Interview) -> str:
    return draft.dump(interview.validate(attended=True).answers)


def test_screens_lines_and_a_file_make_the_same_answers() -> None:
    """Byte for byte, from the same answers typed."""
    front = FakeFront()

    async def script(pilot: Pilot[int]) -> None:
        await answer_everything(pilot, GIVEN)
        await see(pilot, ReviewScreen)

    play(front, script)
    by_screen = lines_for(front.saved[-1])

    asked: list[str] = []

    def ask(prompt: str) -> str:
        number = prompt.partition(" ")[0]
        assert number
        path = dialogue.at
        asked.append(path)
        return GIVEN.get(path, "") if asked.count(path) == 1 else ""

    dialogue = Told(Interview(draft.Draft(), CATALOG), ask=ask)
    by_lines = lines_for(dialogue.hold())
    flags = [f"{path}={text}" for path, text in GIVEN.items() if path != "labels"]
    by_file = draft.validate(
        draft.from_flags([*flags, "labels.team=tools"]), CATALOG, attended=True
    )
    assert by_screen == by_lines == draft.dump(by_file.answers)


class Told(Dialogue):
    """Knows which question is being asked."""

    at = ""

    def __init__(self, interview, ask) -> None:
        super().__init__(interview, ask=ask, tell=lambda _: None, keep=lambda _: None)

    def _ask_one(self, place) -> int:
        self.at = place.path
        return super()._ask_one(place)

    def _offer_details(self, index: int) -> None:
        self.at = ""


def test_a_refused_answer_is_told_at_its_field_and_holds_the_step() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        await type_into(pilot, "ssh.host", "-o")
        assert row(pilot, "ssh.host").has_class("refused")
        assert "ssh" in said(pilot, "ssh.host") or "host" in said(pilot, "ssh.host")
        await pilot.press("f2")
        await pilot.pause()
        assert "Target" in pilot.app.screen.sub_title
        await type_into(pilot, "ssh.host", "10.0.0.5")
        assert not row(pilot, "ssh.host").has_class("refused")
        await pilot.press("f2")
        await pilot.pause()
        assert "Domain" in pilot.app.screen.sub_title

    play(FakeFront(), script)


@pytest.mark.parametrize("key", ["f2", "f3", "f4", "escape"])
def test_what_stands_in_a_field_counts_when_a_key_leads_away_from_it(key) -> None:
    front = FakeFront()

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        row(pilot, "ssh.host").control.focus()
        await pilot.pause()
        await pilot.press(*"10.0.0.5", key)
        await until(pilot, lambda: bool(front.saved))
        if key == "f2":
            await until(pilot, lambda: "step 2 of" in pilot.app.screen.sub_title)

    play(front, script)
    assert front.saved[-1].item("ssh.host").text == "10.0.0.5"


def test_a_missing_answer_is_told_only_after_the_step_was_to_be_left() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        assert said(pilot, "ssh.host") == ""
        await pilot.press("f2")
        await pilot.pause()
        assert "required" in said(pilot, "ssh.host")
        assert pilot.app.focused is row(pilot, "ssh.host").control

    play(FakeFront(), script)


def test_a_mode_brings_its_fields_and_going_back_keeps_what_was_typed() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        for path, text in (("ssh.host", "10.0.0.5"), ("domain.base", "company.com")):
            await type_into(pilot, path, text)
            await pilot.press("f2")
            await pilot.pause()
        assert not pilot.app.screen.query(f"#{row_id('tls.certificate_file')}")
        await type_into(pilot, "tls.mode", "files")
        await until(
            pilot, lambda: bool(pilot.app.screen.query(f"#{row_id('tls.certificate_file')}"))
        )
        await type_into(pilot, "tls.certificate_file", "certs/a.pem")
        await pilot.press("f3")
        await pilot.pause()
        control = row(pilot, "domain.base").control
        assert isinstance(control, Input)
        assert control.value == "company.com"
        await pilot.press("ctrl+z")
        await pilot.pause()
        assert pilot.app.screen.interview.item("tls.certificate_file").text == ""

    play(FakeFront(), script)


def test_every_answer_is_kept_when_its_field_is_left() -> None:
    front = FakeFront()

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        await type_into(pilot, "ssh.host", "10.0.0.5")
        assert front.saved[-1].item("ssh.host").text == "10.0.0.5"

    play(front, script)


def test_a_name_is_looked_up_behind_the_typing() -> None:
    front = FakeFront(names={"company.com": ("192.0.2.10",)})

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        await type_into(pilot, "ssh.host", "10.0.0.5")
        await pilot.press("f2")
        await pilot.pause()
        await type_into(pilot, "domain.base", "company.com")
        await until(pilot, lambda: "192.0.2.10" in said(pilot, "domain.base"))

    play(front, script)
    assert "company.com" in front.looked_up


def test_a_terminal_that_is_too_small_says_so_and_keeps_what_was_typed() -> None:
    """F-075, F-076."""
    front = FakeFront()

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        await type_into(pilot, "ssh.host", "10.0.0.5")
        await pilot.resize_terminal(40, 10)
        await see(pilot, TooSmall)
        await pilot.resize_terminal(200, 60)
        await see(pilot, WizardScreen)
        control = row(pilot, "ssh.host").control
        assert isinstance(control, Input)
        assert control.value == "10.0.0.5"

    play(front, script)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_focused_field_is_on_the_screen_through_the_whole_step(size) -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        for _ in range(len(pilot.app.screen.query(FieldRow))):
            await pilot.pause()
            focused = pilot.app.focused
            assert focused is not None
            assert pilot.app.screen.region.contains_region(focused.region), focused
            await pilot.press("tab")

    play(FakeFront(), script, size=size)


def test_sizes_are_shown_while_they_are_chosen() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter")
        await see(pilot, WizardScreen)
        screen = pilot.app.screen
        preview = screen.query_one("#preview", Static)
        assert not preview.display
        names = [step.name for step in screen.interview.steps]
        screen.query_one("#steps").index = names.index("sizing")
        screen.query_one("#steps").action_select_cursor()
        await until(pilot, lambda: preview.display)
        assert "14 CPUs" in str(preview.content)

    play(FakeFront(), script)
