"""The checklists as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from installer.core.checklist import Checklist, ItemState, Result, Standing

_WIDTH = max(len(result) for result in Result)


def format_standing(standing: Standing, table: Checklist) -> Iterator[str]:
    """Each list with its items; what is not good says why and what to do."""
    for each in table.lists:
        states = [state for state in standing.items if state.item.list_ == each.id]
        if not states:
            continue
        yield f"{each.id}: {each.title}"
        for state in states:
            yield from format_item(state)
    counts = standing.counts()
    told = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    yield f"items       {told}"
    yield f"result      {standing.exit_code.class_name} ({int(standing.exit_code)})"


def format_item(state: ItemState) -> Iterator[str]:
    """One item; its reason below it, and what to do when it does not stand well."""
    shared = f" (as {state.item.same_as})" if state.item.same_as else ""
    mode = "" if state.item.mode == "automatic" else f" [{state.item.mode}]"
    at = state.checked_at
    checked = f", checked {at:%Y-%m-%d %H:%M} UTC" if at and not shared else ""
    text = f"{state.item.text}{mode}{shared}{checked}"
    yield f"  {state.result:<{_WIDTH}}  {state.item.id}  {text}"
    indent = " " * (_WIDTH + 4)
    if state.why and not shared:
        yield f"{indent}{state.why}"
    if not state.result.is_good and not shared and state.head.remedy:
        yield f"{indent}what to do: {state.head.remedy}"
