"""The wizard with ten checks behind it that never end: names looked up, answers digested."""

from __future__ import annotations

import hashlib
import socket
import threading

from installer.core import draft
from installer.core.interview import Interview
from installer.tui.app import InstallerApp
from installer.tui.front import Begun
from installer.tui.wizard import WizardScreen
from tests.stacks.builders import load
from tests.tui.front import FakeFront

CHECKS = 10


def check() -> None:
    """As a look at a name does: mostly waiting, a little work when an answer comes."""
    wait = threading.Event()
    while True:
        socket.getaddrinfo("localhost", 443)
        hashlib.sha256(b"answer" * 2000).hexdigest()
        wait.wait(0.005)


class Busy(InstallerApp):
    def converse(self) -> None:
        """The first step at once, with the checks under way."""
        for _ in range(CHECKS):
            threading.Thread(target=check, daemon=True).start()
        self.push_screen(WizardScreen(Interview(draft.Draft(), load()), FakeFront()))


if __name__ == "__main__":
    Busy(lambda: Begun(Interview(draft.Draft(), load()), None, FakeFront())).run()
