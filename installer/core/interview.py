"""The questions as a conversation: which steps there are, what each asks now, what was answered.

Screens and numbered lines are two ways to hold the same conversation; they keep an `Interview` and
show its items. Nothing here judges a value itself: that is `examination`, for a file as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from installer.core.answers_shape import Form, Question
from installer.core.answers_vault_rules import POSSESSION
from installer.core.catalog import Catalog
from installer.core.draft import Validated, validate
from installer.core.errors import Problem
from installer.core.examination import Examination, FileProbe, Judged, Note, examine
from installer.core.examination_values import text_of
from installer.core.fields import Severity, to_text
from installer.core.layers import Draft, Entry, Source
from installer.core.secretrefs import SecretRef

DERIVED = frozenset({"version"})
"""Answers that nobody is asked for: this release writes one format."""
OTHERS = "*"
"""Stands in one step's sections for every section that no other step names."""


@dataclass(frozen=True, slots=True)
class InterviewStep:
    """One step: its sections of the answers, in order, and why a platform needs them answered."""

    name: str
    title: str
    sections: tuple[str, ...]
    why: str


STEPS = (
    InterviewStep(
        "target",
        "Target",
        ("deployment", "ssh", "target", "host", "network", "timezone", "labels"),
        "Everything runs on one host that is reached over SSH; its host key is always verified. One"
        " host carries about 50 people (guide 5.1); beyond that it goes to Kubernetes or AWS.",
    ),
    InterviewStep(
        "domain",
        "Domain",
        ("domain",),
        "Each service has a public name of its own, and workspace apps have one below a wildcard,"
        " so that an app cannot read the cookies of another (guide 2.3).",
    ),
    InterviewStep(
        "tls",
        "TLS",
        ("tls",),
        "TLS 1.2 and 1.3 only, with certificates that browsers trust (guide 3.1). A wildcard name"
        " can be proven over DNS only.",
    ),
    InterviewStep(
        "identity",
        "Identity and MFA",
        ("admin", "identity", "mfa"),
        "People log in once, with a second factor, and every service takes their word from the"
        " identity provider (guide 3.3).",
    ),
    InterviewStep(
        "secrets",
        "Secrets and Vault",
        ("vault",),
        "Every secret is generated into a secret server and read from nowhere else (guide 3.2). Its"
        " keys are shared among custodians, so that no single person can open it.",
    ),
    InterviewStep(
        "sizing",
        "Sizing",
        ("sizing",),
        "Limits of memory and processors keep one service from starving the others (guide 2.1,"
        " 3.5). What is asked for is compared with what the host has.",
    ),
    InterviewStep(
        "services",
        "Services and AI",
        ("database", "storage", OTHERS, "registry", "images"),
        "What is not installed needs no care. Images are pinned by digest, so that a platform is"
        " the same tomorrow.",
    ),
    InterviewStep(
        "monitoring",
        "Monitoring and alerts",
        ("monitoring",),
        "An alert that reaches nobody is none: name at least one receiver (guide 7.3).",
    ),
    InterviewStep(
        "backup",
        "Backup",
        ("backup",),
        "A backup counts when it was restored once (guide 8.2). It is kept encrypted, away from"
        " this host.",
    ),
    InterviewStep(
        "waivers",
        "Accepted risks",
        ("waivers",),
        "What is accepted against advice is written down with its reason, and every report shows"
        " it.",
    ),
)


@dataclass(frozen=True, slots=True)
class Item:
    """One question as it stands.

    Attributes:
        text: What was answered, as it would be typed; empty when nothing was.
        default: What counts while nothing is answered, as text.
        source: Where the answer came from.
        refusals: Why it cannot be taken.
        warnings: What has to be accepted with a reason before it counts.
        notes: How it will be stored, where that differs.
    """

    question: Question
    text: str
    default: str
    source: Source
    refusals: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def path(self) -> str:
        """Its answer path."""
        return self.question.dotted

    @property
    def is_settled(self) -> bool:
        """Whether it stands in nobody's way: nothing to refuse, nothing left to be accepted."""
        return not self.refusals and not self.warnings


