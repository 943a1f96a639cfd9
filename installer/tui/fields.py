"""One question as a row: its title, a control that fits what it takes, what is said of the answer.

A row hands over text and shows an `Item`; whether the text is acceptable is not its business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import DescendantBlur, DescendantFocus
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Label, Select, Static, TextArea

from installer.core.fields import to_text
from installer.core.interview import Item
from installer.tui.signs import sign

MISSING = "answers.missing"
"""Nobody is told that an answer is missing before they had the chance to give it."""


class FieldRow(Vertical):
    """A question; posts `Typed` when its control is left with another text."""

    @dataclass
    class Typed(Message):
        """Somebody left a control."""

        path: str
        text: str

    @dataclass
    class Entered(Message):
        """Somebody came to a control."""

        path: str

    def __init__(self, item: Item, heading: str = "") -> None:
        super().__init__(id=row_id(item.path), classes="field")
        self.item = item
        self._heading = heading
        self._sent = item.text
        self._was_left = False

    def compose(self) -> ComposeResult:
        question = self.item.question
        required = " (required)" if question.required else ""
        if self._heading:
            yield Label(self._heading, classes="heading", markup=False)
        with Horizontal(classes="line"):
            yield Label(f"{question.title}{required}", classes="title", markup=False)
            yield self._control()
        yield Static("", classes="said", markup=False)

    def on_mount(self) -> None:
        self.show(self.item)

    @property
    def control(self) -> Widget:
        """What is typed into."""
        return self.query("Input, Select, TextArea").first()

    def show(self, item: Item, extra: str = "") -> None:
        """Tell what is said of the answer; `extra` is what was found out meanwhile."""
        self.item = item
        control = self.control
        if isinstance(control, Input):
            control.placeholder = item.default or _example(item)
        refusals = [p for p in item.refusals if self._was_left or p.code != MISSING]
        lines = [f"{sign('fail')} {p.summary}. {p.remedy.summary}" for p in refusals]
        lines += [f"{sign('open')} {p.summary}. {p.remedy.summary}" for p in item.warnings]
        lines += [note.summary for note in item.notes]
        lines += [extra] if extra else []
        said = self.query_one(".said", Static)
        said.update("\n".join(lines))
        said.display = bool(lines)
        self.set_class(bool(refusals), "refused")
        self.set_class(bool(item.warnings) and not refusals, "warned")

    def take(self) -> str | None:
        """What was typed since it was last taken; None when nothing was."""
        self._was_left = True
        text = self._text()
        if text == self._sent:
            return None
        self._sent = text
        return text

    def insist(self) -> None:
        """From now on tell that an answer is missing."""
        self._was_left = True

    @on(Select.Changed)
    @on(Input.Submitted)
    @on(DescendantBlur)
    def _left(self) -> None:
        if (text := self.take()) is not None:
            self.post_message(self.Typed(self.item.path, text))

    @on(DescendantFocus)
    def _entered(self) -> None:
        self.post_message(self.Entered(self.item.path))

    def _control(self) -> Widget:
        item, rule = self.item, self.item.question.rule
        if rule.choices:
            value = item.text or item.default
            options = [(choice, choice) for choice in rule.choices]
            chosen = value if value in rule.choices else rule.choices[0]
            self._sent = chosen
            return Select(options, value=chosen, allow_blank=False, compact=True)
        if rule.takes == "mapping":
            return TextArea(item.text, tab_behavior="focus", show_line_numbers=False, compact=True)
        return Input(item.text, placeholder=item.default or _example(item), compact=True)

    def _text(self) -> str:
        control = self.control
        if isinstance(control, TextArea):
            return control.text
        if isinstance(control, Select):
            return str(cast("Select[str]", control).value)
        return control.value if isinstance(control, Input) else ""


def row_id(path: str) -> str:
    """Identifier of a question's row."""
    return "field-" + path.replace(".", "-").replace("_", "-")


def _example(item: Item) -> str:
    return f"e.g. {to_text(item.question.examples[0])}" if item.question.examples else ""
