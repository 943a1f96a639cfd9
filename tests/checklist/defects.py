"""Seeded defects (CR-08): each spoils facts, and the product's own rules say what that means.

A row is the item that must fail, alone but for those that share its probe, the name of the defect,
and what replaces the sound results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from installer.core.segmentation.probed import PREFIX as REACH
from installer.core.tls_profile import TLS12, TLS13
from installer.ports import Container, HttpResponse
from tests.checklist import sound
from tests.checklist.sound import HOST, Results
from tests.policy.builders import hardening_table
from tests.policy.defects import COMPOSE
from tests.policy.defects_inspect import INSPECT
from tests.policy.networks import join, leave, subnet
from tests.preflight.rows_hardening import ROWS as HARDENING_ROWS
from tests.preflight.rows_machine import ROWS as MACHINE_ROWS
from tests.preflight.rows_network import ROWS as NETWORK_ROWS
from tests.preflight.rows_upkeep import ROWS as UPKEEP_ROWS
from tests.tls.test_verify_tls import sight_of

Defect = tuple[str, str, Callable[[], Results]]
SHOULD = {a.id for a in hardening_table().assertions if a.severity == "should"}
"""Assertions that warn; an item does not fail for them."""
MUST_BE_PINNED = {"HD-31", "HD-32"}
NO_SECRET = {"HD-33", "HD-34", "HD-35", "HD-36"}
PORTS = {"HD-26"}
OF_RULE = {
    **dict.fromkeys(("PF-DNS", "PF-DNS-CATCH-ALL", "PF-CAA"), "CK-03"),
    **dict.fromkeys(("PF-ADDRESS", "PF-SUBNETS", "PF-OUTSIDE", "PF-FIREWALL"), "CK-02"),
    **dict.fromkeys(("PF-READ-ONLY", "PF-PATHS", "PF-FILE-SYSTEM", "PF-BUCKET"), "CK-08"),
    **dict.fromkeys(("PF-STORAGE-DRIVER",), "CK-08"),
    "PF-IMAGE": "AU-04",
    "PF-DATABASE": "CK-06",
    **dict.fromkeys(("PF-CGROUP", "PF-CONFINEMENT", "PF-SYSCTL", "PF-DAEMON"), "AU-02"),
    **dict.fromkeys(("PF-ENTROPY", "PF-UPDATES", "PF-BOOT"), "AU-02"),
}
"""The item of a preflight rule; CK-01 for those about the host's size, AU-02 for CIS."""
NOT_OF_ITEMS = {"PF-INSTALLATION", "PF-PORTS", "PF-DNS-CONTAINER"}
"""Matters of an installation alone: once it is there, nothing is in its place but itself."""


def item_of_hardening(assertion: str) -> str:
    """The item that a failed assertion of the hardening table belongs to."""
    if assertion in MUST_BE_PINNED:
        return "AU-04"
    if assertion in NO_SECRET:
        return "CK-09"
    return "CK-02" if assertion in PORTS else "AU-01"


def item_of_rule(rule: str) -> str:
    """The item that a failed rule of the preflight belongs to."""
    return "AU-02" if rule.startswith("HH-") else OF_RULE.get(rule, "CK-01")


def _hardening() -> list[Defect]:
    rows: list[Defect] = []
    for side, table in (("compose", COMPOSE), ("inspect", INSPECT)):
        for assertion in table.keys() - SHOULD:
            spoil = table[assertion][0]
            made = partial(sound.harden, spoil, side=side)
            rows.append((item_of_hardening(assertion), f"{assertion} {side}", made))
    return sorted(rows, key=lambda row: row[1])


def _preflight() -> list[Defect]:
    every = [*MACHINE_ROWS, *NETWORK_ROWS, *HARDENING_ROWS, *UPKEEP_ROWS]
    return [
        (
            item_of_rule(rule),
            f"{rule}: {case}",
            lambda rule=rule, facts=facts, needs=needs: sound.preflight(facts, needs, rule),
        )
        for rule, case, facts, needs, said in every
        if any(word.startswith("fail") for word in said) and rule not in NOT_OF_ITEMS
    ]


