"""The conversation as numbered lines, for serial consoles, screen readers and dumb terminals.

It asks what the screens ask, in the same order, of the same `Interview`; it judges nothing and
draws nothing. Every line can be read aloud: no colour, no cursor movement, no symbol that carries
meaning alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from installer.core.errors import Problem
from installer.core.fields import to_text
from installer.core.interview import Interview, InterviewStep, Item

Ask = Callable[[str], str]
Tell = Callable[[str], None]
WIDTH = 78
BACK, HELP, CLEAR = "<", "?", "-"
LEGEND = (
    f"Enter keeps what is in brackets; {HELP} explains; {CLEAR} takes an answer back;"
    f" {BACK} goes to the question before; lists are separated by commas, pairs (key: value) by ;."
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a question is: the step's index, the question's number as 2.3, its answer path."""

    step: int
    number: str
    path: str


class Dialogue:
    """Asks until everything is answered; `keep` is told after every answer."""

    def __init__(
        self,
        interview: Interview,
        *,
        ask: Ask,
        tell: Tell,
        keep: Callable[[Interview], None],
    ) -> None:
        self.interview = interview
        self._ask = ask
        self._tell = tell
        self._keep = keep
        self._steps = interview.steps
        self._detailed: set[int] = set()
        self._announced = -1

    def hold(self) -> Interview:
        """Every question once, then again what is still in the way; returns what was answered."""
        self._say(LEGEND)
        self._ask_from_the_start()
        while unsettled := self._unsettled():
            self._say(f"{len(unsettled)} answers still need attention.")
            for place in unsettled:
                self._ask_one(place)
        return self.interview

    def _ask_from_the_start(self) -> None:
        at = 0
        while at < len(places := self._places()):
            place = places[at]
            self._announce(place.step)
            move = self._ask_one(place)
            places = self._places()  # an answer decides what else is asked
            at = max(0, [each.path for each in places].index(place.path) + move)
            if at >= len(places) or places[at].step > place.step:
                self._offer_details(place.step)

    def _places(self) -> list[Place]:
        """Every question that is asked now, in order."""
        return [
            Place(index, f"{index + 1}.{number}", item.path)
            for index, step in enumerate(self._steps)
            for number, item in enumerate(self._items(index, step), start=1)
        ]

    def _items(self, index: int, step: InterviewStep) -> list[Item]:
        items = self.interview.items(step)
        plain = [item for item in items if not item.question.is_detail]
        details = [item for item in items if item.question.is_detail]
        return plain + (details if index in self._detailed else [])

    def _offer_details(self, index: int) -> None:
        """A step's settings of single services come last, for those who want them."""
        items = self.interview.items(self._steps[index])
        count = sum(item.question.is_detail for item in items)
        if not count or index in self._detailed:
            return
        typed = self._ask(f"Also the {count} settings of single services? (y/N): ")
        if typed.strip().lower() in {"y", "yes"}:
            self._detailed.add(index)

    def _unsettled(self) -> list[Place]:
        return [
            Place(index, str(index + 1), item.path)
            for index, step in enumerate(self._steps)
            for item in self.interview.items(step)
            if not item.is_settled
        ]

    def _ask_one(self, place: Place) -> int:
        """Ask until the answer can stand; returns how far to go on: 1, or -1 for back."""
        path = place.path
        self._describe(self.interview.item(path), place.number)
        while True:
            item = self.interview.item(path)
            typed = self._ask(f"{place.number} {item.question.title} [{_shown(item)}]: ").strip()
            if typed == BACK:
                return -1
            if typed == HELP:
                self._explain(item)
                continue
            if typed:
                self.interview = self.interview.answer(path, "" if typed == CLEAR else typed)
                self._keep(self.interview)
                item = self.interview.item(path)
            for note in item.notes:
                self._say(f"note: {note.summary}")
            if item.refusals:
                self._complain(item.refusals, "refused")
                continue
            if not item.warnings or self._accept(item.warnings):
                return 1

    def _accept(self, warnings: tuple[Problem, ...]) -> bool:
        """A warning counts once there is a reason for it, which goes into the waivers."""
        for warning in warnings:
            self._complain((warning,), "warning")
            reason = self._ask("Reason for accepting it (Enter to change the answer): ").strip()
            if not reason:
                return False
            lines = self.interview.item("waivers").text
            added = f"{lines}\n{warning.code}: {reason}".strip()
            self.interview = self.interview.answer("waivers", added)
            self._keep(self.interview)
        return True

    def _announce(self, index: int) -> None:
        if index == self._announced:
            return
        self._announced = index
        step = self._steps[index]
        self._tell("")
        self._tell(f"Step {index + 1} of {len(self._steps)}: {step.title}")
        self._say(step.why)

    def _describe(self, item: Item, number: str) -> None:
        required = " Required." if item.question.required else ""
        self._say(f"{number} {item.question.title}: {item.question.help}{required}")

    def _explain(self, item: Item) -> None:
        for line in explain(item):
            self._say(line)

    def _complain(self, problems: Sequence[Problem], kind: str) -> None:
        for problem in problems:
            self._say(f"{kind}: {problem.summary}. What to do: {problem.remedy.summary}.")

    def _say(self, text: str) -> None:
        for line in textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  "):
            self._tell(line)


def explain(item: Item) -> Iterator[str]:
    """What is known of a question: its path, its choices, examples, where its answer came from."""
    question = item.question
    yield f"{question.help} In the answers file: {item.path}."
    if question.rule.choices:
        yield f"One of: {', '.join(question.rule.choices)}."
    if question.examples:
        yield f"Example: {', '.join(map(to_text, question.examples))}."
    if question.rule.takes == "secret":
        yield "A reference to a secret: env:NAME, file:/path, prompt; never the secret itself."
    yield f"Now: {_shown(item) or 'nothing'} ({item.source})."


def _shown(item: Item) -> str:
    return (item.text or item.default).replace("\n", "; ")
