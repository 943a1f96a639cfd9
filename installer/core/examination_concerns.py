"""What is said of answers that do not fit their question, and where it is said to be.

No text made here holds the value of a private field.
"""

from __future__ import annotations

from collections.abc import Mapping

from installer.core.answers_shape import Path, Question
from installer.core.errors import Mark
from installer.core.fields import Concern, Severity, as_items, nearest, to_text, visible
from installer.core.layers import Entry, Source
from installer.core.secretrefs import SecretRef, SecretSource, literal, parse_secret_ref
from installer.core.yamlfile import ListNode, Node, ScalarNode, show_key

SECRET_INLINE = "secret.inline"
"""The one warning that needs no waiver: the file is the owner's alone."""


def type_concern(question: Question, kind: str) -> Concern:
    """A value of another kind than the field takes; `kind` is what is there."""
    wanted = {"list": "a list of words", "number": "a number", "switch": "true or false"}
    return Concern(
        "file.type",
        f"{question.dotted} is {kind}, where {wanted.get(question.rule.takes, 'text')} is needed",
        f"write it as {example_of(question)}",
    )


def example_of(question: Question) -> str:
    """A line that would answer the question."""
    value = question.examples[0] if question.examples else question.default
    return f"{question.path[-1]}: {to_text(value) or 'VALUE'}"


def duplicate_concern(key: str) -> Concern:
    """One key, written nested and with dots."""
    return Concern(
        "file.duplicate_key",
        f"the key {show_key(key)} is there twice, nested and with dots",
        "keep one of the two",
    )


def secret_concern(value: object, entry: Entry) -> Concern | None:
    """What to say of a secret, alone or in a list, that is written where a reference belongs."""
    literals = [
        item
        for item in as_items(value)
        if isinstance(item, SecretRef) and item.source is SecretSource.LITERAL
    ]
    if not literals:
        return None
    if entry.source is Source.FLAG:
        return Concern(
            "secret.on_command_line",
            "a secret on the command line is seen by every account of this machine",
            "refer to it: env:NAME, file:/path or prompt",
        )
    if entry.source is not Source.FILE:
        return None
    if entry.readable:
        return Concern(
            "file.secret_inline",
            "a secret is written in clear text into a file that others may read",
            "refer to it (env:NAME, file:/path, prompt), or give the file the mode 0600",
        )
    return Concern(
        SECRET_INLINE,
        "a secret is written in clear text into the answers file",
        "refer to it: env:NAME, file:/path or prompt",
        Severity.WARN,
    )


def open_secret(node: Node, question: Question, entry: Entry) -> tuple[Concern, ...]:
    """The same of a value that is not acceptable; a URL may do without a password."""
    if not question.rule.private or question.rule.takes not in {"secret", "list"}:
        return ()
    items = node.items if isinstance(node, ListNode) else (node,)
    texts = [item.text for item in items if isinstance(item, ScalarNode)]
    values = tuple(_reference_or_literal(text) for text in texts if "://" not in text)
    concern = secret_concern(values, entry)
    return (concern,) if concern and concern.severity is Severity.REJECT else ()


def _reference_or_literal(text: str) -> SecretRef | None:
    """What the text is as a secret; None for a reference that is malformed."""
    try:
        return parse_secret_ref(text) or literal(text)
    except ValueError:
        return None


def unknown_concern(path: Path, known: Mapping[str, Question]) -> Concern:
    """A path that nothing asks for, with the nearest one, or the alternative that has it."""
    dotted = ".".join(path)
    elsewhere = known.get(dotted)
    if elsewhere and elsewhere.when:
        mode_path, modes = elsewhere.when
        needed = f"{'.'.join(mode_path)}: {' or '.join(modes)}"
        return Concern(
            "file.unknown_key",
            f"{show_path(path)} exists only with {needed}",
            f"write {needed}, or delete the key",
        )
    near = _nearest_path(path, known)
    return Concern(
        "file.unknown_key",
        f"there is no key {show_key(path[-1])}"
        + (f" in {'.'.join(path[:-1])}" if path[:-1] else ""),
        f"the nearest key is {near}"
        if near
        else "see which keys exist: devplat-install answers init",
    )


def _nearest_path(path: Path, known: Mapping[str, Question]) -> str | None:
    """The path that was probably meant: the same key elsewhere, or one spelled much like it."""
    places: dict[str, None] = {}
    for dotted in known:
        segments = dotted.split(".")
        places |= {".".join(segments[:depth]): None for depth in range(1, len(segments) + 1)}
    by_last: dict[str, str] = {}
    for place in sorted(places, key=lambda place: place.count(".")):
        by_last.setdefault(place.rpartition(".")[2], place)
    parent = path[:-1]
    siblings = [place for place in places if tuple(place.split(".")[:-1]) == parent]
    if path[-1] in by_last:
        return by_last[path[-1]]
    near = nearest(".".join(path), siblings) or nearest(".".join(path), places)
    return near or by_last.get(nearest(path[-1], by_last) or "")


def show_path(path: Path) -> str:
    """A path for people; nothing that looks like a secret is in it."""
    return ".".join(show_key(part)[1:-1] for part in path)


def origin_of(entry: Entry | None, path: Path) -> str | None:
    """The variable or flag that a value came from."""
    if entry is None:
        return None
    if entry.source is Source.ENV:
        return f"given by the environment variable {visible(entry.origin)[1:-1]}"
    if entry.source is Source.FLAG:
        return f"given by --set {show_path(path)}=…"
    return None


def mark_of(
    entry: Entry | None, concern: Concern, key_mark: Mark | None, *, of_key: bool
) -> Mark | None:
    """The place in the file that a concern is about."""
    if of_key or entry is None:
        return key_mark
    if entry.source is not Source.FILE:
        return None
    node = entry.node
    if concern.index is not None and isinstance(node, ListNode) and concern.index < len(node.items):
        return node.items[concern.index].mark
    return node.mark or key_mark
