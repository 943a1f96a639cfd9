"""Preflight: look at the host and at the names from both ends, then judge; read-only.

One exec gathers everything on the host. Nothing is created, changed or removed there but the
probe's own temporary directory and, where an image is there already, one short-lived container.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from installer.core.buckets import BucketSight
from installer.core.checks import judge_host, raise_for
from installer.core.dns_message import CaaRecord
from installer.core.errors import InstallError, PrivilegeError, Problem
from installer.core.events import CheckFinished, CheckResult, Run, StepProgress, span
from installer.core.facts import Addresses, HostFacts
from installer.core.facts_parse import parse_facts
from installer.core.fields_hosts import BASTION
from installer.core.outside import Rehearsal
from installer.core.probe import format_parameters
from installer.core.requirements import Requirements
from installer.core.s3_signature import S3Key
from installer.core.workspace_engines import EngineSight, EngineTrust, parse_engine
from installer.phases.outside import rehearse
from installer.phases.verify_outside import VANTAGE, OutsideAudit, find_addresses
from installer.ports import Command, Completed, DnsProbe, Host, Ports

STEP = "preflight"
TIME_LIMIT_S = 90.0
"""Longer than the script's own limit of 45 s and the printing after it."""


def preflight(
    requirements: Requirements,
    ports: Ports,
    probe_script: str,
    outside: OutsideAudit | None = None,
) -> Run[HostFacts]:
    """Examine the host and its surroundings; every check is told as it is judged.

    Args:
        requirements: What the deployment asks for. An empty `probe_label` is filled in.
        ports: `host`, `resolver` and `clock` are used.
        probe_script: Text of `assets/probe.sh`.
        outside: How ports are tried from the vantage point that the requirements name.

    Raises:
        InstallError: of the first failing class in `checks.CLASSES`, with every problem found.
        SshConnectError: the host was lost.
    """
    label = requirements.probe_label or f"probe-{int(ports.clock.now().timestamp() * 1e6):x}"
    needs = replace(requirements, probe_label=label)
    return (
        yield from span(STEP, "examine the host", _examine(needs, ports, probe_script, outside))
    )


def _examine(
    needs: Requirements, ports: Ports, script: str, outside: OutsideAudit | None
) -> Run[HostFacts]:
    facts = yield from span(
        f"{STEP}.facts", f"look at {ports.host.name}", _gather(needs, ports, script), parent=STEP
    )
    bastion = yield from span(
        f"{STEP}.names", "resolve the public names here", _resolve(needs, ports), parent=STEP
    )
    dns = replace(facts.dns, bastion=bastion, **_ask_servers(needs, ports.dns))
    facts = replace(facts, dns=dns)
    view = _vantage(needs, ports)
    if outside is not None and view is not None:
        seen = yield from span(
            f"{STEP}.outside",
            f"try the ports from {needs.vantage}",
            _rehearse(needs, ports, outside, view, bastion),
            parent=STEP,
        )
        facts = replace(facts, rehearsal=seen)
    facts = replace(facts, buckets=_look_at_buckets(needs, ports))
    facts = replace(facts, workspaces=_look_at_engines(needs, ports))
    results = yield from span(f"{STEP}.checks", "judge", _judge(facts, needs), parent=STEP)
    raise_for(results)
    return facts


def _gather(needs: Requirements, ports: Ports, script: str) -> Run[HostFacts]:
    yield StepProgress(f"{STEP}.facts", 0, None, note=f"asking {ports.host.name}")
    try:
        return _probe(needs, ports, script, privileged=needs.privileged)
    except PrivilegeError as error:
        raise PrivilegeError(*error.problems, *_explain(needs, ports, script)) from error


def _probe(needs: Requirements, ports: Ports, script: str, *, privileged: bool) -> HostFacts:
    sent = ports.clock.now()
    completed = ports.host.run(
        Command(
            script,
            stdin=(format_parameters(_parameters(needs, privileged=privileged)),),
            privileged=privileged,
            timeout_s=TIME_LIMIT_S,
        )
    )
    received = ports.clock.now()
    return parse_facts(_text(completed), ports.host.name, sent=sent, received=received)


