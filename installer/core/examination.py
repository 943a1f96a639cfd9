"""Judging a draft: every question once, then derived defaults, then what fits together.

Nothing here stops at the first problem. A problem names its path, and its place in the file, its
variable or its flag; no problem holds the value of a private field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from installer.core.answers_rules import derive_defaults, judge_together
from installer.core.answers_shape import Choice, Form, Group, Path, Question, Shape, read_form
from installer.core.catalog import Catalog
from installer.core.errors import Problem, Remedy
from installer.core.examination_concerns import (
    duplicate_concern,
    example_of,
    mark_of,
    open_secret,
    origin_of,
    secret_concern,
    show_path,
    type_concern,
    unknown_concern,
)
from installer.core.examination_values import is_absent, raw_of, text_of
from installer.core.fields import (
    LONGEST_LIST,
    Concern,
    FieldError,
    FileFacts,
    Severity,
    Verdict,
    to_text,
    visible,
)
from installer.core.layers import Draft, Entry
from installer.core.yamlfile import BadNode, ListNode, MapNode, ScalarNode

FileProbe = Callable[[str], FileFacts | None]
_MOST_UNKNOWN = 20
"""Unknown keys that are reported one by one; looking for near keys takes time."""


@dataclass(frozen=True, slots=True)
class Note:
    """A value that is stored differently than it was given, or something else worth knowing."""

    where: str
    summary: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A problem, how severe it is, and all the fields that it is about."""

    problem: Problem
    severity: Severity
    involves: tuple[str, ...]


@dataclass(slots=True)
class Examination:
    """What was found. `values` holds what is acceptable, by dotted path; `given` what was set."""

    form: Form
    values: dict[str, Any] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    judged: list[Judged] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    modes: dict[Path, str] = field(default_factory=dict)


def examine(draft: Draft, catalog: Catalog, files: FileProbe | None = None) -> Examination:
    """Judge every value of a draft.

    Args:
        draft: The values.
        catalog: What can be installed; decides which paths exist.
        files: Looks at a file of this machine; without it, files are taken on trust.
    """
    return _Examiner(draft, catalog, files).run()


