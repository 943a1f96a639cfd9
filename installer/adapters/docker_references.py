"""Image names as Compose files and the engine write them, taken apart and compared.

Pure; knows the grammar of names, not the images.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reference:
    """An image name as Compose files write it, taken apart (distribution reference grammar)."""

    text: str
    registry: str
    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read `[registry/]repository[:tag][@digest]`; without registry it is docker.io."""
        name, _, digest = text.partition("@")
        head, slash, tail = name.rpartition("/")
        last, _, tag = tail.partition(":")
        path = f"{head}{slash}{last}"
        first, slash, rest = path.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, repository = first, rest
        else:
            registry, repository = "docker.io", path
        if registry in ("docker.io", "index.docker.io"):
            registry = "docker.io"
            repository = repository if "/" in repository else f"library/{repository}"
        return cls(text, registry, repository, tag or ("" if digest else "latest"), digest)

    @property
    def key(self) -> str:
        """The full name to find it by in the engine's list: by digest if it has one, or by tag."""
        full = f"{self.registry}/{self.repository}"
        return f"{full}@{self.digest}" if self.digest else f"{full}:{self.tag}"


def find_reference(message: str, references: Iterable[str]) -> Reference | None:
    """Which of the images a message speaks of; the first when it names none."""
    parsed = [Reference.parse(text) for text in references]

    def likeness(reference: Reference) -> int:
        familiar = reference.repository.removeprefix("library/")
        return (
            4 * bool(reference.digest and reference.digest in message)
            + 2 * bool(re.search(rf"(?<![\w.-]){re.escape(familiar)}(?![\w-])", message))
            + (reference.registry in message)
        )

    return max(parsed, key=likeness, default=None)


def find_ids(images: Iterable[Mapping[str, Any]], references: Sequence[str]) -> Mapping[str, str]:
    """The ids of those references that are among the engine's images (`GET /images/json`)."""
    ids: dict[str, str] = {}
    for image in images:
        for name in (*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())):
            ids[Reference.parse(name).key] = str(image["Id"])
    keys = {text: Reference.parse(text).key for text in references}
    return {text: ids[key] for text, key in keys.items() if key in ids}
