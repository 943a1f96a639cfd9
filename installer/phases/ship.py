"""Ship: the release directory and the secret files, each by one comparison and one tar stream."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from installer.core.bundle import Bundle, BundleFile, manifest_lines
from installer.core.deployed import SECTION, Deployed, parse_deployed
from installer.core.events import Run, StepProgress
from installer.core.layout import Layout
from installer.phases.remote import quote, run_root, stream_root
from installer.phases.steps import Step, no_effect
from installer.ports import Completed, Host

CHUNK = 256 * 1024
"""Bytes per write; larger pieces are copied again and again by the SSH library."""
SQUEEZED_BYTES = 1024 * 1024
"""Largest archive that is compressed."""
LAST = ".complete"
"""Last entry of a release's archive: tar takes one that ends early between two files for whole."""

OVERRIDE_SEED = b"""\
# Yours: settings here win over the rendered compose.yaml, and no run ever rewrites this file.
# Hardening still applies: `devplat-install verify` audits what really runs.
services: {}
"""


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file below the secrets' tmpfs; only its owner can read it."""

    data: bytes
    owner: str  # uid:gid, numeric

    @property
    def facts(self) -> str:
        """How the target describes it: mode, owner, hash."""
        return f"400 {self.owner} {hashlib.sha256(self.data).hexdigest()}"


def release_step(host: Host, layout: Layout, bundle: Bundle) -> Step:
    """The release directory holds exactly the bundle."""
    directory = layout.release(bundle.release)
    wanted = manifest_lines(bundle.files)
    listing = (
        f"[ -d {quote(directory)} ] || exit 0\ncd {quote(directory)}\n"
        "find . -type f -exec sha256sum {} +\necho --\n"
        "find . -type f -exec stat -c '%a %n' {} +"
    )
    observed: list[str] = []

    def is_shipped() -> bool:
        return parse_listing(run_root(host, listing).text) == set(wanted)

    def was_observed() -> bool:
        # what the shipping command itself saw in place at its end, once: it saves a round trip
        return parse_listing(observed.pop()) == set(wanted) if observed else is_shipped()

    def ship() -> Run[None]:
        observed.clear()
        data, unpack = squeeze(pack({**bundle.files, LAST: BundleFile(b"")}))
        script = f"{_release_script(layout, bundle.release, unpack)}\n{listing}"
        note = f"{len(bundle.files)} files"
        observed.append((yield from _upload(host, "ship.release", script, data, note)))

    def unship() -> Run[None]:
        run_root(
            host,
            f'[ "$(readlink -f {quote(layout.current)} || :)" = {quote(directory)} ]'
            f" || rm -rf {quote(directory)}",
        )
        return no_effect()

    return Step("ship.release", "ship the release", is_shipped, ship, was_observed, unship)


def _release_script(layout: Layout, release: str, unpack: str) -> str:
    """Unpacks its input beside the releases, then gives it its name in one move."""
    directory = quote(layout.release(release))
    part = quote(f"{layout.releases}/.{release}.part")
    edited = quote(f"{layout.releases}/{release}.edited")
    return (
        f"umask 022\nmkdir -p -m 0755 {quote(layout.releases)}\n"
        f"rm -rf {part}\nmkdir {part}\ncd {part}\n"
        f"{unpack} --no-same-owner\n"
        f"[ -e {LAST} ] || {{ echo the archive ended early >&2; exit 1; }}\nrm {LAST}\n"
        # Contents reach the disk before the name does: a crash leaves no release that looks whole
        # and has empty files. Syncing the directory alone does not write what is in its files.
        f"chmod 0755 .\nsync -f . 2>/dev/null || sync\ncd /\n"
        # what was edited by hand is kept beside, never lost
        f"if [ -d {directory} ]; then rm -rf {edited}\nmv -T {directory} {edited}; fi\n"
        f"mv -T {part} {directory}"
    )


def override_step(host: Host, layout: Layout) -> Step:
    """The operator's own compose file exists; it is never rewritten."""
    path, part = quote(layout.override), quote(layout.override + ".part")

    def exists() -> bool:
        return run_root(host, f"if [ -e {path} ]; then echo yes; fi").stdout != b""

    def seed() -> Run[None]:
        # An empty file after a crash would be no compose file, and is never written again.
        script = (
            f'umask 077\npart={part}\ntrap \'rm -f "$part"\' EXIT\ncat > "$part"\n'
            f'sync "$part" 2>/dev/null || sync\nln -T "$part" {path}'
        )
        run_root(host, script, stdin=(OVERRIDE_SEED,))
        return no_effect()

    return Step("ship.override", "seed compose.override.yaml", exists, seed, exists)


def data_step(host: Host, layout: Layout, wanted: Mapping[str, str]) -> Step:
    """Data directories exist with the owner and mode that their services need.

    Args:
        wanted: `<service>/<name>` → `mode uid:gid`.
    """
    script = "\n".join(
        f"stat -c '%a %u:%g' {quote(f'{layout.data_dir}/{path}')} 2>/dev/null || echo absent"
        for path in wanted
    )

    def are_there() -> bool:
        return run_root(host, script).text.splitlines() == list(wanted.values())

    def make() -> Run[None]:
        lines = ["umask 022", f"mkdir -p {quote(layout.data_dir)}"]
        for path, facts in wanted.items():
            mode, _, owner = facts.partition(" ")
            uid, _, gid = owner.partition(":")
            target = quote(f"{layout.data_dir}/{path}")
            lines.append(f"install -d -m {mode} -o {uid} -g {gid} {target}")
        run_root(host, "\n".join(lines))
        return no_effect()

    return Step("ship.data", "prepare data directories", are_there, make, are_there)