NETWORKS = {
    "edge on the database's network": join("traefik", "gitea-to-postgres"),
    "edge on the cache's network": join("traefik", "gitea-to-redis"),
    "an application on another's network": join("coder", "gitea-to-redis"),
    "a way out of the data tier": join("redis", "coder-egress"),
    "an application on the edge's way out": join("gitea", "traefik-egress"),
    "edge at the engine's filter": join("traefik", "coder-to-socket-proxy-coder"),
    "an allowed flow without a network": leave("gitea", "gitea-to-postgres"),
    "a network outside of the pool": subnet("gitea-to-postgres", "192.168.7.0/24"),
}
SIGHTS = {
    "CK-35": {
        "an old version": replace(sight_of(HOST), versions=frozenset({0x0301, TLS12, TLS13})),
        "a group": replace(sight_of(HOST), bad_groups=("P-521",)),
        "a suite": replace(sight_of(HOST), bad_suites=("TLS_RSA_X",)),
        "compression": replace(sight_of(HOST), faults=("compresses",)),
        "a missing version": replace(sight_of(HOST), versions=frozenset({TLS12})),
    },
    "CK-04": {
        "expired": sight_of(HOST, left=-1),
        "not yet valid": sight_of(HOST, left=120, life=90),
        "another name": sight_of("other.company.com"),
        "an unknown authority": sight_of(HOST, trusted=False),
    },
}


def _answering(https: HttpResponse, http: HttpResponse | None = None) -> Callable[[], Results]:
    def answer(url: str) -> HttpResponse:
        if url.startswith("http://") and http is not None:
            return http
        is_health = url.startswith("https://") and url.endswith("/api/healthz")
        return https if is_health else sound.sound_answer(url)

    return lambda: sound.ask_edge(answer)


FINE = sound.sound_answer(f"https://{HOST}/api/healthz")
ANSWERS = {
    "the page fails": _answering(replace(FINE, status=502)),
    "no HSTS": _answering(replace(FINE, headers={})),
    "HSTS for a day": _answering(
        replace(FINE, headers={"strict-transport-security": "max-age=86400"})
    ),
    "plain HTTP is served": _answering(FINE, HttpResponse(200, {}, b"")),
    "plain HTTP leads elsewhere": _answering(
        FINE, HttpResponse(308, {"location": "https://other.example/"}, b"")
    ),
}


def _changed(**values: object) -> Callable[[Container], Container]:
    return lambda container: replace(container, **values)  # type: ignore[arg-type]


