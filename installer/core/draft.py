"""From raw answers to `Answers`: the door that commands and screens use.

`validate` reports every problem at once; `check_field` judges one value the same way, with the same
verdict and code. Nothing here reads a file or a variable: `from_file` and its siblings are given
what was read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import ValidationError

from installer.core.answers import Answers
from installer.core.answers_file import Row, dump, schema, show, skeleton
from installer.core.answers_vault_rules import POSSESSION
from installer.core.catalog import Catalog
from installer.core.errors import AnswersError, InternalError, Problem, Remedy, TlsError
from installer.core.examination import (
    Examination,
    FileProbe,
    Judged,
    Note,
    examine,
)
from installer.core.examination_concerns import SECRET_INLINE
from installer.core.fields import Severity
from installer.core.layers import (
    PREFIX,
    Draft,
    Entry,
    Source,
    from_environment,
    from_file,
    from_flags,
    merge,
)

__all__ = [
    "PREFIX", "Draft", "Entry", "FieldVerdict", "FileProbe", "Note", "Row", "Source", "Validated",
    "check_field", "dump", "from_environment", "from_file", "from_flags", "merge", "schema", "show",
    "skeleton", "validate",
]  # fmt: skip

Verdict = Literal["accept", "normalise", "warn", "reject"]


@dataclass(frozen=True, slots=True)
class Validated:
    """Answers, the warnings that were accepted, and what was stored differently than given."""

    answers: Answers
    warnings: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldVerdict:
    """The judgement of one value: what would be stored, and what is to be said of it."""

    verdict: Verdict
    value: Any = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()


def validate(
    draft: Draft, catalog: Catalog, *, files: FileProbe | None = None, attended: bool = False
) -> Validated:
    """Turn a draft into answers.

    A warning counts as accepted when `waivers` of the answers names its code with a reason.

    Args:
        draft: The merged values.
        catalog: What can be installed.
        files: Looks at a file of this machine; without it, files are taken on trust.
        attended: Somebody will be there when something has to be typed; what would otherwise be a
            warning about that is a note.

    Raises:
        AnswersError: with every problem.
        TlsError: when the only problem is that a challenge cannot prove the names.
    """
    found = examine(draft, catalog, files)
    waivers = found.values.get("waivers") or {}
    problems: list[Problem] = []
    warnings: list[Problem] = []
    notes = list(found.notes)
    for judged in found.judged:
        accepted = judged.problem.code in waivers or judged.problem.code == SECRET_INLINE
        if judged.severity is Severity.WARN and accepted:
            warnings.append(judged.problem)
        elif attended and judged.problem.code == POSSESSION:
            notes.append(Note(judged.involves[0], "a custodian is asked to type a key share back"))
        else:
            problems.append(_with_waiver(judged))
    if problems:
        raise _error(sorted(problems, key=_place))
    return Validated(_make_answers(found), tuple(warnings), tuple(notes))


def check_field(
    draft: Draft,
    catalog: Catalog,
    path: str,
    value: object,
    *,
    files: FileProbe | None = None,
    source: Source = Source.TYPED,
) -> FieldVerdict:
    """Judge one value in the place of what the draft has there; for screens.

    The rest of the draft may be incomplete; only what concerns this field is reported.
    """
    found = examine(draft.set(path, value, source), catalog, files)
    told = (judged for judged in found.judged if judged.problem.code != POSSESSION)
    concerned = [judged for judged in told if _concerns(judged, path)]
    refused = tuple(j.problem for j in concerned if j.severity is Severity.REJECT)
    warned = tuple(j.problem for j in concerned if j.severity is Severity.WARN)
    stored = found.values.get(path)
    notes = tuple(note for note in found.notes if note.where == path)
    if refused:
        return FieldVerdict("reject", None, refused + warned)
    if warned:
        return FieldVerdict("warn", stored, warned, notes)
    return FieldVerdict("normalise" if notes else "accept", stored, (), notes)


def _place(problem: Problem) -> tuple[bool, int, int]:
    """In the order of the file, and what is not in the file last."""
    mark = problem.mark
    return (mark is None, mark.line if mark else 0, mark.column if mark else 0)


def _concerns(judged: Judged, path: str) -> bool:
    return path in judged.involves or any(where.startswith(f"{path}.") for where in judged.involves)


def _with_waiver(judged: Judged) -> Problem:
    problem = judged.problem
    if judged.severity is Severity.REJECT:
        return problem
    line = f'waivers: {{{problem.code}: "your reason"}}'
    return replace(
        problem,
        remedy=Remedy(f"{problem.remedy.summary}; or accept it, in the answers: {line}"),
    )


def _error(problems: list[Problem]) -> AnswersError | TlsError:
    # the acceptance catalogue files an impossible challenge under TLS (F-048)
    if all(problem.code == "acme.wildcard_needs_dns" for problem in problems):
        return TlsError(*problems)
    return AnswersError(*problems)


def _make_answers(found: Examination) -> Answers:
    document = _nest(found)
    for path, mode in found.modes.items():
        place = document
        for segment in path:
            place = place.setdefault(segment, {})
        place["mode"] = mode
    try:
        model: type[Answers] = found.form.model
        return model.model_validate(document)
    except ValidationError as error:
        raise InternalError(
            Problem(
                "answers.model",
                "accepted answers do not make a model: "
                + ", ".join(
                    ".".join(map(str, e["loc"])) for e in error.errors(include_input=False)
                ),
                Remedy("report this as a defect of the installer, with the answers file"),
            )
        ) from error


def _nest(found: Examination) -> dict[str, Any]:
    """Values by path as the nested document that the model is made of."""
    document: dict[str, Any] = {}
    for question in found.form.questions.values():
        if question.dotted not in found.values:
            continue
        place = document
        for segment in question.path[:-1]:
            place = place.setdefault(segment, {})
        place[question.path[-1]] = found.values[question.dotted]
    return document
