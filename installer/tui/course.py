"""Which screen follows which, once it was chosen what this session is about.

questions → review → run → results. Everything that acts is behind the `Front`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from textual.app import App

from installer.core.draft import dump
from installer.core.errors import InstallError
from installer.core.interview import Interview
from installer.tui.checklist import ChecklistScreen
from installer.tui.front import Begun, Watched
from installer.tui.modals import TAKE, Choose, Confirm
from installer.tui.results import ResultsScreen
from installer.tui.review import ReviewScreen
from installer.tui.running import RunScreen
from installer.tui.welcome import NEW, RESUME, VERIFY, WATCH
from installer.tui.wizard import WizardScreen

CHECKLIST = "checklist"
LOOK, AGAIN, BACK, SHELL, BUNDLE = "look", "again", "rollback", "shell", "bundle"
AFTER_FAILURE = {
    LOOK: "Look at the checks",
    AGAIN: "Try again",
    BACK: "Roll back",
    SHELL: "Open a shell",
    BUNDLE: "Save a support bundle",
}
Consented: TypeAlias = tuple[Interview, str | None]
"""The answers, and the release of them that somebody consented to."""


class Course:
    """One way through the screens; ends the program with the status of what was done last."""

    def __init__(self, app: App[int], begun: Begun) -> None:
        self._app = app
        self._interview = begun.interview
        self._earlier = begun.earlier
        self._front = begun.front
        self._typed: dict[str, str] = {}
        self._last: tuple[str, Interview, tuple[str, ...]] | None = None

    async def follow(self, chosen: str | None) -> None:
        """From the choice of the first screen to the end."""
        watched = self._front.watched()
        if chosen == WATCH and watched and watched.is_running:
            await self._watch(watched)
        elif chosen == VERIFY:
            await self._verify()
        elif chosen in (NEW, RESUME):
            begun = self._earlier if chosen == RESUME and self._earlier else self._interview
            await self._install(begun)
        else:
            self._app.exit()

    async def _install(self, interview: Interview) -> None:
        while True:
            answered = await self._app.push_screen_wait(WizardScreen(interview, self._front))
            if answered is None:
                self._app.exit()
                return
            interview = answered
            interview, release = await self._review(interview)
            if release:
                break
        await self._watch(self._start("apply", interview, ("--yes", "--plan", release)))

    async def _review(self, interview: Interview) -> Consented:
        """With the release that somebody consented to; without one when nobody did."""
        try:
            drawing = self._front.draw(interview)
            answers = dump(interview.validate(attended=True).answers)
            planned = self._front.start("plan", interview)
        except InstallError as error:
            self._complain(error)
            return interview, None
        looked = RunScreen(planned, "Examine and compare", self._typed)
        if await self._app.push_screen_wait(looked) != 0:
            return await self._settle(interview, looked)
        consent = await self._app.push_screen_wait(
            ReviewScreen(drawing, answers, planned.results())
        )
        return interview, drawing.release if consent else None

    async def _settle(self, interview: Interview, looked: RunScreen) -> Consented:
        """Examined once more, with answers that somebody confirmed to settle what was found."""
        settled = interview
        for found, path, text in looked.offered.values():
            if await self._app.push_screen_wait(Confirm.of(found, path, text)) == TAKE:
                settled = settled.answer(path, text)
        if settled is interview:
            return interview, None
        self._front.save(settled)
        return await self._review(settled)

    async def _verify(self) -> None:
        try:
            verifying = self._front.repeat("verify")
        except InstallError as error:
            told = "\n".join(f"{p.summary}. {p.remedy.summary}" for p in error.problems)
            self._app.exit(int(error.exit_code), message=told)
            return
        await self._watch(verifying)

    async def _ask_again(self, command: str) -> Watched | None:
        """After a failure: the same once more, if that is wanted and possible."""
        if self._last is None or self._last[0] != command:
            return None
        interview, failed = self._last[1], self._last
        answers = {k: v for k, v in AFTER_FAILURE.items() if k != BACK or command == "apply"}
        while True:
            chosen = await self._app.push_screen_wait(
                Choose(
                    "It did not succeed. Nothing is deleted by trying again; it continues.", answers
                )
            )
            if chosen == AGAIN:
                return self._start(*failed)
            if chosen == BACK:
                return self._start("rollback", interview, ("--yes",))
            if chosen == SHELL:
                self._open_shell(interview)
            elif chosen == BUNDLE:
                bundle = self._front.start("support-bundle", interview)
                await self._app.push_screen_wait(RunScreen(bundle, "Support bundle", self._typed))
            else:
                return None

    def _open_shell(self, interview: Interview) -> None:
        with self._app.suspend():
            opened = self._front.open_shell(interview)
        if not opened:
            self._app.notify("There is no ssh program on this machine.", severity="warning")

    def _start(self, command: str, interview: Interview, flags: tuple[str, ...] = ()) -> Watched:
        self._last = (command, interview, flags)
        return self._front.start(command, interview, flags)

    async def _watch(self, watched: Watched) -> None:
        status = await self._app.push_screen_wait(RunScreen(watched, watched.command, self._typed))
        if status is None:
            self._app.exit()
            return
        if status != 0 and (again := await self._ask_again(watched.command)):
            await self._watch(again)
            return
        report = self._front.report()
        wanted = await self._show_results(report) if report else None
        if wanted == VERIFY:
            await self._verify()
            return
        self._app.exit(status)

    async def _show_results(self, report: Mapping[str, Any]) -> str | None:
        while True:
            wanted = await self._app.push_screen_wait(ResultsScreen(report))
            if wanted != CHECKLIST:
                return wanted
            await self._app.push_screen_wait(ChecklistScreen(self._front))

    def _complain(self, error: InstallError) -> None:
        for problem in error.problems:
            self._app.notify(
                f"{problem.where or ''} {problem.summary}. {problem.remedy.summary}".strip(),
                severity="error",
                timeout=30,
                markup=False,
            )
