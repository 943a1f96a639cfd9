"""The questions, a step at a time: steps on the left, fields in the middle, help beside or below.

The order, the texts and the judgement are the interview's. Names are looked up while somebody
types on; nothing slow is waited for.
"""

from __future__ import annotations

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Button, Footer, Header, Label, ListItem, ListView, Static

from installer.core.errors import InstallError, Problem
from installer.core.fields import to_text
from installer.core.interview import Interview, Item
from installer.tui.fields import FieldRow, row_id
from installer.tui.front import Front
from installer.tui.modals import TAKE, Confirm
from installer.tui.signs import sign

NAMES = "domain."
"""Answers below it are names that can be looked up."""


class WizardScreen(Screen[Interview | None]):
    """Asks everything; ends with the interview, or None when it is left for later."""

    BINDINGS = [
        Binding("f2,ctrl+n", "next", "Next step"),
        Binding("f3,ctrl+b", "previous", "Step before"),
        Binding("f4", "details", "Single services"),
        Binding("f5", "look", "Look there"),
        Binding("ctrl+z", "undo", "Undo", show=False),
        Binding("escape", "leave", "Later"),
    ]

    def __init__(self, interview: Interview, front: Front, at: int = 0) -> None:
        super().__init__()
        self.interview = interview
        self._front = front
        self._earlier: list[Interview] = []
        self._at = at
        self._details = False
        self._insisted: set[str] = set()

    def compose(self) -> ComposeResult:
        yield Header(icon="", show_clock=False)
        with Horizontal(id="wizard"):
            yield ListView(id="steps")
            with Vertical(id="middle"):
                yield Static("", id="why", markup=False)
                yield VerticalScroll(id="fields", can_focus=False)
                yield Static("", id="preview", markup=False)
                yield Static("", id="hint", markup=False)
                with Horizontal(classes="buttons"):
                    yield Button("Back", id="back", compact=True)
                    yield Button("Next", id="next", variant="primary", compact=True)
            yield Static("", id="help", markup=False)
        yield Footer()

    async def on_mount(self) -> None:
        await self._show_step()

    # what is shown

    async def _show_step(self) -> None:
        steps = self.interview.steps
        step = steps[self._at]
        self.query_one("#why", Static).update(step.why)
        await self._list_steps()
        fields = self.query_one("#fields", VerticalScroll)
        await fields.remove_children()
        await fields.mount_all([self._row(item) for item in self._items()])
        if step.name in self._insisted:
            self._insist()
        self._preview(step.name, self.interview)
        fields.scroll_home(animate=False)
        if rows := self.query(FieldRow):
            rows.first().control.focus()
        self.title = "devplat-install"
        # told last: from here on what is typed goes into this step's fields
        self.sub_title = f"{step.title}, step {self._at + 1} of {len(steps)}"

    async def _list_steps(self) -> None:
        view = self.query_one("#steps", ListView)
        await view.clear()
        for index, step in enumerate(self.interview.steps):
            settled = self.interview.is_settled(step)
            state = "done" if settled and index < self._at else "wait" if settled else "open"
            mark = sign("here") if index == self._at else sign(state)
            await view.append(ListItem(Label(f"{mark} {step.title}", markup=False)))
        view.index = self._at

    def _items(self) -> list[Item]:
        items = self.interview.items(self.interview.steps[self._at])
        return [item for item in items if self._details or not item.question.is_detail]

    def _row(self, item: Item) -> FieldRow:
        """A row; the first of a section says which one it is."""
        section = item.question.path[0]
        first = next(i.path for i in self._items() if i.question.path[0] == section)
        is_first = first == item.path and len(self.interview.steps[self._at].sections) > 1
        return FieldRow(item, section.replace("_", " ") if is_first else "")

    def _refresh(self) -> None:
        for row in self.query(FieldRow):
            row.show(self.interview.item(row.item.path))

    def _insist(self) -> None:
        for row in self.query(FieldRow):
            row.insist()
        self._refresh()

    # what is typed

    def _answer(self, path: str, text: str) -> None:
        self._earlier.append(self.interview)
        self.interview = self.interview.answer(path, text)
        self._front.save(self.interview)

    async def _take(self) -> None:
        """What stands in the field where the cursor is: a key that goes elsewhere leaves it."""
        for row in self.query(FieldRow):
            if row.has_focus_within and (text := row.take()) is not None:
                self._answer(row.item.path, text)
                await self._exchange_rows()

    @on(FieldRow.Typed)
    async def _typed(self, event: FieldRow.Typed) -> None:
        before = [item.path for item in self._items()]
        self._answer(event.path, event.text)
        if [item.path for item in self._items()] != before:
            await self._exchange_rows()
        self._refresh()
        self._preview(self.interview.steps[self._at].name, self.interview)
        item = self.interview.item(event.path)
        if event.path.startswith(NAMES) and not item.refusals and item.text:
            self._look_up(event.path, item.text)

    async def _exchange_rows(self) -> None:
        """Rows of questions that an answer brings or takes away; the others stay as they are."""
        wanted = {item.path: item for item in self._items()}
        fields = self.query_one("#fields", VerticalScroll)
        for row in self.query(FieldRow):
            if row.item.path not in wanted:
                await row.remove()
        there = {row.item.path for row in self.query(FieldRow)}
        last: FieldRow | None = None
        for path, item in wanted.items():
            if path not in there:
                await fields.mount(self._row(item), after=last, before=None if last else 0)
            last = self.query_one(f"#{row_id(path)}", FieldRow)

    @work(thread=True, exclusive=False)
    def _look_up(self, path: str, name: str) -> None:
        addresses = self._front.look_up(name.replace("*", "devplat-probe", 1))
        found = f"{name} leads to {', '.join(addresses)}" if addresses else f"{name}: no such name"
        self.app.call_from_thread(self._tell, path, name, found)

    @work(thread=True, exclusive=True, group="preview")
    def _preview(self, step: str, interview: Interview) -> None:
        lines = self._front.preview(step, interview)
        self.app.call_from_thread(self._show_preview, interview, lines)

    def _show_preview(self, interview: Interview, lines: tuple[str, ...]) -> None:
        if interview is self.interview:
            self._show_lines(lines)

    def _show_lines(self, lines: tuple[str, ...]) -> None:
        preview = self.query_one("#preview", Static)
        preview.update("\n".join(lines))
        preview.display = bool(lines)

    async def action_look(self) -> None:
        """At what the answers of this step lead to; typing goes on meanwhile."""
        await self._take()
        self._look()

    @work(thread=True, exclusive=True, group="look")
    def _look(self) -> None:
        step, interview = self.interview.steps[self._at].name, self.interview
        self.app.call_from_thread(self._show_seen, step, ("looking …",))
        problems: tuple[Problem, ...] = ()
        try:
            lines = self._front.look_at(step, interview)
        except InstallError as error:
            problems = error.problems
            lines = tuple(f"{sign('fail')} {p.summary}. {p.remedy.summary}" for p in problems)
        self.app.call_from_thread(self._show_seen, step, lines)
        self.app.call_from_thread(self._offer, problems)

    def _show_seen(self, step: str, lines: tuple[str, ...]) -> None:
        if self.interview.steps[self._at].name == step:
            self._show_lines(lines or ("nothing is looked at for this step",))

    @work
    async def _offer(self, problems: tuple[Problem, ...]) -> None:
        """An answer that would settle a problem, if somebody says that it is right."""
        for problem in problems:
            if problem.remedy.answer is None:
                continue
            path, text = problem.remedy.answer
            if await self.app.push_screen_wait(Confirm.of(problem.summary, path, text)) == TAKE:
                self._answer(path, text)
                await self._show_step()
                self._look()

    def _tell(self, path: str, name: str, found: str) -> None:
        for row in self.query(FieldRow):
            if row.item.path == path and self.interview.item(path).text == name:
                row.show(self.interview.item(path), found)

    @on(FieldRow.Entered)
    def _entered(self, event: FieldRow.Entered) -> None:
        item = self.interview.item(event.path)
        question = item.question
        parts = [question.title, "", question.help]
        if question.rule.choices:
            parts += ["", f"One of: {', '.join(question.rule.choices)}."]
        if question.examples:
            parts += ["", f"Example: {to_text(question.examples[0])}"]
        if item.default:
            parts += ["", f"While it is empty: {item.default}"]
        parts += ["", f"In the answers file: {item.path}"]
        self.query_one("#help", Static).update("\n".join(parts))
        example = f" e.g. {to_text(question.examples[0])}" if question.examples else ""
        self.query_one("#hint", Static).update(f"{question.help}{example}")

    # going on

    @on(Button.Pressed, "#next")
    async def action_next(self) -> None:
        """To the next step, if nothing of this one is in the way."""
        await self._take()
        steps = self.interview.steps
        step = steps[self._at]
        if not self.interview.is_settled(step):
            self._insisted.add(step.name)
            self._insist()
            first = next((row for row in self.query(FieldRow) if not row.item.is_settled), None)
            if first is not None:
                first.control.focus()
                first.scroll_visible(animate=False)
            self.notify("Some answers still need attention.", severity="warning")
            return
        if self._at + 1 < len(steps):
            self._at += 1
        elif unsettled := [
            i for i, each in enumerate(steps) if not self.interview.is_settled(each)
        ]:
            self._at = unsettled[0]
            self._insisted.add(steps[self._at].name)
            self.notify("Answers of this step still need attention.", severity="warning")
        else:
            self.dismiss(self.interview)
            return
        await self._show_step()

    @on(Button.Pressed, "#back")
    async def action_previous(self) -> None:
        """To the step before; what was typed stays."""
        await self._take()
        if self._at:
            self._at -= 1
            await self._show_step()

    @on(ListView.Selected, "#steps")
    async def _jump(self, event: ListView.Selected) -> None:
        await self._take()
        self._at = event.index
        await self._show_step()

    async def action_details(self) -> None:
        """Also the settings of single services, or without them."""
        await self._take()
        self._details = not self._details
        await self._show_step()

    async def action_undo(self) -> None:
        """Back to how it was before the last answer."""
        if self._earlier:
            self.interview = self._earlier.pop()
            self._front.save(self.interview)
            await self._show_step()

    async def action_leave(self) -> None:
        """Leave for now; everything typed is kept."""
        await self._take()
        self.dismiss(None)
