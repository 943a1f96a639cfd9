"""`SecretRef`: where a secret comes from, instead of the secret.

Forms: `env:NAME`, `file:/path`, `vault:path#key`, `aws:id#key`, `prompt`, `generate`, and
`literal:…` for a value given where nobody else can read it. Nothing here resolves a reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from installer.core.secrets import Secret

SECRET_FORMS = "env:NAME, file:/path, vault:path#key, aws:id#key, prompt or generate"


class SecretSource(StrEnum):
    """Where a secret is read from."""

    ENV = "env"
    FILE = "file"
    VAULT = "vault"
    AWS = "aws"
    PROMPT = "prompt"
    GENERATE = "generate"
    LITERAL = "literal"


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A reference to a secret.

    Attributes:
        source: Where the value is.
        location: Name of the variable, path of the file, path in the store; empty for the others.
        key: Field within what lies there, for `vault` and `aws`.
        value: The secret itself, for `literal` alone; never printed, never written.
    """

    source: SecretSource
    location: str = ""
    key: str = ""
    value: Secret | None = None

    @property
    def scheme(self) -> str:
        """What `adapters.secret_sources` goes by."""
        return self.source.value

    @property
    def target(self) -> str:
        """Where the value is; for `literal` the value itself."""
        if self.value is not None:
            return self.value.reveal()
        return f"{self.location}#{self.key}" if self.key else self.location

    def __str__(self) -> str:
        """The text that `parse_secret_ref` reads back; a literal is written as `prompt`."""
        if self.source is SecretSource.LITERAL:
            return SecretSource.PROMPT.value
        if self.source in {SecretSource.PROMPT, SecretSource.GENERATE}:
            return self.source.value
        return f"{self.source.value}:{self.location}{'#' + self.key if self.key else ''}"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        del source, handler
        return core_schema.is_instance_schema(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        del schema, handler
        return {"type": "string", "description": f"a reference to a secret: {SECRET_FORMS}"}


_FORMS = {
    SecretSource.ENV: re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,127})()", re.ASCII),
    SecretSource.FILE: re.compile(r"((?:/|~/|\./|\.\./)[^\x00-\x1f\x7f]{1,1000})()"),
    SecretSource.VAULT: re.compile(r"([A-Za-z0-9][\w./-]{0,300})#([\w.-]{1,100})", re.ASCII),
    SecretSource.AWS: re.compile(r"([A-Za-z0-9/_+=.@:-]{1,500})(?:#([\w.-]{1,100}))?", re.ASCII),
}
_LIKE_A_FORM = re.compile(r"(env|file|vault|aws):(?=\S)")


def parse_secret_ref(text: str) -> SecretRef | None:
    """The reference that the text is, or None when it is none of the forms.

    Raises:
        ValueError: it begins like a reference and is malformed; the message names the right form
            and holds nothing of the text.
    """
    if text in {SecretSource.PROMPT, SecretSource.GENERATE}:
        return SecretRef(SecretSource(text))
    if text.startswith("literal:"):
        return literal(text.removeprefix("literal:"))
    begins = _LIKE_A_FORM.match(text)
    if not begins:
        return None
    source = SecretSource(begins[1])
    match = _FORMS[source].fullmatch(text[begins.end() :])
    if not match or (".." in match[1].split("/") and source is SecretSource.VAULT):
        raise ValueError(f"a malformed reference; allowed: {SECRET_FORMS}")
    return SecretRef(source, match[1], match[2] or "")


def literal(value: str) -> SecretRef:
    """A reference that holds its value."""
    return SecretRef(SecretSource.LITERAL, value=Secret(value))
