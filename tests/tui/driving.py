"""Hands on the keyboard: runs the program with a script, waits for screens, types into fields."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Button, Input, ListView, Select, Static, TextArea

from installer.core import draft
from installer.core.interview import Interview, InterviewStep
from installer.tui.app import InstallerApp
from installer.tui.fields import FieldRow, row_id
from installer.tui.front import Begun
from installer.tui.wizard import WizardScreen
from tests.stacks.builders import load
from tests.tui.front import FakeFront

CATALOG = load()
SMALL, LARGE = (80, 24), (160, 48)
PATIENCE_S = 60
LONG = 20
"""Who would type more than that, pastes it."""
GIVEN = {
    "ssh.host": "10.0.0.5",
    "domain.base": "company.com",
    "tls.profile": "modern",
    "admin.email": "ops@company.com",
    "vault.mode": "embedded",
    "labels": "team: tools",
}
Play = Callable[[Pilot[int]], Awaitable[None]]


def play(front: FakeFront, script: Play, *, size=SMALL, earlier: Interview | None = None):
    """Run the program with a script in the place of hands; returns the app afterwards."""
    app = InstallerApp(lambda: Begun(Interview(draft.Draft(), CATALOG), earlier, front))

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: isinstance(app.focused, Button))
            await script(pilot)

    asyncio.run(run())
    return app


async def until(pilot: Pilot[int], holds: Callable[[], bool]) -> None:
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while not holds():
        assert asyncio.get_running_loop().time() < end, f"never on {pilot.app.screen}"
        await pilot.pause(0.02)


async def see(pilot: Pilot[int], screen: type) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, screen))
    await pilot.pause()


def row(pilot: Pilot[int], path: str) -> FieldRow:
    return pilot.app.screen.query_one(f"#{row_id(path)}", FieldRow)


def said(pilot: Pilot[int], path: str) -> str:
    return str(row(pilot, path).query_one(".said", Static).content)


async def type_into(pilot: Pilot[int], path: str, text: str) -> None:
    """Go to a field, type, and leave it."""
    control = row(pilot, path).control
    control.focus()
    await pilot.pause()
    if isinstance(control, Select):
        control.value = text
    elif isinstance(control, TextArea):
        control.insert(text)
    elif len(text) > LONG:
        assert isinstance(control, Input)
        control.value = ""
        control.post_message(Paste(text))
    else:
        assert isinstance(control, Input)
        control.value = ""
        await pilot.press(*("space" if c == " " else c for c in text))
    await pilot.press("tab")
    await pilot.pause()


async def go_to(pilot: Pilot[int], step: InterviewStep) -> None:
    """To a step by the list on the left; there once its first field waits for a hand."""
    screen = pilot.app.screen
    assert isinstance(screen, WizardScreen)
    if f"{step.title}," in screen.sub_title:
        return
    steps = screen.query_one("#steps", ListView)
    steps.index = [each.name for each in screen.interview.steps].index(step.name)
    steps.action_select_cursor()
    await until(pilot, lambda: f"{step.title}," in screen.sub_title)
    first = screen.interview.items(step)[0].path
    await until(pilot, lambda: pilot.app.focused in list(screen.query(f"#{row_id(first)} *")))
    await pilot.pause()


async def answer_everything(pilot: Pilot[int], given: dict[str, str]) -> None:
    """Through all steps by keyboard, typing where something was prepared."""
    await pilot.press("enter")
    await see(pilot, WizardScreen)
    screen = pilot.app.screen
    assert isinstance(screen, WizardScreen)
    for step in screen.interview.steps:
        for path in [path for path in given if screen.interview.form.questions[path]]:
            if path in {item.path for item in screen.interview.items(step)}:
                await type_into(pilot, path, given[path])
        await pilot.press("f2")
        await pilot.pause()
