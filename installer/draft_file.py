"""Answers of an unfinished conversation, kept after every one, so that nothing typed is lost.

The file holds texts as they were typed, acceptable or not, and references to secrets. A text that
was typed where a reference belongs could be a secret itself and is never written.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from installer.core.errors import IntegrityError, LocalIoError, Problem, Remedy
from installer.core.interview import Interview

FORMAT = 1
_NAME = "draft.json"


@dataclass(frozen=True, slots=True)
class DraftFile:
    """The file in one directory."""

    folder: Path

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.folder / _NAME

    def prepare(self) -> None:
        """Find out before any question is asked whether answers can be kept.

        Raises:
            LocalIoError: they cannot.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(b"\0")
        except OSError as error:
            raise LocalIoError(_unwritable(self.folder, error)) from error

    def load(self, interview: Interview) -> Interview | None:
        """The conversation with what was typed before; None when there is nothing.

        Raises:
            IntegrityError: the file is damaged or of another release; it is kept aside.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            if isinstance(error, FileNotFoundError):
                return None
            raise self._damaged(str(error)) from error
        try:
            document = json.loads(text)
            answers = document["answers"]
            if document["format"] != FORMAT or not isinstance(answers, dict):
                raise ValueError(f"its format is not {FORMAT}")
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(str(error)) from error
        for path, typed in answers.items():
            if path in interview.form.questions:
                interview = interview.answer(path, str(typed))
        return interview if answers else None

    def save(self, interview: Interview) -> None:
        """Keep what was typed; durable before it returns.

        Raises:
            LocalIoError: it cannot be written.
        """
        document = {"format": FORMAT, "answers": _texts(interview)}
        try:
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=f".{_NAME}.")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except OSError as error:
            raise LocalIoError(_unwritable(self.path, error)) from error

    def remove(self) -> None:
        """The conversation has come to its end."""
        self.path.unlink(missing_ok=True)

    def _damaged(self, why: str) -> IntegrityError:
        kept = self.path.with_name(f"{_NAME}.damaged")
        number = 1
        while kept.exists():
            number += 1
            kept = self.path.with_name(f"{_NAME}.damaged-{number}")
        self.path.replace(kept)
        return IntegrityError(
            Problem(
                "draft.damaged",
                f"the answers of an unfinished conversation cannot be read: {why}",
                Remedy(f"they are kept as {kept}; start again, and nothing is taken from them"),
                where=str(self.path),
            )
        )


def _texts(interview: Interview) -> dict[str, str]:
    """Answer path → what was typed, without what could be a secret."""
    items = (interview.item(path) for path in interview.form.questions)
    return {
        item.path: item.text
        for item in items
        if item.text and not (item.question.rule.private and item.refusals)
    }


def _unwritable(path: Path, error: OSError) -> Problem:
    return Problem(
        "local.unwritable",
        f"answers cannot be kept: {path}: {error.strerror}",
        Remedy("make it writable or choose another one", ("devplat-install --run-dir DIR",)),
        where=str(path),
    )
