"""The first screen: what this session is about."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Button, Footer, Header, Static

from installer.tui.front import Begun

NEW, RESUME, VERIFY, WATCH = "new", "resume", "verify", "watch"

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

    def compose(self) -> ComposeResult:
        yield Header(icon="", show_clock=False)
        with Vertical(id="welcome"):
            yield Static(TEXT, markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.title, self.sub_title = "devplat-install", ""

    async def offer(self, begun: Begun) -> None:
        """What there is to choose, once that is known."""
        watched = begun.front.watched()
        buttons = []
        if watched and watched.is_running:
            buttons.append(Button(f"Watch the run under way ({watched.command})", id=WATCH))
        if begun.earlier is not None:
            buttons.append(Button("Go on with the answers of last time", id=RESUME))
        buttons.append(Button("Begin", id=NEW))
        if begun.front.report() is not None:
            buttons.append(Button("Verify the platform", id=VERIFY))
        await self.query_one("#welcome").mount(*buttons)
        buttons[0].focus()

    @on(Button.Pressed)
    def _chosen(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id)
