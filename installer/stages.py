"""Which steps make up an apply, an unsealing, a rotation; each is asked for when its turn comes.

Later steps are made of what earlier ones brought about: with a secret server of its own the
platform has no secret before that server is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from installer.core.compose import LABEL_RELEASE
from installer.core.errors import InstallError
from installer.core.events import Outcome, Run
from installer.core.host_settings import EngineSetting
from installer.core.host_unit import unit_name, unit_path
from installer.core.proposal import Proposal, ServerState
from installer.core.rotation import choose_secrets, reload_order
from installer.core.secrets import Secret
from installer.core.store_rules import boots_alone, make_store_rules
from installer.job import Job
from installer.phases import (
    authority,
    bootstrap,
    ceremony,
    conflicts,
    deliver,
    host_changes,
    launch,
    reloading,
    restore,
    rotation,
    ship,
    waiting,
)
from installer.phases.agents import Agents, agent_steps, give_logins, login_step
from installer.phases.boot_login import boot_login_step
from installer.phases.engine_settings import daemon_step
from installer.phases.rotation_state import Rotation
from installer.phases.server import Server
from installer.phases.sign_in import sign_in_steps
from installer.phases.snapshots import snapshot_step
from installer.phases.steps import Step, relay
from installer.phases.unsealing import refuse_unopenable, unseal_step
from installer.ports import Host, Ports

LAST_OF_HOST = "host.systemd"
"""The unit starts what is installed, so it comes last."""


def apply_steps(job: Job, proposal: Proposal, ports: Ports) -> Iterator[Step]:
    """Every change of the target."""
    plan, layout, bundle = job.plan, job.layout, job.bundle
    host, engine = ports.host, ports.engine
    project = launch.active_project(plan, layout)
    restore.refuse_half_restored(host, layout)
    if ports.server is not None:
        refuse_unopenable(_server(job, ports), proposal)
    changes = host_steps(job, host, proposal.engine_settings)
    yield from (step for step in changes if step.id != LAST_OF_HOST)
    if ports.server is None:
        yield from _note_steps(job, ports)
        yield deliver.ensure_step(plan, ports)
    yield ship.release_step(host, layout, bundle)
    yield ship.override_step(host, layout)
    yield ship.data_step(host, layout, deliver.data_directories(plan))
    if ports.server is None:
        files = deliver.secret_files(plan, _values(job, ports))
        stale = proposal.deployed.secrets.keys() - files.keys()
        yield ship.secrets_step(host, layout, files, alone=not stale)
    yield launch.pull_step(engine, plan, layout, bundle)
    yield launch.activate_step(host, engine, project, bundle, proposal.fallback)
    if ports.server is not None:
        yield from _server_steps(job, proposal, ports)
    secrets = _values(job, ports)
    first, every = launch.waves(plan)
    yield launch.up_step(
        engine, project, bundle, first, id="launch.data", title="start the data services"
    )
    yield from bootstrap.database_steps(engine, project, plan, secrets, ports.entropy)
    yield from _reload_steps(job, ports)
    yield launch.up_step(engine, project, bundle, every, id="launch.all", title="start everything")
    if ports.server is None:
        yield _edge_step(job, ports)
    yield from bootstrap.exec_steps(engine, project, plan, secrets)
    yield from _sign_in_steps(job, ports)
    if ports.server is None and stale:  # until now the release before could be wanted again
        tidy = "remove secret files that nothing reads any more"
        yield replace(ship.secrets_step(host, layout, files), id="ship.tidy", title=tidy)
    yield from (step for step in changes if step.id == LAST_OF_HOST)


def host_steps(job: Job, host: Host, settings: Sequence[EngineSetting]) -> list[Step]:
    """Changes of the host itself that the answers consent to.

    Args:
        job: Its answers say to what.
        host: The target.
        settings: What is to be set in the engine's configuration.
    """
    plan, layout, agreed = job.plan, job.layout, job.requirements.host_apply
    steps = []
    if "daemon" in agreed and settings:
        steps.append(daemon_step(host, layout, settings))
    if "sysctl" in agreed and job.requirements.sysctls:
        needed = job.requirements.sysctls
        steps.append(host_changes.sysctl_step(host, layout, plan.deployment, needed))
    if "systemd" in agreed:
        unit = job.bundle.files[unit_path(plan.deployment)].data
        steps.append(host_changes.unit_step(host, layout, unit_name(plan.deployment), unit))
    return steps


def unseal_steps(job: Job, ports: Ports) -> Iterator[Step]:
    """What a reboot takes away: the server is opened, agents log in, services come up."""
    opened = _server(job, ports)
    agents = replace(_agents(job, ports), bundle=None)
    yield unseal_step(opened)
    opened.log_in()
    yield login_step(agents)
    if boots_alone(job.plan):
        yield boot_login_step(opened, anew=True)
    yield launch.wake_step(ports.engine, agents.project, job.plan.services)


def rotate_steps(job: Job, ports: Ports, names: Sequence[str]) -> Iterator[Step]:
    """New values for these secrets, or for all that can have one.

    Raises:
        UsageError, ConflictError: a name is none, or its secret cannot be replaced.
    """
    plan = job.plan
    choice = choose_secrets(plan, names)
    if ports.server is not None:
        opened = _server(job, ports)
        yield unseal_step(opened)
        opened.log_in()
    yield from rotation.rotation_steps(_rotation(job, ports, choice.names), choice)
    if ports.server is not None:
        yield from _sign_in_steps(job, ports)
        yield snapshot_step(_server(job, ports))


def services_to_restart(job: Job, ports: Ports) -> tuple[str, ...]:
    """Services that have a file made of a secret that is to have a new value."""
    changed = reloading.replaced_names(ports.secrets, deliver.changed_secrets(job.plan, ports))
    pending = reloading.pending_names(job.plan, ports.secrets)
    return reload_order(job.plan, {*changed, *pending})


def _note_steps(job: Job, ports: Ports) -> Iterator[Step]:
    """Before values are replaced: whose consumers have to hear of it."""
    changed = deliver.changed_secrets(job.plan, ports)
    if names := reloading.replaced_names(ports.secrets, changed):
        yield reloading.note_step(ports.secrets, names)


def _reload_steps(job: Job, ports: Ports) -> Iterator[Step]:
    if reloading.pending_names(job.plan, ports.secrets):
        services = job.bundle.document["services"].items()
        releases = {name: body["labels"][LABEL_RELEASE] for name, body in services}
        yield reloading.reload_step(_rotation(job, ports, ()), releases)


def _rotation(job: Job, ports: Ports, names: tuple[str, ...]) -> Rotation:
    project = launch.active_project(job.plan, job.layout)
    return Rotation(
        plan=job.plan,
        project=project,
        engine=ports.engine,
        store=ports.secrets,
        clock=ports.clock,
        entropy=ports.entropy,
        names=names,
        deliver=partial(_redeliver, job, ports),
        digests=partial(deliver.read_digests, job.plan, job.layout, ports),
        is_current=partial(launch.is_active, ports.host, project, job.bundle),
    )


def restart_steps(job: Job, ports: Ports) -> Iterator[Step]:
    """Services that were stopped come up over other data; its database logins get passwords."""
    project = launch.active_project(job.plan, job.layout)
    engine, bundle = ports.engine, job.bundle
    secrets = _values(job, ports)
    first, every = launch.waves(job.plan)
    yield launch.up_step(
        engine, project, bundle, first, id="launch.data", title="start the data services"
    )
    yield from bootstrap.database_steps(engine, project, job.plan, secrets, ports.entropy)
    yield launch.up_step(engine, project, bundle, every, id="launch.all", title="start everything")


def _redeliver(job: Job, ports: Ports, files: Mapping[str, Secret]) -> Run[None]:
    """These files, anew: by their agents, which log in again, or by the installer."""
    if ports.server is None:
        owned = {
            path: ship.SecretFile(
                content.reveal().encode(), job.plan.manifest(path.partition("/")[0]).user
            )
            for path, content in files.items()
        }
        yield from ship.secrets_step(ports.host, job.layout, owned, alone=False).do()
        return
    agents = replace(_agents(job, ports), bundle=None)
    names = sorted({job.plan.agents[path.partition("/")[0]] for path in files})
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


def read_waiting(job: Job, ports: Ports) -> tuple[str, ...]:
    """What of the platform does not run, what it waits for, and who can help; changes nothing."""
    try:
        state = _server(job, ports).observe() if ports.server else None
    except InstallError as error:
        return (error.problems[0].summary,)
    project = launch.active_project(job.plan, job.layout)
    there = waiting.judge_delivered(ports.host, job.layout, job.plan)
    delivered = there is None or there.outcome is Outcome.PASS
    return waiting.describe_waiting(job.plan, project, ports.engine, state, delivered=delivered)


def log_in(job: Job, ports: Ports) -> None:
    """For a run that only looks: log in to the platform's own secret server, if it has one.

    Raises:
        SecretStoreError: it does not answer, is sealed, or takes no login of ours.
    """
    if ports.server is not None:
        _server(job, ports).log_in()


def lacks_login(job: Job, ports: Ports, state: ServerState | None) -> bool:
    """Whether an open server was logged in to with a token only, for want of a login of our own."""
    return state is ServerState.READY and not _server(job, ports).has_login()


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
    yield authority.move_step(plan, opened.ports.courier, ports.secrets)
    conflicts.refuse_new_secrets_over_old_data(
        plan, layout, proposal.deployed, ports.secrets.names()
    )
    yield from _note_steps(job, ports)
    yield deliver.ensure_step(plan, ports)
    yield deliver.edge_step(plan, ports)
    yield ceremony.close_step(opened)
    yield from agent_steps(_agents(job, ports))
    if boots_alone(plan):
        yield boot_login_step(opened)
    yield _edge_step(job, ports)
    yield snapshot_step(opened)


def _sign_in_steps(job: Job, ports: Ports) -> Iterator[Step]:
    if ports.server is not None:
        roots = ports.certificates.roots()
        yield from sign_in_steps(_server(job, ports), job.bundle, _values(job, ports), roots)


def _edge_step(job: Job, ports: Ports) -> Step:
    """A renewed certificate is where the edge reads it; the edge notices it by itself."""
    plan = job.plan

    def stale() -> dict[str, Secret]:
        return deliver.stale_edge_files(plan, job.layout, ports)

    def deliver_them() -> Run[None]:
        if plan.agents:
            yield from _redeliver(job, ports, stale())
            return
        project, edge = launch.active_project(plan, job.layout), plan.edge or ""
        yield from relay("secrets.served", ports.engine.restart(project, [edge]))
        yield from relay("secrets.served", ports.engine.up(project, [edge], wait_s=60))

    return Step(
        "secrets.served",
        "give the edge its certificate",
        lambda: not stale(),
        deliver_them,
        lambda: not stale(),
    )


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
