"""Carries a removal out: step by step under the lock, what is needed to go on last.

Each step looks again at what is there, so a run that was killed is continued by the next one. The
lock and the journal lie in the state, which is removed when everything else is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from installer.core.errors import InstallError
from installer.core.events import CheckFinished, CheckResult, Outcome, Run, span
from installer.core.removal import Removal, Thing
from installer.phases.host_undo import undo_daemon_step, undo_sysctl_step, undo_unit_step
from installer.phases.journal import TargetJournal, TargetLock
from installer.phases.remote import quote, run_root, stream_root
from installer.phases.steps import Step, no_effect, relay, run_steps
from installer.ports import Host

_UNDO = {"sysctl": undo_sysctl_step, "daemon": undo_daemon_step}


def uninstall(
    removal: Removal, host: Host, lock: TargetLock, *, take_over: bool = False
) -> Run[None]:
    """Remove what the plan says, and nothing else.

    Raises:
        LockedError: another run is at work.
        InstallError: of the step that could not be done; the next run goes on from there.
    """
    yield from span("lock", "take the deployment lock", _take(lock, take_over))
    try:
        journal = TargetJournal(host, removal.layout, lock, "none")
        yield from run_steps(removal_steps(removal, host), journal)
        yield from span("uninstall.state", "remove the state", _remove_state(removal, host))
    finally:
        with suppress(InstallError):  # of a lost connection: the next run recognises the lock
            lock.release()


def removal_steps(removal: Removal, host: Host) -> Iterator[Step]:
    """Every step but the last: first what would start things again, then what runs, then files."""
    if record := removal.changes.get("systemd"):
        yield undo_unit_step(host, record)
    yield from _engine_steps(removal, host)
    if removal.mounted:
        yield _unmount_step(removal, host)
    for kind, undo in _UNDO.items():
        if record := removal.changes.get(kind):
            yield undo(host, record)
    layout = removal.layout
    if removal.data:
        title = "delete the data"
        yield _files_step(host, "uninstall.data", title, layout.data_dir, removal.data)
    if removal.entries:
        title = "remove releases and what belongs to them"
        yield _files_step(host, "uninstall.files", title, layout.install_dir, removal.entries)


def _engine_steps(removal: Removal, host: Host) -> Iterator[Step]:
    kinds: tuple[tuple[str, tuple[Thing, ...], Callable[[Sequence[Thing]], str]], ...] = (
        ("container", removal.containers, _remove_containers),
        ("network", removal.networks, lambda left: f"docker network rm {_ids(left)} >/dev/null"),
        ("volume", removal.volumes, lambda left: f"docker volume rm {_ids(left)} >/dev/null"),
    )
    for kind, things, script in kinds:
        if things:
            yield _engine_step(host, kind, things, script)
    if removal.images:
        yield _images_step(removal.images, host)


_VOLUMES = '{{range .Mounts}}{{if eq .Type "volume"}}{{println .Name}}{{end}}{{end}}'
"""The engine's template for the names of the volumes that a container has."""
_NAMELESS = "'[0-9a-f]{64}'"
"""What the engine calls a volume that nobody named."""


def _remove_containers(left: Sequence[Thing]) -> str:
    """Stopped first, each in the time that its service has for it; its own volumes go with it.

    One that the operator's file adds keeps what it made: that may be data.
    """
    own, added = [c for c in left if c.owner], [c for c in left if not c.owner]
    lines = [f"docker stop {_ids(left)} >/dev/null"]
    if own:
        # Compose hands the nameless volume of a container to the one that it makes anew, and to the
        # engine that is a named one from then on, which `rm -v` leaves alone
        lines += [
            f"volumes=$(docker inspect -f {quote(_VOLUMES)} {_ids(own)})",
            f'nameless=$(echo "$volumes" | grep -xE {_NAMELESS} || :)',
            f"docker rm -v {_ids(own)} >/dev/null",
            'for volume in $nameless; do docker volume rm "$volume" >/dev/null 2>&1 || :; done',
        ]
    lines += [f"docker rm {_ids(added)} >/dev/null"] if added else []
    return "\n".join(lines)


def _ids(things: Sequence[Thing]) -> str:
    return " ".join(quote(thing.id) for thing in things)


