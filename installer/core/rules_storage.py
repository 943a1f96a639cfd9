"""Preflight rules over file systems and over what already lies in our place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from installer.core.errors import Problem, Remedy
from installer.core.events import Outcome
from installer.core.facts import EngineContainer, HostFacts, PathFacts, PathKind
from installer.core.requirements import Requirements
from installer.core.rules import Finding, judged, passed, unknown

GIB = 1024**3
FLOOR_GIB = 2.0
"""Below it the run itself fails half-way, whatever was decided about the planned size."""

INODES = {"install": 1_000, "data": 5_000, "engine": 50_000}
"""Free inodes per purpose: a release has some hundred files, unpacked images some ten thousand."""

RERUN_SHARE = 0.1
"""What of the planned space must still be free when the deployment is already there and uses the
rest."""

OWN_ENTRIES = frozenset(
    {"releases", "state", "current", "secrets", "tls", "compose.override.yaml", "lost+found"}
)
_TITLES = {"install": "releases", "data": "volumes", "engine": "images"}


@dataclass(frozen=True, slots=True)
class _FileSystem:
    """What is wanted from one file system, by purpose."""

    facts: PathFacts
    wanted: dict[str, float]

    @property
    def paths(self) -> str:
        return ", ".join(f"{_TITLES[key]} {gib:.1f} GiB" for key, gib in self.wanted.items())


def judge_read_only(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """File systems below our directories and the engine's are mounted writable."""
    for path in _one_per_mount(facts):
        # Nothing but a read-only file system keeps root from writing.
        if path.read_only or (facts.account.uid == 0 and not path.writable):
            yield judged(
                Outcome.FAIL,
                Problem(
                    code="disk.read_only",
                    summary=f"the file system {path.mount} is mounted read-only; "
                    f"{path.path} lies on it",
                    where=path.path,
                    remedy=Remedy(
                        "look for disk errors; remount it writable or choose another directory",
                        (
                            "dmesg | tail -n 50",
                            f"findmnt {path.mount}",
                            f"sudo mount -o remount,rw {path.mount}",
                        ),
                    ),
                ),
                expected="writable",
                found="read-only",
            )
        else:
            yield passed(path.path, expected="writable", found=f"{path.mount} {path.fs_type}")


def judge_paths(facts: HostFacts, _needs: Requirements) -> Iterator[Finding]:
    """Our directories exist or can be made: nothing else has their name or a parent's."""
    for key in ("install", "data"):
        path = facts.paths.get(key)
        if path is None:
            continue
        if path.kind is PathKind.OTHER:
            yield judged(
                Outcome.FAIL,
                Problem(
                    code="path.not_directory",
                    summary=f"{path.path} cannot be a directory: {path.existing} is something else",
                    where=path.path,
                    remedy=Remedy(
                        f"move it away, or choose another directory (target.{key}_dir)",
                        (f"ls -ld {path.existing}",),
                    ),
                ),
                expected="a directory, or nothing",
                found=f"{path.existing} is no directory",
            )
        else:
            yield passed(path.path, expected="a directory, or nothing", found=path.kind.value)


