"""Verifies what runs: gathers what is to be looked at, has it checked, and passes one judgement.

It changes nothing, and does not sequence runs; `pipeline` does.
"""

from __future__ import annotations

from installer import stages
from installer.core.errors import BackupError, InstallError, Problem, Remedy, VerifyError
from installer.core.events import CheckResult, Outcome, Run, span
from installer.core.facts import HostFacts
from installer.job import Job
from installer.phases import authority, deliver, launch, preflight, waiting
from installer.phases.verify import Subject
from installer.phases.verify import verify as verify_stack
from installer.ports import Ports


def examine_host(job: Job, ports: Ports) -> Run[HostFacts]:
    """The host and its surroundings.

    Raises: as `preflight`.
    """
    return preflight.preflight(job.requirements, ports, job.probe, job.outside)


def verify_alone(job: Job, ports: Ports, *, host: bool) -> Run[tuple[CheckResult, ...]]:
    """Every check outside of an installation; of the host too, which is judged with the others.

    Raises:
        VerifyError: a check failed that must not.
    """
    refused: tuple[Problem, ...] = ()
    if host:
        try:
            yield from examine_host(job, ports)
        except InstallError as error:
            refused = error.problems
    stages.log_in(job, ports)
    results = yield from verify_platform(job, ports)
    if refused:
        raise VerifyError(*refused)
    return results


def verify_platform(job: Job, ports: Ports) -> Run[tuple[CheckResult, ...]]:
    """Every check, then one judgement.

    Raises:
        VerifyError: a check failed that must not.
        BackupError: nothing failed but what backups need.
    """
    plan = job.plan
    secrets = deliver.read_secrets(plan, ports.secrets)
    subject = Subject(
        plan=plan,
        project=launch.active_project(plan, job.layout),
        releases={
            name: body["labels"]["devplat.release"]
            for name, body in job.bundle.document["services"].items()
        },
        secrets=secrets,
        address=job.requirements.address,
        roots_pem=ports.certificates.roots(),
        audit=job.audit_container,
        findings=_look_beside(job, ports),
        reach=job.audit_reach,
        outside=job.outside,
    )
    results = yield from span("verify", "verify", verify_stack(subject, ports))
    failed = [result for result in results if result.outcome is Outcome.FAIL]
    if failed:
        collector = plan.collector.name if plan.collector else None
        error = BackupError if all(r.where == collector for r in failed) else VerifyError
        raise error(*map(problem_of, failed))
    return results


def _look_beside(job: Job, ports: Ports) -> tuple[CheckResult, ...]:
    """Of what the services cannot show."""
    delivered = waiting.judge_delivered(ports.host, job.layout, job.plan)
    server = job.plan.server
    certificate = (
        authority.judge_certificate(server, ports.server) if server and ports.server else None
    )
    services = deliver.judge_services(job.plan, ports)
    return tuple(result for result in (delivered, certificate, services) if result is not None)


def problem_of(result: CheckResult) -> Problem:
    """What a failed check says to do; a check that says nothing still fails the run."""
    return result.problem or Problem(
        "verify.failed",
        f"{result.id} {result.title}: expected {result.expected}, found {result.found}",
        Remedy("look at this check in the report"),
        where=result.where,
    )
