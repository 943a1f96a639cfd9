"""What an uninstallation removes and what it leaves, as a value that is shown and then carried out.

Ours is what carries our labels, lies where only we write, or is in our record of host changes.
Everything else stays, with the reason; nothing is taken for ours because of its name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from installer.core.errors import ConflictError, Problem, Remedy
from installer.core.layout import Layout

OVERRIDE = "compose.override.yaml"
STATE = "state"
OUR_ENTRIES = frozenset({"current", "current.new", "drills", "releases", "secrets", STATE})
"""What a run makes in the directory of the installation, the operator's file apart."""
OUR_DATA = frozenset({"restore"})
"""What a run makes in the data directory besides the services' own directories."""
RESTORING = "restoring.json"


@dataclass(frozen=True, slots=True)
class Thing:
    """Something of the engine's: a container, a network or a volume.

    Attributes:
        owner: The deployment that its label of ours names; empty without one.
        project: Its compose project; empty without one.
        files: Compose files that a container was made from.
        users: Ids of the containers that are attached to a network.
    """

    id: str
    name: str
    owner: str = ""
    project: str = ""
    files: str = ""
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What lies on a host.

    Attributes:
        engine: Whether there is an engine; without one there are no containers.
        entries: Names in the directory of the installation.
        data: Names in the data directory.
        state: Names in the directory of the state.
        drills: Names of drills whose directory is there.
        mounted: Whether something is mounted where the secrets lie.
        changes: Our record of changes of the host: kind → what was before.
        services: Names of services of all releases there.
        images: References of all releases there that the engine has.
    """

    engine: bool = False
    containers: tuple[Thing, ...] = ()
    networks: tuple[Thing, ...] = ()
    volumes: tuple[Thing, ...] = ()
    entries: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    drills: tuple[str, ...] = ()
    mounted: bool = False
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    services: frozenset[str] = frozenset()
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that stays, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Removal:
    """What an uninstallation does.

    Attributes:
        changes: Changes of the host that are taken back: kind → record.
        entries: Names in the directory of the installation, the state apart, which goes last.
        data: Names in the data directory.
        all_data: Whether the data is deleted too.
        kept: What stays, and why.
    """

    deployment: str
    layout: Layout
    containers: tuple[Thing, ...] = ()
    networks: tuple[Thing, ...] = ()
    volumes: tuple[Thing, ...] = ()
    images: tuple[str, ...] = ()
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mounted: bool = False
    entries: tuple[str, ...] = ()
    has_state: bool = False
    data: tuple[str, ...] = ()
    all_data: bool = False
    kept: tuple[Kept, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the deployment is there that would be removed."""
        return not (
            self.containers
            or self.networks
            or self.volumes
            or self.images
            or self.changes
            or self.mounted
            or self.entries
            or self.has_state
            or self.data
        )


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asked for."""

    delete_data: bool = False
    remove_images: bool = False


def plan_removal(
    deployment: str, layout: Layout, found: Found, wish: Wish, known: Collection[str]
) -> Removal:
    """Sort what lies on a host into ours and not ours.

    Args:
        deployment: Its name.
        layout: Where it lies.
        found: What lies there.
        wish: What the operator asked for.
        known: Names of all services that this version can install.
    """
    ours = _Ours(deployment, layout, found)
    services = {*known, *found.services, *OUR_DATA}
    keeps_override = OVERRIDE in found.entries and not wish.delete_data
    mine = {*OUR_ENTRIES, f"{OVERRIDE}.part", *(() if keeps_override else (OVERRIDE,))}
    data = tuple(name for name in found.data if name in services)
    kept = [*ours.left()]
    kept += [
        Kept(f"{layout.install_dir}/{name}", "not made by a run")
        for name in found.entries
        if name not in mine and not (name == OVERRIDE and keeps_override)
    ]
    if keeps_override:
        kept.append(Kept(layout.override, "yours"))
    kept += [
        Kept(f"{layout.data_dir}/{name}", "not the data of a service")
        for name in found.data
        if name not in services
    ]
    if data and not wish.delete_data:
        kept.append(Kept(layout.data_dir, f"data and local backups of {len(data)} services"))
    if found.images and not wish.remove_images:
        kept.append(Kept(f"{len(found.images)} images", "kept unless --images remove"))
    return Removal(
        deployment=deployment,
        layout=layout,
        containers=ours.containers,
        networks=ours.networks,
        volumes=ours.volumes,
        images=found.images if wish.remove_images else (),
        changes=dict(found.changes),
        mounted=found.mounted,
        entries=tuple(n for n in found.entries if n in mine and n != STATE),
        has_state=STATE in found.entries,
        data=data if wish.delete_data else (),
        all_data=wish.delete_data,
        kept=tuple(kept),
    )


def refuse_unsafe(removal: Removal, found: Found, answers: Collection[str]) -> None:
    """What would be lost with the state although the data is to be kept.

    Args:
        removal: What would be done.
        found: What lies on the host.
        answers: Names of files in the state that hold the only copy of a server's keys.

    Raises:
        ConflictError: the data could not be used any more.
    """
    if removal.all_data:
        return
    problems = []
    if RESTORING in found.state:
        problems.append(
            Problem(
                "uninstall.half_restored",
                "a restore was interrupted; the data that would be kept is of two times",
                Remedy(
                    "run the restore again first, or delete the data too",
                    ("devplat-install restore",),
                ),
                where=f"{removal.layout.state}/{RESTORING}",
            )
        )
    for name in sorted(set(answers) & set(found.state)):
        problems.append(
            Problem(
                "uninstall.keys_wait",
                "the only copy of the secret server's keys is in the state; its data would be lost"
                " with it",
                Remedy(
                    "let an installation hand the keys over first, or delete the data too",
                    ("devplat-install apply",),
                ),
                where=f"{removal.layout.state}/{name}",
            )
        )
    if problems:
        raise ConflictError(*problems)


class _Ours:
    """Which things of the engine's are ours."""

    def __init__(self, deployment: str, layout: Layout, found: Found) -> None:
        self._found = found
        self._names = {deployment, *(f"{deployment}-drill-{name}" for name in found.drills)}
        self._places = (f"{layout.install_dir}/", f"{layout.current}/")
        self.containers = tuple(c for c in found.containers if self._is_container(c))
        ids = {c.id for c in self.containers}
        labelled = [n for n in found.networks if self._is_labelled(n)]
        self._used = {n.id: tuple(u for u in n.users if u not in ids) for n in labelled}
        self.networks = tuple(n for n in labelled if not self._used[n.id])
        self._held = tuple(n for n in labelled if self._used[n.id])
        self.volumes = tuple(v for v in found.volumes if v.owner in self._names)

    def left(self) -> Iterator[Kept]:
        """What looks like ours and is not."""
        mine = {c.id for c in self.containers}
        names = {c.id: c.name for c in self._found.containers}
        for container in self._found.containers:
            if container.project in self._names and container.id not in mine:
                why = "of the same compose project, and made by somebody else"
                yield Kept(f"container {container.name}", why)
        for network in self._held:
            users = ", ".join(names.get(u, u[:12]) for u in self._used[network.id])
            yield Kept(f"network {network.name}", f"{users} is attached to it and not ours")
        for volume in self._found.volumes:
            if volume.project in self._names and not volume.owner:
                yield Kept(f"volume {volume.name}", "made by compose.override.yaml; yours")

    def _is_container(self, container: Thing) -> bool:
        """By our label; or started with our files, out of the operator's override."""
        if container.owner:
            return container.owner in self._names
        from_ours = container.files.startswith(self._places)
        return container.project in self._names and from_ours

    def _is_labelled(self, network: Thing) -> bool:
        """By our label; or of our compose project, when nobody else has one of that name."""
        if network.owner:
            return network.owner in self._names
        mine = {c.id for c in self.containers}
        others = any(
            c.project == network.project and c.id not in mine for c in self._found.containers
        )
        return network.project in self._names and bool(mine) and not others