def judge_disk(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Free space per file system against the sum of what is planned on it."""
    for system in _file_systems(facts, needs):
        path, wanted = system.facts, sum(system.wanted.values())
        if path.available is None:
            yield unknown(path.path, "disk.unknown", f"free space of {path.mount}")
            continue
        available = path.available / GIB
        expected = f"{wanted:.1f} GiB on {path.mount} ({system.paths})"
        found = f"{available:.1f} GiB"
        if available >= wanted:
            yield passed(path.path, expected=expected, found=found)
        else:
            yield judged(
                Outcome.FAIL, _no_space(system, wanted, available), expected=expected, found=found
            )


def judge_inodes(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Free inodes; file systems without a fixed number have no limit."""
    for system in _file_systems(facts, needs):
        path = system.facts
        if path.inodes is None or path.inodes_free is None:
            yield unknown(path.path, "disk.inodes_unknown", f"free inodes of {path.mount}")
            continue
        wanted = sum(INODES[key] for key in system.wanted)
        expected = f"{wanted} inodes on {path.mount}"
        if path.inodes == 0:
            yield passed(path.path, expected=expected, found=f"no limit ({path.fs_type})")
        elif path.inodes_free >= wanted:
            yield passed(path.path, expected=expected, found=f"{path.inodes_free} inodes")
        else:
            yield judged(
                Outcome.FAIL,
                Problem(
                    code="disk.inodes",
                    summary=f"{path.mount} has {path.inodes_free} free inodes, {wanted} are "
                    f"needed for {path.path}",
                    where=path.path,
                    remedy=Remedy(
                        "free inodes: remove many small files, or use a file system with more",
                        (f"df -i {path.mount}",),
                    ),
                ),
                expected=expected,
                found=f"{path.inodes_free} inodes",
            )


def judge_installation(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Nobody else uses our directory or our project's name."""
    findings = [*_judge_directory(facts), *_judge_projects(facts, needs)]
    yield from findings
    if not findings:
        found = facts.installation.current or ("unfinished" if facts.installation.found else "none")
        yield passed(needs.install_dir, expected="none, or ours", found=found)


def _judge_directory(facts: HostFacts) -> Iterator[Finding]:
    path = facts.paths.get("install")
    strangers = [e for e in path.entries if e not in OWN_ENTRIES] if path else []
    if path and strangers and not facts.installation.found:
        yield judged(
            Outcome.FAIL,
            Problem(
                code="install.foreign_directory",
                summary=f"{path.path} is in use and holds no installation of ours: "
                f"{', '.join(strangers[:5])}",
                where=path.path,
                remedy=Remedy("choose an empty directory (target.install_dir), or move it away"),
            ),
            expected="empty, or an installation of ours",
            found=", ".join(strangers[:5]),
        )


def _judge_projects(facts: HostFacts, needs: Requirements) -> Iterator[Finding]:
    """Another project of our name, or a project of another name in our directory."""
    namesakes, tenants = [], []
    for container in facts.engine.containers:
        here = _is_below(container.directory, needs.install_dir)
        if container.project == needs.deployment and not here:
            namesakes.append(container)
        elif container.project != needs.deployment and here:
            tenants.append(container)
    for container in namesakes[:1]:
        directory = container.directory or "an unknown directory"
        yield _foreign(
            "install.foreign_project",
            f"a compose project named {needs.deployment} exists already, started in {directory}",
            "choose another deployment.name, or remove that project if it is not needed",
            namesakes,
            needs,
        )
    for container in tenants[:1]:
        yield _foreign(
            "install.other_deployment",
            f"{needs.install_dir} belongs to the deployment {container.project}, "
            f"these answers are for {needs.deployment}",
            "choose another target.install_dir and target.data_dir, or keep deployment.name as it "
            "is: a deployment is not renamed by a run",
            tenants,
            needs,
        )


def _foreign(
    code: str,
    summary: str,
    advice: str,
    containers: Sequence[EngineContainer],
    needs: Requirements,
) -> Finding:
    problem = Problem(
        code=code,
        summary=summary,
        where=needs.deployment,
        detail=f"containers: {', '.join(c.name for c in containers)}",
        remedy=Remedy(advice, ("docker compose ls --all",)),
    )
    first = containers[0]
    return judged(
        Outcome.FAIL,
        problem,
        expected=f"{needs.deployment} in {needs.install_dir}, and nothing else there",
        found=f"{first.project} in {first.directory or 'an unknown directory'}",
    )


def _one_per_mount(facts: HostFacts) -> list[PathFacts]:
    by_mount: dict[str, PathFacts] = {}
    for path in facts.paths.values():
        by_mount.setdefault(path.mount, path)
    return list(by_mount.values())


def _file_systems(facts: HostFacts, needs: Requirements) -> list[_FileSystem]:
    """The paths that space is asked for, those on one file system together."""
    asked = {
        "install": needs.disk_gib_install,
        "data": needs.disk_gib_data,
        "engine": needs.disk_gib_images,
    }
    share = RERUN_SHARE if facts.installation.current else 1.0
    systems: dict[str, _FileSystem] = {}
    for key, gib in asked.items():
        path = facts.paths.get(key)
        if path and gib:
            system = systems.setdefault(path.file_system, _FileSystem(path, {}))
            system.wanted[key] = gib * share
    return list(systems.values())


def _no_space(system: _FileSystem, wanted: float, available: float) -> Problem:
    path = system.facts
    full = available < min(wanted, FLOOR_GIB)
    advice = f"free space on {path.mount} (path {path.existing}), or use a larger file system"
    waiver = (
        "" if full else ", or record the decision to go on with a reason in waivers: disk.space"
    )
    return Problem(
        code="disk.full" if full else "disk.space",
        summary=f"{path.mount} has {available:.1f} GiB available, {wanted:.1f} GiB are needed "
        f"for {path.path}",
        where=path.path,
        detail=f"needed on {path.mount}: {system.paths}",
        remedy=Remedy(f"{advice}{waiver}", (f"df -h {path.mount}", "docker system df")),
    )


def _is_below(directory: str | None, parent: str) -> bool:
    root = parent.rstrip("/")
    return directory is not None and (directory == root or directory.startswith(f"{root}/"))
