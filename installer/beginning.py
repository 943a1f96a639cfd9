"""What a conversation begins with: the answers so far, those of last time, where they are kept."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from installer import reading
from installer.core.catalog import Catalog
from installer.core.errors import Problem, Remedy, UsageError
from installer.core.fields import nearest
from installer.core.interview import Interview
from installer.core.layers import Draft
from installer.draft_file import DraftFile
from installer.stacks import Stacks, load_stacks
from installer.workspace import state_root

EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Beginning:
    """`interview` has the answers of file, environment and flags; `earlier` was left unfinished."""

    interview: Interview
    earlier: Interview | None
    file: DraftFile
    stacks: Stacks


def begin(args: argparse.Namespace) -> Beginning:
    """Read what there is.

    Raises:
        UsageError: a section that is to be asked about does not exist.
        LocalIoError: answers cannot be kept.
        IntegrityError: those of an earlier conversation are damaged.
    """
    stacks = load_stacks()
    file = DraftFile(Path(args.run_dir) if args.run_dir else state_root())
    file.prepare()
    sections = _sections(args, stacks.catalog)
    interview = Interview(reading.read_draft(args), stacks.catalog, reading.probe_file, sections)
    earlier = None if args.answers else file.load(interview)
    return Beginning(interview, earlier, file, stacks)


def _sections(args: argparse.Namespace, catalog: Catalog) -> frozenset[str] | None:
    """The sections named by `--ask`; None for all of them."""
    named = tuple(filter(None, (part.strip() for part in (args.ask or "").split(","))))
    if not named or EVERYTHING in named:
        return None
    known = sorted({path.partition(".")[0] for path in Interview(Draft(), catalog).form.questions})
    unknown = [name for name in named if name not in known]
    if unknown:
        near = nearest(unknown[0], known)
        raise UsageError(
            Problem(
                "usage.ask",
                f"--ask names {unknown[0]!r}, which is no section of the answers",
                Remedy(f"write {near!r}" if near else f"one of: {', '.join(known)}"),
            )
        )
    return frozenset(named)
