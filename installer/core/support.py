"""What goes into a support bundle: texts without secrets, their hashes, and what was left out.

Every text is redacted by the secrets that are known and by their usual forms, then searched again;
one that still holds a known secret is left out. Nothing here reads a file or a host.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from installer.core.errors import Problem
from installer.core.redaction import MARK, SHORTEST, find_secrets
from installer.core.secrets import Secret

BUNDLE_VERSION = 1
_RANDOM = re.compile(r"[A-Za-z0-9+/=_-]{32,}")
"""A value that was made, and not written by somebody."""
MANIFEST = "MANIFEST.json"
KEPT_STATE = (
    "history.json", "host.json", "journal.json", "lock", "restoring.json", "rollback.json",
    "verified.json",
)  # fmt: skip
"""Files of the state that hold no secret; what else lies there stays there."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that is not in the bundle, and why."""

    path: str
    why: str


@dataclass(slots=True)
class Gathered:
    """What was collected so far: path → text, and what could not be or must not be."""

    texts: dict[str, str] = field(default_factory=dict)
    left: list[LeftOut] = field(default_factory=list)

    def add(self, path: str, text: str) -> None:
        """One more text; an empty one is left out."""
        if text.strip():
            self.texts[path] = text
        else:
            self.leave(path, "nothing was there")

    def leave(self, path: str, why: str) -> None:
        """Say that something is not in the bundle."""
        self.left.append(LeftOut(path, why))


@dataclass(frozen=True, slots=True)
class SupportBundle:
    """The files of a bundle, the manifest among them, below no directory yet."""

    files: Mapping[str, bytes]
    left: tuple[LeftOut, ...]


def describe_failure(problem: Problem) -> str:
    """Why a part could not be collected."""
    return f"{problem.code}: {problem.summary}"


def hide_environment(documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the engine says of containers, without a value of their environment."""
    hidden = []
    for document in documents:
        config = dict(document.get("Config") or {})
        config["Env"] = [f"{str(e).partition('=')[0]}={MARK}" for e in config.get("Env") or ()]
        hidden.append({**document, "Config": config})
    return hidden


def read_health(document: Mapping[str, Any]) -> dict[str, Any]:
    """State and the last health checks of a container."""
    state = dict(document.get("State") or {})
    return {
        "name": str(document.get("Name", "")).lstrip("/"),
        "restarts": document.get("RestartCount"),
        "state": state,
    }


def parts_of_secrets(contents: Mapping[str, str]) -> dict[str, Secret]:
    """Secret files as secrets: each whole, and the password alone where it is a URL's."""
    found: dict[str, Secret] = {}
    for name, text in contents.items():
        value = text.strip()
        if len(value) >= SHORTEST:
            found[name] = Secret(value)
        password = _password_in(value)
        if password and len(password) >= SHORTEST:
            found[f"{name}, password"] = Secret(password)
    return found


def make_bundle(
    gathered: Gathered,
    facts: Mapping[str, str],
    redact: Callable[[str], str],
    secrets: Mapping[str, Secret],
) -> SupportBundle:
    """Redact, search again, and list with hashes.

    Args:
        gathered: What was collected.
        facts: Of the run; the manifest begins with them.
        redact: Hides what is known and what looks like a secret.
        secrets: By name, what must not be found in the result.
    """
    files: dict[str, bytes] = {}
    left = list(gathered.left)
    for path, text in sorted(gathered.texts.items()):
        data = redact(text).encode("utf-8", "replace")
        if form := _held_form(data, secrets):
            left.append(LeftOut(path, f"still held {form} of a known secret"))
        else:
            files[path] = data
    told = tuple(LeftOut(redact(item.path), redact(item.why)) for item in left)
    files[MANIFEST] = _manifest(files, told, {k: redact(v) for k, v in facts.items()})
    return SupportBundle(dict(sorted(files.items())), told)


def _held_form(data: bytes, secrets: Mapping[str, Secret]) -> str | None:
    """In which form a text still holds a secret, if it does.

    Half a value counts where the value is random: half an address or half a name is no secret.
    """
    for hit in find_secrets(data, secrets):
        if "half" not in hit.form or _RANDOM.fullmatch(secrets[hit.name].reveal()):
            return hit.form
    return None


def _manifest(
    files: Mapping[str, bytes], left: Iterable[LeftOut], facts: Mapping[str, str]
) -> bytes:
    document = {
        "version": BUNDLE_VERSION,
        "facts": dict(facts),
        "files": {
            path: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for path, data in files.items()
        },
        "left_out": [{"path": item.path, "why": item.why} for item in left],
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _password_in(text: str) -> str | None:
    if "://" not in text or "\n" in text:
        return None
    try:
        return unquote(urlsplit(text).password or "") or None
    except ValueError:
        return None
