"""What the answers about applications say of each other.

A rule sees the values that were acceptable by themselves and says nothing where one of its values
is missing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from installer.core.answers_findings import AnswersRule, Finding, Values
from installer.core.fields import Concern, visible

_DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
_NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*( *, *[A-Za-z0-9][A-Za-z0-9_.-]*)*")
_LISTS = ("ai_gateway.teams", "ci.organisations")


def _workspace_image_is_pinned(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    image = values.get("workspaces.image")
    if image and not _DIGEST.fullmatch(str(image)):
        concern = Concern(
            "workspaces.image",
            f"{visible(str(image))} does not say which image it is",
            "write it with its digest, as registry.company.com/dev@sha256:…",
        )
        yield Finding("workspaces.image", concern)


def _lists_are_names(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    for path in _LISTS:
        text = values.get(path)
        if text is not None and not _NAMES.fullmatch(str(text).strip()):
            concern = Concern(
                "list.names",
                f"{visible(str(text))} is no list of names",
                "write names of letters, digits, dots, - and _, separated by commas",
            )
            yield Finding(path, concern)


def _provider_has_its_key(values: Values, given: Collection[str]) -> Iterator[Finding]:
    del given
    provider = values.get("ai_gateway.provider")
    if not values.get("ai_gateway.enabled"):
        return
    key = f"ai_gateway.{provider}_key"
    if key in values and values[key] is None:
        concern = Concern(
            "ai.key_missing",
            f"the models of {provider} are the main ones, and there is no key for them",
            f"refer to it in {key}, as env:NAME or file:/path",
        )
        yield Finding(key, concern, ("ai_gateway.provider",))
    pair = ("ai_gateway.bedrock_access_key", "ai_gateway.bedrock_secret_key")
    if all(path in values for path in pair):
        missing = [path for path in pair if values[path] is None]
        if len(missing) == 1:
            concern = Concern(
                "ai.key_half",
                "one half of the key of Amazon Bedrock is given",
                "refer to both halves, or to none, so that the role of the instance is used",
            )
            yield Finding(missing[0], concern, pair)


APPLICATION_RULES: tuple[AnswersRule, ...] = (
    _workspace_image_is_pinned,
    _lists_are_names,
    _provider_has_its_key,
)
