"""Reproducible image layers: the files of Debian packages (no maintainer script runs) and files of
our own, as one uncompressed tar whose digest is its identity.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

EXCLUDED = re.compile(
    r"^\./(usr/share/(doc|man|locale|info|lintian|javascript|i18n|bash-completion|zsh|vim)/"
    r"|usr/lib/[^/]+-linux-gnu/(libLLVM|libz3|gconv/)|usr/lib/llvm"
    r"|usr/lib/postgresql/\d+/lib/(bitcode/|llvmjit)"
    r"|usr/lib/[^/]+-linux-gnu/perl/.*/CORE/)"
)
MERGED = {"./bin", "./sbin", "./lib", "./lib64"}
CERTIFICATES = "./usr/share/ca-certificates/"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class Entry:
    """A file of our own. Without `data` and `link` it is a directory."""

    path: str
    data: bytes | None = None
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    link: str | None = None


@dataclass(frozen=True)
class Layer:
    """A layer file and its digest, which is also its diff id: layers are not compressed."""

    path: Path
    digest: str

    @property
    def size(self) -> int:
        return self.path.stat().st_size


class _Writer:
    """Adds entries to a layer in order, the first of a directory or link winning."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self.archive = archive
        self.seen: set[str] = set()
        self.certificates: list[bytes] = []

    def add(self, info: tarfile.TarInfo, content: IO[bytes] | None = None) -> None:
        if not (info.issym() and info.name in MERGED):
            info.name = re.sub(r"^\./(bin|sbin|lib|lib64)(/|$)", r"./usr/\1\2", info.name)
        if info.name in self.seen and (info.isdir() or info.issym()):
            return
        self.seen.add(info.name)
        info.mtime, info.uname, info.gname = 0, "", ""
        self.archive.addfile(info, content)

    def add_entry(self, entry: Entry) -> None:
        info = tarfile.TarInfo("./" + entry.path.strip("/"))
        info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
        if entry.link is not None:
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        elif entry.data is None:
            info.type = tarfile.DIRTYPE
        else:
            info.size = len(entry.data)
        self.add(info, io.BytesIO(entry.data) if info.isreg() and entry.data else None)

    def add_package(self, package: Path) -> None:
        argv = ["dpkg-deb", "--fsys-tarfile", str(package)]
        with (
            subprocess.Popen(argv, stdout=subprocess.PIPE) as reader,
            tarfile.open(fileobj=reader.stdout, mode="r|") as source,
        ):
            for info in source:
                if not EXCLUDED.search(info.name + ("/" if info.isdir() else "")):
                    self._copy(source, info)
        if reader.returncode != 0:
            raise OSError(f"{package} cannot be read by dpkg-deb")

    def _copy(self, source: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        content = source.extractfile(info) if info.isreg() else None
        if content and info.name.startswith(CERTIFICATES):
            data = content.read()
            self.certificates.append(data)
            content = io.BytesIO(data)
        self.add(info, content)


def write_layer(folder: Path, packages: Sequence[Path], entries: Iterable[Entry]) -> Layer:
    """Write the layer of `entries` and the packages' files below `folder`, named by its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".part-{os.getpid()}-{id(packages)}"
    with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as archive:
        writer = _Writer(archive)
        for entry in entries:
            writer.add_entry(entry)
        for package in packages:
            writer.add_package(package)
        if writer.certificates:  # what update-ca-certificates would have written
            writer.add_entry(Entry(BUNDLE, b"".join(writer.certificates), 0o644))
    with part.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    final = folder / f"{digest}.tar"
    part.rename(final)
    return Layer(final, f"sha256:{digest}")


def busybox_applets(package: Path) -> tuple[str, ...]:
    """The names of the programs that a busybox package holds."""
    reader = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(reader.stdout)) as source:
        member = source.extractfile("./usr/bin/busybox")
        if member is None:
            raise OSError(f"{package} holds no busybox")
        program = package.with_name(f"busybox-{os.getpid()}")
        program.write_bytes(member.read())
    program.chmod(0o755)
    try:
        listed = subprocess.run([program, "--list"], stdout=subprocess.PIPE, check=True, text=True)
    finally:
        program.unlink()
    return tuple(sorted(set(listed.stdout.split()) - {"busybox"}))
