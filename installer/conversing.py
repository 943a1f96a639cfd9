"""Holds the conversation with whoever sits at the terminal, and hands over what was answered.

It chooses between screens and numbered lines, keeps every answer, and takes up what an earlier
conversation left. What is done with the answers is `commands.install`, as for a file. What takes
long to load is loaded when it is needed: the first screen does not wait for it.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from installer.core.errors import ExitCode, InstallError, Problem, Remedy, TerminalError
from installer.loading import without_collections

if TYPE_CHECKING:
    from installer.core.interview import Interview
    from installer.stacks import Stacks
    from installer.tui.front import Begun

_WORDLESS = frozenset({"", "dumb", "unknown"})
"""Values of TERM that promise no cursor movement (terminfo(5))."""


def converse(args: argparse.Namespace) -> ExitCode:
    """Ask what is to be asked, then install with everything that was set, in all ways.

    Raises:
        TerminalError: nobody can be asked.
        UsageError: a section that is to be asked about does not exist.
        LocalIoError: answers cannot be kept.
        IntegrityError: those of an earlier conversation are damaged.
    """
    _require_terminal()
    return _in_lines(args) if is_plain(args, os.environ) else _on_screen(args)


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


def _on_screen(args: argparse.Namespace) -> ExitCode:
    from installer.tui.app import InstallerApp

    app = InstallerApp(functools.partial(_begin, args))
    status = app.run()
    if app.refused is not None:
        raise app.refused
    if status is None:
        print("Everything typed is kept; the same command goes on with it.")
    return ExitCode(status or 0)


def _begin(args: argparse.Namespace) -> Begun:
    with without_collections():
        from installer.beginning import begin
        from installer.front import LocalFront
        from installer.tui.front import Begun
    begun = begin(args)
    front = LocalFront(begun.stacks, begun.file, Path(args.run_dir) if args.run_dir else None)
    return Begun(begun.interview, begun.earlier, front)


def _in_lines(args: argparse.Namespace) -> ExitCode:
    from installer import commands
    from installer.beginning import begin
    from installer.plain import Dialogue

    begun = begin(args)
    interview = begun.interview
    if begun.earlier and _wants("An earlier conversation was not finished. Go on with it?"):
        interview = begun.earlier
    dialogue = Dialogue(interview, ask=_ask, tell=print, keep=begun.file.save)
    answered = _settle(dialogue.hold(), begun.stacks)
    begun.file.save(answered)
    args.draft = answered.draft
    status = commands.install(args)
    if status is ExitCode.OK:
        begun.file.remove()
    return status


def _settle(interview: Interview, stacks: Stacks) -> Interview:
    """With what can be found out about the host, where somebody says that it is right.

    Anything else that is wrong with the host is told by the run itself.
    """
    from installer.looking import look_at_host

    try:
        for line in look_at_host(interview, stacks.asset("probe.sh").decode()):
            print(f"  {line}")
    except InstallError as error:
        for problem in error.problems:
            if problem.remedy.answer is None:
                continue
            path, text = problem.remedy.answer
            print(f"  {problem.summary}. {problem.remedy.summary}.")
            if _ask(f"Type yes if {text} is right, to take it as {path}: ").lower() == "yes":
                interview = interview.answer(path, text)
    return interview


def _wants(question: str) -> bool:
    return _ask(f"{question} (Y/n): ").lower() not in {"n", "no"}


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
