"""The checklists: how each item stands, who stated what, and the places to state it.

What may be stated by whom is judged behind the `Front`; a refusal is shown in its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Header, Input, Static

from installer.core.checklist import ItemState, Result, Standing
from installer.core.errors import InstallError
from installer.tui.front import Front
from installer.tui.modals import Texts
from installer.tui.signs import sign

T = TypeVar("T")
_WAITING = frozenset({Result.PENDING, Result.STALE})


class ChecklistScreen(Screen[None]):
    """Every item, the open ones first; what is stated is recorded at once."""

    BINDINGS = [
        Binding("a", "attest", "Attest"),
        Binding("w", "waive", "Accept until a day"),
        Binding("e", "export", "Evidence pack"),
        Binding("slash", "filter", "Filter"),
        Binding("q,escape", "dismiss(None)", "Back"),
    ]

    def __init__(self, front: Front) -> None:
        super().__init__()
        self._front = front
        self._standing = Standing(())
        self._shown: list[ItemState] = []

    def compose(self) -> ComposeResult:
        yield Header(icon="", show_clock=False)
        yield Static("", id="headline", markup=False)
        yield Input(placeholder="show items with …", id="filter")
        with Horizontal(id="results"):
            yield DataTable(id="table", cursor_type="row")
            with VerticalScroll(id="evidence"):
                yield Static("", id="detail", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.title, self.sub_title = "devplat-install", "Checklist"
        self.query_one("#filter").display = False
        table = self.query_one("#table", DataTable)
        table.add_columns("", "item", "how", "in the guide's words")
        self._read()
        table.focus()

    def _read(self) -> None:
        self._standing = self._attempt(self._front.checklist) or Standing(())
        counts = self._standing.counts().items()
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts if count)
        self.query_one("#headline", Static).update(told or "nothing is known yet")
        self._fill(self.query_one("#filter", Input).value)

    def _fill(self, wanted: str) -> None:
        table = self.query_one("#table", DataTable)
        kept = table.cursor_row
        table.clear()
        ordered = sorted(self._standing.items, key=lambda state: state.result.is_good)
        self._shown = [
            state
            for state in ordered
            if wanted.lower() in f"{state.item.id} {state.item.text} {state.result}".lower()
        ]
        for state in self._shown:
            mark = f"{_sign(state.result)} {state.result.replace('_', ' ')}"
            table.add_row(mark, state.item.id, str(state.item.mode), state.item.text)
        table.move_cursor(row=min(kept, max(0, len(self._shown) - 1)))

    @on(DataTable.RowHighlighted)
    def _detail(self, event: DataTable.RowHighlighted) -> None:
        if event.cursor_row < len(self._shown):
            text = "\n".join(_describe(self._shown[event.cursor_row]))
            self.query_one("#detail", Static).update(text)

    @property
    def _chosen(self) -> ItemState | None:
        row = self.query_one("#table", DataTable).cursor_row
        return self._shown[row] if row < len(self._shown) else None

    @work
    async def action_attest(self) -> None:
        """Somebody states that the item is met, and how that is known."""
        if (state := self._chosen) is None:
            return
        wanted = {"by": "Your name", "note": "How it is known"}
        given = await self.app.push_screen_wait(Texts(_heading(state), wanted))
        if given is not None:
            self._attempt(lambda: self._front.attest(state.item.id, given["by"], given["note"]))
            self._read()

    @work
    async def action_waive(self) -> None:
        """Somebody accepts that the item is not met, until a day."""
        if (state := self._chosen) is None:
            return
        wanted = {"by": "Your name", "reason": "Reason", "until": "Until (YYYY-MM-DD)"}
        given = await self.app.push_screen_wait(Texts(_heading(state), wanted))
        if given is not None:
            by, reason, until = given["by"], given["reason"], given["until"]
            self._attempt(lambda: self._front.waive(state.item.id, by, reason, until))
            self._read()

    def action_export(self) -> None:
        """The evidence of the last verification, in its three forms."""
        if paths := self._attempt(self._front.export):
            self.notify("\n".join(paths), title="Written", timeout=20, markup=False)

    def _attempt(self, act: Callable[[], T]) -> T | None:
        try:
            return act()
        except InstallError as error:
            for problem in error.problems:
                text = f"{problem.summary}. {problem.remedy.summary}"
                self.notify(text, severity="error", timeout=20, markup=False)
            return None

    def action_filter(self) -> None:
        """Show only items that hold a text."""
        entry = self.query_one("#filter", Input)
        entry.display = True
        entry.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Fill the table anew."""
        self._fill(event.value)


def _sign(result: Result) -> str:
    if result is Result.PASS or result is Result.ATTESTED:
        return sign("done")
    if result in _WAITING:
        return sign("unknown")
    return sign("open") if result.is_good else sign("fail")


def _heading(state: ItemState) -> str:
    return f"{state.item.id}: {state.item.text}"


def _describe(state: ItemState) -> Iterator[str]:
    """All that is known of an item, for the pane beside the list."""
    yield _heading(state)
    yield f"{state.result.replace('_', ' ')}, {state.item.mode}"
    if state.why:
        yield state.why
    if not state.result.is_good and state.head.remedy:
        yield f"what to do: {state.head.remedy}"
    if state.checked_at:
        yield f"checked {state.checked_at:%Y-%m-%d %H:%M} UTC"
    for stated, verb in ((state.statement, "stated"), (state.waiver, "accepted")):
        if stated:
            until = f" until {stated.until}" if stated.until else ""
            yield f"{verb} by {stated.by} at {stated.made:%Y-%m-%d %H:%M} UTC{until}: {stated.note}"
