"""The files that a checklist draws on and those that it leaves: reports, statements, packs.

They lie in the run directory, readable by its owner alone. What was altered is refused, not read
past.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from installer.adapters.private_files import (
    exclusive_lock,
    private_directory,
    read_private,
    remove_leftovers,
    replace_private,
)
from installer.core.checklist.evidence import (
    STEP_PREFIX,
    VERIFY_STEP,
    counting,
    is_complete,
)
from installer.core.checklist.patterns import fits, literal_prefix
from installer.core.checklist.statements import Statement, append, format_chain, parse_chain
from installer.core.errors import IntegrityError, LocalIoError, Problem, Remedy
from installer.core.report import Report, parse_document
from installer.core.seals import Form

STATEMENTS = "checklist.jsonl"
_MOST_BYTES = 16 * 1024 * 1024
_MOST_RUNS = 250
"""Runs that are looked through for what a check said last."""


@dataclass(frozen=True, slots=True)
class StatementFile:
    """The statements of a deployment, one JSON object a line."""

    path: Path

    def read(self) -> tuple[Statement, ...]:
        """Every statement that was recorded; none when there is no file yet.

        Raises:
            IntegrityError: one was altered.
            LocalIoError: the file cannot be read, or others may read it.
        """
        if not self.path.exists() and not self.path.is_symlink():
            return ()
        with private_directory(self.path.parent) as directory:
            return self._read(directory)

    def add(self, made: Statement) -> tuple[Statement, ...]:
        """Record one more, after those that are there at that moment; returns all of them.

        Raises:
            IntegrityError: one was altered.
            LocalIoError: the file cannot be written.
            LockedError: somebody else is writing it all the time.
        """
        with (
            private_directory(self.path.parent) as directory,
            exclusive_lock(self.path, directory),
        ):
            remove_leftovers(self.path, directory)
            known = self._read(directory) if self.path.exists() else ()
            chain = append(known, made)
            replace_private(self.path, format_chain(chain).encode(), directory)
            return chain

    def _read(self, directory: int) -> tuple[Statement, ...]:
        data = read_private(self.path, directory, limit=_MOST_BYTES)
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise IntegrityError(_not_text(self.path)) from error
        return parse_chain(text, str(self.path))


def read_reports(root: Path, patterns: Iterable[str], about: tuple[str, str]) -> tuple[Report, ...]:
    """The reports, newest first, that say last what checks of these patterns gave.

    A report that says nothing new is not even parsed: there is one for each run, and a schedule may
    have made thousands.

    Args:
        root: The run directory.
        patterns: Of ids of checks and of steps.
        about: Deployment and target; reports about others are left out.

    Raises:
        IntegrityError: a report that counts was altered.
        LocalIoError: it cannot be read.
    """
    missing = {pattern: _needle(pattern) for pattern in patterns}
    kept: list[Report] = []
    for path in _newest_first(root):
        data = _read_bytes(path)
        if not any(needle in data for needle in missing.values()):
            continue
        report = _parse(data, path)
        if (report.facts.get("deployment"), report.facts.get("target")) != about:
            continue
        found = [pattern for pattern in missing if _says(report, pattern)]
        if found:
            kept.append(report)
        for pattern in found:
            del missing[pattern]
    return tuple(kept)


def last_verified(root: Path, about: tuple[str, str]) -> Report | None:
    """The newest report of a run that verified to its end; None when there is none.

    Raises: as `read_reports`.
    """
    for path in _newest_first(root):
        data = _read_bytes(path)
        if _needle(f"{STEP_PREFIX}{VERIFY_STEP}") + b'"' in data:
            report = _parse(data, path)
            is_about = (report.facts.get("deployment"), report.facts.get("target")) == about
            if is_about and is_complete(report):
                return report
    return None


def write_pack(folder: Path, forms: Sequence[tuple[Form, str]]) -> list[Path]:
    """Write the forms of a pack into a folder, each in one step, for the owner alone.

    Raises:
        LocalIoError: the folder cannot be made or written.
    """
    paths = []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for form, text in forms:
            path = folder / f"evidence.{form}"
            temporary = path.with_name(f".{path.name}.part")
            with suppress(FileNotFoundError):
                temporary.unlink()
            temporary.touch(mode=0o600, exist_ok=False)
            temporary.write_text(text, encoding="utf-8", newline="")
            temporary.replace(path)
            paths.append(path)
    except OSError as error:
        raise LocalIoError(_unwritable(folder, error)) from error
    return paths


def pack_files(names: Iterable[str]) -> Iterator[Path]:
    """The files that are meant: each file itself, and the forms of a pack in each directory.

    Raises:
        LocalIoError: a name is neither, or a directory has no pack.
    """
    for name in names:
        path = Path(name)
        found = [path] if path.is_file() else [path / f"evidence.{form}" for form in Form]
        present = [each for each in found if each.is_file()]
        if not present:
            raise LocalIoError(_no_pack(name))
        yield from present


def read_pack(path: Path) -> bytes:
    """The bytes of one form.

    Raises:
        LocalIoError: it cannot be read.
    """
    return _read_bytes(path)


def _needle(pattern: str) -> bytes:
    """What a report that has such a check, or step, has in its text."""
    prefix = literal_prefix(pattern)
    if prefix.startswith(STEP_PREFIX):
        return f'"step": "{prefix.removeprefix(STEP_PREFIX)}'.encode()
    return f'"id": "{prefix}'.encode()


def _says(report: Report, pattern: str) -> bool:
    return any(fits(id, pattern) for id in {result.id for result in counting(report)})


def _newest_first(root: Path) -> list[Path]:
    runs = sorted((root / "runs").glob("*/report.json"), reverse=True)
    return runs[:_MOST_RUNS]


def _parse(data: bytes, path: Path) -> Report:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise IntegrityError(_not_text(path)) from error
    if not isinstance(document, dict):
        raise IntegrityError(_not_text(path))
    return parse_document(document, str(path))


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LocalIoError(
            Problem(
                "local.unreadable",
                f"{path}: {error.strerror}",
                Remedy("name a file that can be read"),
                where=str(path),
            )
        ) from error


def _not_text(path: Path) -> Problem:
    return Problem(
        "report.altered",
        f"{path} is not as it was written",
        Remedy("restore it from a backup, or move it away and run the checklist again"),
        where=str(path),
    )


def _unwritable(folder: Path, error: OSError) -> Problem:
    return Problem(
        "local.unwritable",
        f"{folder}: {error.strerror}",
        Remedy("name another directory", ("devplat-install report --output DIR",)),
        where=str(folder),
    )


def _no_pack(name: str) -> Problem:
    return Problem(
        "report.no_file",
        f"{name} is no file, and no directory with an evidence pack",
        Remedy("name one of the forms, or the directory that they are in"),
        where="FILE",
    )
