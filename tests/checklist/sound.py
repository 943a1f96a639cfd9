"""Results of a sound installation, made by the product's own rules over sound facts.

What no rule of this release makes yet (journeys, drills, a baseline) is written down as passed, so
that a defect elsewhere is the only thing that is wrong.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from installer.core.checklist import Measure, Standing, gather, judge_items, parse_checklist
from installer.core.checklist.statements import Statement
from installer.core.checks import judge_host
from installer.core.errors import ExitCode
from installer.core.events import CheckResult, Outcome
from installer.core.policy import audit_compose, audit_inspect
from installer.core.report import Report, StepRecord, build
from installer.core.segmentation.probed import PREFIX as REACH
from installer.phases import verify
from installer.phases.verify_tls import check_sights, observe_names
from installer.ports import Completed, Container, HttpResponse
from tests.policy import networks
from tests.policy.builders import (
    ROOT,
    SERVICES,
    audit_context,
    hardening_table,
    sound_container,
    sound_document,
)
from tests.policy.spoiling import Defect
from tests.preflight.builders import sound_facts, sound_needs
from tests.stacks.builders import load
from tests.tls.test_rendered_tls import PRIVATE, plan_for
from tests.tls.test_verify_tls import Probe, sight_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RELEASE = "0123456789ab"
TABLE = parse_checklist((ROOT / "assets/checklist.yaml").read_bytes())
ANSWERS: dict[str, Any] = {
    "monitoring.enabled": True,
    "redis.enabled": True,
    "backup.enabled": True,
    "ai_gateway.enabled": True,
    "drone.enabled": True,
    "ci.engine": "drone",
    "vault.mode": "bundled",
    "identity.mode": "bundled",
    "database.mode": "bundled",
    "network.trusted_cidr": (),
}
HOST = "git.company.com"
UNMADE = (
    "baseline.disk", "baseline.api", "baseline.workspace", "baseline.clone", "baseline.database",
    "journey.audit", "journey.dashboards", "journey.logs", "journey.login", "journey.workspace",
    "journey.git", "journey.ai", "journey.pipeline", "journey.defaults", "drill.alert",
)  # fmt: skip
"""What this release does not do; the checklist says so where these have no result."""
OTHERS = (
    "restore.checksum", "restore.compared", "restore.untouched", "restore.timing",
    "backup.complete", "host.published", "host.listeners", "host.engine", "ports.bastion",
    "ports.outside", f"{REACH}.{HOST}", "secrets.delivered",
)  # fmt: skip
"""Results whose rules need an engine; their failing is written down, not made."""

Results = tuple[CheckResult, ...]


def named(id: str, outcome: Outcome = Outcome.PASS, where: str | None = None) -> CheckResult:
    """A result that is written down."""
    return CheckResult(id, f"{id} is as it should be", outcome, where, found=outcome.value)


def harden(defect: Defect | None = None, *, side: str = "compose") -> Results:
    """The hardening of every container on both sides; a defect spoils one of them on one side."""
    compose = _rendered(defect) if defect and side == "compose" else _rendered()
    spoilt = {"gitea": defect} if side == "inspect" else {}
    running = (r for name in SERVICES for r in _running(name, spoilt.get(name)))
    return (*compose, *running)


@functools.cache
def _rendered(defect: Defect | None = None) -> Results:
    document = sound_document()
    if defect:
        defect(document["services"]["gitea"])
    return audit_compose(document, hardening_table(), audit_context())


@functools.cache
def _running(name: str, defect: Defect | None = None) -> Results:
    container = sound_container(name)
    if defect:
        defect(container)
    return audit_inspect(container, None, hardening_table(), audit_context())


def segment(change: networks.Change = lambda _: None) -> Results:
    """Who shares a network with whom."""
    return networks.audit(change)


def preflight(facts: Mapping[str, Any], needs: Mapping[str, Any], *rules: str) -> Results:
    """What these rules say of a host, or all of them."""
    results = judge_host(sound_facts(**facts), sound_needs(**needs))
    return tuple(r for r in results if not rules or r.id in rules)


def see_tls(sight: Any | None = None) -> Results:
    """What is seen of the TLS of one name."""
    plan = plan_for(PRIVATE)
    now = datetime.now(UTC)  # the chain is made against the clock
    sights = observe_names(plan, "192.0.2.10", None, Probe(sight or sight_of(HOST)))
    return tuple(r for r in check_sights(plan, sights, now) if r.id.endswith(".git"))


def ask_edge(answer: Callable[[str], HttpResponse] | None = None) -> Results:
    """What the smoke tests say of the public names, by what is answered to each address."""
    plan = plan_for(PRIVATE)
    routes = tuple(r for r in plan.routes if r.host_key == "git")
    subject = SimpleNamespace(
        plan=SimpleNamespace(routes=routes, answers=plan.answers),
        sights=SimpleNamespace(roots=lambda *_, **__: None),
        roots_pem=None,
        address="192.0.2.10",
    )
    reply = answer or sound_answer
    http = SimpleNamespace(get=lambda request: reply(request.url))
    return tuple(verify._check_edge(subject, SimpleNamespace(http=http)))  # type: ignore[arg-type]


def sound_answer(url: str) -> HttpResponse:
    """What a sound edge answers."""
    if url.startswith("http://"):
        return HttpResponse(308, {"location": f"https://{HOST}/"}, b"")
    denied = not url.endswith("/api/healthz")
    headers = {"strict-transport-security": "max-age=63072000"}
    return HttpResponse(403 if denied else 200, headers, b"", "TLSv1.3")


def look_at_services(change: Callable[[Container], Container | None] = lambda c: c) -> Results:
    """Whether services run as rendered; the change is made to one."""
    names = ("gitea", "coder")
    labels = {"Config": {"Labels": {"devplat.release": RELEASE}}}
    running: dict[str, Container | None] = {
        name: Container(name, "running", "healthy", labels) for name in names
    }
    running["gitea"] = change(Container("gitea", "running", "healthy", labels))
    subject = SimpleNamespace(
        plan=SimpleNamespace(services=names, deployment="devplat"),
        releases=dict.fromkeys(names, RELEASE),
    )
    present = {name: c for name, c in running.items() if c is not None}
    return tuple(verify._check_containers(subject, present))  # type: ignore[arg-type]


@functools.cache
def smoke_ids() -> tuple[str, ...]:
    """The check of every manifest, as verification calls it."""
    manifests = load().services.values()
    return tuple(f"smoke.{m.name}.{check.id}" for m in manifests for check in m.checks)


def ask_services(failing: str = "") -> Results:
    """The smoke tests of every manifest; the one of this id answers what it must not."""
    results: list[CheckResult] = []
    for name, manifest in load().services.items():
        for check in manifest.checks:
            fails = f"smoke.{name}.{check.id}" == failing
            done = Completed(1 if fails else 0, b"refused" if fails else b"fine", b"")
            asked = SimpleNamespace(
                id=check.id, title=check.title, in_=None, argv=(), stdin="", expect="^fine",
                remedy=check.remedy,
            )  # fmt: skip
            plan = SimpleNamespace(
                services=(name,), manifest=lambda _, c=asked: SimpleNamespace(checks=(c,))
            )
            engine = SimpleNamespace(exec=lambda *_, done=done, **__: done)
            subject = SimpleNamespace(plan=plan, secrets={}, project=None)
            ports: Any = SimpleNamespace(engine=engine)
            results += verify._check_services(subject, ports)  # type: ignore[arg-type]
    return tuple(results)


@functools.cache
def everything() -> Results:
    """Every result of a sound installation."""
    return (
        *preflight({}, {}),
        *harden(),
        *segment(),
        *see_tls(),
        *ask_edge(),
        *look_at_services(),
        *ask_services(),
        *(named(id) for id in (*UNMADE, *OTHERS)),
    )


def report_of(
    checks: Iterable[CheckResult] | None = None,
    *,
    ended: datetime = NOW - timedelta(hours=1),
    release: str = RELEASE,
    run: str = "20261124-110000-aaaa",
    exit_code: ExitCode = ExitCode.OK,
    steps: tuple[StepRecord, ...] = (StepRecord("verify", "verify", Outcome.PASS, False, 1.0),),
) -> Report:
    """The report of a run that verified."""
    facts = {
        "product": "0.1.0", "deployment": "devplat", "target": "192.0.2.10",
        "operator": "ada@bastion", "run": run, "started": ended.isoformat(),
        "release": release, "ended": ended.isoformat(timespec="seconds"),
    }  # fmt: skip
    return build(
        facts=facts,
        exit_code=exit_code,
        steps=steps,
        checks=tuple(everything() if checks is None else checks),
        problems=(),
        images={"gitea": "registry.example/gitea:1@sha256:" + "ab" * 32},
        notes=("gitea: keep its data",),
    )


def measure_of(*reports: Report, now: datetime = NOW, **answers: Any) -> Measure:
    """What items are measured against; the newest report comes first."""
    given = {**ANSWERS, **{key.replace("__", "."): value for key, value in answers.items()}}
    return Measure(TABLE, gather(reports), given.get, RELEASE, now)


def stand(*reports: Report, chain: tuple[Statement, ...] = (), **answers: Any) -> Standing:
    """How every item stands."""
    return judge_items(measure_of(*reports, **answers), chain)


def with_results(*changed: CheckResult, drop: Iterable[str] = ()) -> Results:
    """The sound results, but for those of these ids."""
    gone = {r.id for r in changed} | set(drop)
    return (*(r for r in everything() if r.id not in gone), *changed)


def failed(id: str, where: str | None = None) -> CheckResult:
    """A failure that is written down."""
    return named(id, Outcome.FAIL, where)


def as_outcome(id: str, outcome: Outcome) -> Iterator[CheckResult]:
    """The sound results of an id with another outcome."""
    return (replace(r, outcome=outcome) for r in everything() if r.id == id)
