"""Verify: what users and reviewers would try, read-only, each finding a `CheckResult`.

Nothing is believed because a command returned: a page is fetched, a row is read, a setting is seen
in the engine's own description of a container.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from installer.core.errors import InstallError, Problem, Remedy
from installer.core.events import CheckFinished, CheckResult, Event, Outcome, Run
from installer.core.plan import Plan, Route
from installer.core.secrets import Secret, expand
from installer.phases.verify_files import check_files
from installer.phases.verify_outside import OutsideAudit, check_exposure
from installer.phases.verify_reach import ReachAudit, judge_seen, look_around
from installer.phases.verify_tls import Sights, check_sights, judge_hsts, observe_names
from installer.ports import Container, EngineInfo, HttpRequest, HttpResponse, Ports, Project

HSTS_MINIMUM_S = 31_536_000
"""A year, the least that browsers' preload lists accept (hstspreload.org)."""

Audit = Callable[[Container, EngineInfo, Mapping[str, Secret]], tuple[CheckResult, ...]]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is verified: the plan, the running project, and how to reach and trust its names."""

    plan: Plan
    project: Project
    releases: Mapping[str, str]
    secrets: Mapping[str, Secret]
    address: str
    roots_pem: bytes | None
    audit: Audit
    findings: tuple[CheckResult, ...] = ()
    """Of what the services cannot show."""
    sights: Sights = field(default_factory=Sights)
    """What was seen of TLS, filled in at the start."""
    reach: ReachAudit | None = None
    """What is tried from inside the containers."""
    outside: OutsideAudit | None = None
    """What is tried from the bastion and the vantage point."""


def verify(subject: Subject, ports: Ports) -> Run[tuple[CheckResult, ...]]:
    """Run every check; failures are results, not errors."""
    results: list[CheckResult] = []
    plan = subject.plan
    sights = observe_names(plan, subject.address, subject.roots_pem, ports.tls)
    subject = replace(subject, sights=sights)
    containers = {c.service: c for c in ports.engine.containers(subject.project)}
    for source in (
        iter(subject.findings),
        _check_containers(subject, containers),
        _audit_containers(subject, containers, ports),
        check_files(plan, ports.host),
        _check_network(subject, containers, ports),
        _check_edge(subject, ports),
        check_sights(plan, sights, ports.clock.now()),
        _check_services(subject, ports),
    ):
        for result in source:
            results.append(result)
            yield from _told(result)
    return tuple(results)


def _told(result: CheckResult) -> Iterator[Event]:
    yield CheckFinished("verify", result)


def _check_containers(
    subject: Subject, containers: Mapping[str, Container]
) -> Iterator[CheckResult]:
    for name in subject.plan.services:
        container = containers.get(name)
        found = "absent" if container is None else container.state
        if container is not None and container.health:
            found = f"{container.state}, {container.health}"
        release = container and container.inspect["Config"]["Labels"].get("devplat.release")
        right = found == "running, healthy" and release == subject.releases[name]
        if found == "running, healthy" and not right:
            found = f"of release {release}"
        yield _judge(
            CheckResult(
                id=f"smoke.health.{name}",
                title=f"{name} runs as rendered and is healthy",
                outcome=Outcome.PASS if right else Outcome.FAIL,
                where=name,
                expected=f"running, healthy, of release {subject.releases[name]}",
                found=found,
            ),
            Remedy(
                f"look at the logs of {name} on the target",
                (f"docker compose -p {subject.plan.deployment} logs --tail 50 {name}",),
            ),
        )


def _audit_containers(
    subject: Subject, containers: Mapping[str, Container], ports: Ports
) -> Iterator[CheckResult]:
    info = ports.engine.info()
    for _, container in sorted(containers.items()):
        yield from subject.audit(container, info, subject.secrets)


def _check_network(
    subject: Subject, containers: Mapping[str, Container], ports: Ports
) -> Iterator[CheckResult]:
    """Who reaches whom inside, and what is open to others."""
    seen = None
    if subject.reach is not None:
        seen = look_around(subject.reach.script, ports.host, subject.project.name)
        yield from judge_seen(subject.reach, seen)
    if subject.outside is not None:
        looked = None if isinstance(seen, str) else seen
        yield from check_exposure(subject.outside, looked, containers, ports.views, ports.resolver)


def _check_edge(subject: Subject, ports: Ports) -> Iterator[CheckResult]:
    for route in subject.plan.routes:
        yield from _check_route(subject, ports, route)


def _check_route(subject: Subject, ports: Ports, route: Route) -> Iterator[CheckResult]:
    url = f"https://{route.host}{route.health}"
    is_staging = subject.plan.answers.tls.is_staging
    roots = subject.sights.roots(route.host, subject.roots_pem, is_staging=is_staging)

    def get(url: str) -> HttpResponse:
        return ports.http.get(HttpRequest(url, subject.address, roots))

    def check(
        id: str, title: str, expected: str, look: Callable[[], tuple[bool, str]]
    ) -> CheckResult:
        remedy = Remedy(f"open {url} from the bastion; look at the logs of {route.service}")
        try:
            good, found = look()
            problem = None
        except InstallError as error:
            good, found, problem = False, error.problems[0].summary, error.problems[0]
        result = CheckResult(
            id=f"smoke.{id}.{route.host_key}",
            title=title,
            outcome=Outcome.PASS if good else Outcome.FAIL,
            where=route.host,
            expected=expected,
            found=found,
            problem=problem,
        )
        return result if problem else _judge(result, remedy)

    answers: list[HttpResponse] = []

    def over_https() -> tuple[bool, str]:
        answers.append(get(url))
        return answers[0].status == 200, f"{answers[0].status} over {answers[0].tls_version}"

    yield check("https", f"{url} answers, certificate verified", "200", over_https)
    yield check(
        "redirect",
        f"http://{route.host} leads to https",
        "a redirect to https",
        lambda: _is_redirect(get(f"http://{route.host}/"), route.host),
    )
    hsts = answers[0].headers.get("strict-transport-security", "") if answers else ""
    if short := judge_hsts(hsts, (HSTS_MINIMUM_S,), subject.plan, route.host):
        yield replace(short, id=f"smoke.hsts.{route.host_key}")
    elif answers:
        yield check(
            "hsts",
            f"{route.host} sends HSTS",
            f"max-age of at least {HSTS_MINIMUM_S}",
            lambda: _has_hsts(answers[0]),
        )
    for path in route.deny:
        yield check(
            f"deny{path.replace('/', '.')}",
            f"{route.host}{path} is not public",
            "403 or 404",
            partial(_try_denied, get, f"https://{route.host}{path}"),
        )


def _try_denied(get: Callable[[str], HttpResponse], url: str) -> tuple[bool, str]:
    response = get(url)
    return response.status in (403, 404), str(response.status)


def _is_redirect(response: HttpResponse, host: str) -> tuple[bool, str]:
    target = response.headers.get("location", "")
    good = response.status in (301, 308) and target.startswith(f"https://{host}/")
    return good, f"{response.status} {target}".strip()


def _has_hsts(response: HttpResponse) -> tuple[bool, str]:
    value = response.headers.get("strict-transport-security", "")
    age = re.search(r"max-age=(\d+)", value)
    return bool(age and int(age[1]) >= HSTS_MINIMUM_S), value or "no such header"


def _check_services(subject: Subject, ports: Ports) -> Iterator[CheckResult]:
    for name in subject.plan.services:
        for check in subject.plan.manifest(name).checks:
            inside = check.in_ or name
            if inside not in subject.plan.services:
                continue
            stdin = expand(check.stdin, subject.secrets).reveal().encode()
            done = ports.engine.exec(subject.project, inside, check.argv, stdin=stdin)
            good = done.status == 0 and re.search(check.expect, done.text) is not None
            lines = (done.text.strip() or done.error_text.strip()).splitlines() or ["no output"]
            yield _judge(
                CheckResult(
                    id=f"smoke.{name}.{check.id}",
                    title=check.title,
                    outcome=Outcome.PASS if good else Outcome.FAIL,
                    where=name,
                    expected=check.expect,
                    found=lines[-1][:200],
                ),
                Remedy(check.remedy),
            )


def _judge(result: CheckResult, remedy: Remedy) -> CheckResult:
    """A failed result with a problem that says what to do; others as they are."""
    if result.outcome is not Outcome.FAIL:
        return result
    problem = Problem(
        code="verify.failed",
        summary=f"{result.title}: expected {result.expected}, found {result.found}",
        where=result.where,
        remedy=remedy,
    )
    return CheckResult(
        result.id,
        result.title,
        result.outcome,
        result.where,
        result.expected,
        result.found,
        problem,
    )
