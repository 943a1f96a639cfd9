"""The template language of the agents, as far as the product uses it: text, `{{ pipeline }}` and
`{{ with pipeline }}…{{ end }}` of Go's templates, with some functions. The rest is refused.

A value that is not there renders nothing (`Missing` is raised), as the real agents wait for it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from standin import Refused

WORD = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*")|(?P<raw>`[^`]*`)|(?P<number>-?\d+)|(?P<pipe>\|)
    |(?P<field>(?:\.[A-Za-z_]\w*)+|\.)|(?P<name>[A-Za-z_]\w*))""",
    re.VERBOSE,
)
ACTION = re.compile(r'\{\{(-\s)?((?:"(?:\\.|[^"\\])*"|`[^`]*`|(?!\}\}).)*?)(\s-)?\}\}', re.DOTALL)
FORMAT = re.compile(r"%(?:\.(\d+))?([sdqv%])")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
NOTHING = "<no value>"

Read = Callable[[str], Mapping[str, Any] | None]


class Missing(Exception):
    """A secret, or a key of it, is not there."""


@dataclass(frozen=True)
class Call:
    """A word with its arguments: a function, a field, or a literal."""

    kind: str
    word: Any
    arguments: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Node:
    """Text, output, or a block `with` its own nodes."""

    kind: str
    text: str = ""
    pipeline: tuple[Call, ...] = ()
    inner: tuple[Node, ...] = ()


class Template:
    """A parsed template."""

    def __init__(self, text: str, *, strict: bool = False) -> None:
        """Parse.

        Raises:
            Refused: for what is not valid, or not a part of this stand-in.
        """
        self.strict = strict
        self.nodes, rest = _parse(_split(text), 0, inside=False)
        assert rest == -1

    def render(self, read: Read) -> str:
        """The text; `read` gives a secret by its path, or None.

        Raises:
            Missing: when something is not there.
        """
        return self._render(self.nodes, {}, read)

    def _render(self, nodes: tuple[Node, ...], dot: Any, read: Read) -> str:
        made = []
        for node in nodes:
            if node.kind == "text":
                made.append(node.text)
            elif node.kind == "output":
                made.append(show(self._evaluate(node.pipeline, dot, read)))
            else:
                value = self._evaluate(node.pipeline, dot, read)
                if value:
                    made.append(self._render(node.inner, value, read))
        return "".join(made)

    def _evaluate(self, pipeline: tuple[Call, ...], dot: Any, read: Read) -> Any:
        piped: list[Any] = []
        for call in pipeline:
            arguments = [self._value(*argument, dot) for argument in call.arguments] + piped
            if call.kind != "name":
                value = self._value(call.kind, call.word, dot)
            elif call.word == "secret":
                value = read(str(arguments[0]))
                if value is None:
                    raise Missing(f"no secret exists at {arguments[0]}")
            else:
                try:
                    value = FUNCTIONS[call.word](*arguments)
                except TypeError as error:
                    raise Missing(f"error calling {call.word}: {error}") from error
            piped = [value]
        return piped[0]

    def _value(self, kind: str, word: Any, dot: Any) -> Any:
        if kind != "field":
            return word
        for part in word:
            if not isinstance(dot, Mapping):
                raise Missing(f'nil data; no entry for key "{part}"')
            if part not in dot and self.strict:
                raise Missing(f'map has no entry for key "{part}"')
            dot = dot.get(part)
        return dot


