"""Reads answers from everywhere they may be set, and has them validated once."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from installer.adapters.questions import SocketQuestions
from installer.adapters.secret_sources import ask_terminal
from installer.core import draft
from installer.core.answers import Answers
from installer.core.catalog import Catalog
from installer.core.errors import LocalIoError, Problem, Remedy
from installer.core.fields import FileFacts


def read_draft(args: argparse.Namespace) -> draft.Draft:
    """Everything that was set: in a conversation, or by file, environment and flags.

    Raises:
        LocalIoError: the file cannot be read.
        AnswersError: it cannot be understood at all.
    """
    if args.draft is not None:
        answered: draft.Draft = args.draft
        return answered
    layers = [draft.from_environment(os.environ), draft.from_flags(args.settings or ())]
    if args.answers:
        path = Path(args.answers)
        try:
            data, mode = path.read_bytes(), path.stat().st_mode & 0o777
        except OSError as error:
            raise LocalIoError(_unreadable(path, error)) from error
        layers.insert(0, draft.from_file(data, str(path), mode))
    return draft.merge(*layers)


def asker(args: argparse.Namespace) -> Callable[[str], str] | None:
    """How somebody is asked: at the terminal, by a watcher of the run; None where nobody is."""
    if args.unattended:
        return None
    if args.ask_socket:
        return SocketQuestions(Path(args.ask_socket))
    return ask_terminal if sys.stdin.isatty() else None


_INSTALLING = frozenset({None, "answers", "apply", "plan"})
"""Commands that install, or say whether these answers would."""


def validate(args: argparse.Namespace, given: draft.Draft, catalog: Catalog) -> draft.Validated:
    """Judge what was set, with a look at the files it names.

    What somebody has to type during an installation is a matter of the commands that install.

    Raises:
        AnswersError: with every problem at once.
    """
    attended = asker(args) is not None or args.command not in _INSTALLING
    return draft.validate(given, catalog, files=probe_file, attended=attended)


def read_answers(args: argparse.Namespace, catalog: Catalog) -> tuple[Answers, tuple[Problem, ...]]:
    """The answers, and the warnings that a recorded waiver accepts.

    Raises: as `read_draft` and `validate`.
    """
    validated = validate(args, read_draft(args), catalog)
    return validated.answers, validated.warnings


def probe_file(path: str) -> FileFacts | None:
    """What can be told of a file of this machine without reading all of it."""
    try:
        found = Path(path).expanduser()
        facts = found.stat()
        is_file = stat.S_ISREG(facts.st_mode)
        head = _head(found) if is_file else b""
    except (OSError, ValueError, RuntimeError):
        return None
    return FileFacts(is_file, stat.S_IMODE(facts.st_mode), head.decode("utf-8", "replace"))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _unreadable(path: Path, error: OSError) -> Problem:
    return Problem(
        "local.unreadable",
        f"the answers file cannot be read: {path}: {error.strerror}",
        Remedy("name a readable file", ("devplat-install answers init > answers.yaml",)),
        where="--answers",
    )
