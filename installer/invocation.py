"""One invocation: its arguments, its job, its directory, and who hears of it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from installer import drawing, reading, wiring
from installer.adapters.clock import SystemClock
from installer.adapters.identity import is_gone, make_owner
from installer.core.draft import dump
from installer.core.events import Event, Stamped, map_text
from installer.core.redaction import Redactor
from installer.job import Job
from installer.keeping import reference_stores
from installer.output.jsonl import format_line
from installer.output.text import Narrator
from installer.ports import Ports
from installer.secret_reader import SecretReader
from installer.stacks import load_stacks
from installer.workspace import Workspace, default_root


@dataclass(frozen=True, slots=True)
class Invocation:
    """Everything a command needs besides the ports."""

    args: argparse.Namespace
    job: Job
    workspace: Workspace
    redactor: Redactor
    reader: SecretReader
    narrator: Callable[[Stamped], None]

    @classmethod
    def open(cls, args: argparse.Namespace, *, offline: bool = False) -> Invocation:
        """Read and validate the answers, draw up the job, make the run directory.

        Args:
            args: The parsed command line.
            offline: Nothing will be contacted, so no run directory is needed.

        Raises:
            AnswersError: with every problem of the answers.
            TlsError: a provided certificate is unusable.
            StackError: a template or manifest is at fault.
            LocalIoError: the run directory cannot be written.
        """
        now = SystemClock().now()
        stacks = load_stacks()
        answers, warnings = reading.read_answers(args, stacks.catalog)
        owner = make_owner(now)
        root = Path(args.run_dir) if args.run_dir else default_root(answers.deployment.name)
        workspace = Workspace(root, owner.run)
        redactor = Redactor()
        drawn = drawing.draw_up(answers, warnings, stacks, owner, is_gone)
        job = replace(drawn, redact=redactor.redact)
        reader = SecretReader(redactor, may_ask=reading.may_ask(args))
        reader.read_from(reference_stores(answers, reader))
        wiring.check_provided_files(job, reader)
        if not offline:
            workspace.prepare()
            workspace.save_answers(dump(answers))
        return cls(args, job, workspace, redactor, reader, _narrator(args))

    def open_ports(self) -> AbstractContextManager[Ports]:
        """Connect to the target and open the store."""
        return wiring.open_ports(self.job, self.workspace, self.redactor, self.reader)

    def redact_event(self, event: Event) -> Event:
        """The event without a secret."""
        redacted: Event = map_text(event, self.redactor.redact)
        return redacted

    def tell(self, lines: Iterable[str]) -> None:
        """Print results: to standard output, or beside the events' stream when that is there."""
        stream = sys.stderr if self.args.log_format == "json" else sys.stdout
        for line in lines:
            print(self.redactor.redact(line), file=stream)


def _narrator(args: argparse.Namespace) -> Callable[[Stamped], None]:
    if args.log_format == "json":
        return lambda stamped: print(format_line(stamped), flush=True)
    return Narrator(
        lambda line: print(line, file=sys.stderr, flush=True),
        colour=sys.stderr.isatty() and "NO_COLOR" not in os.environ,
        verbose=args.verbose,
        quiet=args.quiet,
    )
