"""What the answers make, before anything is contacted or changed; consent is typed here.

The comparison with what runs is made by the command `plan`; its words are shown as they are.
"""

from __future__ import annotations

from collections.abc import Iterable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import (
    Button,
    DataTable,
    Footer,
    Header,
    Input,
    Label,
    Static,
    TabbedContent,
    TabPane,
    Tree,
)

from installer.core.events import CheckResult, Outcome
from installer.tui.front import Drawing
from installer.tui.signs import sign

FINDING = "! "
"""How `plan` begins a line about something that was found, and not about a change."""


class ReviewScreen(Screen[bool | None]):
    """Ends with True for consent, None for back to the questions."""

    BINDINGS = [Binding("escape", "dismiss(None)", "Back to the questions")]

    def __init__(self, drawing: Drawing, answers: str, difference: str) -> None:
        super().__init__()
        self._drawing = drawing
        self._answers = answers
        lines = difference.splitlines()
        self._changes = [line for line in lines if not line.startswith(FINDING)]
        self._findings = [line for line in lines if line.startswith(FINDING)]

    def compose(self) -> ComposeResult:
        yield Header(icon="", show_clock=False)
        with TabbedContent(id="review"):
            with TabPane("Changes", id="changes"), VerticalScroll():
                yield Static("\n".join(self._changes), markup=False)
            with TabPane("Answers", id="answers"), VerticalScroll():
                yield Static(self._answers, markup=False)
            with TabPane("Files", id="files"), Horizontal():
                yield self._tree()
                with VerticalScroll():
                    yield Static("", id="content", markup=False)
            with TabPane("Findings", id="findings"), VerticalScroll():
                found = [*self._findings, *_findings(self._drawing.findings)]
                yield Static("\n".join(found), markup=False)
            with TabPane("Sizes", id="sizes"), VerticalScroll():
                yield Static("\n".join(self._drawing.summary), markup=False)
                yield DataTable(id="table", cursor_type="row")
            with TabPane("Notes", id="notes"), VerticalScroll():
                yield Static("\n".join(f"- {note}" for note in self._drawing.notes), markup=False)
        with Vertical(id="consent"):
            yield Label(
                f"Type {self._drawing.deployment} to carry this out"
                f" (release {self._drawing.release}):",
                markup=False,
            )
            yield Input(id="name")
        yield Footer()

    def on_mount(self) -> None:
        self.title = "devplat-install"
        self.sub_title = "Review"
        table = self.query_one("#table", DataTable)
        table.add_columns("service", "CPUs", "memory")
        for row in self._drawing.sizes:
            table.add_row(row.service, f"{row.cpus:g}", f"{row.memory_mib} MiB")
        self.query_one("#name", Input).focus()

    def _tree(self) -> Tree[str]:
        tree: Tree[str] = Tree("bundle", id="tree")
        folders = {"": tree.root}
        for path in sorted(self._drawing.files):
            parent = ""
            for part in path.split("/")[:-1]:
                here = f"{parent}/{part}".lstrip("/")
                if here not in folders:
                    folders[here] = folders[parent].add(part)
                parent = here
            folders[parent].add_leaf(path.rpartition("/")[2], data=path)
        tree.root.expand()
        return tree

    @on(Tree.NodeSelected)
    def _open(self, event: Tree.NodeSelected[str]) -> None:
        if event.node.data:
            self.query_one("#content", Static).update(self._drawing.files[event.node.data])

    @on(Input.Submitted, "#name")
    def _consent(self, event: Input.Submitted) -> None:
        if event.value.strip() == self._drawing.deployment:
            self.dismiss(True)
        else:
            self.notify(
                f"That is not {self._drawing.deployment}; nothing was changed.", severity="warning"
            )

    @on(Button.Pressed)
    def _pressed(self) -> None:
        self.dismiss(None)


def _findings(findings: Iterable[CheckResult]) -> list[str]:
    """What is not simply as it should be, the worst first, each kind once with its places."""
    order = (Outcome.FAIL, Outcome.WARN, Outcome.UNKNOWN, Outcome.WAIVED)
    lines = []
    for outcome in order:
        kinds: dict[tuple[str, str, str], list[str]] = {}
        for each in findings:
            if each.outcome is outcome:
                kinds.setdefault((each.id, each.title, each.found), []).append(each.where or "")
        for (code, title, found), places in kinds.items():
            where = ", ".join(filter(None, places))
            lines += [f"{sign(outcome.value)} {outcome.value}: {code} {title}", f"    {found}"]
            lines += [f"    at {where}"] if where else []
    return lines or ["every check passes"]