def _explain(needs: Requirements, ports: Ports, script: str) -> tuple[Problem, ...]:
    """What the account lacks, by a second look with its own rights."""
    try:
        facts = _probe(needs, ports, script, privileged=False)
    except InstallError:  # the refusal is the news; that no more can be said of it is not
        return ()
    results = judge_host(facts, needs)
    return tuple(r.problem for r in results if r.id == "PF-PRIVILEGE" and r.problem)


def _parameters(needs: Requirements, *, privileged: bool) -> list[tuple[str, str]]:
    parameters = [("install", needs.install_dir), ("data", needs.data_dir)]
    parameters += [("marker", marker) for marker in needs.markers]
    parameters += [("name", name) for name in needs.probed_names]
    parameters += [("image", image) for image in dict.fromkeys(needs.images)]
    parameters += [("sysctl", setting.name) for setting in needs.sysctls]
    if needs.database:
        parameters.append(("database", needs.database))
    if needs.probe_containers:
        parameters.append(("container-dns", "yes"))
    if needs.privileged and not privileged:
        parameters.append(("sudo", "yes"))
    return parameters


def _resolve(needs: Requirements, ports: Ports) -> Run[dict[str, Addresses]]:
    names = needs.probed_names
    found: dict[str, Addresses] = {}
    for done, name in enumerate(names):
        yield StepProgress(f"{STEP}.names", done, len(names), note=name)
        found[name] = ports.resolver.addresses(name)
    return found


def _ask_servers(needs: Requirements, dns: DnsProbe | None) -> dict[str, Any]:
    """What name servers say themselves: of every name, and who may issue certificates for it."""
    if dns is None:
        return {}
    seen = {
        server: {name: dns.addresses(name, server) for name in needs.probed_names}
        for server in needs.resolvers
    }
    issuers: dict[str, tuple[CaaRecord, ...] | None] = {}
    servers = needs.resolvers or dns.servers()
    for name in (*needs.names, *needs.wildcards) if needs.acme_host else ():
        answers = (dns.issuers(name.removeprefix("*."), server) for server in servers)
        issuers[name] = next((found for found in answers if found is not None), None)
    return {"resolvers": seen, "issuers": issuers}


def _vantage(needs: Requirements, ports: Ports) -> Host | None:
    """The place outside that the answers name."""
    if not needs.vantage or not needs.ports:
        return None
    return ports.views.get(BASTION if needs.vantage == BASTION else VANTAGE)


def _rehearse(
    needs: Requirements,
    ports: Ports,
    outside: OutsideAudit,
    view: Host,
    names: dict[str, Addresses],
) -> Run[Rehearsal]:
    """At the addresses that the public names have, else at those of the target."""
    yield StepProgress(f"{STEP}.outside", 0, None, note=needs.vantage)
    public = {a for name in needs.names for a in names.get(name) or ()}
    own = {a for name in outside.addresses for a in find_addresses(name, ports.resolver)}
    doors = [(a, port) for a in sorted(public or own) for port in needs.ports]
    if not doors:
        return Rehearsal(needs.vantage, why="no address of the target is known")
    scripts = (outside.greet, outside.knock)
    nonce = f"devplat-{ports.entropy(16).hex()}"
    return rehearse(scripts, ports.host, view, needs.vantage, doors, nonce)


def _look_at_buckets(needs: Requirements, ports: Ports) -> dict[str, BucketSight]:
    if ports.buckets is None:
        return {}
    return {
        place.consumer: ports.buckets.look(
            place, S3Key(ports.given[place.access_key], ports.given[place.secret_key])
        )
        for place in needs.buckets
    }


def _look_at_engines(needs: Requirements, ports: Ports) -> tuple[EngineSight, ...]:
    wanted, given = needs.workspaces, ports.given
    if ports.engines is None or wanted is None:
        return ()
    trust = EngineTrust(*(given[name] for name in wanted.secrets))
    return tuple(ports.engines.look(parse_engine(url), trust) for url in wanted.urls)


def _judge(facts: HostFacts, needs: Requirements) -> Run[tuple[CheckResult, ...]]:
    results = judge_host(facts, needs)
    for result in results:
        yield CheckFinished(f"{STEP}.checks", result)
    return results


def _text(completed: Completed) -> str:
    return completed.text if completed.stdout else completed.error_text
