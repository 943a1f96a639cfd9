"""What a verification found: every check by group, its evidence, what people have to attest.

It opens after a deployment and whenever somebody asks; it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Header, Input, Static, TabbedContent, TabPane

from installer.tui.modals import Evidence
from installer.tui.signs import sign

_ORDER = ("fail", "unknown", "unmet", "warn", "waived", "pass")


class ResultsScreen(Screen[str | None]):
    """Ends with the name of what is wanted next: `verify`, `checklist`, or None for the end."""

    BINDINGS = [
        Binding("r", "dismiss('verify')", "Check everything again"),
        Binding("c", "dismiss('checklist')", "Checklist"),
        Binding("slash", "filter", "Filter"),
        Binding("p", "passes", "With those that pass"),
        Binding("q,escape", "dismiss(None)", "Done"),
    ]

    def __init__(self, report: Mapping[str, Any]) -> None:
        super().__init__()
        self._report = report
        self._passes = False
        self._shown: list[Mapping[str, Any]] = []

    def compose(self) -> ComposeResult:
        yield Header(icon="", show_clock=False)
        yield Static(self._headline(), id="headline", markup=False)
        yield Input(placeholder="show checks with …", id="filter")
        with TabbedContent(id="results"):
            with TabPane("Checks", id="checks"), Horizontal():
                yield DataTable(id="table", cursor_type="row")
                with VerticalScroll(id="evidence"):
                    yield Static("", id="detail", markup=False)
            with TabPane("Problems", id="problems"), VerticalScroll():
                yield Static("\n".join(self._problems()), markup=False)
            with TabPane("Notes", id="notes"), VerticalScroll():
                yield Static("\n".join(f"- {n}" for n in self._report["notes"]), markup=False)
            with TabPane("Images", id="images"), VerticalScroll():
                images = self._report["images"].items()
                yield Static("\n".join(f"{name}: {ref}" for name, ref in images), markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.title, self.sub_title = "devplat-install", "Verification"
        self.query_one("#filter").display = False
        self.query_one("#table", DataTable).add_columns("", "check", "where", "found")
        self._fill("")
        self.query_one("#table").focus()

    def _headline(self) -> str:
        facts = self._report["facts"]
        counts = dict.fromkeys(_ORDER, 0)
        for check in self._report["checks"]:
            counts[check["outcome"]] += 1
        told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        state = "signed off by every check" if self._report["exit_status"] == 0 else "not accepted"
        return (
            f"{facts['deployment']} on {facts['target']}, release {facts['release']}: {state}"
            f" ({self._report['class']})\n{told}; evidence {self._report['evidence'][:12]}"
        )

    def _problems(self) -> list[str]:
        lines = []
        for problem in self._report["problems"]:
            lines += [f"{sign('fail')} {problem['summary']}"]
            lines += [f"    what to do: {problem['remedy']['summary']}"]
        return lines or ["none"]

    def _fill(self, wanted: str) -> None:
        table = self.query_one("#table", DataTable)
        table.clear()
        checks = sorted(self._report["checks"], key=lambda c: _ORDER.index(c["outcome"]))
        self._shown = [
            check
            for check in checks
            if (self._passes or check["outcome"] != "pass")
            and wanted.lower() in f"{check['id']} {check['title']} {check['where']}".lower()
        ]
        for check in self._shown:
            mark = f"{sign(check['outcome'])} {check['outcome']}"
            table.add_row(mark, check["title"], check["where"] or "", check["found"][:60])

    @on(DataTable.RowHighlighted)
    def _detail(self, event: DataTable.RowHighlighted) -> None:
        if event.cursor_row < len(self._shown):
            text = _evidence(self._shown[event.cursor_row])
            self.query_one("#detail", Static).update(text)

    @on(DataTable.RowSelected)
    def _open(self, event: DataTable.RowSelected) -> None:
        self.app.push_screen(Evidence(_evidence(self._shown[event.cursor_row])))

    def action_filter(self) -> None:
        """Show only checks that hold a text."""
        entry = self.query_one("#filter", Input)
        entry.display = True
        entry.focus()

    def action_passes(self) -> None:
        """Also the checks that pass, or without them."""
        self._passes = not self._passes
        self._fill(self.query_one("#filter", Input).value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Fill the table anew."""
        self._fill(event.value)


def _evidence(check: Mapping[str, Any]) -> str:
    """Everything that a check says of itself."""
    lines = [f"{check['id']} {check['title']}", f"outcome: {check['outcome']}"]
    lines += [f"{key}: {check[key]}" for key in ("where", "expected", "found") if check[key]]
    if problem := check["problem"]:
        lines += ["", problem["summary"], f"what to do: {problem['remedy']['summary']}"]
        lines += [f"$ {command}" for command in problem["remedy"]["commands"]]
    return "\n".join(lines)
