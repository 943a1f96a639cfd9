"""Alloy's configuration language: blocks with an optional label, attributes, and values - text,
numbers, truth, lists, objects, references. What the language does not allow is refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from standin import Refused

TOKEN = re.compile(
    r"(?P<space>[ \t\r]+|//[^\n]*|/\*.*?\*/)|(?P<line>\n)"
    r'|(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)'
    r"|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>[{}\[\]=,.()])",
    re.S,
)


@dataclass(frozen=True)
class Reference:
    """A value of another component, as `discovery.docker.ours.targets`."""

    path: tuple[str, ...]


@dataclass
class Block:
    """A block: `name "label" { attributes and blocks }`."""

    name: str
    label: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def all(self, name: str) -> list[Block]:
        """The inner blocks of a name."""
        return [block for block in self.blocks if block.name == name]


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str, int]] = []
        at, line = 0, 1
        while at < len(text):
            match = TOKEN.match(text, at)
            if not match:
                raise Refused(f"{line}: illegal character {text[at]!r}")
            if match.lastgroup != "space":
                self.tokens.append((str(match.lastgroup), match[0], line))
            line += match[0].count("\n")
            at = match.end()
        self.tokens.append(("end", "", line))
        self.at = 0

    def peek(self) -> tuple[str, str]:
        kind, word, _ = self.tokens[self.at]
        return kind, word

    def take(self, wanted: str = "") -> str:
        kind, word, line = self.tokens[self.at]
        if kind == "end" or (wanted and wanted not in (kind, word)):
            raise Refused(f"{line}: expected {wanted or 'more'}, got {word or kind!r}")
        self.at += 1
        return word

    def skip_lines(self) -> None:
        while self.peek()[0] == "line":
            self.at += 1

    def body(self, block: Block, end: str) -> None:
        """Attributes and blocks until `end`."""
        self.skip_lines()
        while self.peek()[1] != end or self.peek()[0] == "text":
            line = self.tokens[self.at][2]
            name = self.take("name")
            while self.peek()[1] == ".":
                self.take()
                name += "." + self.take("name")
            if self.peek()[1] == "=":
                self.take()
                if name in block.attributes:
                    raise Refused(f"{line}: attribute {name!r} may only be provided once")
                block.attributes[name] = self.value()
            else:
                block.blocks.append(self.inner(name))
            if self.peek()[0] not in ("line", "end") and self.peek()[1] != end:
                raise Refused(f"{line}: expected a new line after {name}")
            self.skip_lines()

    def inner(self, name: str) -> Block:
        made = Block(name)
        if self.peek()[0] == "text":
            made.label = _text(self.take("text"))
        self.take("{")
        self.body(made, "}")
        self.take("}")
        return made

    def value(self) -> Any:
        kind, word = self.peek()
        if kind == "text":
            return _text(self.take())
        if kind == "number":
            return json.loads(self.take())
        if word in ("true", "false", "null"):
            return json.loads(self.take())
        if word == "[":
            return self.sequence()
        if word == "{":
            return self.mapping()
        path = [self.take("name")]
        while self.peek()[1] == ".":
            self.take()
            path.append(self.take("name"))
        return Reference(tuple(path))

    def sequence(self) -> list[Any]:
        self.take("[")
        found = []
        self.skip_lines()
        while self.peek()[1] != "]":
            found.append(self.value())
            self.skip_lines()
            if self.peek()[1] != "]":
                self.take(",")
                self.skip_lines()
        self.take("]")
        return found

    def mapping(self) -> dict[str, Any]:
        self.take("{")
        found = {}
        self.skip_lines()
        while self.peek()[1] != "}":
            kind, _ = self.peek()
            name = _text(self.take()) if kind == "text" else self.take("name")
            self.take("=")
            found[name] = self.value()
            self.skip_lines()
            if self.peek()[1] != "}":
                self.take(",")
                self.skip_lines()
        self.take("}")
        return found


def _text(word: str) -> str:
    if word.startswith("`"):
        return word[1:-1]
    try:
        return str(json.loads(word))
    except ValueError as error:
        raise Refused(f"invalid escape in {word}") from error


def parse(text: str) -> Block:
    """A file as one block without a name.

    Raises:
        Refused: it is not in the language.
    """
    root = Block("")
    reader = _Reader(text)
    reader.body(root, "")
    return root
