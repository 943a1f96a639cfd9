"""Prepare, apply, verify: the phases in their order. Read this first.

    draw_up:  answers → sizing → plan → bundle            nothing contacted
    prepare:  preflight → what is deployed → compare      nothing changed
    apply:    lock → steps (`stages`) → verify → record
    rollback: the job of an earlier release (`redrawing`) → prepare → apply
    unseal:   lock → open the secret server → log its agents in → verify
    rotate:   lock → a new value, its consumers, the old one dead → verify
    restore:  lock → a backup restored beside and compared → in place of the data → verify
    verify:   smoke tests and audits                      nothing changed

A run yields events and ends with one `RunFinished`; then it returns its value. A failure is a value
too, so a front end needs no `try`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from installer import stages
from installer.core.deployed import Deployed, compare_files, compare_services
from installer.core.draft import dump
from installer.core.errors import (
    ExitCode,
    InstallError,
    InternalError,
    Problem,
    Remedy,
)
from installer.core.events import (
    CheckFinished,
    CheckResult,
    Outcome,
    Run,
    RunFinished,
    map_text,
    span,
)
from installer.core.history import Kind
from installer.core.host_settings import engine_changes
from installer.core.proposal import Proposal, ServerState
from installer.core.report import Report, build
from installer.job import Consent, Job, make_record
from installer.phases import conflicts, deliver, launch
from installer.phases.authority import waiting_names
from installer.phases.history import note_step, record_release
from installer.phases.journal import TargetJournal, TargetLock
from installer.phases.state import read_deployed
from installer.phases.steps import Step, run_steps
from installer.ports import Ports
from installer.recording import Recorder, Timed
from installer.verification import examine_host, verify_alone, verify_platform

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """How a run ended when it did not reach its value."""

    exit_code: ExitCode
    problems: tuple[Problem, ...]


def prepare(job: Job, ports: Ports) -> Run[Proposal | Failure]:
    """Examine the target and compare; changes nothing."""
    return (yield from _conclude(_prepare(job, ports)))


def examine(job: Job, ports: Ports) -> Run[object]:
    """Preflight alone; changes nothing."""
    return (yield from _conclude(examine_host(job, ports)))


def read_status(job: Job, ports: Ports) -> Deployed:
    """What lies on the target; changes nothing."""
    return read_deployed(ports.host, job.layout, job.plan)


def read_waiting(job: Job, ports: Ports, deployed: Deployed) -> tuple[str, ...]:
    """What does not run, as after a reboot, and who can help; changes nothing."""
    return stages.read_waiting(job, ports) if deployed.release else ()


def apply(
    job: Job, proposal: Proposal, ports: Ports, consent: Consent, kind: Kind = "apply"
) -> Run[Report]:
    """Carry the proposal out and verify it; a proposal without changes is only verified."""
    recorder = Recorder(ports.clock.monotonic)
    work = (
        verify_platform(job, ports)
        if proposal.is_noop
        else _apply(job, proposal, ports, consent, kind)
    )
    findings = (*proposal.findings, *job.audit_bundle)
    outcome = yield from recorder.watch(_conclude(work))
    return _report(job, recorder, findings, outcome, ports)


def unseal(job: Job, ports: Ports, consent: Consent) -> Run[Report]:
    """After a reboot: open the secret server, log its agents in, wait for the services, verify."""
    recorder = Recorder(ports.clock.monotonic)
    work = _locked(job, ports, consent, stages.unseal_steps(job, ports))
    outcome = yield from recorder.watch(_conclude(work))
    return _report(job, recorder, job.audit_bundle, outcome, ports)


def rotate(job: Job, ports: Ports, consent: Consent, names: Sequence[str]) -> Run[Report]:
    """New values for these secrets at the same time, or for all that can have one."""
    recorder = Recorder(ports.clock.monotonic)
    work = _locked(job, ports, consent, stages.rotate_steps(job, ports, names))
    outcome = yield from recorder.watch(_conclude(work))
    return _report(job, recorder, job.audit_bundle, outcome, ports)


def carry_out(job: Job, ports: Timed, work: Run[object]) -> Run[Report]:
    """Work that needs no verification of the deployment: a backup, a drill, its removal."""
    recorder = Recorder(ports.clock.monotonic)
    outcome = yield from recorder.watch(_conclude(work))
    return _report(job, recorder, (), outcome, ports)


def restore(job: Job, ports: Ports, consent: Consent, steps: Iterable[Step]) -> Run[Report]:
    """Restored data in place of the data that there is, then verify."""
    recorder = Recorder(ports.clock.monotonic)
    outcome = yield from recorder.watch(_conclude(_locked(job, ports, consent, steps)))
    return _report(job, recorder, job.audit_bundle, outcome, ports)


def verify(job: Job, ports: Ports, *, host: bool = False) -> Run[Report]:
    """Smoke tests and audits of what runs, of the host too when asked; changes nothing."""
    recorder = Recorder(ports.clock.monotonic)
    outcome = yield from recorder.watch(_conclude(verify_alone(job, ports, host=host)))
    return _report(job, recorder, job.audit_bundle, outcome, ports)


def _prepare(job: Job, ports: Ports) -> Run[Proposal]:
    checks = Recorder(ports.clock.monotonic)
    facts = yield from checks.watch(examine_host(job, ports))
    deployed = yield from span("state", "read what is deployed", _read_state(job, ports))
    server = stages.observe_server(job, ports)
    takes_login = stages.lacks_login(job, ports, server)
    known = _known_secrets(ports, server)
    is_open = server in (None, ServerState.READY)
    if known is not None:
        conflicts.refuse_new_secrets_over_old_data(job.plan, job.layout, deployed, known)
    project = launch.active_project(job.plan, job.layout)
    settings = engine_changes(facts, job.requirements)
    host_steps = stages.host_steps(job, ports.host, settings)
    running = {
        c.service: c.inspect["Config"]["Labels"].get("devplat.release", "")
        for c in ports.engine.containers(project)
        if c.state == "running" and c.health in ("healthy", None)
    }
    files = compare_files(deployed, job.bundle)
    missing = tuple(s.name for s in job.plan.secrets if known is not None and s.name not in known)
    return Proposal(
        plan=job.plan,
        bundle=job.bundle,
        deployed=deployed,
        files=files,
        services=compare_services(job.bundle, running, files),
        new_secrets=missing,
        redeliver=not (is_open and known)
        or not deliver.is_delivered(job.plan, deployed, ports, known),
        server=server,
        findings=tuple(checks.checks),
        takes_login=takes_login,
        host=tuple(s.title for s in host_steps if not s.check()),
        engine_settings=settings,
        restarts=stages.services_to_restart(job, ports) if is_open else (),
    )


def _known_secrets(ports: Ports, server: ServerState | None) -> frozenset[str] | None:
    """Names that the store has, or will be given; None for a server that is shut."""
    if server in (None, ServerState.READY):
        return ports.secrets.names()
    if ports.server is None:
        return None
    was_set_up = ports.server.custody.access() is not None or ports.server.token is not None
    is_new = server is ServerState.EMPTY or (server is ServerState.ABSENT and not was_set_up)
    if not is_new:
        return None
    return waiting_names(ports.server.courier)  # of an installation that had them there until now


def _read_state(job: Job, ports: Ports) -> Run[Deployed]:
    return read_deployed(ports.host, job.layout, job.plan)
    yield  # pragma: no cover - makes this a generator


def _apply(
    job: Job, proposal: Proposal, ports: Ports, consent: Consent, kind: Kind
) -> Run[tuple[CheckResult, ...]]:
    conflicts.refuse_edited_release(proposal, repair=consent.repair)
    if begun := ", ".join(proposal.deployed.interrupted):
        title = f"an earlier run was interrupted in {begun}; this one continues"
        yield CheckFinished("lock", CheckResult("run.interrupted", title, Outcome.WARN))
    note = [note_step(ports.host, job.layout, job.bundle.release)] if kind == "rollback" else []
    steps = chain(note, stages.apply_steps(job, proposal, ports))
    return (yield from _locked(job, ports, consent, steps, kind=kind))


def _locked(
    job: Job, ports: Ports, consent: Consent, steps: Iterable[Step], *, kind: Kind | None = None
) -> Run[tuple[CheckResult, ...]]:
    """Carry steps out under the deployment's lock, then verify; record a release that passed."""
    lock = TargetLock(ports.host, job.layout, job.owner, ports.clock, job.is_gone)
    yield from span("lock", "take the deployment lock", _take_lock(lock, consent))
    try:
        journal = TargetJournal(ports.host, job.layout, lock, job.bundle.release)
        yield from run_steps(steps, journal)
        results = yield from verify_platform(job, ports)
        if kind is not None:
            text = dump(job.plan.answers)
            record = make_record(job, ports.clock.now(), kind, text)
            record_release(ports.host, job.layout, record, text)
        return results
    finally:
        with suppress(InstallError):  # a lost connection leaves a lock that a rerun recognises
            lock.release()


