"""Holds the conversation with whoever sits at the terminal, and hands over what was answered.

It chooses between screens and numbered lines, keeps every answer, and takes up what an earlier
conversation left. What is done with the answers is `commands.install`, as for a file.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from installer import reading
from installer.core.catalog import Catalog
from installer.core.draft import Draft
from installer.core.errors import ExitCode, Problem, Remedy, TerminalError, UsageError
from installer.core.fields import nearest
from installer.core.interview import Interview
from installer.draft_file import DraftFile
from installer.plain import Dialogue
from installer.stacks import load_stacks
from installer.workspace import state_root

EVERYTHING = "*"
_WORDLESS = frozenset({"", "dumb", "unknown"})
"""Values of TERM that promise no cursor movement (terminfo(5))."""


def converse(
    args: argparse.Namespace, install: Callable[[argparse.Namespace], ExitCode]
) -> ExitCode:
    """Ask what is to be asked, then install with everything that was set, in all ways.

    Raises:
        TerminalError: nobody can be asked.
        UsageError: a section that is to be asked about does not exist.
        LocalIoError: answers cannot be kept.
        IntegrityError: those of an earlier conversation are damaged.
    """
    _require_terminal()
    catalog = load_stacks().catalog
    file = DraftFile(Path(args.run_dir) if args.run_dir else state_root())
    file.prepare()
    interview = Interview(
        reading.read_draft(args),
        catalog,
        reading.probe_file,
        _sections(args, catalog),
    )
    earlier = None if args.answers else file.load(interview)
    if not is_plain(args, os.environ):
        return _on_screen(args, interview, earlier, file)
    if earlier is not None and _wants("An earlier conversation was not finished. Go on with it?"):
        interview = earlier
    dialogue = Dialogue(interview, ask=_ask, tell=print, keep=file.save)
    args.draft = dialogue.hold().draft
    status = install(args)
    if status is ExitCode.OK:
        file.remove()
    return status


def consents(deployment: str) -> bool:
    """Whether the person at the terminal types the deployment's name."""
    return _ask(f"Type {deployment} to carry this out, anything else to leave it: ") == deployment


def is_plain(args: argparse.Namespace, environment: Mapping[str, str]) -> bool:
    """Whether lines are asked for, or the terminal can do nothing else."""
    return bool(args.plain) or environment.get("TERM", "") in _WORDLESS


def _require_terminal() -> None:
    """Somebody has to be there.

    Raises:
        TerminalError: standard input or output is no terminal.
    """
    if sys.stdin.isatty() and sys.stdout.isatty():
        return
    raise TerminalError(
        Problem(
            "terminal.none",
            "there is no terminal to ask anybody at",
            Remedy(
                "run unattended with an answers file",
                (
                    "devplat-install answers init > answers.yaml",
                    "devplat-install --unattended --answers answers.yaml --yes",
                ),
            ),
        )
    )


def _on_screen(
    args: argparse.Namespace, interview: Interview, earlier: Interview | None, file: DraftFile
) -> ExitCode:
    from installer.front import LocalFront  # noqa: PLC0415 - only screens need it
    from installer.tui.app import InstallerApp  # noqa: PLC0415

    run_dir = Path(args.run_dir) if args.run_dir else None
    front = LocalFront(load_stacks(), file, run_dir)
    status = InstallerApp(interview, earlier, front).run()
    if status is None:
        print("Everything typed is kept; the same command goes on with it.")  # noqa: T201
    return ExitCode(status or 0)


def _wants(question: str) -> bool:
    return _ask(f"{question} (Y/n): ").lower() not in {"n", "no"}


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


def _ask(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError as error:
        raise TerminalError(
            Problem(
                "terminal.closed",
                "the terminal was closed before everything was answered",
                Remedy("run the same command again; what was answered is kept"),
            )
        ) from error
