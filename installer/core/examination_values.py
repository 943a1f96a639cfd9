"""Nodes as the checks of the fields want them: text, number, switch or list."""

from __future__ import annotations

from installer.core.answers_shape import Question
from installer.core.examination_concerns import example_of, type_concern
from installer.core.fields import Concern, FieldError
from installer.core.yamlfile import ListNode, MapNode, Node, ScalarNode


def is_absent(node: Node, question: Question) -> bool:
    """Whether nothing is said of an optional field, in a form that means so."""
    if not isinstance(node, ScalarNode) or question.required or question.default is not None:
        return False
    return node.value is None or node.value == ""


def raw_of(node: Node, question: Question) -> object:
    """What the field's check is given."""
    rule = question.rule
    if isinstance(node, ScalarNode) and node.value is None:
        raise FieldError(
            Concern(
                "file.null",
                f"{question.dotted} is empty{'; it is required' if question.required else ''}",
                f"write a value, as {example_of(question)}"
                if question.required
                else "write a value, or delete the line for the default",
            )
        )
    if rule.takes == "list":
        return _list_of(node, question)
    if not isinstance(node, ScalarNode):
        kind = "a list" if isinstance(node, ListNode) else "a mapping"
        raise FieldError(type_concern(question, kind))
    return node.value if rule.takes in {"number", "switch"} else node.text


def _list_of(node: Node, question: Question) -> tuple[str, ...]:
    if isinstance(node, ScalarNode):
        return tuple(part for part in (p.strip(" ") for p in node.text.split(",")) if part)
    items: list[str] = []
    for item in node.items if isinstance(node, ListNode) else ():
        if not isinstance(item, ScalarNode) or item.value is None:
            raise FieldError(type_concern(question, "a list of something else than words"))
        items.append(item.text)
    if isinstance(node, MapNode):
        raise FieldError(type_concern(question, "a mapping"))
    return tuple(items)


def text_of(node: Node) -> str:
    """What was written, as text."""
    if isinstance(node, ListNode):
        return ", ".join(item.text for item in node.items if isinstance(item, ScalarNode))
    return node.text if isinstance(node, ScalarNode) else ""
