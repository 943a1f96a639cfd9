"""A proposal and a target's status as lines for people: what would change, where, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from installer.core.deployed import Deployed
from installer.core.events import Outcome
from installer.core.proposal import Proposal, ServerState
from installer.core.unmet import find_unmet
from installer.output.text import describe_check

_SIGNS = {"added": "+", "removed": "-", "changed": "~", "recreated": "~"}


def format_proposal(proposal: Proposal, facts: Mapping[str, str]) -> Iterator[str]:
    """The proposal, attention first, the digest that names it last.

    Args:
        proposal: What would change.
        facts: Of the job; `sizing` and `cost` are shown.
    """
    for finding in proposal.findings:
        if finding.outcome is not Outcome.PASS:
            yield f"! {finding.outcome.value}: {describe_check(finding)}"
    for item in find_unmet(proposal.plan):
        remedy = f"; {item.problem.remedy.summary}" if item.problem else ""
        yield f"! not met, {item.title}: {item.found}{remedy}"
    for change in proposal.deployed.edited:
        yield f"~ edited on the target: {change.path} ({change.kind})"
    if proposal.is_noop:
        yield "no changes"
    for service in proposal.services:
        reasons = f" because of {', '.join(service.reasons)}" if service.reasons else ""
        yield f"{_SIGNS[service.kind]} service {service.service} is {service.kind}{reasons}"
    for file in proposal.files:
        yield f"{_SIGNS[file.kind]} file    {file.path}"
    for name in proposal.new_secrets:
        yield f"+ secret  {name}"
    for line in proposal.host:
        yield f"~ host    {line}"
    yield from _format_state(proposal)
    yield f"sizing  {facts['sizing']}"
    yield f"cost    {facts['cost']}"
    yield f"plan    {proposal.bundle.release}"


def _format_state(proposal: Proposal) -> Iterator[str]:
    if proposal.server not in (None, ServerState.READY):
        yield f"~ the secret server is {proposal.server}; it will be opened"
    if proposal.takes_login:
        yield "+ this machine gets a login of its own to the secret server"
    if proposal.restarts:
        names = ", ".join(proposal.restarts)
        yield f"~ secrets have new values; restarted with them: {names}"
    elif proposal.redeliver and not proposal.new_secrets:
        yield "~ secret files are delivered again"
    if proposal.deployed.release == proposal.bundle.release != proposal.deployed.verified:
        yield "~ the active release is verified and recorded"


def format_status(deployed: Deployed, waiting: Iterable[str] = ()) -> Iterator[str]:
    """What lies on a target, and what of it waits for whom."""
    yield f"release     {deployed.release or 'none'}"
    yield f"verified    {deployed.verified or 'never'}"
    yield f"edited      {len(deployed.edited)} files"
    yield f"secrets     {len(deployed.secrets)} files on {_place(deployed)}"
    if begun := ", ".join(deployed.interrupted):
        yield f"interrupted run {deployed.journal.get('run')} in {begun}; run again"
    for line in waiting:
        yield f"waiting     {line}"


def _place(deployed: Deployed) -> str:
    return "tmpfs" if deployed.secrets_on_tmpfs else "no tmpfs"
