"""Each screen as it looks, at both sizes: texts to compare, and pictures for the README.

`python -m tests.tui.screens` writes the texts anew; with a directory it writes pictures there.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen

from installer.core import draft
from installer.core.interview import STEPS, Interview
from installer.tui.app import InstallerApp
from installer.tui.checklist import ChecklistScreen
from installer.tui.front import Begun
from installer.tui.results import ResultsScreen
from installer.tui.review import ReviewScreen
from installer.tui.running import RunScreen
from installer.tui.welcome import WelcomeScreen
from installer.tui.wizard import WizardScreen
from tests.stacks.builders import load
from tests.tui.front import REPORT, FakeFront, FakeRun
from tests.tui.lists import STANDING


class Welcome(WelcomeScreen):
    """Somebody was here before."""

    async def on_mount(self) -> None:
        await self.offer(Begun(interview(), interview(), FakeFront(last_report=REPORT)))


EXPECTED = Path(__file__).parent / "expected"
SIZES = ((80, 24), (160, 48))
GIVEN = {
    "ssh.host": "10.0.0.5",
    "domain.base": "company.com",
    "admin.email": "ops@company.com",
    "vault.mode": "embedded",
}


def interview() -> Interview:
    """As somebody has answered it halfway."""
    made = Interview(draft.Draft(), load())
    for path, text in GIVEN.items():
        made = made.answer(path, text)
    return made


def screens() -> dict[str, Callable[[], Screen[Any]]]:
    """Name → maker."""
    front = FakeFront(runs={})
    made: dict[str, Callable[[], Screen[Any]]] = {"welcome": Welcome}
    for index, step in enumerate(STEPS):
        made[step.name] = lambda index=index: WizardScreen(interview(), front, index)
    made["review"] = lambda: ReviewScreen(
        front.draw(interview()),
        draft.dump(interview().validate(attended=True).answers),
        "+ service coder is added\n+ file    compose.yaml\nplan    0123456789ab",
    )
    made["run"] = lambda: RunScreen(FakeRun(looks=10**6), "apply", {})
    made["results"] = lambda: ResultsScreen(REPORT)
    made["checklist"] = lambda: ChecklistScreen(FakeFront(standing=STANDING))
    return made


def look_at(make: Callable[[], Screen[Any]], size: tuple[int, int]) -> tuple[str, str]:
    """The screen as lines of text, and as a picture in SVG."""

    class Shown(InstallerApp):
        def converse(self) -> None:
            self.push_screen(make())

    app = Shown(lambda: Begun(interview(), None, FakeFront()))
    seen: list[str] = []

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await settle(pilot)
            width, height = size
            lines = app.screen._compositor.render_strips()
            seen.append("\n".join(s.text[:width].rstrip() for s in lines[:height]))
            seen.append(app.export_screenshot(title="devplat-install"))

    asyncio.run(run())
    return seen[0], seen[1]


async def settle(pilot: Pilot[int]) -> None:
    """Until nothing moves any more."""
    for _ in range(4):
        await pilot.pause(0.15)


def name_of(screen: str, size: tuple[int, int]) -> str:
    """Of its file, without the ending."""
    return f"{screen}-{size[0]}x{size[1]}"


def main(argv: list[str]) -> None:
    """Write texts, or pictures into a directory."""
    for screen, make in screens().items():
        for size in SIZES:
            text, picture = look_at(make, size)
            name = name_of(screen, size)
            if argv:
                Path(argv[0], f"{name}.svg").write_text(picture)
            else:
                EXPECTED.mkdir(exist_ok=True)
                (EXPECTED / f"{name}.txt").write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
