"""Which components Alloy has, with their attributes, blocks and exports: those that the platform
uses and their neighbours. Everything else is refused, and so are references to what is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from alloy_syntax import Block, Reference
from standin import Refused, check_duration


@dataclass(frozen=True)
class Form:
    """Attributes by name (a trailing `!` marks one that is required), blocks, exports."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    blocks: Mapping[str, Form] = field(default_factory=dict)
    exports: Mapping[str, str] = field(default_factory=dict)


HTTP = {"bearer_token_file": "text", "follow_redirects": "bool", "enable_http2": "bool"}
STAGES = {
    "stage.drop": Form({
        "expression": "regex", "source": "text", "value": "text", "longer_than": "text",
        "older_than": "time", "separator": "text", "drop_counter_reason": "text",
    }),
    "stage.regex": Form({"expression!": "regex", "source": "text", "labels_from_groups": "bool"}),
    "stage.json": Form({
        "expressions": "map", "regex": "regex", "source": "text", "drop_malformed": "bool",
    }),
    "stage.replace": Form({"expression!": "regex", "source": "text", "replace": "text"}),
    "stage.labels": Form({"values": "map", "source_type": "text"}),
    "stage.label_keep": Form({"values": "list"}),
    "stage.label_drop": Form({"values": "list"}),
    "stage.static_labels": Form({"values": "map"}),
    "stage.decolorize": Form(),
}  # fmt: skip
RULE = Form({
    "source_labels": "list", "separator": "text", "regex": "regex", "modulus": "number",
    "target_label": "text", "replacement": "text", "action": "text",
})  # fmt: skip
FORMS = {
    "logging": Form({"level": "text", "format": "text", "write_to": "list"}),
    "discovery.docker": Form(
        {"host!": "text", "refresh_interval": "time", "port": "number",
         "match_first_network": "bool", "host_networking_host": "text", **HTTP},
        {"filter": Form({"name!": "text", "values!": "list"})},
        {"targets": "targets"},
    ),
    "discovery.relabel": Form(
        {"targets!": "targets"}, {"rule": RULE}, {"output": "targets", "rules": "rules"}
    ),
    "loki.source.docker": Form({
        "host!": "text", "targets!": "targets", "forward_to!": "receivers", "labels": "map",
        "refresh_interval": "time", "relabel_rules": "rules",
    }),
    "loki.process": Form({"forward_to!": "receivers"}, STAGES, {"receiver": "receiver"}),
    "loki.relabel": Form(
        {"forward_to!": "receivers", "max_cache_size": "number"}, {"rule": RULE},
        {"receiver": "receiver", "rules": "rules"},
    ),
    "loki.write": Form(
        {"external_labels": "map", "max_streams": "number"},
        {"endpoint": Form({
            "url!": "text", "name": "text", "batch_wait": "time", "batch_size": "text",
            "remote_timeout": "time", "headers": "map", "tenant_id": "text",
            "min_backoff_period": "time", "max_backoff_period": "time",
            "max_backoff_retries": "number", "retry_on_http_429": "bool", **HTTP,
        })},
        {"receiver": "receiver"},
    ),
}  # fmt: skip
UNLABELLED = ("logging",)


def check(root: Block) -> None:
    """A whole configuration.

    Raises:
        Refused: Alloy would not load it.
    """
    exports = dict(_exports(root))
    if root.attributes:
        raise Refused(f"unrecognized attribute {next(iter(root.attributes))}")
    seen = set()
    for block in root.blocks:
        form = FORMS.get(block.name)
        if form is None:
            raise Refused(f"cannot find the definition of component name {block.name!r}")
        if bool(block.label) == (block.name in UNLABELLED):
            raise Refused(
                f"{block.name}: component name must have one label, and {UNLABELLED} none"
            )
        if (block.name, block.label) in seen:
            raise Refused(f"component {block.name}.{block.label} already declared")
        seen.add((block.name, block.label))
        _check_block(block, form, exports)


def _exports(root: Block) -> Iterator[tuple[tuple[str, ...], str]]:
    for block in root.blocks:
        for name, kind in FORMS.get(block.name, Form()).exports.items():
            yield (*block.name.split("."), block.label, name), kind


def _check_block(block: Block, form: Form, exports: Mapping[tuple[str, ...], str]) -> None:
    known = {name.rstrip("!"): kind for name, kind in form.attributes.items()}
    for name, value in block.attributes.items():
        if name not in known:
            raise Refused(f"{block.name}: unrecognized attribute name {name!r}")
        if not _fits(value, known[name], exports, f"{block.name}.{name}"):
            raise Refused(f"{block.name}: {name} should be {known[name]}, got {value!r}")
    for name in form.attributes:
        if name.endswith("!") and name[:-1] not in block.attributes:
            raise Refused(f"{block.name}: missing required attribute {name[:-1]!r}")
    for inner in block.blocks:
        if inner.name not in form.blocks:
            raise Refused(f"{block.name}: unrecognized block name {inner.name!r}")
        _check_block(inner, form.blocks[inner.name], exports)


def _fits(value: Any, kind: str, exports: Mapping[tuple[str, ...], str], where: str) -> bool:
    if isinstance(value, Reference):
        if value.path not in exports:
            raise Refused(f"{where}: component {'.'.join(value.path)!r} does not exist")
        return exports[value.path] == kind
    if kind == "receivers":
        return isinstance(value, list) and all(
            isinstance(v, Reference) and _fits(v, "receiver", exports, where) for v in value
        )
    if kind == "regex":
        return isinstance(value, str) and _compiles(value, where)
    if kind == "time":
        check_duration(where, str(value))
        return isinstance(value, str)
    wanted = {"text": str, "bool": bool, "number": int | float, "map": dict, "list": list}.get(kind)
    return wanted is not None and isinstance(value, wanted)


def _compiles(text: str, where: str) -> bool:
    if re.search(r"\(\?(=|!|<=|<!|P=)|\\[1-9]", text):
        raise Refused(f"{where}: RE2 has no look-around and no back-reference: {text!r}")
    try:
        re.compile(text)
    except re.error as error:
        raise Refused(f"{where}: error parsing regexp: {error}") from error
    return True