class _Examiner:
    def __init__(self, draft: Draft, catalog: Catalog, files: FileProbe | None) -> None:
        self.draft = draft
        self.catalog = catalog
        self.files = files
        self.found = Examination(read_form(catalog))
        self.unknown: list[Path] = []
        self.children: dict[Path, dict[str, None]] = {}
        for path in draft.entries:
            for depth in range(len(path)):
                self.children.setdefault(path[:depth], {})[path[depth]] = None

    def run(self) -> Examination:
        self.found.judged += [Judged(p, Severity.REJECT, ()) for p in self.draft.problems]
        self._visit_children((), self.found.form.children)
        self._report_unknown()
        self._derive()
        for finding in judge_together(self.found.values, self.found.given):
            self._report(finding.where, finding.concern, involves=finding.involves)
        return self.found

    def _visit_children(self, path: Path, children: Mapping[str, Shape]) -> None:
        for shape in children.values():
            if isinstance(shape, Question):
                self._ask(shape)
            elif self._is_section(shape.path):
                self._visit(shape)
        self.unknown += [(*path, key) for key in self.children.get(path, ()) if key not in children]

    def _visit(self, shape: Group | Choice) -> None:
        if isinstance(shape, Group):
            self._visit_children(shape.path, shape.children)
            return
        self._ask(shape.mode)
        mode = self.found.values.get(shape.mode.dotted)
        if mode is not None:
            self.found.modes[shape.path] = mode
            variant = shape.variants[mode]
            self._visit_children(shape.path, {"mode": shape.mode, **variant.children})

    def _is_section(self, path: Path) -> bool:
        """Whether what is given here is a mapping or nothing; otherwise it is reported."""
        entry = self.draft.entries.get(path)
        node = entry.node if entry else None
        if node is None or isinstance(node, MapNode):
            return True
        if isinstance(node, ScalarNode) and node.value is None:
            return True
        self.found.failed.add(".".join(path))
        if not isinstance(node, BadNode):
            kind = "a list" if isinstance(node, ListNode) else "a single value"
            concern = Concern(
                "file.type",
                f"{path[-1]} is a section with fields of its own, and {kind} is given",
                f"write the fields of {'.'.join(path)} below it",
            )
            self._report(".".join(path), concern)
        return False

    # one question

    def _ask(self, question: Question) -> None:
        dotted = question.dotted
        if dotted in self.found.values or dotted in self.found.failed:
            return
        if question.rule.takes == "mapping":
            self._ask_mapping(question)
            return
        entry = self.draft.entries.get(question.path)
        below = self.children.get(question.path)
        if entry is None and below:
            self._fail(
                dotted, type_concern(question, "a mapping"), (*question.path, next(iter(below)))
            )
        elif entry is None:
            self._take_default(question)
        else:
            self.found.given.add(dotted)
            self._judge(question, entry)

    def _take_default(self, question: Question) -> None:
        if not question.required:
            self.found.values[question.dotted] = question.default
            return
        concern = Concern(
            "answers.missing",
            f"{question.dotted} is required: {question.help[:1].lower()}{question.help[1:]}",
            f"write it, as {example_of(question)}",
        )
        self._fail(question.dotted, concern)

    def _judge(self, question: Question, entry: Entry) -> None:
        dotted, node = question.dotted, entry.node
        if isinstance(node, BadNode):
            self.found.failed.add(dotted)
            return
        if is_absent(node, question):
            self.found.given.discard(dotted)
            self._take_default(question)
            return
        try:
            raw = raw_of(node, question)
            verdict = question.rule.judge(raw)
            self._probe(question, verdict)
        except FieldError as error:
            for concern in (*error.concerns, *open_secret(node, question, entry)):
                self._fail(dotted, concern)
            return
        self._accept(question, dotted, entry, verdict)

    def _accept(self, question: Question, dotted: str, entry: Entry, verdict: Verdict) -> None:
        if concern := secret_concern(verdict.value, entry):
            if concern.severity is Severity.REJECT:
                self._fail(dotted, concern)
                return
            self._report(dotted, concern)
        for concern in verdict.concerns:
            self._report(dotted, concern)
        self.found.values[dotted] = verdict.value
        written, stored = text_of(entry.node), to_text(verdict.value)
        # a number is the same number however it is spelled
        told = question.rule.takes in {"text", "list"} and not question.rule.private
        if told and written != stored:
            self.found.notes.append(
                Note(dotted, f"{visible(written)} is stored as {visible(stored)}")
            )

    def _probe(self, question: Question, verdict: Verdict) -> None:
        if self.files and question.rule.probe and verdict.value:
            question.rule.probe(verdict.value, self.files(verdict.value))

    # mappings with free keys

    def _ask_mapping(self, question: Question) -> None:
        values: dict[str, Any] = {}
        origin: dict[str, Entry] = {}
        depth = len(question.path)
        entries = {p: e for p, e in self.draft.entries.items() if p[:depth] == question.path}
        if len(entries) > LONGEST_LIST:
            concern = Concern(
                "list.too_long",
                f"there are {len(entries)} entries; at most {LONGEST_LIST} are possible",
                "keep the ones that are needed",
            )
            self._fail(question.dotted, concern)
            return
        for path, entry in sorted(entries.items(), key=lambda item: item[1].source):
            if path == question.path:
                self._judge_whole_mapping(question, entry)
            else:
                self._judge_item(question, path, entry, values, origin)
        if question.dotted not in self.found.failed:
            self.found.values[question.dotted] = dict(sorted(values.items()))
            if entries:
                self.found.given.add(question.dotted)

    def _judge_whole_mapping(self, question: Question, entry: Entry) -> None:
        node = entry.node
        empty = isinstance(node, MapNode) or (isinstance(node, ScalarNode) and node.value is None)
        if isinstance(node, BadNode):
            self.found.failed.add(question.dotted)
        elif not empty:
            concern = Concern(
                "file.type",
                f"{question.dotted} is a mapping of keys to values",
                f"write key: value below {question.dotted}",
            )
            self._fail(question.dotted, concern)

    def _judge_item(
        self,
        question: Question,
        path: Path,
        entry: Entry,
        values: dict[str, Any],
        origin: dict[str, Entry],
    ) -> None:
        rule, node = question.rule, entry.node
        segments = path[len(question.path) :]
        key = rule.join_key(segments) if rule.join_key else ".".join(segments)
        dotted = f"{question.dotted}.{key}"
        if not isinstance(node, ScalarNode):
            if not isinstance(node, BadNode):
                self._fail(dotted, type_concern(question, "a list"), path)
            self.found.failed.add(question.dotted)
            return
        try:
            key = rule.judge_key(key)
            verdict = rule.judge(node.text)
            if key in origin and origin[key].source == entry.source:
                raise FieldError(duplicate_concern(key))
        except FieldError as error:
            for concern in error.concerns:
                self._fail(dotted, concern, path)
            self.found.failed.add(question.dotted)
            return
        if said := secret_concern(verdict.value, entry):
            self._report(dotted, said, path)
        values[key], origin[key] = verdict.value, entry

    # afterwards

    def _derive(self) -> None:
        by_path = self.found.form.questions
        for dotted, value in derive_defaults(self.found.values, self.catalog):
            question = by_path.get(dotted)
            asked = dotted in self.found.values and dotted not in self.found.given
            if question is None or not asked:
                continue
            self.found.values[dotted] = value
            if value and not dotted.startswith("domain."):
                for concern in question.rule.judge(value).concerns:
                    self._report(dotted, concern)

    def _report_unknown(self) -> None:
        known = self.found.form.questions
        for path in self.unknown[:_MOST_UNKNOWN]:
            self._report(show_path(path), unknown_concern(path, known), path)
        if rest := self.unknown[_MOST_UNKNOWN:]:
            concern = Concern(
                "file.unknown_key",
                f"there are {len(rest)} more unknown keys",
                "see which keys exist: devplat-install answers init",
            )
            self._report(show_path(rest[0]), concern, rest[0])

    def _fail(self, dotted: str, concern: Concern, path: Path | None = None) -> None:
        self.found.failed.add(dotted)
        self._report(dotted, concern, path)

    def _report(
        self,
        dotted: str,
        concern: Concern,
        path: Path | None = None,
        involves: tuple[str, ...] = (),
    ) -> None:
        path = path or tuple(dotted.split("."))
        entry = self.draft.entries.get(path)
        # below a field there is nothing, so what is there is blamed and not its value
        of_key = concern.code == "file.unknown_key" or (
            concern.code == "file.type" and ".".join(path) != dotted
        )
        problem = Problem(
            code=concern.code,
            summary=concern.summary,
            remedy=Remedy(concern.remedy),
            where=dotted if concern.index is None else f"{dotted}[{concern.index + 1}]",
            detail=origin_of(entry, path),
            mark=mark_of(entry, concern, self.draft.key_marks.get(path), of_key=of_key),
        )
        self.found.judged.append(Judged(problem, concern.severity, (dotted, *involves)))
