"""HCL, version 1, as Vault and OpenBao read it in configurations and policies: objects with labels,
lists, strings, heredocs, numbers, booleans, comments. A document that starts with `{` is JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|\#[^\n]*|//[^\n]*|/\*.*?\*/)
    |(?P<heredoc><<-?(?P<mark>\w+)\r?\n)
    |(?P<string>"(?:\\.|[^"\\\n])*")
    |(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<ident>[^\W\d][\w.-]*)
    |(?P<LBRACE>\{)|(?P<RBRACE>\})|(?P<LBRACK>\[)|(?P<RBRACK>\])
    |(?P<ASSIGN>=)|(?P<COMMA>,)""",
    re.VERBOSE | re.DOTALL,
)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "a": "\a", "b": "\b", "f": "\f"}


class HclError(Exception):
    """The text is not HCL; the message says where, as the programs do."""


@dataclass(frozen=True)
class Item:
    """`keys… = value`, or `keys… { … }`: the first key is the name, the others are labels."""

    keys: tuple[str, ...]
    value: Any
    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class Body:
    """The items of an object, or of a document, in order."""

    items: tuple[Item, ...] = ()

    def all(self, name: str) -> list[Item]:
        """The items of a name."""
        return [item for item in self.items if item.keys[0] == name]

    def get(self, name: str, default: Any = None) -> Any:
        """The value of the last item of a name."""
        found = self.all(name)
        return found[-1].value if found else default

    def plain(self) -> dict[str, Any]:
        """As a mapping of plain values; labels become levels."""
        made: dict[str, Any] = {}
        for item in self.items:
            value = item.value.plain() if isinstance(item.value, Body) else item.value
            for key in reversed(item.keys[1:]):
                value = {key: value}
            made[item.keys[0]] = value
        return made

    def unknown(self, known: Iterable[str]) -> list[Item]:
        """The items whose names are not in `known`."""
        names = set(known)
        return [item for item in self.items if item.keys[0] not in names]


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int
    column: int


@dataclass
class _Reader:
    tokens: list[_Token]
    at: int = 0
    end: _Token = field(default_factory=lambda: _Token("EOF", "", 0, 0))

    def peek(self) -> _Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else self.end

    def take(self) -> _Token:
        token = self.peek()
        self.at += 1
        return token

    def body(self, closing: str) -> Body:
        """Items until `closing`, which is taken."""
        items = []
        while True:
            token = self.peek()
            if token.kind == closing:
                self.take()
                return Body(tuple(items))
            if token.kind == "EOF":
                raise _wrong(token, "object expected closing RBRACE got: EOF")
            items.append(self.item())
            if self.peek().kind == "COMMA":
                self.take()

    def item(self) -> Item:
        """Keys and a value."""
        first = self.peek()
        keys: list[str] = []
        while self.peek().kind in ("ident", "string"):
            token = self.take()
            keys.append(_text(token))
        token = self.take()
        if not keys or token.kind not in ("ASSIGN", "LBRACE"):
            raise _wrong(token, f"expected: IDENT | STRING | ASSIGN | LBRACE got: {_name(token)}")
        if token.kind == "LBRACE":
            return Item(tuple(keys), self.body("RBRACE"), first.line, first.column)
        if len(keys) > 1:
            raise _wrong(token, "nested object expected: LBRACE got: ASSIGN")
        return Item(tuple(keys), self.value(), first.line, first.column)

    def value(self) -> Any:
        """What stands right of an equals sign."""
        token = self.take()
        if token.kind == "LBRACE":
            return self.body("RBRACE")
        if token.kind == "LBRACK":
            return self.list()
        if token.kind in ("string", "heredoc"):
            return _text(token)
        if token.kind == "number":
            return float(token.text) if re.search(r"[.eE]", token.text) else int(token.text)
        if token.kind == "ident" and token.text in ("true", "false"):
            return token.text == "true"
        raise _wrong(token, f"Unknown token: {token.line}:{token.column} {_name(token)}")

    def list(self) -> list[Any]:
        """Values with commas between them, and one after the last if so wished."""
        values: list[Any] = []
        needs_comma = False
        while True:
            token = self.peek()
            if token.kind == "RBRACK":
                self.take()
                return values
            if needs_comma and token.kind != "COMMA":
                text = f"error parsing list, expected comma or list end, got: {_name(token)}"
                raise _wrong(token, text)
            if token.kind == "COMMA":
                self.take()
            elif token.kind == "ident" and token.text not in ("true", "false"):
                raise _wrong(token, f"unexpected token while parsing list: {_name(token)}")
            else:
                values.append(self.value())
            needs_comma = token.kind != "COMMA"


def parse(text: str) -> Body:
    """The document as a body.

    Raises:
        HclError: when it is neither HCL nor, starting with `{`, JSON.
    """
    if text.lstrip().startswith("{"):
        try:
            return _from_json(json.loads(text))
        except (ValueError, AttributeError) as error:
            raise HclError(f"parse error: {error}") from error
    reader = _Reader(_tokens(text))
    lines = text.split("\n")
    reader.end = _Token("EOF", "", len(lines), len(lines[-1]) + 1)
    return reader.body("EOF")


def _tokens(text: str) -> list[_Token]:
    found = []
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        if match is None:
            what = "literal not terminated" if text[at] == '"' else "illegal char"
            raise HclError(f"At {line}:{column}: {what}")
        kind = match.lastgroup or ""
        if match["heredoc"]:
            kind = "heredoc"
            end = re.compile(rf"^[ \t]*{match['mark']}\r?$", re.MULTILINE).search(text, match.end())
            if end is None:
                raise HclError(f"At {line}:{column}: heredoc not terminated")
            content = text[match.end() : end.start()]
            dedent = match["heredoc"].startswith("<<-")
            found.append(_Token(kind, _dedent(content) if dedent else content, line, column))
            at = end.end()
            continue
        if kind != "space":
            found.append(_Token(kind, match[0], line, column))
        at = match.end()
    return found


def _dedent(text: str) -> str:
    lines = text.split("\n")
    depth = min((len(x) - len(x.lstrip(" \t")) for x in lines if x.strip()), default=0)
    return "\n".join(x[depth:] for x in lines)


def _text(token: _Token) -> str:
    if token.kind != "string":
        return token.text

    def unescape(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "uU":
            return chr(int(code[1:], 16))
        if code not in ESCAPES:
            raise _wrong(token, f"illegal escape \\{code}")
        return ESCAPES[code]

    return re.sub(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", unescape, token.text[1:-1])


def _name(token: _Token) -> str:
    return {"ident": "IDENT", "string": "STRING", "number": "NUMBER", "heredoc": "HEREDOC"}.get(
        token.kind, token.kind
    )


def _wrong(token: _Token, message: str) -> HclError:
    return HclError(f"At {token.line}:{token.column}: {message}")


def _from_json(document: Mapping[str, Any]) -> Body:
    def body(mapping: Mapping[str, Any]) -> Body:
        return Body(tuple(i for name, value in mapping.items() for i in items((name,), value)))

    def items(keys: tuple[str, ...], value: Any) -> list[Item]:
        if isinstance(value, dict) and value and all(isinstance(v, dict) for v in value.values()):
            return [i for name, inner in value.items() for i in items((*keys, name), inner)]
        if isinstance(value, dict):
            return [Item(keys, body(value))]
        if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
            return [i for inner in value for i in items(keys, inner)]
        return [Item(keys, value)]

    return body(document)
