"""The language of the probe script (`assets/probe.sh`): its parameters, and its output as sections.

Lines of a probe's output carry a prefix, so that banners, aliases' noise and hostile file contents
can neither be taken for a section nor end one. Nothing here knows what a section means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from installer.core.errors import PreflightError, Problem, Remedy

PROTOCOL = "1"
_LINE = re.compile(r"@devplat (begin|section|end)(?: (\S*) ?(\S*) ?(.*))?")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s\"]*@")
_TIMED_OUT = frozenset({"late", "124", "137", "143"})


@dataclass(frozen=True, slots=True)
class Section:
    """What one probe printed. `status` is None when it did not end within its time limit."""

    name: str
    argument: str = ""
    status: int | None = 0
    lines: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The output as one text."""
        return "\n".join(self.lines)

    @property
    def complaint(self) -> str:
        """The first line of what it said on standard error, without credentials in URLs."""
        return _CREDENTIALS.sub("", next((c.strip() for c in self.complaints if c.strip()), ""))

    def words(self) -> dict[str, str]:
        """Lines of the form `key value`; the last one wins."""
        pairs = (line.partition(" ") for line in self.lines if line.strip())
        return {key: value.strip() for key, _, value in pairs}

    def all(self, key: str) -> tuple[str, ...]:
        """The values of every line that starts with `key` and a space."""
        return tuple(
            line[len(key) + 1 :].strip() for line in self.lines if line.startswith(f"{key} ")
        )


@dataclass(frozen=True, slots=True)
class ProbeOutput:
    """All sections by (name, argument), and the host's clock at both ends as printed."""

    sections: dict[tuple[str, str], Section] = field(default_factory=dict)
    clock: tuple[str, str] = ("", "")

    def get(self, name: str, argument: str = "") -> Section:
        """A section; an empty one with status None when the probe was not made."""
        return self.sections.get((name, argument), Section(name, argument, None))

    def named(self, name: str) -> tuple[Section, ...]:
        """Every section of that name, one per argument."""
        return tuple(s for (n, _), s in self.sections.items() if n == name)

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The probes that did not end in time."""
        return tuple(
            f"{s.name} {s.argument}".strip() for s in self.sections.values() if s.status is None
        )


def format_parameters(parameters: Iterable[tuple[str, str]]) -> bytes:
    """Standard input of the probe script.

    Raises:
        ValueError: a value spans lines, or one of a list (all but directories) holds a space.
    """
    lines = []
    for key, value in parameters:
        if not value.isprintable() or (" " in value and key not in ("install", "data")):
            raise ValueError(f"not a parameter of the probe: {key} {value!r}")
        lines.append(f"{key} {value}\n")
    return "".join([*lines, "end\n"]).encode()


def read_output(text: str, host: str) -> ProbeOutput:
    """Split the script's output into sections; lines of anybody else are dropped.

    Raises:
        PreflightError: the script did not run to its end.
    """
    sections: list[tuple[Section, list[str], list[str]]] = []
    begin: list[str] = []
    end: list[str] = []
    finished = False
    output, complaints = begin, []
    for line in text.replace("\r\n", "\n").split("\n"):
        mark = _LINE.fullmatch(line)
        if mark is None:
            if line.startswith("|"):
                output.append(line[1:])
            elif line.startswith("!"):
                complaints.append(line[1:])
        elif mark[1] == "section":
            output, complaints = [], []
            head = Section(mark[2], mark[4], _status(mark[3]))
            sections.append((head, output, complaints))
        elif mark[1] == "end":
            finished, output = True, end
        elif mark[2] != PROTOCOL:
            break
    if not finished or not begin:
        raise PreflightError(_unreadable(host, text))
    return ProbeOutput(
        {
            (s.name, s.argument): Section(s.name, s.argument, s.status, tuple(out), tuple(err))
            for s, out, err in sections
        },
        (begin[0], end[0] if end else ""),
    )


def _status(text: str) -> int | None:
    if text in _TIMED_OUT:
        return None
    return int(text) if text.isdigit() else 1


def _unreadable(host: str, text: str) -> Problem:
    return Problem(
        code="probe.unreadable",
        summary=f"the examination of {host} did not run to its end",
        where=host,
        detail="\n".join(text.splitlines()[-5:]) or "no output",
        remedy=Remedy(
            "check that a POSIX shell answers for this account, then run again",
            ("sh -c 'echo ok'",),
        ),
    )
