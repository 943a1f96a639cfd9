"""The first screen: what this session is about."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Button, Footer, Header, Static

from installer.tui.front import Watched

TEXT = """\
Installs a hardened developer platform on one host, over SSH.

You are asked about domain, certificates, secrets, the second factor and sizes. Nothing is \
contacted before the questions are answered, and nothing is changed before you type the \
deployment's name. Every answer is kept as you go; you can leave at any time."""


class WelcomeScreen(Screen[str | None]):
    """Ends with `watch`, `resume`, `new` or `verify`; None for leaving."""

    BINDINGS = [
        Binding("escape", "dismiss(None)", "Leave"),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, *, can_resume: bool, running: Watched | None, has_report: bool) -> None:
        super().__init__()
        self._can_resume = can_resume
        self._under_way = running
        self._has_report = has_report

    def compose(self) -> ComposeResult:
        yield Header(icon="", show_clock=False)
        with Vertical(id="welcome"):
            yield Static(TEXT, markup=False)
            if self._under_way:
                yield Button(f"Watch the run under way ({self._under_way.command})", id="watch")
            if self._can_resume:
                yield Button("Go on with the answers of last time", id="resume")
            yield Button("Begin", id="new")
            if self._has_report:
                yield Button("Verify the platform", id="verify")
        yield Footer()

    def on_mount(self) -> None:
        self.title, self.sub_title = "devplat-install", ""
        self.query("Button").first().focus()

    @on(Button.Pressed)
    def _chosen(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id)
