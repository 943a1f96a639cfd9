"""The answers as a tree of questions, read off the model: what can be asked, and how it is judged.

Drafts, screens, the skeleton and the messages use this tree; it holds nothing that the model does
not say. A path is a tuple of segments here and dotted text towards people.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeAlias, get_args, get_origin

from pydantic.fields import FieldInfo

from installer.core.answers import FORMAT_VERSION, Answers, answers_model
from installer.core.answers_fields import Detail, Section
from installer.core.catalog import Catalog
from installer.core.fields import Rule, Verdict, check_choice, reject, visible

Path: TypeAlias = tuple[str, ...]
When: TypeAlias = tuple[Path, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Question:
    """One field.

    Attributes:
        path: Where it is in the answers.
        dotted: The path for people.
        rule: How a value is judged.
        required: It has no default.
        default: Its default, in stored form; None also where the default is derived.
        title: A few words for a screen.
        help: One sentence.
        examples: Values that would be accepted, in shape.
        when: The choice that makes it exist: path of the mode, and the values that do.
        is_detail: Few need it; there is one for each service.
    """

    path: Path
    dotted: str
    rule: Rule
    required: bool
    default: Any
    title: str
    help: str
    examples: tuple[Any, ...] = ()
    when: When | None = None
    is_detail: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A section, or one alternative of it; `children` in the order of the model."""

    path: Path
    title: str
    children: Mapping[str, Question | Group]


@dataclass(frozen=True, slots=True)
class Choice:
    """A section that exists in alternatives, told apart by `mode`."""

    path: Path
    title: str
    mode: Question
    variants: Mapping[str, Group]


Shape: TypeAlias = Question | Group | Choice


@dataclass(frozen=True, slots=True)
class Form:
    """Everything that can be answered, for one catalog; `questions` by dotted path, in order."""

    model: type[Answers]
    children: Mapping[str, Shape]
    questions: Mapping[str, Question]


def read_form(catalog: Catalog) -> Form:
    """The form of a catalog."""
    return _read_form(answers_model(catalog))


@functools.lru_cache(maxsize=8)
def _read_form(model: type[Answers]) -> Form:
    children = _children(model, (), None)
    questions: dict[str, Question] = {}
    for question in _questions(children):
        questions[question.dotted] = _together(questions.get(question.dotted), question)
    return Form(model, children, questions)


def _together(seen: Question | None, question: Question) -> Question:
    """One question of several alternatives, as the first of them puts it."""
    if seen is None or seen.when is None or question.when is None:
        return seen or question
    path, modes = seen.when
    return replace(seen, when=(path, modes + question.when[1]))


def _questions(children: Mapping[str, Shape]) -> Iterator[Question]:
    """Every question of every alternative, in order."""
    pending: list[Shape] = list(reversed(tuple(children.values())))
    while pending:
        shape = pending.pop()
        if isinstance(shape, Question):
            yield shape
        elif isinstance(shape, Group):
            pending += reversed(tuple(shape.children.values()))
        else:
            yield shape.mode
            pending += reversed(tuple(shape.variants.values()))


def _children(model: type[Section], path: Path, when: When | None) -> dict[str, Any]:
    children: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        key = info.alias or name
        if key != "mode":
            children[key] = _shape((*path, key), info, when)
    return children


def _shape(path: Path, info: FieldInfo, when: When | None) -> Shape:
    rule = next((mark for mark in info.metadata if isinstance(mark, Rule)), None)
    if path == ("version",):
        rule = Rule(check_version, takes="number")
    if rule:
        default = None if info.is_required() else info.get_default(call_default_factory=True)
        return Question(
            path=path,
            dotted=".".join(path),
            rule=rule,
            required=info.is_required(),
            default=default,
            title=info.title or path[-1],
            help=info.description or "",
            examples=tuple(info.examples or ()),
            when=when,
            is_detail=any(isinstance(mark, Detail) for mark in info.metadata),
        )
    models = _section_models(info.annotation)
    title = (info.description or models[0].__doc__ or path[-1]).strip().split("\n")[0]
    if info.discriminator is None:
        return Group(path, title, _children(models[0], path, when))
    return _choice(path, info, models)


def _choice(path: Path, info: FieldInfo, models: tuple[type[Section], ...]) -> Choice:
    by_mode = {get_args(model.model_fields["mode"].annotation)[0]: model for model in models}
    default = info.get_default()
    described = "; ".join(
        f"{mode}: {(model.__doc__ or '').strip().rstrip('.').split(chr(10))[0]}"
        for mode, model in by_mode.items()
    )
    mode_path = (*path, "mode")
    mode = Question(
        path=mode_path,
        dotted=".".join(mode_path),
        rule=Rule(check_choice(*by_mode), choices=tuple(by_mode)),
        required=False,
        default=default.mode,
        title="Mode",
        help=f"{described}.",
    )
    shared = set.intersection(*(set(model.model_fields) for model in models))
    variants = {}
    for name, model in by_mode.items():
        children = _children(model, path, (mode_path, (name,)))
        everywhere = _children(model, path, None)
        children |= {key: everywhere[key] for key in shared if key in everywhere}
        variants[name] = Group(path, (model.__doc__ or "").strip(), children)
    return Choice(path, info.description or path[-1], mode, variants)


def _section_models(annotation: object) -> tuple[type[Section], ...]:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    members = get_args(annotation) or (annotation,)
    return tuple(m for m in members if isinstance(m, type) and issubclass(m, Section))


def check_version(raw: object) -> Verdict:
    """The format of the answers file; this release reads one."""
    if isinstance(raw, bool) or str(raw).strip(" ") != str(FORMAT_VERSION):
        raise reject(
            "file.version",
            f"{visible(raw)} is no format that this release reads; it reads {FORMAT_VERSION}",
            f"write version: {FORMAT_VERSION}, or use the release that wrote the file",
        )
    return Verdict(FORMAT_VERSION)
