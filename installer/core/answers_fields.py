"""What the sections of the answers are built of: their base class and the fields they share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from installer.core.fields import Rule, check_choice, check_switch
from installer.core.fields_paths import check_local_path, check_target_dir, probe_file
from installer.core.fields_secrets import check_reference, check_secret_text
from installer.core.secretrefs import SecretRef

Switch = Annotated[bool, Rule(check_switch, takes="switch", choices=("true", "false"))]
TargetDir = Annotated[str, Rule(check_target_dir)]
LocalFile = Annotated[str, Rule(check_local_path, probe=probe_file)]
OptionalFile = Annotated[str | None, Rule(check_local_path, probe=probe_file)]
OptionalSecret = Annotated[
    SecretRef | None, Rule(check_reference(check_secret_text), takes="secret", private=True)
]


class Detail:
    """Marks a field that few need: there is one for each service."""


def choice_rule(*choices: str) -> Rule:
    """The rule of a field with a few words to choose from."""
    return Rule(check_choice(*choices), choices=choices)


def about(  # the type of a field is that of its value, as in pydantic's own `Field`
    title: str, help_text: str, *examples: object, default: Any = ...
) -> Any:
    """A field with what screens, the skeleton and the schema say of it."""
    return Field(default, title=title, description=help_text, examples=list(examples) or None)


class Section(BaseModel):
    """Base of every section: unknown keys refused, immutable."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, validate_default=False
    )