def secrets_step(
    host: Host, layout: Layout, files: Mapping[str, SecretFile], *, alone: bool = True
) -> Step:
    """The secret files lie on a tmpfs, each readable by its consumer alone.

    Args:
        files: `<service>/<file>` → content and owner.
        alone: Nothing else lies there; without it, files beside these are left as they are.
    """
    root = quote(layout.secrets)
    wanted = {path: file.facts for path, file in files.items()}

    def are_delivered() -> bool:
        found = _read_secrets(host, root)
        there = found.secrets if alone else {p: f for p, f in found.secrets.items() if p in wanted}
        return found.secrets_on_tmpfs and there == wanted

    def deliver() -> Run[None]:
        data = pack(
            {path: BundleFile(file.data, 0o400) for path, file in files.items()},
            owners={path: file.owner for path, file in files.items()},
        )
        # A file is replaced in place only when it differs: a mounted one keeps its inode.
        run_root(
            host,
            f"umask 077\nmkdir -p {root}\n"
            f'if [ "$(stat -f -c %T {root})" != tmpfs ]; then\n'
            f"mount -t tmpfs -o size=16m,mode=0700,nosuid,nodev,noexec tmpfs {root}\nfi\n"
            f"cd {root}\nrm -rf .new\nmkdir .new\ncd .new\ntar -xpf - --same-owner\n"
            "find . -type f | while IFS= read -r f; do\n"
            'mkdir -p "../${f%/*}"\n'
            'if cmp -s "$f" "../$f"; then chown --reference="$f" "../$f"; chmod 400 "../$f"\n'
            'else mv -f "$f" "../$f"; fi\n'
            "done\n"
            "cd ..\nrm -rf .new",
            stdin=pieces(data),
        )
        stale = sorted(_read_secrets(host, root).secrets.keys() - wanted.keys())
        if alone and stale:
            run_root(host, f"cd {root}\nrm -f -- {' '.join(map(quote, stale))}")
        return no_effect()

    return Step("ship.secrets", "deliver secrets", are_delivered, deliver, are_delivered)


def _upload(host: Host, step: str, script: str, data: bytes, note: str) -> Run[str]:
    """Run a script with the data as its input, telling how much of it is sent; returns its output.

    The connection keeps up to its window (2 MiB with OpenSSH) in front of what the target has read.
    """
    sent = 0

    def feed() -> Iterator[bytes]:
        nonlocal sent
        for piece in pieces(data):
            yield piece
            sent += len(piece)

    yield StepProgress(step, 0, len(data), note)
    talk = stream_root(host, script, stdin=feed(), timeout_s=600)
    while True:
        try:
            line = next(talk)
        except StopIteration as end:
            completed: Completed = end.value
            break
        if line.stream == "beat":
            yield StepProgress(step, sent, len(data), note)
    yield StepProgress(step, len(data), len(data), note)
    return completed.text


def parse_listing(text: str) -> set[str]:
    """The listing of `is_shipped` as manifest lines (`bundle.manifest_lines`)."""
    sums, _, modes = text.partition("--\n")
    pairs = (line.split(" ./", 1) for line in modes.splitlines())
    mode_by_path = {path: mode for mode, path in pairs}
    lines = set()
    for line in sums.splitlines():
        digest, _, path = line.partition("  ./")
        lines.add(f"{mode_by_path.get(path, '?')} {digest} {path}\n")
    return lines


def pack(files: Mapping[str, BundleFile], owners: Mapping[str, str] | None = None) -> bytes:
    """A tar archive of the files, without time stamps."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, file in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(file.data), file.mode
            if owners:
                uid, _, gid = owners[path].partition(":")
                entry.uid, entry.gid = int(uid), int(gid)
            archive.addfile(entry, io.BytesIO(file.data))
    return buffer.getvalue()


def squeeze(archive: bytes) -> tuple[bytes, str]:
    """An archive as it is sent, and the command that unpacks it.

    Text takes a fifth of its size, which saves round trips at the start of a connection; a large
    archive has files in it that are compressed already, and trying costs more time than it saves.
    """
    if len(archive) > SQUEEZED_BYTES:
        return archive, "tar -xpf -"
    return gzip.compress(archive, compresslevel=1, mtime=0), "tar -xzpf -"


def pieces(data: bytes) -> Iterator[bytes]:
    """The data in pieces that the SSH library sends without copying the rest each time."""
    view = memoryview(data)
    for start in range(0, len(data), CHUNK):
        yield bytes(view[start : start + CHUNK])


def _read_secrets(host: Host, root: str) -> Deployed:
    script = (
        f"[ -d {root} ] || exit 0\nsay() {{ printf '\\n%s%s\\n' '{SECTION}' \"$1\"; }}\n"
        f"say secrets-type; stat -f -c %T {root}\ncd {root}\n"
        "say secrets; find . -type f -exec sha256sum {} +\n"
        "say secrets-owner; find . -type f -exec stat -c '%a %u:%g  %n' {} +"
    )
    return parse_deployed(run_root(host, script).text)