def show(value: Any) -> str:
    """A value as it is printed into the text."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise Missing(f"the stand-in prints no {type(value).__name__}")


def _split(text: str) -> list[tuple[str, str]]:
    """Texts and actions in turn, with the white space that `{{-` and `-}}` take away."""
    parts: list[tuple[str, str]] = []
    at, trim = 0, False
    while (start := text.find("{{", at)) >= 0:
        match = ACTION.match(text, start)
        if match is None:
            raise Refused("template: unclosed action")
        before = text[at:start]
        before = before.lstrip() if trim else before
        parts.append(("text", before.rstrip() if match[1] else before))
        parts.append(("action", match[2].strip()))
        at, trim = match.end(), bool(match[3])
    parts.append(("text", text[at:].lstrip() if trim else text[at:]))
    return parts


def _parse(parts: list[tuple[str, str]], at: int, *, inside: bool) -> tuple[tuple[Node, ...], int]:
    """Nodes from a position until `end`, or until the end of the text."""
    nodes: list[Node] = []
    while at < len(parts):
        kind, text = parts[at]
        at += 1
        word = text.split(maxsplit=1)[0] if text.strip() else ""
        if kind == "text":
            nodes.append(Node("text", text))
        elif text.startswith("/*") and text.endswith("*/"):
            continue
        elif word == "end":
            if not inside:
                raise Refused("template: unexpected {{end}}")
            return tuple(nodes), at
        elif word == "with":
            inner, at = _parse(parts, at, inside=True)
            nodes.append(Node("with", "", _pipeline(text.removeprefix("with")), inner))
        else:
            nodes.append(Node("output", "", _pipeline(text)))
    if inside:
        raise Refused("template: unexpected EOF")
    return tuple(nodes), -1


def _pipeline(text: str) -> tuple[Call, ...]:
    calls: list[Call] = []
    words: list[tuple[str, Any]] = []
    for kind, word in [*_words(text), ("pipe", "|")]:
        if kind != "pipe":
            words.append((kind, word))
            continue
        if not words:
            raise Refused(f"template: missing value for command in {text!r}")
        (first, value), *arguments = words
        if first == "name" and value != "secret" and value not in FUNCTIONS:
            raise Refused(f'template: function "{value}" not defined in the stand-in')
        if first != "name" and arguments:
            raise Refused(f"template: can't give argument to non-function in {text!r}")
        if any(inner == "name" for inner, _ in arguments):
            raise Refused(f"template: the stand-in takes no function as an argument: {text!r}")
        calls.append(Call(first, value, tuple(arguments)))
        words = []
    return tuple(calls)


def _words(text: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    at = 0
    while text[at:].strip():
        match = WORD.match(text, at)
        if match is None:
            raise Refused(f"template: unexpected {text[at:].strip()[:20]!r} in the stand-in")
        at = match.end()
        kind = match.lastgroup or ""
        word = match[kind]
        if kind == "text":
            found.append(("text", _unquote(word)))
        elif kind == "raw":
            found.append(("text", word[1:-1]))
        elif kind == "number":
            found.append(("number", int(word)))
        elif kind == "field":
            found.append(("field", tuple(word.strip(".").split(".")) if word != "." else ()))
        else:
            found.append((kind, word))
    return found


def _unquote(word: str) -> str:
    def unescape(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "uUx":
            return chr(int(code[1:], 16))
        return ESCAPES.get(code, code)

    pattern = r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|.)"
    return re.sub(pattern, unescape, word[1:-1], flags=re.DOTALL)


def to_json(value: Any) -> str:
    """As Go encodes it without escaping for HTML."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def to_html_json(value: Any) -> str:
    """As Go encodes it by default."""
    text = to_json(value)
    for character, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, code)
    return text


def print_formatted(form: str, *values: Any) -> str:
    """`printf` with `%s`, `%d`, `%v`, `%q`, and a precision for `%s`."""
    rest = list(values)

    def one(match: re.Match[str]) -> str:
        if match[2] == "%":
            return "%"
        if not rest:
            return f"%!{match[2]}(MISSING)"
        value = rest.pop(0)
        text = to_json(str(value)) if match[2] == "q" else show(value)
        return text[: int(match[1])] if match[1] is not None else text

    if "%" in FORMAT.sub("", form):
        raise TypeError(f"the stand-in does not know the format {form!r}")
    return FORMAT.sub(one, form)


def _timestamp(form: str = "") -> str:
    now = datetime.now(UTC)
    if form not in ("", "unix"):
        raise TypeError(f"the stand-in does not know the layout {form!r}")
    return str(int(now.timestamp())) if form else now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _truncate(length: int, text: str) -> str:
    return text[:length] if length >= 0 else text[length:]


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "base64Decode": lambda text: base64.b64decode(text).decode(),
    "base64Encode": lambda text: base64.b64encode(text.encode()).decode(),
    "printf": print_formatted,
    "replaceAll": lambda old, new, text: text.replace(old, new),
    "sha256Hex": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "sprig_b64enc": lambda text: base64.b64encode(text.encode()).decode(),
    "sprig_replace": lambda old, new, text: text.replace(old, new),
    "sprig_trunc": _truncate,
    "timestamp": _timestamp,
    "toJSON": to_html_json,
    "toLower": lambda text: text.lower(),
    "toUnescapedJSON": to_json,
    "toUpper": lambda text: text.upper(),
    "trimPrefix": lambda prefix, text: text.removeprefix(prefix),
    "trimSpace": lambda text: text.strip(),
    "trimSuffix": lambda suffix, text: text.removesuffix(suffix),
    "urlquery": lambda *texts: urllib.parse.quote_plus("".join(map(show, texts)), safe="~"),
}
