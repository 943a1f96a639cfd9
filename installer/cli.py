"""The command line: words and flags, the front end they choose, and the only exit status.

Parsing imports no vendor library, so that `--help` answers at once; each command brings in what it
needs. Results go to standard output, narration to standard error.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from installer import __version__
from installer.checklist_flags import add_checklist_commands
from installer.core.errors import ExitCode, InstallError, Problem, Remedy, UsageError

_SIGNALS = {
    signal.SIGINT: ExitCode.INTERRUPTED_INT,
    signal.SIGTERM: ExitCode.INTERRUPTED_TERM,
    signal.SIGHUP: ExitCode.INTERRUPTED_HUP,
}


class Interrupted(BaseException):
    """A signal asked the run to end; unwinding releases the lock and leaves the journal."""

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__(exit_code.class_name)
        self.exit_code = exit_code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(
            Problem("usage", message, Remedy("see what there is", (f"{self.prog} --help",)))
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status and never raises."""
    previous = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        return int(_dispatch(sys.argv[1:] if argv is None else argv))
    except InstallError as error:
        _show(error.problems, error.exit_code)
        return int(error.exit_code)
    except Interrupted as interrupt:
        print(
            f"{interrupt.exit_code.class_name}: stopped on request; what was done is recorded,"
            " run the same command again to continue",
            file=sys.stderr,
        )
        return int(interrupt.exit_code)
    except BrokenPipeError:
        # whoever read the output has gone; the run itself is over
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog="devplat-install",
        description="Install a hardened developer platform on a host over SSH.",
        epilog="Without a command it asks for everything; for a file to fill in instead:"
        " devplat-install answers init > answers.yaml",
    )
    parser.set_defaults(draft=None)
    parser.add_argument(
        "--plain", action="store_true", help="ask with numbered lines instead of screens"
    )
    parser.add_argument(
        "--ask",
        metavar="SECTION,…",
        help="ask about these sections of the answers only (* for all); the rest runs unattended",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _add_answers_flags(parser)
    _add_output_flags(parser)
    _add_consent_flags(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    _add_answers_commands(commands)
    for name, text in (
        ("preflight", "examine the target, read-only"),
        ("status", "what is deployed, and whether a run holds the lock"),
    ):
        _with_shared(commands.add_parser(name, help=text, description=text))
    render = _with_shared(commands.add_parser("render", help="write the bundle, contact nothing"))
    render.add_argument("--output", metavar="DIR", required=True, help="a new or empty directory")
    plan = _with_shared(commands.add_parser("plan", help="rendered, deployed, running: compared"))
    plan.add_argument(
        "--detailed-exitcode",
        action="store_true",
        help=f"exit {int(ExitCode.CHANGES_PENDING)} when there are changes",
    )
    apply = _with_shared(commands.add_parser("apply", help="carry out the plan and verify"))
    _add_consent_flags(apply)
    apply.add_argument("--plan", metavar="ID", help="refuse unless the plan still has this id")
    _add_secret_commands(commands)
    _add_backup_commands(commands)
    _add_upkeep_commands(commands)
    add_checklist_commands(commands, _with_shared)
    images = commands.add_parser("images", help="the lock file of image digests")
    images_commands = images.add_subparsers(dest="action", metavar="ACTION", required=True)
    lock = _with_shared(images_commands.add_parser("lock", help="resolve tags to digests"))
    lock.add_argument("--output", metavar="FILE", required=True)
    lock.add_argument("--ca-file", metavar="FILE", help="trust this CA for the registries too")
    lock.add_argument(
        "--connect",
        metavar="HOST:PORT",
        help="connect every registry name here (a pull-through cache, a rehearsal registry)",
    )
    events = commands.add_parser("events", help="the event stream's schema")
    events.add_subparsers(dest="action", metavar="ACTION", required=True).add_parser("schema")
    return parser


def _add_answers_commands(commands: argparse._SubParsersAction[_Parser]) -> None:
    answers = commands.add_parser("answers", help="make, check and explain an answers file")
    actions = answers.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("init", help="a commented, complete skeleton")
    _with_shared(actions.add_parser("check", help="every problem at once, with its place"))
    show = actions.add_parser("show", help="effective values and where they come from")
    _with_shared(show).add_argument(
        "--vault-policy",
        action="store_true",
        help="instead, what the owner of the secret store must grant for these answers",
    )
    actions.add_parser("schema", help="JSON Schema of the answers file")


def _add_secret_commands(commands: argparse._SubParsersAction[_Parser]) -> None:
    text = "unseal the platform's secret server, as after a reboot"
    _add_consent_flags(_with_shared(commands.add_parser("unseal", help=text, description=text)))
    text = "new values for secrets, each proven before the old one is given up"
    rotate = _with_shared(commands.add_parser("rotate", help=text, description=text))
    which = rotate.add_mutually_exclusive_group()
    which.add_argument(
        "names", metavar="NAME", nargs="*", default=[], help="of a secret in the store"
    )
    which.add_argument("--all", action="store_true", help="every secret that can be rotated")
    _add_consent_flags(rotate)


def _add_backup_commands(commands: argparse._SubParsersAction[_Parser]) -> None:
    backup = commands.add_parser("backup", help="backups: make one now, list those that count")
    actions = backup.add_subparsers(dest="action", metavar="ACTION", required=True)
    _with_shared(actions.add_parser("now", help="make one, and wait until it is verified"))
    _with_shared(actions.add_parser("list", help="the complete and verified ones"))
    text = "a drill beside the deployment (--into), or, with consent, in its place"
    restore = _with_shared(commands.add_parser("restore", help=text, description=text))
    restore.add_argument(
        "--into", metavar="SCRATCH", help="a name: restore beside, compare, remove all of it"
    )
    restore.add_argument("--backup", metavar="ID", help="of a backup; the newest when left out")
    restore.add_argument("--part", metavar="NAME", help="one part of it only")
    restore.add_argument(
        "--confirm", metavar="NAME", help="the deployment's name, to replace its data"
    )
    _add_consent_flags(restore)


def _add_upkeep_commands(commands: argparse._SubParsersAction[_Parser]) -> None:
    text = "back to the release before, or a named one; data stays as it is"
    back = _with_shared(commands.add_parser("rollback", help=text, description=text))
    back.add_argument("--to", metavar="RELEASE", help="of those listed; the one before if left out")
    back.add_argument("--list", action="store_true", help="the releases, and change nothing")
    back.add_argument(
        "--accept-newer-data",
        action="store_true",
        help="start older programs over data that newer ones may have migrated",
    )
    _add_consent_flags(back)
    text = "remove the platform from its host; data is kept unless --delete-data names it"
    remove = _with_shared(commands.add_parser("uninstall", help=text, description=text))
    data = remove.add_mutually_exclusive_group()
    data.add_argument("--keep-data", action="store_true", help="data and backups stay (default)")
    data.add_argument(
        "--delete-data",
        metavar="NAME",
        nargs="?",
        const="",
        help="the deployment's name: its data, local backups and compose.override.yaml go too",
    )
    remove.add_argument(
        "--images", choices=("keep", "remove"), default="keep", help="of the releases on the host"
    )
    _add_consent_flags(remove)
    text = "state, logs and facts in one archive without secrets, to send to whoever helps"
    bundle = _with_shared(commands.add_parser("support-bundle", help=text, description=text))
    bundle.add_argument("--output", metavar="FILE.tar.gz", help="a new file; one in the run dir")
    bundle.add_argument(
        "--lines", metavar="N", type=int, default=500, help="of each container's log; 500"
    )


def _with_shared(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The global flags, also after the command's name; there they only count when typed."""
    _add_answers_flags(parser, default=argparse.SUPPRESS)
    _add_output_flags(parser, default=argparse.SUPPRESS)
    return parser


def _add_answers_flags(parser: argparse.ArgumentParser, default: object = None) -> None:
    parser.add_argument(
        "--unattended",
        action="store_true",
        default=False if default is None else default,
        help="no prompt exists at all; needs --answers",
    )
    parser.add_argument("--answers", metavar="FILE", default=default, help="answers file")
    parser.add_argument(
        "--set",
        metavar="PATH=VALUE",
        action="append",
        dest="settings",
        default=default,
        help="one answer; wins over file and environment",
    )
    parser.add_argument("--ask-socket", metavar="PATH", default=default, help=argparse.SUPPRESS)
    parser.add_argument(
        "--run-dir", metavar="DIR", default=default, help="where logs, reports and the store lie"
    )


def _add_output_flags(parser: argparse.ArgumentParser, default: object = False) -> None:
    log_format = "text" if default is False else default
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default=log_format,
        help="narration for people on stderr, or one JSON object a line on stdout",
    )
    parser.add_argument("--quiet", action="store_true", default=default, help="problems only")
    parser.add_argument("--verbose", action="store_true", default=default, help="every line")


def _add_consent_flags(parser: argparse.ArgumentParser) -> None:
    # given before or after the command's name, a flag counts
    default = False if parser.prog == "devplat-install" else argparse.SUPPRESS
    parser.add_argument(
        "--yes", action="store_true", default=default, help="consent to the changes shown"
    )
    parser.add_argument(
        "--take-over",
        action="store_true",
        default=default,
        help="take over a lock whose owner gives no sign of life",
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        default=default,
        help="restore a release that was edited on the target; the edited files are kept",
    )


def _dispatch(argv: Sequence[str]) -> ExitCode:
    args = make_parser().parse_args(argv)
    from installer.loading import without_collections

    if args.command is None and not args.unattended:
        from installer import conversing

        return conversing.converse(args)
    with without_collections():
        from installer import commands

    return commands.run(args)


def _show(problems: tuple[Problem, ...], exit_code: ExitCode) -> None:
    from installer.output.text import format_problems

    for line in format_problems(problems, exit_code):
        print(line, file=sys.stderr)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    raise Interrupted(_SIGNALS[signal.Signals(number)])
