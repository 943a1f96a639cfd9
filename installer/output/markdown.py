"""The report as Markdown: the same content as its JSON form, for a ticket or a reviewer."""

from __future__ import annotations

from collections.abc import Iterator

from installer.core.events import CheckResult, Outcome
from installer.core.report import Report
from installer.output.text import count_outcomes

_ORDER = (
    Outcome.FAIL,
    Outcome.UNKNOWN,
    Outcome.WARN,
    Outcome.UNMET,
    Outcome.WAIVED,
    Outcome.PASS,
)


def format_report(report: Report) -> str:
    """The whole report; what needs attention comes first."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# Deployment report: {report.facts['deployment']}"
    yield ""
    yield f"Result: **{report.exit_code.class_name}** (exit status {int(report.exit_code)}); "
    yield f"{'the target was changed' if report.changed else 'no changes'}."
    yield ""
    yield from _table(("fact", "value"), [(k, v) for k, v in report.facts.items()])
    if report.problems:
        yield "## Problems"
        for problem in report.problems:
            yield f"- **{problem.code}** {_cell(problem.where or '')}: {_cell(problem.summary)}"
            yield f"  - what to do: {_cell(problem.remedy.summary)}"
            yield from (f"  - `{command}`" for command in problem.remedy.commands)
        yield ""
    if unmet := [check for check in report.checks if check.outcome is Outcome.UNMET]:
        yield "## Not met"
        yield "What the deployment guide asks for and this installation does not give."
        yield ""
        yield from _table(
            ("guide asks for", "where", "why not", "what would give it"),
            [
                (c.title, c.where or "", c.found, c.problem.remedy.summary if c.problem else "")
                for c in unmet
            ],
        )
    yield "## Checks"
    counts = count_outcomes(report.checks)
    yield ", ".join(f"{number} {name}" for name, number in counts.items())
    yield ""
    rows = sorted(report.checks, key=lambda check: _ORDER.index(check.outcome))
    yield from _table(
        ("outcome", "check", "where", "expected", "found"), [_check_row(c) for c in rows]
    )
    yield "## Steps"
    yield from _table(
        ("step", "outcome", "changed", "seconds"),
        [
            (s.title, s.outcome.value, "yes" if s.changed else "no", f"{s.seconds:.1f}")
            for s in report.steps
        ],
    )
    yield "## Images"
    yield from _table(("service", "image"), list(report.images.items()))
    if report.notes:
        yield "## What you must know"
        yield from (f"- {_cell(note)}" for note in report.notes)
        yield ""
    yield f"Evidence (SHA-256 over everything above, from the JSON form): `{report.evidence}`"


def _check_row(check: CheckResult) -> tuple[str, ...]:
    title = f"{check.id} {check.title}"
    return (check.outcome.value, title, check.where or "", check.expected, check.found)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(_cell(value) for value in row) + " |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