SERVICES: dict[str, Callable[[Container], Container | None]] = {
    "absent": lambda _: None,
    "stopped": _changed(state="exited", health=None),
    "unhealthy": _changed(health="unhealthy"),
    "of another release": _changed(
        inspect={"Config": {"Labels": {"devplat.release": "ffffffffffff"}}}
    ),
}
SMOKE = {
    "smoke.traefik.edge-ping": "CK-05",
    "smoke.traefik.edge-configuration": "CK-05",
    "smoke.postgres.postgres-checksums": "CK-06",
    "smoke.postgres.postgres-verified": "CK-06",
    "smoke.coder.coder-row": "CK-06",
    "smoke.gitea.gitea-row": "CK-06",
    "smoke.drone-server.drone-row": "CK-06",
    "smoke.woodpecker-server.woodpecker-row": "CK-06",
    "smoke.authentik-server.authentik-row": "CK-06",
    "smoke.redis.redis-key": "CK-07",
    "smoke.redis.redis-anonymous": "CK-07",
    "smoke.redis.redis-plain": "CK-07",
    "smoke.vault.vault-open": "CK-09",
    "smoke.vault.vault-plain": "CK-09",
    "smoke.vault-agent.files": "CK-09",
    "smoke.vault.vault-audit": "CK-13",
    "smoke.prometheus.metrics-targets": "CK-14",
    "smoke.node-exporter.node-measures": "CK-14",
    "smoke.postgres-exporter.postgres-measures": "CK-14",
    "smoke.postgres-exporter.metrics-login": "CK-14",
    "smoke.redis-exporter.redis-measures": "CK-14",
    "smoke.grafana.grafana-health": "CK-15",
    "smoke.grafana.grafana-anonymous": "CK-15",
    "smoke.grafana.grafana-sources": "CK-15",
    "smoke.prometheus.metrics-rules": "CK-16",
    "smoke.loki.loki-rules": "CK-16",
    "smoke.alertmanager.alerts-ready": "CK-16",
    "smoke.alloy.alloy-ready": "CK-17",
    "smoke.alloy.alloy-lines": "CK-17",
    "smoke.coder.coder-template": "CK-24",
    "smoke.coder.coder-engine": "CK-24",
    "smoke.gitea.gitea-health": "CK-25",
    "smoke.ai-gateway.gateway-models": "CK-26",
    "smoke.ai-gateway.gateway-anonymous": "CK-26",
    "smoke.ai-gateway.gateway-team": "CK-26",
    "smoke.drone-server.drone-version": "CK-27",
    "smoke.drone-runner.runner-polls": "CK-27",
    "smoke.drone-runner.runner-engine": "CK-27",
    "smoke.coder.coder-owner": "CK-36",
    "smoke.coder.coder-login": "CK-36",
    "smoke.gitea.gitea-login": "CK-36",
    "smoke.minio.minio-anonymous": "CK-36",
    "smoke.authentik-server.authentik-second-factor": "CK-37",
    "smoke.authentik-server.authentik-ready": "CK-37",
    "smoke.authentik-worker.authentik-worker-ready": "CK-37",
    "smoke.backup.backup-waits": "CK-46",
    "smoke.backup.backup-reaches": "CK-46",
    "smoke.backup-database.dump-reads": "CK-46",
    "smoke.backup-files.data-read": "CK-46",
    "smoke.backup-secrets.snapshot-only": "CK-46",
    "smoke.blackbox-exporter.probes-ready": "CK-53",
    "smoke.socket-proxy-coder.filter-coder-refuses": "AU-05",
    "smoke.socket-proxy-build.filter-build-refuses": "AU-05",
    "smoke.socket-proxy-build.filter-build-refuses-agent": "AU-05",
    "smoke.socket-proxy-logs.filter-logs-refuses": "AU-05",
}
"""Which item a smoke test belongs to; AU-06 for those that are not here."""
OF_OTHER_ANSWERS = ("smoke.woodpecker-", "smoke.database-client.")
"""Smoke tests that count with other answers than those of these rows."""
WRITTEN = {
    "restore.compared": "CK-21",
    "restore.untouched": "CK-21",
    "restore.checksum": "CK-21",
    "backup.complete": "CK-46",
    "host.published": "CK-02",
    "ports.bastion": "CK-02",
    "ports.outside": "CK-02",
    "host.listeners": "AU-02",
    "host.engine": "AU-02",
    "secrets.delivered": "CK-09",
    f"{REACH}.{HOST}": "CK-11",
    "baseline.disk": "CK-08",
    "baseline.api": "CK-31",
    "baseline.workspace": "CK-31",
    "baseline.clone": "CK-31",
    "baseline.database": "CK-31",
    "journey.audit": "CK-13",
    "journey.dashboards": "CK-15",
    "journey.logs": "CK-17",
    "journey.login": "CK-23",
    "journey.workspace": "CK-24",
    "journey.git": "CK-25",
    "journey.ai": "CK-26",
    "journey.pipeline": "CK-27",
    "journey.defaults": "CK-36",
    "drill.alert": "CK-30",
}


def _services() -> list[Defect]:
    rows: list[Defect] = []
    for id in sound.smoke_ids():
        counts = id in SMOKE or not id.startswith(OF_OTHER_ANSWERS)
        if counts:
            rows.append((SMOKE.get(id, "AU-06"), id, lambda id=id: sound.ask_services(id)))
    return rows


DEFECTS: list[Defect] = [
    *_hardening(),
    *_preflight(),
    *(
        ("CK-11", name, lambda change=change: sound.segment(change))
        for name, change in NETWORKS.items()
    ),
    *(
        (item, f"TLS: {name}", lambda sight=sight: sound.see_tls(sight))
        for item, sights in SIGHTS.items()
        for name, sight in sights.items()
    ),
    *(("CK-35", f"edge: {name}", made) for name, made in ANSWERS.items()),
    *(
        ("AU-03", f"service: {name}", lambda change=change: sound.look_at_services(change))
        for name, change in SERVICES.items()
    ),
    *_services(),
    *((item, f"written: {id}", lambda id=id: (sound.failed(id),)) for id, item in WRITTEN.items()),
]
