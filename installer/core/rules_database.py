"""Preflight rule over a database that is no part of the platform."""

from __future__ import annotations

from collections.abc import Iterator

from installer.core.errors import Problem, Remedy
from installer.core.events import Outcome
from installer.core.facts import HostFacts
from installer.core.requirements import Requirements
from installer.core.rules import Finding, judged, passed, unknown


def judge_database(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """The server is reached from the host, and takes TLS; certificate and login come later."""
    if not needs.database:
        return
    yield from _judge_left_behind(facts, needs)
    where, answer = needs.database.replace("/", ":"), facts.network.database
    if answer is None:
        yield unknown(where, "database.unknown", "whether the database outside is reached")
    elif answer == "S":
        yield passed(where, expected="takes TLS", found="takes TLS")
    elif answer == "N":
        problem = Problem(
            "database.clear_text",
            f"the server {where} takes no TLS",
            Remedy("turn TLS on at the server; on RDS it always is, so the address may be wrong"),
            where="database.url",
        )
        yield judged(Outcome.FAIL, problem, expected="takes TLS", found="clear text only")
    else:
        problem = Problem(
            "database.unreachable",
            f"no database server answers at {where} when the host asks",
            Remedy(
                "see that the name in database.url is known there, and that firewall or security"
                " group of the server let the host in"
            ),
            where="database.url",
        )
        yield judged(Outcome.FAIL, problem, expected="takes TLS", found=answer or "no answer")


def _judge_left_behind(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Data of the database that the platform had would be left unused without a word."""
    left = sorted(
        path
        for path, is_filled in facts.installation.data.items()
        if is_filled and path.partition("/")[0] in needs.replaced
    )
    for path in left:
        problem = Problem(
            "database.left_behind",
            f"{needs.data_dir}/{path} has databases of this platform that the one outside lacks",
            Remedy(
                "make a backup before the change and put its dumps in place afterwards, as"
                ' docs/backup.md says ("A database outside"); then move the directory away, or'
                " waive this with the reason why the data is not needed"
            ),
            where="database.mode",
        )
        yield judged(Outcome.FAIL, problem, expected="no data left behind", found=path)
