"""The compose project that a restore is tried in: the images of the deployment, none of its data.

Its one network is internal and has nobody else on it; nothing is published, no secret is mounted.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from installer.core.bundle import Document
from installer.core.compose import LABEL_DEPLOYMENT
from installer.core.layout import Layout
from installer.core.manifest import ServiceManifest
from installer.core.plan import Plan

_KEPT = frozenset(
    "image user cap_drop security_opt read_only init ipc logging deploy memswap_limit pids_limit"
    " ulimits tmpfs stop_grace_period shm_size".split()
)
"""What a service of the drill takes over from the service of the deployment."""
_IDLE = ("sleep", "2147483")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a drill of this name lies on the target.

    Attributes:
        fetched: What the collector has fetched.
        ready: Below it, a directory for each part with what was restored.
        directory: The compose project's.
    """

    project: str
    fetched: str
    ready: str
    directory: str

    def ready_for(self, part: str) -> str:
        """Where one part is restored to."""
        return posixpath.join(self.ready, part)


@dataclass(frozen=True, slots=True)
class Trial:
    """A part that is restored: by which service, and which service's data it is then."""

    part: str
    restorer: ServiceManifest
    owner: ServiceManifest | None


def make_place(plan: Plan, layout: Layout, name: str) -> Place:
    """The places of a drill; nobody else's files lie there."""
    collector = plan.collector
    if collector is None or collector.collector is None:
        raise ValueError("this plan makes no backups")
    fetched = posixpath.join(layout.data(collector.name, collector.collector.scratch), name)
    return Place(
        project=f"{plan.deployment}-drill-{name}",
        fetched=fetched,
        ready=posixpath.join(layout.data_dir, "restore", name),
        directory=posixpath.join(layout.install_dir, "drills", name),
    )


def plan_trials(plan: Plan, parts: tuple[str, ...]) -> tuple[Trial, ...]:
    """Each part of a backup that a service of this plan can restore."""
    restorers = {m.part: m for m in plan.catalog.services.values() if m.part}
    trials = []
    for part in parts:
        restorer = restorers.get(part)
        if restorer is None or restorer.drill is None:
            continue
        owner = plan.catalog.services.get(restorer.drill.ready or "") or restorer.source
        trials.append(Trial(part, restorer, owner))
    return tuple(trials)


def make_drill(
    layout: Layout, place: Place, trials: tuple[Trial, ...], document: Document
) -> Document:
    """The compose document of a drill, from that of the deployment."""
    services: dict[str, Document] = {}
    for trial in trials:
        name = trial.restorer.name
        scripts = posixpath.join(layout.current, name)
        services[name] = _service(
            document["services"][name],
            place,
            (
                _bind(scripts, "/opt/backup", read_only=True),
                _bind(place.fetched, "/restore", read_only=True),
                _bind(place.ready_for(trial.part), "/ready", read_only=False),
            ),
        )
        owner = trial.owner
        if owner is not None and owner.proof is not None:
            mounts = [
                _bind(posixpath.join(place.ready_for(trial.part), d.name), d.path, read_only=True)
                for d in owner.data
                if d.backup
            ]
            services[owner.name] = _service(document["services"][owner.name], place, mounts)
    return {
        "name": place.project,
        "services": services,
        "networks": {"alone": {"internal": True, "labels": {LABEL_DEPLOYMENT: place.project}}},
    }


def _service(body: Document, place: Place, volumes: object) -> Document:
    kept = {key: value for key, value in body.items() if key in _KEPT}
    return {
        **kept,
        "entrypoint": [_IDLE[0]],
        "command": [_IDLE[1]],
        "restart": "no",
        "networks": {"alone": {}},
        "labels": {LABEL_DEPLOYMENT: place.project},
        "volumes": list(volumes),  # type: ignore[call-overload]
    }


def _bind(source: str, target: str, *, read_only: bool) -> Mapping[str, object]:
    return {"type": "bind", "source": source, "target": target, "read_only": read_only}
