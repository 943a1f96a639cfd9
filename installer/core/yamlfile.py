"""A strict reader of YAML for files that nobody vouches for.

It works on the parser's events, never constructs an object, never recurses, and bounds size, depth
and number of nodes. Scalars resolve by a subset of the core schema of YAML 1.2.2 (10.3.2) in which
no two common readers disagree: everything else stays text. Problems carry file, line and column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, TypeAlias

from yaml import events as ev
from yaml.error import MarkedYAMLError, YAMLError
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from installer.core.errors import AnswersError, Mark, Problem
from installer.core.fields import looks_secret, visible
from installer.core.yamltext import decode, make_problem, resolve_plain

MAX_DEPTH = 20
MAX_NODES = 10_000
MAX_PROBLEMS = 50


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A single value: as written, and as it resolves."""

    text: str
    value: str | int | float | bool | None
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class ListNode:
    """A sequence of nodes."""

    items: tuple[Node, ...]
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class MapEntry:
    """A key, where it stands, and its node."""

    key: str
    mark: Mark
    node: Node


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping in the order of the file, without duplicate keys."""

    entries: tuple[MapEntry, ...]
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class BadNode:
    """A node with a problem of its own, already reported."""

    mark: Mark | None = None


Node: TypeAlias = ScalarNode | ListNode | MapNode | BadNode


@dataclass(frozen=True, slots=True)
class Document:
    """The mapping of a file, and what is wrong with it short of being unreadable."""

    root: MapNode
    problems: tuple[Problem, ...]


def read_yaml(data: bytes, file: str) -> Document:
    """Read a file that must hold one mapping.

    Raises:
        AnswersError: nothing useful can be read (size, encoding, syntax, not a mapping).
    """
    return _Builder(file, decode(data, file)).build()


class _EventStream(Reader, Scanner, Parser):
    """PyYAML's scanner and parser, without composer, constructor and resolver."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)

    def __iter__(self) -> Iterator[ev.Event]:
        while self.check_event():
            event: ev.Event = self.get_event()  # type: ignore[no-untyped-call]
            yield event


class _Position(Protocol):
    """A mark of PyYAML; counts from 0."""

    line: int
    column: int


@dataclass(slots=True)
class _Open:
    """A collection that is being read. `key` is the pending key of a mapping."""

    is_map: bool
    mark: Mark
    bad: bool
    items: list[Node] = field(default_factory=list)
    entries: dict[str, MapEntry] = field(default_factory=dict)
    key: tuple[str, Mark] | None = None