def _engine_step(
    host: Host, kind: str, things: Sequence[Thing], script: Callable[[Sequence[Thing]], str]
) -> Step:
    step = f"uninstall.{kind}s"

    def remaining() -> list[Thing]:
        there = _inspect(host, kind, [thing.id for thing in things])
        return [thing for thing in things if thing.id in there]

    def remove() -> Run[None]:
        yield from relay(step, stream_root(host, script(remaining()), timeout_s=600))

    def are_gone() -> bool:
        return not remaining()

    return Step(step, f"remove {len(things)} {kind}s", are_gone, remove, are_gone)


def _inspect(host: Host, kind: str, names: Sequence[str]) -> list[str]:
    """Those of the names that the engine has."""
    field = "{{.Name}}" if kind == "volume" else "{{.Id}}"
    argv = " ".join(map(quote, names))
    # it prints those that are there, and complains of the others
    script = f"docker {kind} inspect -f '{field}' {argv} 2>/dev/null || :"
    return run_root(host, script, timeout_s=300).text.split()


def _images_step(references: Sequence[str], host: Host) -> Step:
    """Images of the releases, as far as nobody else uses them."""
    step, held = "uninstall.images", list[str]()

    def remaining() -> list[str]:
        tests = (
            f"if docker image inspect {quote(r)} >/dev/null 2>&1; then echo {quote(r)}; fi"
            for r in references
        )
        return run_root(host, "\n".join(tests), timeout_s=300).text.split()

    def remove() -> Run[None]:
        # never by force: the engine refuses an image that a container of somebody else uses
        lines = (f"docker image rm {quote(r)} >/dev/null 2>&1 || :" for r in remaining())
        yield from relay(step, stream_root(host, "\n".join(lines), timeout_s=600))
        held[:] = remaining()
        for reference in held:
            title = f"{reference} is used by somebody else and stays"
            yield CheckFinished(step, CheckResult(step, title, Outcome.WARN, where="engine"))

    def are_gone() -> bool:
        return set(remaining()) <= set(held)

    title = f"remove {len(references)} images"
    return Step(step, title, lambda: not remaining(), remove, are_gone)


def _unmount_step(removal: Removal, host: Host) -> Step:
    """The secret files, which lie in memory only, are gone."""
    place = quote(removal.layout.secrets)
    test = f"if mountpoint -q {place}; then echo yes; fi"

    def is_gone() -> bool:
        return run_root(host, test).stdout == b""

    def unmount() -> Run[None]:
        run_root(host, f"find {place} -xdev -type f -exec rm -f {{}} +\numount {place}")
        return no_effect()

    return Step("uninstall.secrets", "remove the secret files", is_gone, unmount, is_gone)


def _files_step(host: Host, step: str, title: str, below: str, names: Sequence[str]) -> Step:
    """These names below a directory are gone; a mount point among them is left, and empty."""
    paths = [quote(f"{below}/{name}") for name in names]
    test = "\n".join(
        f"if [ -L {p} ] || [ -f {p} ]; then echo 1;"
        f" elif [ -d {p} ] && ! mountpoint -q {p}; then echo 1;"
        f' elif [ -d {p} ] && [ -n "$(ls -A {p})" ]; then echo 1; fi'
        for p in paths
    )

    def are_gone() -> bool:
        return run_root(host, test).stdout == b""

    def remove() -> Run[None]:
        lines = [
            f"if mountpoint -q {p}; then find {p} -mindepth 1 -delete; else rm -rf -- {p}; fi"
            for p in paths
        ]
        yield from relay(step, stream_root(host, "\n".join(lines), timeout_s=3600))

    return Step(step, title, are_gone, remove, are_gone)


def _remove_state(removal: Removal, host: Host) -> Run[None]:
    """The last: with it go the lock, the journal and the record of changes."""
    layout = removal.layout
    empty = [layout.data_dir, layout.install_dir] if removal.all_data else [layout.install_dir]
    lines = (f"rmdir {quote(path)} 2>/dev/null || :" for path in empty)
    run_root(host, "\n".join((f"rm -rf -- {quote(layout.state)}", *lines)))
    yield from ()


def _take(lock: TargetLock, take_over: bool) -> Run[None]:
    if note := lock.acquire(take_over=take_over):
        yield CheckFinished("lock", CheckResult("lock.taken_over", note, Outcome.WARN))