@dataclass(frozen=True)
class Interview:
    """What has been answered so far; immutable, so that going back is keeping an earlier one.

    `sections`, when given, are the only ones that are asked about.
    """

    draft: Draft
    catalog: Catalog
    files: FileProbe | None = None
    sections: frozenset[str] | None = None

    def answer(self, path: str, text: str) -> Interview:
        """With one answer as it was typed; an empty text takes the answer back."""
        question = self.form.questions[path]
        entries = {
            key: entry
            for key, entry in self.draft.entries.items()
            if key[: len(question.path)] != question.path
        }
        cleared = replace(self.draft, entries=entries)
        if question.rule.takes == "mapping":
            return replace(self, draft=_with_pairs(cleared, path, text))
        if not text.strip():
            return replace(self, draft=cleared)
        return replace(self, draft=cleared.set(path, text))

    def items(self, step: InterviewStep) -> tuple[Item, ...]:
        """What a step asks, given the answers so far."""
        return tuple(
            self._item(question)
            for question in self._questions[step.name]
            if self._is_asked(question)
        )

    def item(self, path: str) -> Item:
        """One question as it stands."""
        return self._item(self.form.questions[path])

    def is_settled(self, step: InterviewStep) -> bool:
        """Whether nothing of a step is in the way."""
        return all(item.is_settled for item in self.items(step))

    @property
    def steps(self) -> tuple[InterviewStep, ...]:
        """The steps that ask something."""
        return tuple(step for step in STEPS if self.items(step))

    @property
    def open_warnings(self) -> tuple[Problem, ...]:
        """What would have to be accepted with a reason, each code once."""
        waived = self.found.values.get("waivers") or {}
        told = {
            judged.problem.code: judged.problem
            for judged in self._told
            if judged.severity is Severity.WARN and judged.problem.code not in waived
        }
        return tuple(told.values())

    def validate(self, *, attended: bool) -> Validated:
        """The answers.

        Raises:
            AnswersError, TlsError: with everything that is in the way.
        """
        return validate(self.draft, self.catalog, files=self.files, attended=attended)

    @property
    def form(self) -> Form:
        """Everything that can be asked."""
        return self.found.form

    @cached_property
    def found(self) -> Examination:
        """The judgement of everything as it stands."""
        return examine(self.draft, self.catalog, self.files)

    @property
    def _told(self) -> tuple[Judged, ...]:
        """Whoever holds a conversation can also be asked to prove a key share."""
        return tuple(j for j in self.found.judged if j.problem.code != POSSESSION)

    @cached_property
    def _judged(self) -> Mapping[str, list[Judged]]:
        by_path: dict[str, list[Judged]] = {}
        for judged in self._told:
            by_path.setdefault((judged.problem.where or "").partition("[")[0], []).append(judged)
        return by_path

    @cached_property
    def _questions(self) -> Mapping[str, tuple[Question, ...]]:
        return questions_of(self.form)

    def _is_asked(self, question: Question) -> bool:
        if self.sections is not None and question.path[0] not in self.sections:
            return False
        if question.when is None:
            return True
        path, modes = question.when
        return self.found.modes.get(path[:-1]) in modes

    def _item(self, question: Question) -> Item:
        told = list(self._judged.get(question.dotted, ()))
        if question.rule.takes == "mapping":
            below = f"{question.dotted}."
            told += [j for path, js in self._judged.items() if path.startswith(below) for j in js]
        waived = self.found.values.get("waivers") or {}
        return Item(
            question=question,
            text=self._text_of(question),
            default=self._default_of(question),
            source=self.draft.source_of(question.dotted),
            refusals=tuple(j.problem for j in told if j.severity is Severity.REJECT),
            warnings=tuple(
                j.problem
                for j in told
                if j.severity is Severity.WARN and j.problem.code not in waived
            ),
            notes=tuple(note for note in self.found.notes if note.where == question.dotted),
        )

    def _text_of(self, question: Question) -> str:
        if question.rule.takes == "mapping":
            return _pairs_text(self.draft, question)
        entry = self.draft.entries.get(question.path)
        return _entry_text(entry) if entry else ""

    def _default_of(self, question: Question) -> str:
        if question.dotted in self.found.given:
            return _value_text(question.default)
        return _value_text(self.found.values.get(question.dotted, question.default))


def questions_of(form: Form) -> Mapping[str, tuple[Question, ...]]:
    """Step → its questions in order; each question that is asked is in exactly one."""
    named = {section for step in STEPS for section in step.sections}
    groups: dict[str, list[Question]] = {}
    for question in form.questions.values():
        if question.dotted not in DERIVED:
            section = question.path[0]
            groups.setdefault(section if section in named else OTHERS, []).append(question)
    return {
        step.name: tuple(q for section in step.sections for q in groups.get(section, ()))
        for step in STEPS
    }


def _with_pairs(draft: Draft, path: str, text: str) -> Draft:
    """Lines of `key: value` as entries; what is no pair is kept, so that it can be refused."""
    for line in filter(str.strip, text.replace(";", "\n").splitlines()):
        key, colon, value = line.partition(":")
        if not colon or not key.strip():
            return draft.set(path, text)
        draft = draft.set(f"{path}.{key.strip()}", value.strip())
    return draft


def _pairs_text(draft: Draft, question: Question) -> str:
    depth = len(question.path)
    lines = []
    for key, entry in draft.entries.items():
        if key == question.path:
            lines.append(_entry_text(entry))
        elif key[:depth] == question.path:
            join: Callable[[Any], str] = question.rule.join_key or ".".join
            lines.append(f"{join(key[depth:])}: {_entry_text(entry)}")
    return "\n".join(lines)


def _entry_text(entry: Entry) -> str:
    return text_of(entry.node)


def _value_text(value: object) -> str:
    if isinstance(value, SecretRef):
        return str(value)
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_value_text(item)}" for key, item in value.items())
    return to_text(value)
