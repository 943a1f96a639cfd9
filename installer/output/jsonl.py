"""One JSON object a line: the machine's view of a run, versioned, with a published schema."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from installer.core.events import (
    EVENTS_VERSION,
    CheckFinished,
    RunFinished,
    Stamped,
    StepFinished,
    StepOutput,
    StepProgress,
    StepStarted,
)

EVENT_TYPES = (StepStarted, StepProgress, StepOutput, StepFinished, CheckFinished, RunFinished)


def type_name(event_type: type) -> str:
    """`StepStarted` → `step_started`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", event_type.__name__).lower()


def to_object(stamped: Stamped) -> dict[str, Any]:
    """The JSON form of an event."""
    head = {
        "v": EVENTS_VERSION,
        "seq": stamped.seq,
        "at": stamped.at,
        "type": type_name(type(stamped.event)),
    }
    return {**head, **asdict(stamped.event)}


def format_line(stamped: Stamped) -> str:
    """The line, without its end."""
    return json.dumps(to_object(stamped), ensure_ascii=False, separators=(",", ":"))


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a line, generated from the event types."""
    definitions: dict[str, Any] = {}
    variants = []
    for event_type in EVENT_TYPES:
        body = TypeAdapter(event_type).json_schema(ref_template="#/$defs/{model}")
        definitions |= body.pop("$defs", {})
        properties = {
            "v": {"const": EVENTS_VERSION},
            "seq": {"type": "integer", "minimum": 1},
            "at": {"type": "string", "format": "date-time"},
            "type": {"const": type_name(event_type)},
            **body["properties"],
        }
        definitions[event_type.__name__] = {
            "type": "object",
            "title": event_type.__name__,
            "description": (event_type.__doc__ or "").strip(),
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
        variants.append({"$ref": f"#/$defs/{event_type.__name__}"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "devplat-install event",
        "oneOf": variants,
        "$defs": dict(sorted(definitions.items())),
    }
