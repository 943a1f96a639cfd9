"""Answers as text: the file that repeats a run, the commented skeleton, the table, the schema.

Nothing here writes a secret: a literal one appears as `prompt`. What `dump` writes, `from_file`
reads back to the same answers, and `dump` writes again to the same bytes.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from installer.core.answers import Answers, answers_model
from installer.core.answers_shape import Choice, Group, Question, Shape, read_form
from installer.core.catalog import Catalog
from installer.core.fields import to_text
from installer.core.layers import Draft, Source
from installer.core.secretrefs import SecretRef
from installer.core.yamltext import resolve_plain


@dataclass(frozen=True, slots=True)
class Row:
    """One effective answer; `value` is text without a secret."""

    path: str
    value: str
    source: Source


def dump(answers: Answers) -> str:
    """The complete file that repeats a run, without a secret."""
    return "".join(f"{line}\n" for line in _lines(_document(answers), 0))


def show(draft: Draft, answers: Answers) -> tuple[Row, ...]:
    """Every effective value, and where it came from."""
    rows: list[Row] = []
    pending: list[tuple[str, Any]] = [("", _document(answers))]
    while pending:
        path, value = pending.pop(0)
        if isinstance(value, dict) and value:
            pending = [(f"{path}.{k}".lstrip("."), v) for k, v in value.items()] + pending
        else:
            rows.append(Row(path, to_text(None if value == {} else value), draft.source_of(path)))
    return tuple(rows)


def _document(answers: Answers) -> dict[str, Any]:
    """The answers as nested plain values in the order of the model, without what is None."""
    document: dict[str, Any] = {}
    pending: list[tuple[Any, dict[str, Any]]] = [(answers, document)]
    while pending:
        model, place = pending.pop(0)
        fields = type(model).model_fields
        # what a section is decides what else is in it, so it comes first
        for name in sorted(fields, key=lambda name: name != "mode"):
            info, value = fields[name], getattr(model, name)
            key = info.alias or name
            if hasattr(type(value), "model_fields"):
                place[key] = {}
                pending.append((value, place[key]))
            elif value is not None and value != "":
                place[key] = _plain(value)
    return document


def _plain(value: object) -> object:
    if isinstance(value, SecretRef):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _lines(document: Mapping[str, Any], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{format_text(key)}:"
            yield from _lines(value, depth + 1)
        else:
            yield f"{indent}{format_text(key)}: {format_value(value)}"


def format_value(value: object) -> str:
    """A value in YAML that every reader takes for the same."""
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(format_value(item) for item in value) + "]"
    if isinstance(value, str):
        return format_text(value)
    return to_text(value)


_PLAIN = re.compile(r"[A-Za-z~/][A-Za-z0-9_./@+-]*", re.ASCII)
_AMBIGUOUS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"])
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def format_text(text: str) -> str:
    """A text in YAML: plain where no reader could take it for anything else, quoted otherwise."""
    if _PLAIN.fullmatch(text) and text.lower() not in _AMBIGUOUS and resolve_plain(text) == text:
        return text
    return '"' + "".join(_ESCAPES.get(char) or _escape(char) for char in text) + '"'


def _escape(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def schema(catalog: Catalog) -> dict[str, Any]:
    """JSON Schema (2020-12) of the answers file, in stored form."""
    made = answers_model(catalog).model_json_schema(by_alias=True, mode="validation")
    made["required"] = ["version", *made.get("required", ())]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "devplat-install answers",
        **{key: value for key, value in made.items() if key != "title"},
    }


_HEAD = """\
# Answers of devplat-install. Lines that are commented out show the default.
# Remove the first '# ' of a line to change it.
# Secrets are references: env:NAME, file:/path, vault:path#key, aws:id#key, prompt, generate.
# Check this file with: devplat-install answers check --answers FILE
"""


def skeleton(catalog: Catalog) -> str:
    """A complete answers file with comments; what is required is left empty."""
    form = read_form(catalog)
    lines = [_HEAD + "version: 1"]
    for name, shape in form.children.items():
        if name != "version":
            lines += ["", *_skeleton_of(name, shape, 0)]
    return "\n".join(lines) + "\n"


def _skeleton_of(name: str, shape: Shape, depth: int, *, off: bool = False) -> Iterator[str]:
    indent = "  " * depth + ("# " if off else "")
    if isinstance(shape, Question):
        yield from _skeleton_question(shape, depth, off=off)
        return
    yield f"{indent}# {shape.title}" if shape.title != name else f"{indent}# {name.capitalize()}"
    yield f"{indent}{name}:"
    if isinstance(shape, Group):
        for key, child in shape.children.items():
            yield from _skeleton_of(key, child, depth + 1, off=off)
        return
    yield from _skeleton_choice(shape, depth + 1)


def _skeleton_choice(shape: Choice, depth: int) -> Iterator[str]:
    yield from _skeleton_question(shape.mode, depth, off=False)
    shared = set.intersection(*(set(group.children) for group in shape.variants.values()))
    for mode, group in shape.variants.items():
        chosen = mode == shape.mode.default
        own = {k: c for k, c in group.children.items() if k not in shared}
        if own:
            yield f"{'  ' * depth}# with mode: {mode}"
        for key, child in (group.children if chosen else own).items():
            yield from _skeleton_of(key, child, depth, off=not chosen)


def _skeleton_question(question: Question, depth: int, *, off: bool) -> Iterator[str]:
    pad = "  " * depth
    choices = f" One of: {', '.join(question.rule.choices)}." if question.rule.choices else ""
    examples = f" Example: {format_value(question.examples[0])}" if question.examples else ""
    need = " Required." if question.required else ""
    text = f"{question.title}: {question.help}{need}{choices}{examples}"
    # further lines are set in, so that none looks like a key that is commented out
    yield from textwrap.wrap(
        text, 100, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}#   ", break_long_words=False
    )
    key = question.path[-1]
    if question.required and not off:
        yield f"{pad}{key}:"
    else:
        yield f"{pad}# {key}: {_default(question)}".rstrip()


def _default(question: Question) -> str:
    value = question.default
    if isinstance(value, SecretRef):
        return str(value)
    return "" if value is None or value == "" else format_value(value)
