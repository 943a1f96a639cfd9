"""The command line of `checklist`, `report` and `verify`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

Shared = Callable[[Any], Any]
"""Gives a parser the flags that every command has; the same parser comes back."""


def add_checklist_commands(commands: Any, shared: Shared) -> None:
    """Add the three commands to a parser's subcommands."""
    text = "smoke tests and audits of what runs, read-only"
    verify = shared(commands.add_parser("verify", help=text, description=text))
    verify.add_argument(
        "--textfile", metavar="FILE.prom", help="leave metrics for a textfile collector"
    )
    text = "the guide's checklists: what was measured, what was stated, what is open"
    checklist = shared(commands.add_parser("checklist", help=text, description=text))
    checklist.set_defaults(action="show", items=[])
    actions = checklist.add_subparsers(dest="action", metavar="ACTION")
    run = shared(actions.add_parser("run", help="examine the host, verify, then show"))
    _add_items(run)
    _add_signing(run)
    _add_items(shared(actions.add_parser("show", help="how it stands, from the kept reports")))
    attest = shared(actions.add_parser("attest", help="state what only a person can know"))
    _add_statement(attest, ("--note", "TEXT", "what is stated: where, who, when"))
    waive = shared(actions.add_parser("waive", help="accept a failure by name until a day"))
    _add_statement(waive, ("--reason", "TEXT", "why it is acceptable"))
    waive.add_argument("--until", metavar="DATE", required=True, help="its last day: 2027-01-31")
    pack = shared(actions.add_parser("report", help="the same as devplat-install report"))
    _add_pack(pack)
    text = "the evidence pack of the last verification, as JSON, Markdown and HTML"
    report = shared(commands.add_parser("report", help=text, description=text))
    report.set_defaults(action="write")
    _add_pack(report)
    inner = report.add_subparsers(dest="action", metavar="ACTION")
    check = inner.add_parser("check", help="find a changed byte, and compare the signature")
    check.add_argument("files", metavar="FILE", nargs="+", help="forms of a pack, or its directory")
    check.add_argument("--key", metavar="PUB", help="the public key that it must be signed with")


def _add_items(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "items", metavar="ITEM", nargs="*", default=[], help="these items alone, as CK-04"
    )


def _add_statement(parser: argparse.ArgumentParser, words: tuple[str, str, str]) -> None:
    flag, metavar, text = words
    parser.add_argument("item", metavar="ITEM", help="id of an item, as CK-18")
    parser.add_argument("--by", metavar="NAME", required=True, help="who states it")
    parser.add_argument(flag, metavar=metavar, required=True, help=text)


def _add_signing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sign-key", metavar="FILE", help="an Ed25519 private key, OpenSSH or PEM; mode 0600"
    )
    parser.add_argument(
        "--sign-passphrase", metavar="REFERENCE", help="of that key: env:NAME, file:/path, prompt"
    )


def _add_pack(parser: argparse.ArgumentParser) -> None:
    _add_signing(parser)
    parser.add_argument("--output", metavar="DIR", help="where; beside the report if left out")
