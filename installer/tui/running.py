"""A command under way: its steps as a tree, its lines, what it waits for, what it asks.

It is shown from its event log, so that a watcher who comes back later sees the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Footer, Header, Input, RichLog, Static, Tree
from textual.widgets.tree import TreeNode

from installer.tui.front import Watched
from installer.tui.modals import Choose, SecretQuestion
from installer.tui.signs import sign

LOOK_EVERY_S = 0.25
ENDED_SILENTLY = 70
"""Status of a command that went without a word, as of any other defect."""
_WAIT, _STOP = "wait", "stop"


class RunScreen(Screen[int | None]):
    """Shows a command until it has ended; ends with its status, None when it is left running.

    `remembered` has what was typed for commands of this session, in memory alone, so that a
    passphrase is not asked for twice between plan and apply.
    """

    BINDINGS = [
        Binding("ctrl+c", "interrupt", "Stop", priority=True),
        Binding("escape", "leave", "Leave"),
        Binding("slash", "filter", "Filter the log"),
    ]

    def __init__(self, watched: Watched, title: str, remembered: dict[str, str]) -> None:
        super().__init__()
        self._watched = watched
        self._remembered = remembered
        self._given: set[str] = set()
        self._heading = title
        self._offset = 0
        self._branches: dict[str, TreeNode[None]] = {}
        self._titles: dict[str, str] = {}
        self._lines: list[str] = []
        self._asked: str | None = None
        self._told: int | None = None
        self._status: int | None = None
        self.offered: dict[str, tuple[str, str, str]] = {}
        """Problem that an answer would settle → what was found, answer path, text."""

    def compose(self) -> ComposeResult:
        yield Header(icon="", show_clock=False)
        with Horizontal(id="run"):
            tree: Tree[None] = Tree(self._heading, id="steps-done")
            tree.root.expand()
            yield tree
            with Vertical():
                yield Static("", id="now", markup=False)
                yield Input(placeholder="show lines with …", id="filter")
                yield RichLog(id="log", wrap=True, min_width=20, max_lines=5000)
        yield Footer()

    def on_mount(self) -> None:
        self.title, self.sub_title = "devplat-install", self._heading
        self.query_one("#filter").display = False
        self.set_interval(LOOK_EVERY_S, self._look)
        self._look()

    def _look(self) -> None:
        running = self._watched.is_running  # asked first: what it wrote before it ended is read
        events, self._offset = self._watched.events(self._offset)
        for event in events:
            self._show(event)
        question = self._watched.question()
        if question and question != self._asked:
            self._asked = question
            self._reply(question)
        if question is None:
            self._asked = None
        if not running and self._status is None:
            self._end()

    def _show(self, event: Mapping[str, Any]) -> None:
        shown = {
            "step_started": self._started,
            "step_progress": self._progress,
            "step_output": lambda e: self._write(e["line"]),
            "step_finished": self._finished,
            "check_finished": self._checked,
            "run_finished": self._run_finished,
        }
        shown[event["type"]](event)

    def _started(self, event: Mapping[str, Any]) -> None:
        tree = self.query_one("#steps-done", Tree)
        parent = self._branches.get(event.get("parent") or "", tree.root)
        self._titles[event["step"]] = event["title"]
        self._branches[event["step"]] = parent.add(
            Text(f"{sign('here')} {event['title']}"), expand=True
        )
        eta = event.get("eta_s")
        self._now(f"{event['title']}{f', usually {eta:.0f} s' if eta else ''}")

    def _progress(self, event: Mapping[str, Any]) -> None:
        done, total = event["done"], event["total"]
        amount = f"{100 * done // total} %" if total else ""
        left = f"about {event['eta_s']:.0f} s left" if event.get("eta_s") else ""
        title = self._titles.get(event["step"], event["step"])
        self._now(": ".join(filter(None, (title, f"{amount} {event['note']} {left}".strip()))))

    def _finished(self, event: Mapping[str, Any]) -> None:
        node = self._branches.get(event["step"])
        title = self._titles.get(event["step"], event["step"])
        changed = " (changed)" if event["changed"] else ""
        if node is not None:
            node.set_label(Text(f"{sign(event['outcome'])} {title}{changed}"))
        if problem := event.get("problem"):
            self._complain(problem)

    def _checked(self, event: Mapping[str, Any]) -> None:
        result = event["result"]
        if result["outcome"] != "pass":
            where = f" [{result['where']}]" if result["where"] else ""
            self._write(
                f"{sign(result['outcome'])} {result['outcome']}: {result['title']}{where}:"
                f" {result['found']}"
            )

    def _run_finished(self, event: Mapping[str, Any]) -> None:
        for problem in event["problems"]:
            self._complain(problem)
        self._told = int(event["exit_code"])

    def _end(self) -> None:
        """The command has gone; a failure stays to be read."""
        self._status = self._told if self._told is not None else ENDED_SILENTLY
        for line in self._watched.results().splitlines():
            self._write(line)
        if self._status == 0:
            self.dismiss(0)
            return
        status = f" (status {self._told})" if self._told is not None else ""
        self._now(f"{sign('fail')} It did not succeed{status}. Escape goes on.")

    def _complain(self, problem: Mapping[str, Any]) -> None:
        if answer := problem["remedy"].get("answer"):
            self.offered[problem["code"]] = (problem["summary"], *answer)
        self._write(f"{sign('fail')} {problem['summary']}")
        for line in (problem.get("detail") or "").splitlines():
            self._write(f"    {line}")
        self._write(f"    what to do: {problem['remedy']['summary']}")
        for command in problem["remedy"]["commands"]:
            self._write(f"    $ {command}")

    def _now(self, text: str) -> None:
        self.query_one("#now", Static).update(text)

    def _write(self, line: str) -> None:
        self._lines.append(line)
        if self.query_one("#filter", Input).value in line:
            self.query_one("#log", RichLog).write(Text(line))

    @work
    async def _reply(self, question: str) -> None:
        """With what was typed for the command before, once; else by asking."""
        known = self._remembered.get(question) if question not in self._given else None
        answer = known or await self.app.push_screen_wait(SecretQuestion(question))
        if answer is None:
            return
        self._given.add(question)
        self._remembered[question] = answer
        if not self._watched.answer(answer):
            self.notify("Nobody waits for this answer any more.", severity="warning")

    def action_filter(self) -> None:
        """Show only lines that hold a text."""
        entry = self.query_one("#filter", Input)
        entry.display = True
        entry.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Write the log anew with the lines that are wanted."""
        log = self.query_one("#log", RichLog)
        log.clear()
        for line in self._lines:
            if event.value in line:
                log.write(Text(line))

    @work
    async def action_interrupt(self) -> None:
        """Ask once what is meant; the safe answer comes first."""
        meant = await self.app.push_screen_wait(
            Choose(
                "Stop this run? What was done is recorded; the same command continues it.",
                {_WAIT: "Let it go on", _STOP: "Stop at the next safe point"},
            )
        )
        if meant == _STOP:
            self._watched.interrupt()

    def action_leave(self) -> None:
        """The run goes on, and the program shows it when started again; or it was read."""
        self.dismiss(self._status)
