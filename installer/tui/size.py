"""A terminal that is too small says so and waits; what was typed stays (F-075)."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.events import Resize
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.widgets import Static

MINIMUM = Size(60, 20)


class TooSmall(ModalScreen[None]):
    """Goes away by itself when the terminal is large enough."""

    def __init__(self) -> None:
        super().__init__()
        self._went = False

    def compose(self) -> ComposeResult:
        yield Static(
            f"This needs {MINIMUM.width} columns and {MINIMUM.height} lines. Make the window"
            " larger; everything typed is kept.",
            markup=False,
        )

    def on_resize(self, event: Resize) -> None:
        """Look whether it is large enough by now."""
        enough = event.size.width >= MINIMUM.width and event.size.height >= MINIMUM.height
        if enough and not self._went:  # a resize may be told more than once
            self._went = True
            self.dismiss(None)
