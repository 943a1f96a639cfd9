"""The program on a full screen: its first screen at once, everything else behind it.

What reads files and knows services is loaded while the first screen is read.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.app import App
from textual.binding import Binding
from textual.events import Resize

from installer.core.errors import ExitCode, InstallError
from installer.tui.front import Begun
from installer.tui.size import MINIMUM, TooSmall
from installer.tui.welcome import WelcomeScreen

if TYPE_CHECKING:
    from installer.tui.course import Course


class InstallerApp(App[int]):
    """Ends with the exit status of what was done last; None when it was left before its end.

    Attributes:
        refused: Why there was nothing to begin with; the program has ended then.
    """

    CSS_PATH = Path(__file__).with_name("installer.tcss")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (130, "-wide")]
    BINDINGS = [Binding("ctrl+q", "quit", "Leave")]

    def __init__(self, begin: Callable[[], Begun]) -> None:
        super().__init__()
        self.refused: InstallError | None = None
        self._begin = begin

    def on_mount(self) -> None:
        """Begin; what an earlier session left under way comes first."""
        if not self.is_headless:
            self._listen()
        self.converse()

    def _listen(self) -> None:
        """End in order when told to; at once when the terminal is gone.

        A handler that raises, as that of the command line does, could do so while the terminal's
        own threads hold a lock. Nothing is lost: every answer is kept, and runs go on elsewhere.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.exit, ExitCode.INTERRUPTED_TERM)
        loop.add_signal_handler(signal.SIGINT, self.exit, ExitCode.INTERRUPTED_INT)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def on_resize(self, event: Resize) -> None:
        """Say the size that is needed instead of showing half a screen (F-075)."""
        small = event.size.width < MINIMUM.width or event.size.height < MINIMUM.height
        if small and not isinstance(self.screen, TooSmall):
            self.push_screen(TooSmall())

    @work
    async def converse(self) -> None:
        """From the first question to the last check."""
        welcome = WelcomeScreen()
        chosen = self.push_screen(welcome, wait_for_dismiss=True)
        drawn = asyncio.Event()
        self.call_after_refresh(drawn.set)
        await drawn.wait()
        try:
            begun, course = await asyncio.to_thread(self._load)
        except InstallError as error:
            self.refused = error
            self.exit()
            return
        if welcome.is_attached:
            await welcome.offer(begun)
        await course.follow(await chosen)

    def _load(self) -> tuple[Begun, Course]:
        from installer.tui.course import Course  # noqa: PLC0415 - it takes longer than a frame

        begun = self._begin()
        return begun, Course(self, begun)