def _take_lock(lock: TargetLock, consent: Consent) -> Run[None]:
    note = lock.acquire(take_over=consent.take_over)
    if note:
        yield CheckFinished("lock", CheckResult("lock.taken_over", note, Outcome.WARN))


def _report(
    job: Job,
    recorder: Recorder,
    findings: tuple[CheckResult, ...],
    outcome: object,
    ports: Timed,
) -> Report:
    failure = outcome if isinstance(outcome, Failure) else None
    return build(
        facts={
            **job.facts,
            "release": job.bundle.release,
            "ended": ports.clock.now().isoformat(timespec="seconds"),
        },
        exit_code=failure.exit_code if failure else ExitCode.OK,
        steps=recorder.steps,
        checks=[map_text(check, job.redact) for check in (*findings, *recorder.checks)],
        problems=map_text(failure.problems, job.redact) if failure else (),
        images=job.plan.images,
        notes=[
            f"{name}: {note}"
            for name in job.plan.services
            for note in job.plan.manifest(name).notes
        ],
    )


def _conclude(run: Run[T]) -> Run[T | Failure]:
    """End a run with one `RunFinished`; a bug becomes status 70 instead of a stack trace."""
    try:
        value = yield from run
    except InstallError as error:
        yield RunFinished(error.exit_code, error.problems)
        return Failure(error.exit_code, error.problems)
    except Exception as error:  # noqa: BLE001 - the one broad handler
        problems = InternalError(_defect(error)).problems
        yield RunFinished(ExitCode.INTERNAL, problems)
        return Failure(ExitCode.INTERNAL, problems)
    yield RunFinished(ExitCode.OK)
    return value


def _defect(error: Exception) -> Problem:
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    code = frame.tb_frame.f_code if frame else None
    place = f"{code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno}" if code and frame else "?"
    return Problem(
        code="internal.defect",
        summary=f"{type(error).__name__} at {place}: {error}",
        remedy=Remedy("this is a defect of the installer; report it with the run directory's log"),
    )