class _Builder:
    """Turns events into nodes with an explicit stack."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.problems: list[Problem] = []
        self.stack: list[_Open] = []
        self.roots: list[Node] = []
        self.nodes = 0

    def build(self) -> Document:
        try:
            for event in _EventStream(self.text):
                self._take(event)
        except MarkedYAMLError as error:
            self._stop(self._syntax(error))
        except (YAMLError, ValueError, OverflowError) as error:
            # an escape or a version number beyond what the reader can represent
            self._stop(self._syntax(MarkedYAMLError(problem=type(error).__name__)))
        return self._finish()

    def _finish(self) -> Document:
        top = self.roots[0] if self.roots else None
        if top is None or (isinstance(top, ScalarNode) and top.value is None):
            self._stop(self._empty())
        if isinstance(top, MapNode):
            return Document(top, tuple(self.problems))
        if isinstance(top, BadNode):
            raise AnswersError(*self.problems)
        return self._stop(
            make_problem(
                "file.not_mapping",
                "the file holds a list or a single value where sections are needed",
                "begin with: version: 1",
                Mark(self.file, 1, 1),
            )
        )

    def _empty(self) -> Problem:
        return make_problem(
            "file.empty",
            "the file is empty or holds only comments",
            "begin with the skeleton: devplat-install answers init",
            Mark(self.file, 1, 1),
        )

    def _take(self, event: ev.Event) -> None:
        if isinstance(event, ev.DocumentStartEvent):
            self._start_document(event)
        elif isinstance(event, ev.NodeEvent):
            self._take_node(event)
        elif isinstance(event, ev.CollectionEndEvent):
            self._close()

    def _start_document(self, event: ev.DocumentStartEvent) -> None:
        if self.roots:
            self._stop(self._second_document(self._mark(event.start_mark)))
        if event.tags:
            self._say("file.tag", "a %TAG directive", "delete the directive", event)

    def _second_document(self, mark: Mark) -> Problem:
        return make_problem(
            "file.multiple",
            "a second document begins here, and the file must hold one",
            "keep one document; delete the line ---",
            mark,
        )

    def _take_node(self, event: ev.NodeEvent) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._stop(
                make_problem(
                    "file.too_big",
                    f"the file holds more than {MAX_NODES} values",
                    "name the answers file; a complete one has some hundreds",
                    self._mark(event.start_mark),
                )
            )
        bad = self._refuse_decoration(event)
        if isinstance(event, ev.CollectionStartEvent):
            self._open(event, bad=bad)
        elif isinstance(event, ev.ScalarEvent) and not bad:
            self._add_scalar(event)
        else:
            self._add(BadNode(self._mark(event.start_mark)))

    def _refuse_decoration(self, event: ev.NodeEvent) -> bool:
        """Report anchors, aliases and tags; whether the node's own value cannot be used."""
        if isinstance(event, ev.AliasEvent) or event.anchor is not None:
            self._say(
                "file.anchors",
                "anchors and aliases hide where a value comes from",
                "write the value itself in each place",
                event,
            )
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._say("file.tag", f"the tag {visible(tag)} is not allowed", "delete the tag", event)
        return tag is not None or isinstance(event, ev.AliasEvent)

    def _open(self, event: ev.CollectionStartEvent, *, bad: bool) -> None:
        mark = self._mark(event.start_mark)
        if len(self.stack) >= MAX_DEPTH:
            self._stop(
                make_problem(
                    "file.too_deep",
                    f"the nesting is deeper than {MAX_DEPTH} levels",
                    "write sections and fields; no answer lies deeper than 4",
                    mark,
                )
            )
        self.stack.append(_Open(isinstance(event, ev.MappingStartEvent), mark, bad))

    def _close(self) -> None:
        done = self.stack.pop()
        if done.bad:
            self._add(BadNode(done.mark))
        elif done.is_map:
            self._add(MapNode(tuple(done.entries.values()), done.mark))
        else:
            self._add(ListNode(tuple(done.items), done.mark))

    def _add_scalar(self, event: ev.ScalarEvent) -> None:
        mark = self._mark(event.start_mark)
        plain = event.style is None
        top = self.stack[-1] if self.stack else None
        if top and top.is_map and top.key is None and plain and event.value == "<<":
            self._say(
                "file.anchors",
                "a merge key hides where a value comes from",
                "write the values themselves",
                event,
            )
        value = resolve_plain(event.value) if plain else event.value
        self._add(ScalarNode(event.value, value, mark))

    def _add(self, node: Node) -> None:
        if not self.stack:
            self.roots.append(node)
            return
        top = self.stack[-1]
        if not top.is_map:
            top.items.append(node)
        elif top.key is None:
            top.key = self._key(node)
        else:
            key, mark = top.key
            top.key = None
            if key:
                top.entries.setdefault(key, MapEntry(key, mark, node))

    def _key(self, node: Node) -> tuple[str, Mark]:
        """The text of a key; an empty one is reported, and its value dropped."""
        mark = node.mark or Mark(self.file, 1, 1)
        if not isinstance(node, ScalarNode) or not node.text or node.value is None:
            if not isinstance(node, BadNode):
                self._report(
                    make_problem(
                        "file.key", "a key is not a word", "write keys as plain words", mark
                    )
                )
            return "", mark
        earlier = self.stack[-1].entries.get(node.text)
        if earlier:
            self._report(
                make_problem(
                    "file.duplicate_key",
                    f"the key {show_key(node.text)} is there already, on line {earlier.mark.line}",
                    "keep one of the two; most readers would silently take the last",
                    mark,
                )
            )
        return (node.text if node.text != "<<" else ""), mark

    def _say(self, code: str, summary: str, remedy: str, event: ev.Event) -> None:
        self._report(make_problem(code, summary, remedy, self._mark(event.start_mark)))

    def _report(self, problem: Problem) -> None:
        self.problems.append(problem)
        if len(self.problems) >= MAX_PROBLEMS:
            raise AnswersError(*self.problems)

    def _stop(self, problem: Problem) -> NoReturn:
        raise AnswersError(*self.problems, problem)

    def _syntax(self, error: MarkedYAMLError) -> Problem:
        mark = error.problem_mark or error.context_mark
        if self.roots and not self.stack:
            return self._second_document(self._mark(mark))
        if mark is not None and mark.index < len(self.text) and self.text[mark.index] == "\t":
            return make_problem(
                "file.tab", "a tab stands here, where YAML allows blanks only",
                "replace tabs by blanks", self._mark(mark),
            )  # fmt: skip
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return make_problem(
            "file.syntax",
            f"this is not YAML: {visible(said or 'unreadable')[1:-1]}",
            'quote values with special characters: key: "value"; indent with blanks',
            self._mark(mark),
        )

    def _mark(self, mark: _Position | None) -> Mark:
        return Mark(self.file, mark.line + 1, mark.column + 1) if mark else Mark(self.file, 1, 1)


def show_key(key: str) -> str:
    """A key for a message; one that holds a secret is not shown."""
    return "(not shown: it looks like a secret)" if looks_secret(key) else visible(key)
