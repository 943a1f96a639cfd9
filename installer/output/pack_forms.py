"""The readable forms of an evidence pack: Markdown, and one HTML page that needs nothing else.

Both are made from the document of the pack and say all that it says. Text that came from elsewhere
stays text: what looks like markup in it is shown, not obeyed.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

Document = Mapping[str, Any]
TEMPLATE = "evidence.html.j2"
BAD = ("fail", "not_met", "pending", "stale")
"""Results of items that do not let a checklist end well; a report names them first."""
_OPEN = ("fail", "unknown", "warn", "unmet", "waived")
"""Outcomes of checks that are always shown; passed ones are folded away."""


def format_html(document: Document, template: str) -> str:
    """The page; `template` is the text of `assets/evidence.html.j2`."""
    environment = SandboxedEnvironment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.from_string(template)
    return page.render(pack=document, shown=_OPEN, rows=_rows, signed=signed_line(document))


def format_markdown(document: Document) -> str:
    """The pack as Markdown, for a ticket."""
    return "\n".join(_lines(document)) + "\n"


def _lines(pack: Document) -> Iterator[str]:
    facts, accepted = pack["facts"], pack["accepted"]
    yield f"# Evidence: {_cell(facts['deployment'])} on {_cell(facts['target'])}"
    yield ""
    yield f"Release `{_cell(pack['release'])}`. Verified: **{pack['verified']['class']}**"
    yield f"(exit status {pack['verified']['exit_status']}). Checklist: **{accepted['class']}**"
    yield f"(exit status {accepted['exit_status']})."
    yield ""
    counted = [f"{number} {name}" for name, number in accepted["items"].items() if number]
    yield f"Items: {', '.join(counted)}."
    yield ""
    yield from _areas_summary(pack["areas"])
    yield from _accepted(pack)
    for each in pack["checklist"]:
        yield from _list(each)
    yield from _tables(pack)
    for area in pack["areas"]:
        yield from _area(area)
    yield "## Hashes"
    yield from _table(("part", "SHA-256"), list(pack["parts"].items()))
    yield f"Hash over all evidence: `{pack['evidence']}`"
    yield ""
    yield signed_line(pack)


def signed_line(pack: Document) -> str:
    """Whether the pack is signed, in plain words."""
    if pack["key"]:
        return f"Signed with the Ed25519 key {pack['key']}; the last line has the signature."
    return (
        "Not signed: the hashes find a change by accident, not one by somebody who makes them anew."
    )


def _rows(found: Sequence[Document], names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return [tuple(each[name] for name in names) for each in found]


def _areas_summary(areas: Sequence[Document]) -> Iterator[str]:
    outcomes = ("fail", "unknown", "warn", "unmet", "waived", "pass")
    yield "## Summary"
    rows = [(a["title"], *(str(a["counts"].get(o, "")) for o in outcomes)) for a in areas]
    yield from _table(("area", *outcomes), rows)


def _accepted(pack: Document) -> Iterator[str]:
    taken = [i for each in pack["checklist"] for i in each["items"] if i["until"]]
    yield "## Accepted, until a day"
    rows = [(i["id"], i["text"], i["result"], i["by"], i["until"], i["why"]) for i in taken]
    yield from _table(("item", "text", "result", "by", "until", "why"), rows)
    yield "## Bypassed in the answers, without an end"
    bypasses = [(b["check"], b["title"], b["where"], b["reason"]) for b in pack["bypasses"]]
    yield from _table(("check", "title", "where", "reason"), bypasses)
    yield "## Deviations that services declare"
    deviations = [(b["check"], b["title"], b["where"], b["reason"]) for b in pack["deviations"]]
    yield from _table(("check", "title", "where", "reason"), deviations)
    yield "## Not met of the guide"
    unmet = [(u["title"], u["where"], u["why"], u["remedy"]) for u in pack["unmet"]]
    yield from _table(("guide asks for", "where", "why not", "what would give it"), unmet)


def _list(each: Document) -> Iterator[str]:
    yield f"## {_cell(each['id'])}: {_cell(each['title'])}"
    rows = []
    for i in each["items"]:
        what = f"{i['text']} (as {i['same_as']})" if i["same_as"] else i["text"]
        result = f"**{i['result']}**" if i["result"] in BAD or i["until"] else i["result"]
        why = f"{i['why']}; what to do: {i['remedy']}" if i["remedy"] else i["why"]
        rows.append((i["id"], i["group"], what, i["mode"], result, i["checked_at"], i["by"], why))
    head = ("item", "group", "text", "mode", "result", "checked", "by", "why")
    yield from _table(head, rows)
    for i in each["items"]:
        for seen in i["seen"] if not i["same_as"] else ():
            yield (
                f"- {i['id']}: {seen['results']} results of run {_cell(seen['run'])},"
                f" {seen['at']}, release {_cell(seen['release'])}; digest {i['digest']}"
            )
        for f in i["failing"] if not i["same_as"] else ():
            yield f"  - {f['outcome']} {_cell(f['check'])} {_cell(f['where'])}: {_cell(f['found'])}"
    yield ""


def _tables(pack: Document) -> Iterator[str]:
    yield "## Statements"
    fields = tuple(
        "kind item by account at until note release target product evidence previous hash".split()
    )
    rows = [(*(s[name] for name in fields), ", ".join(s["covers"])) for s in pack["statements"]]
    yield from _table((*fields, "covers"), rows)
    yield "## Facts"
    yield from _table(("fact", "value"), [("pack made", pack["made"]), *pack["facts"].items()])
    yield "## Runs"
    columns = ("run", "ended", "release", "product", "evidence")
    yield from _table(columns, [tuple(run[c] for c in columns) for run in pack["runs"]])
    yield "## Problems"
    for p in pack["problems"]:
        yield f"- **{_cell(p['code'])}** {_cell(p['where'] or '')}: {_cell(p['summary'])}"
        yield f"  - what to do: {_cell(p['remedy']['summary'])}"
        yield from (f"  - {_cell(command)}" for command in p["remedy"]["commands"])
        yield from (f"  - {_cell(line)}" for line in (p["detail"] or "").splitlines())
    yield ""
    yield "## Images"
    yield from _table(("service", "image"), list(pack["images"].items()))
    yield "## Steps"
    steps = _rows(pack["steps"], ("title", "outcome", "changed", "seconds"))
    yield from _table(("step", "outcome", "changed", "seconds"), steps)
    yield "## Notes"
    yield from (f"- {_cell(note)}" for note in pack["notes"])
    yield ""


def _area(area: Document) -> Iterator[str]:
    yield f"## Checks: {_cell(area['title'])}"
    yield ""
    shown = sorted(
        (c for c in area["checks"] if c["outcome"] in _OPEN),
        key=lambda c: _OPEN.index(c["outcome"]),
    )
    passed = [c for c in area["checks"] if c["outcome"] not in _OPEN]
    yield from _checks(shown)
    if passed:
        yield f"<details><summary>{len(passed)} passed</summary>"
        yield ""
        yield from _checks(passed)
        yield "</details>"
        yield ""


def _checks(checks: Sequence[Document]) -> Iterator[str]:
    if checks:
        rows = [
            (c["outcome"], c["id"], c["title"], c["where"] or "", c["expected"], c["found"])
            for c in checks
        ]
        yield from _table(("outcome", "check", "title", "where", "expected", "found"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    if not rows:
        yield "None."
        yield ""
        return
    yield ""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(_cell(value) for value in row) + " |"
    yield ""


def _cell(value: object) -> str:
    """Text of others in a cell: no markup, no second line, no further cell."""
    text = html.escape(" ".join(str(value).split()), quote=False)
    return text.replace("|", "\\|").replace("`", "\\`").replace("[", "\\[")
