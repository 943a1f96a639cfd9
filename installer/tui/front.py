"""What the screens may ask for: the one door between them and everything that acts.

Whoever makes the app gives it a `Front`; screens reach no phase, no adapter and no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # the first screen is drawn before these are loaded
    from installer.core.checklist import Standing
    from installer.core.events import CheckResult
    from installer.core.interview import Interview


@dataclass(frozen=True, slots=True)
class SizeRow:
    """One line of the sizing table; CPUs in cores, memory in MiB."""

    service: str
    cpus: float
    memory_mib: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """What the answers make, with nothing contacted.

    Attributes:
        files: Path in the bundle → text.
        findings: Of the audits of the bundle, and the waivers.
        sizes: Limits of each service, in start order.
        summary: Sizing and monthly cost, a line each.
        notes: What the operator must know of the services.
    """

    deployment: str
    release: str
    files: Mapping[str, str]
    findings: tuple[CheckResult, ...]
    sizes: tuple[SizeRow, ...]
    summary: tuple[str, ...]
    notes: tuple[str, ...]


class Watched(Protocol):
    """A command under way, or one that has ended."""

    @property
    def command(self) -> str: ...
    @property
    def is_running(self) -> bool: ...
    def events(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Events from an offset on, in their JSON form, and the next offset."""
        ...

    def results(self) -> str:
        """What it printed for people."""
        ...

    def question(self) -> str | None:
        """What it waits to be told."""
        ...

    def answer(self, text: str) -> bool:
        """Tell it; whether it took the answer."""
        ...

    def interrupt(self) -> None:
        """Ask it to end at a safe point."""
        ...


class Front(Protocol):
    """Everything a screen can cause."""

    def save(self, interview: Interview) -> None:
        """Keep what was typed. Raises `InstallError`."""
        ...

    def draw(self, interview: Interview) -> Drawing:
        """What the answers make. Raises `InstallError` with everything that is in the way."""
        ...

    def preview(self, step: str, interview: Interview) -> tuple[str, ...]:
        """Lines that show what a step's answers come to; none while they do not stand."""
        ...

    def look_at(self, step: str, interview: Interview) -> tuple[str, ...]:
        """What is there that a step's answers lead to; nothing for most steps. May take a minute.

        Raises:
            InstallError: it cannot be reached, or who it is has to be confirmed first.
        """
        ...

    def look_up(self, name: str) -> tuple[str, ...]:
        """Addresses of a name, as this machine sees it; may take seconds."""
        ...

    def start(self, command: str, interview: Interview, flags: Sequence[str] = ()) -> Watched:
        """Start a command with these answers. Raises `InstallError`."""
        ...

    def repeat(self, command: str) -> Watched:
        """Start a command with the answers of the run whose report is the latest.

        Raises:
            InstallError: there is none, or it cannot be started.
        """
        ...

    def open_shell(self, interview: Interview) -> bool:
        """A shell on the target in this terminal, to its end; False where there is no program."""
        ...

    def checklist(self) -> Standing:
        """How every item of the checklists stands. Raises `InstallError`."""
        ...

    def attest(self, id: str, by: str, note: str) -> None:
        """Record that a person states an item to be met. Raises `InstallError`."""
        ...

    def waive(self, id: str, by: str, reason: str, until: str) -> None:
        """Record that a person accepts an item as it is, until a day. Raises `InstallError`."""
        ...

    def export(self) -> tuple[str, ...]:
        """Write the evidence of the last verification; the paths. Raises `InstallError`."""
        ...

    def watched(self) -> Watched | None:
        """The command that was started last, also by an earlier session."""
        ...

    def report(self) -> Mapping[str, Any] | None:
        """The report of the run that ended last."""
        ...


@dataclass(frozen=True, slots=True)
class Begun:
    """What a session begins with.

    Attributes:
        interview: The answers of file, environment and flags.
        earlier: Those of a conversation that was not finished.
    """

    interview: Interview
    earlier: Interview | None
    front: Front
