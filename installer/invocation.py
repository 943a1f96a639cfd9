"""One invocation: its arguments, its job, its directory, and who hears of it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from installer import drawing, reading, wiring
from installer.adapters.clock import SystemClock
from installer.adapters.identity import is_gone, make_owner
from installer.core.answers import Answers
from installer.core.answers_choices import TlsFiles
from installer.core.draft import dump
from installer.core.events import Event, Stamped, map_text
from installer.core.redaction import Redactor
from installer.core.secretrefs import SecretSource
from installer.job import Job
from installer.keeping import Kept
from installer.output.jsonl import format_line
from installer.output.text import Narrator
from installer.ports import Host, Ports
from installer.secret_reader import SecretReader
from installer.stacks import load_stacks
from installer.store_access import StoreAccess
from installer.workspace import Workspace, default_root


@dataclass(frozen=True, slots=True)
class Invocation:
    """Everything a command needs besides the ports."""

    args: argparse.Namespace
    job: Job
    workspace: Workspace
    redactor: Redactor
    reader: SecretReader
    access: StoreAccess
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
        reader = SecretReader(redactor, reading.asker(args))
        access = StoreAccess(answers, reader)
        reader.read_from(access.fetchers())
        if not _needs_store(answers):  # opening the ports judges them too, with the store at hand
            wiring.check_provided_files(job, reader)
        if not offline:
            workspace.prepare()
            workspace.save_answers(dump(answers))
        return cls(args, job, workspace, redactor, reader, access, _narrator(args))

    @contextmanager
    def open_ports(self) -> Iterator[Ports]:
        """Open the store and connect to the target; a login made for this run ends with it.

        Raises: as `wiring.open_ports`.
        """
        given = (self.job, self.workspace, self.redactor, self.reader, self.access)
        with closing(self.access), wiring.open_ports(*given) as ports:
            yield ports

    @contextmanager
    def open_target(self) -> Iterator[wiring.Target]:
        """Connect to the target alone; no store is opened.

        Raises: as `wiring.open_target`.
        """
        with closing(self.access), wiring.open_target(self.job, self.reader) as target:
            yield target

    @contextmanager
    def open_kept(self, host: Host | None) -> Iterator[Kept | None]:
        """Open the store alone, if there is one.

        Raises: as `wiring.open_kept`.
        """
        given = (self.job, self.workspace, self.reader, self.access, host)
        with closing(self.access), wiring.open_kept(*given) as kept:
            yield kept

    def over(self, drawn: Job) -> Invocation:
        """The same invocation with another job, whose answers lie in another store's reach."""
        access = StoreAccess(drawn.plan.answers, self.reader)
        self.reader.read_from(access.fetchers())
        return replace(self, job=replace(drawn, redact=self.redactor.redact), access=access)

    def redact_event(self, event: Event) -> Event:
        """The event without a secret."""
        redacted: Event = map_text(event, self.redactor.redact)
        return redacted

    def tell(self, lines: Iterable[str]) -> None:
        """Print results: to standard output, or beside the events' stream when that is there."""
        stream = sys.stderr if self.args.log_format == "json" else sys.stdout
        for line in lines:
            print(self.redactor.redact(line), file=stream)


def _needs_store(answers: Answers) -> bool:
    """Whether the provided certificate files cannot be read without asking a store."""
    tls = answers.tls
    return (
        isinstance(tls, TlsFiles)
        and tls.key_passphrase is not None
        and (tls.key_passphrase.source in (SecretSource.VAULT, SecretSource.AWS))
    )


def _narrator(args: argparse.Namespace) -> Callable[[Stamped], None]:
    if args.log_format == "json":
        return lambda stamped: print(format_line(stamped), flush=True)
    return Narrator(
        lambda line: print(line, file=sys.stderr, flush=True),
        colour=sys.stderr.isatty() and "NO_COLOR" not in os.environ,
        verbose=args.verbose,
        quiet=args.quiet,
    )
