"""Makes the images: one cached layer per package group, one small layer of our files per image.
A layer's cache key holds all that its content depends on, so a changed stand-in costs a second.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.testbed import layers, packages
from tests.testbed.catalogue import GROUPS, ImageSpec
from tests.testbed.commands import docker
from tests.testbed.layers import Entry, Layer
from tests.testbed.places import LABEL, STANDINS, Places, digest_of

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RECIPE = (Path(layers.__file__).read_bytes(), Path(packages.__file__).read_bytes())
SKELETON = (
    # what maintainer scripts would have made
    Entry("tmp", mode=0o1777),
    Entry("var/tmp", mode=0o1777),
    Entry("run"),
    Entry("var/run", link="/run"),
    Entry("root", mode=0o700),
    Entry("etc/nsswitch.conf", b"hosts: files dns\n", 0o644),
)
LAUNCHER = """\
#!/usr/bin/python3
import sys
sys.path.insert(0, "/opt/standin")
sys.dont_write_bytecode = True
from {module} import {function}
sys.exit({function}(sys.argv))
"""


@dataclass(frozen=True)
class Image:
    """A made image: its configuration document and its layers, lowest first."""

    config: bytes
    layers: tuple[Layer, ...]

    @property
    def config_digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.config).hexdigest()


def make_images(places: Places, specs: Iterable[ImageSpec]) -> dict[str, Image]:
    """Every image by its repository. The package layers come from the cache where they can."""
    groups = ensure_groups(places)
    return {spec.repository: _make_image(places, spec, groups) for spec in specs}


def group_key(group: str) -> str:
    """The cache key of a package group's layer."""
    makings: list[bytes | str] = [*RECIPE, repr(SKELETON), packages.SUITE, platform.machine()]
    return digest_of([*makings, *GROUPS["base"], *GROUPS[group]])


def ensure_groups(places: Places) -> dict[str, Layer]:
    """The layer of every package group, fetched and built where the cache has none."""
    found = {group: _cached_layer(places, group) for group in GROUPS}
    if all(found.values()):
        return {group: layer for group, layer in found.items() if layer}
    apt = packages.Apt(places.packages, packages.find_mirror())
    apt.update()
    closures = {group: apt.closure((*GROUPS["base"], *wanted)) for group, wanted in GROUPS.items()}
    apt.download({name for wanted in GROUPS.values() for name in wanted})

    def build(group: str) -> Layer:
        names = [n for n in closures[group] if group == "base" or n not in closures["base"]]
        files = [apt.path(name) for name in names]
        entries = _base_entries(files) if group == "base" else ()
        layer = layers.write_layer(places.layers, files, entries)
        (places.layers / f"{group}-{group_key(group)}").write_text(layer.digest)
        return layer

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(GROUPS, pool.map(build, GROUPS), strict=True))


def load_into_engine(image: Image, tag: str) -> None:
    """Give an image to this machine's engine, unless it already has exactly this one."""
    name = f"{tag}:{image.config_digest[7:19]}"
    if docker("image", "ls", "-q", name):
        return
    manifest = [
        {
            "Config": f"{image.config_digest[7:]}.json",
            "RepoTags": [name],
            "Layers": [layer.path.name for layer in image.layers],
        }
    ]
    archive = image.layers[0].path.parent / f".load-{image.config_digest[7:19]}.tar"
    with tarfile.open(archive, "w") as out:
        for layer in image.layers:
            out.add(layer.path, layer.path.name)
        for name_in, data in (
            (manifest[0]["Config"], image.config),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            info = tarfile.TarInfo(str(name_in))
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    try:
        docker("load", "-q", "-i", str(archive))
    finally:
        archive.unlink()


def _cached_layer(places: Places, group: str) -> Layer | None:
    try:
        digest = (places.layers / f"{group}-{group_key(group)}").read_text()
    except FileNotFoundError:
        return None
    path = places.layers / f"{digest[7:]}.tar"
    return Layer(path, digest) if path.exists() else None


def _base_entries(files: Iterable[Path]) -> list[Entry]:
    box = next(path for path in files if path.name.startswith("busybox-static_"))
    return [
        *SKELETON,
        *(Entry(f"usr/bin/{name}", link="busybox") for name in layers.busybox_applets(box)),
    ]


def _make_image(places: Places, spec: ImageSpec, groups: Mapping[str, Layer]) -> Image:
    own = layers.write_layer(places.layers, (), _own_entries(spec))
    stack = (groups["base"], *(groups[name] for name in spec.groups), own)
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            **spec.config,
            "Env": _environment(spec.config.get("Env", [])),
            "Labels": {LABEL: spec.kind},
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in stack]},
        "history": [{"created_by": name} for name in ("base", *spec.groups, "own")],
    }
    return Image(json.dumps(config, sort_keys=True).encode(), stack)


def _own_entries(spec: ImageSpec) -> list[Entry]:
    accounts = {"root": "0:0:/root", "nobody": "65534:65534", **spec.accounts}
    passwd, groups = "", ""
    for name, text in accounts.items():
        uid, gid, home = (*text.split(":"), "/")[:3]
        passwd += f"{name}:x:{uid}:{gid}:{name}:{home}:/bin/sh\n"
        groups += f"{name}:x:{gid}:\n"
    entries = [
        Entry("etc/passwd", passwd.encode(), 0o644),
        Entry("etc/group", groups.encode(), 0o644),
    ]
    for path, owner in spec.directories.items():
        ids, mode = owner.split()
        owner_id, _, group_id = ids.partition(":")
        entries.append(Entry(path, None, int(mode, 8), int(owner_id), int(group_id)))
    entries += [
        Entry(f"opt/standin/{name}", (STANDINS / name).read_bytes(), 0o644) for name in spec.files
    ]
    for path, target in spec.programs.items():
        module, _, function = target.partition(":")
        text = LAUNCHER.format(module=module, function=function or "main")
        entries.append(Entry(path, text.encode()))
    entries += [Entry(p, (STANDINS / name).read_bytes()) for p, name in spec.scripts.items()]
    entries += [Entry(path, program.read_bytes()) for path, program in spec.binaries.items()]
    entries += [Entry(path, link=target) for path, target in spec.links.items()]
    entries += [Entry(f"usr/bin/.wh.{name}", b"", 0o600) for name in spec.absent]
    return entries


def _environment(own: Sequence[str]) -> list[str]:
    """The image's own variables, and a PATH unless it has one (the engine takes the first)."""
    has_path = any(entry.startswith("PATH=") for entry in own)
    return [*own] if has_path else [f"PATH={PATH}", *own]
