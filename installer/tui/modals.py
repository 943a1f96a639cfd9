"""Small screens over another: to be told a secret, to confirm by typing, to choose."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Label, Static


class SecretQuestion(ModalScreen[str | None]):
    """A question whose answer is hidden unless it is asked to be shown."""

    BINDINGS = [("escape", "dismiss(None)", "Not now")]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._question, markup=False)
            yield Input(password=True, id="secret")
            yield Checkbox("Show what is typed", id="reveal")
            with Horizontal(classes="buttons"):
                yield Button("Answer", variant="primary", id="answer")

    @on(Checkbox.Changed, "#reveal")
    def _reveal(self, event: Checkbox.Changed) -> None:
        self.query_one("#secret", Input).password = not event.value

    @on(Input.Submitted)
    @on(Button.Pressed)
    def _answer(self) -> None:
        self.dismiss(self.query_one("#secret", Input).value)


class Evidence(ModalScreen[None]):
    """A longer text, to be read and closed."""

    BINDINGS = [("escape,enter,q", "dismiss(None)", "Back")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog"):
            yield Static(self._text, markup=False)


class Texts(ModalScreen[dict[str, str] | None]):
    """A few texts that belong together; name → what was typed."""

    BINDINGS = [("escape", "dismiss(None)", "Back")]

    def __init__(self, heading: str, wanted: dict[str, str]) -> None:
        super().__init__()
        self._heading = heading
        self._wanted = wanted

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._heading, markup=False)
            for name, title in self._wanted.items():
                yield Input(placeholder=title, id=name)
            with Horizontal(classes="buttons"):
                yield Button("Record", variant="primary", id="record")

    @on(Input.Submitted)
    def _next(self, event: Input.Submitted) -> None:
        fields = list(self.query(Input))
        after = fields.index(event.input) + 1
        if after < len(fields):
            fields[after].focus()
        else:
            self._record()

    @on(Button.Pressed)
    def _record(self) -> None:
        self.dismiss({str(field.id): field.value for field in self.query(Input)})


SIDE_BY_SIDE = 3
"""Answers that fit into one line of a narrow terminal."""


class Choose(ModalScreen[str | None]):
    """A question with a few answers, the safe one first and focused."""

    BINDINGS = [("escape", "dismiss(None)", "Back")]

    def __init__(self, question: str, answers: dict[str, str]) -> None:
        super().__init__()
        self._question = question
        self._answers = answers

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._question, markup=False)
            with (
                Horizontal(classes="buttons") if len(self._answers) <= SIDE_BY_SIDE else Vertical()
            ):
                for name, text in self._answers.items():
                    yield Button(text, id=name, compact=len(self._answers) > SIDE_BY_SIDE)

    @on(Button.Pressed)
    def _chosen(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id)


TAKE, LEAVE = "take", "leave"


class Confirm(Choose):
    """Whether something that was found out is right; only then it becomes an answer."""

    @classmethod
    def of(cls, found: str, path: str, text: str) -> Confirm:
        """The question about one answer; not taking it comes first."""
        return cls(
            f"{found}.\n\nCompare {text} with what the owner of the host tells you, by another way"
            f" than this connection. Only if they agree, take it as {path}.",
            {LEAVE: "Not now", TAKE: "They agree"},
        )
