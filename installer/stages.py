"""Which steps make up an apply and an unsealing, in order; each is asked for when its turn comes.

Later steps are made of what earlier ones brought about: with a secret server of its own the
platform has no secret before that server is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from installer.core.events import Run
from installer.core.proposal import Proposal, ServerState
from installer.core.secrets import Secret
from installer.core.store_rules import make_store_rules
from installer.job import Job
from installer.phases import (
    authority,
    bootstrap,
    ceremony,
    conflicts,
    deliver,
    launch,
    rotation,
    ship,
)
from installer.phases.agents import Agents, agent_steps, give_logins, login_step
from installer.phases.server import Server
from installer.phases.steps import Step, relay
from installer.phases.unsealing import refuse_unopenable, unseal_step
from installer.ports import Ports


def apply_steps(job: Job, proposal: Proposal, ports: Ports) -> Iterator[Step]:
    """Every change of the target."""
    plan, layout, bundle = job.plan, job.layout, job.bundle
    host, engine = ports.host, ports.engine
    project = launch.active_project(plan, layout)
    if ports.server is None:
        yield deliver.ensure_step(plan, ports)
    else:
        refuse_unopenable(_server(job, ports), proposal)
    yield ship.release_step(host, layout, bundle)
    yield ship.override_step(host, layout)
    yield ship.data_step(host, layout, deliver.data_directories(plan))
    if ports.server is None:
        yield ship.secrets_step(host, layout, deliver.secret_files(plan, _values(job, ports)))
    yield launch.pull_step(engine, plan, layout, bundle)
    yield launch.activate_step(host, engine, project, bundle, proposal.deployed.verified)
    if ports.server is not None:
        yield from _server_steps(job, proposal, ports)
    secrets = _values(job, ports)
    first, every = launch.waves(plan)
    yield launch.up_step(
        engine, project, bundle, first, id="launch.data", title="start the data services"
    )
    yield from bootstrap.database_steps(engine, project, plan, secrets, ports.entropy)
    yield launch.up_step(engine, project, bundle, every, id="launch.all", title="start everything")
    yield from bootstrap.exec_steps(engine, project, plan, secrets)


def unseal_steps(job: Job, ports: Ports) -> Iterator[Step]:
    """What a reboot takes away: the server is opened, agents log in, services come up."""
    opened = _server(job, ports)
    agents = replace(_agents(job, ports), bundle=None)
    yield unseal_step(opened)
    opened.log_in()
    yield login_step(agents)
    yield launch.wake_step(ports.engine, agents.project, job.plan.services)


def rotate_steps(job: Job, ports: Ports, names: Sequence[str]) -> Iterator[Step]:
    """New values for these secrets, or for all that can have one.

    Raises:
        UsageError, ConflictError: a name is none, or its secret cannot be replaced.
    """
    plan = job.plan
    chosen = rotation.choose_secrets(plan, tuple(names))
    if ports.server is not None:
        opened = _server(job, ports)
        yield unseal_step(opened)
        opened.log_in()
    work = rotation.Rotation(
        plan=plan,
        project=launch.active_project(plan, job.layout),
        engine=ports.engine,
        store=ports.secrets,
        entropy=ports.entropy,
        names=chosen,
        deliver=lambda: _redeliver(job, ports, work),
        digests=lambda paths: deliver.read_digests(plan, job.layout, ports, paths),
    )
    yield from rotation.rotation_steps(work)


def _redeliver(job: Job, ports: Ports, work: rotation.Rotation) -> Run[None]:
    """The files of what is rotated, anew: by agents that log in again, or by the installer."""
    if ports.server is None:
        files = deliver.secret_files(job.plan, _values(job, ports))
        yield from ship.secrets_step(ports.host, job.layout, files).do()
        return
    agents = replace(_agents(job, ports), bundle=None)
    consumers = {path.partition("/")[0] for path in work.stale_files()}
    names = sorted(job.plan.agents[consumer] for consumer in consumers)
    if not names:  # a compose command without a service means all of them
        return
    yield from relay("rotate.deliver", ports.engine.restart(agents.project, names))
    yield from give_logins(agents, names)


def observe_server(job: Job, ports: Ports) -> ServerState | None:
    """How far the platform's own secret server is; logged in to when it is open.

    Raises:
        SecretStoreError: it runs and does not answer, or takes our login no more.
    """
    if ports.server is None:
        return None
    opened = _server(job, ports)
    state = opened.observe()
    if state is ServerState.READY:
        opened.log_in()
    return state


def _server_steps(job: Job, proposal: Proposal, ports: Ports) -> Iterator[Step]:
    """From an empty host to secrets that every consumer has on its own tmpfs."""
    plan, layout, bundle = job.plan, job.layout, job.bundle
    host, engine = ports.host, ports.engine
    opened = _server(job, ports)
    server = opened.manifest
    yield authority.certificate_step(host, engine, opened.project, layout, server, opened.ports)
    yield authority.seal_step(host, layout, server, opened.ports)
    yield launch.up_step(
        engine,
        opened.project,
        bundle,
        (server.name,),
        id="launch.server",
        title="start the secret server",
    )
    yield from ceremony.opening_steps(opened)
    yield authority.move_step(opened.ports.courier, ports.secrets)
    conflicts.refuse_new_secrets_over_old_data(
        plan, layout, proposal.deployed, ports.secrets.names()
    )
    yield deliver.ensure_step(plan, ports)
    yield deliver.edge_step(plan, ports)
    yield ceremony.close_step(opened)
    yield from agent_steps(_agents(job, ports))


def _values(job: Job, ports: Ports) -> dict[str, Secret]:
    edge = deliver.edge_secrets(job.plan, ports.certificates)
    return {**deliver.read_secrets(job.plan, ports.secrets), **edge}


def _server(job: Job, ports: Ports) -> Server:
    if ports.server is None:
        raise ValueError("the platform has no secret server of its own")
    return Server(
        plan=job.plan,
        layout=job.layout,
        project=launch.active_project(job.plan, job.layout),
        host=ports.host,
        engine=ports.engine,
        ports=ports.server,
        clock=ports.clock,
        rules=make_store_rules(job.plan),
    )


def _agents(job: Job, ports: Ports) -> Agents:
    if ports.server is None:
        raise ValueError("the platform has no secret server of its own")
    return Agents(
        plan=job.plan,
        project=launch.active_project(job.plan, job.layout),
        bundle=job.bundle,
        engine=ports.engine,
        ports=ports.server,
        clock=ports.clock,
    )
