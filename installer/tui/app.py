"""The program on a full screen: which screen follows which.

welcome → questions → review → run → results. Everything that acts is behind the `Front`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textual import work
from textual.app import App
from textual.binding import Binding
from textual.events import Resize

from installer.core.draft import dump
from installer.core.errors import InstallError
from installer.core.interview import Interview
from installer.tui.front import Front, Watched
from installer.tui.modals import Choose
from installer.tui.results import ResultsScreen
from installer.tui.review import ReviewScreen
from installer.tui.running import RunScreen
from installer.tui.size import MINIMUM, TooSmall
from installer.tui.welcome import WelcomeScreen
from installer.tui.wizard import WizardScreen

NEW, RESUME, VERIFY, WATCH = "new", "resume", "verify", "watch"
LOOK, AGAIN = "look", "again"


class InstallerApp(App[int]):
    """Ends with the exit status of what was done last; None when it was left before its end."""

    CSS_PATH = Path(__file__).with_name("installer.tcss")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (130, "-wide")]
    BINDINGS = [Binding("ctrl+q", "quit", "Leave")]

    def __init__(self, interview: Interview, earlier: Interview | None, front: Front) -> None:
        super().__init__()
        self._interview = interview
        self._earlier = earlier
        self._front = front
        self._typed: dict[str, str] = {}
        self._last: tuple[str, Interview, tuple[str, ...]] | None = None

    def on_mount(self) -> None:
        """Begin; what an earlier session left under way comes first."""
        self.converse()

    def on_resize(self, event: Resize) -> None:
        """Say the size that is needed instead of showing half a screen (F-075)."""
        small = event.size.width < MINIMUM.width or event.size.height < MINIMUM.height
        if small and not isinstance(self.screen, TooSmall):
            self.push_screen(TooSmall())

    @work
    async def converse(self) -> None:
        """From the first question to the last check."""
        chosen = await self.push_screen_wait(
            WelcomeScreen(
                can_resume=self._earlier is not None,
                running=self._under_way(),
                has_report=self._front.report() is not None,
            )
        )
        if chosen == WATCH and (watched := self._under_way()):
            await self._watch(watched)
        elif chosen == VERIFY:
            await self._verify(self._earlier or self._interview)
        elif chosen in (NEW, RESUME):
            begun = self._earlier if chosen == RESUME and self._earlier else self._interview
            await self._install(begun)
        else:
            self.exit()

    async def _install(self, interview: Interview) -> None:
        while True:
            answered = await self.push_screen_wait(WizardScreen(interview, self._front))
            if answered is None:
                self.exit()
                return
            interview = answered
            if release := await self._review(interview):
                break
        await self._watch(self._start("apply", interview, ("--yes", "--plan", release)))

    async def _review(self, interview: Interview) -> str | None:
        """The release that somebody consented to; None when nobody did."""
        try:
            drawing = self._front.draw(interview)
            answers = dump(interview.validate(attended=True).answers)
            planned = self._front.start("plan", interview)
        except InstallError as error:
            self._complain(error)
            return None
        status = await self.push_screen_wait(RunScreen(planned, "Examine and compare", self._typed))
        if status != 0:
            return None
        consent = await self.push_screen_wait(ReviewScreen(drawing, answers, planned.results()))
        return drawing.release if consent else None

    async def _verify(self, interview: Interview) -> None:
        await self._watch(self._start("verify", interview))

    async def _ask_again(self, command: str) -> Watched | None:
        """After a failure: the same once more, if that is wanted and possible."""
        if self._last is None or self._last[0] != command:
            return None
        chosen = await self.push_screen_wait(
            Choose(
                "It did not succeed. Nothing is deleted by trying again; it continues.",
                {LOOK: "Look at the checks", AGAIN: "Try again"},
            )
        )
        return self._start(*self._last) if chosen == AGAIN else None

    def _start(self, command: str, interview: Interview, flags: tuple[str, ...] = ()) -> Watched:
        self._last = (command, interview, flags)
        return self._front.start(command, interview, flags)

    async def _watch(self, watched: Watched) -> None:
        status = await self.push_screen_wait(RunScreen(watched, watched.command, self._typed))
        if status is None:
            self.exit()
            return
        if status != 0 and (again := await self._ask_again(watched.command)):
            await self._watch(again)
            return
        report = self._front.report()
        wanted = await self._show_results(report) if report else None
        if wanted == VERIFY:
            await self._verify(self._earlier or self._interview)
            return
        self.exit(status)

    async def _show_results(self, report: Mapping[str, Any]) -> str | None:
        return await self.push_screen_wait(ResultsScreen(report))

    def _under_way(self) -> Watched | None:
        watched = self._front.watched()
        return watched if watched and watched.is_running else None

    def _complain(self, error: InstallError) -> None:
        for problem in error.problems:
            self.notify(
                f"{problem.where or ''} {problem.summary}. {problem.remedy.summary}".strip(),
                severity="error",
                timeout=30,
                markup=False,
            )
