"""Renders every profile; `python -m tests.golden.render` accepts the result as the expected one."""

from __future__ import annotations

import hashlib
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import yaml

from installer import drawing, reading
from installer.core import draft
from installer.core.bundle import Bundle
from installer.core.images import ImageLock, format_lock, lock_keys
from installer.core.owner import Owner
from installer.job import Job
from installer.stacks import load_stacks

HERE = Path(__file__).parent
PROFILES = sorted((HERE / "profiles").glob("*.yaml"))
EXPECTED = HERE / "expected"
OWNER = Owner("golden", "ops", "bastion", "", "2026-01-01T00:00:00+00:00")


def write_lock(path: Path) -> Path:
    """A lock with a made-up digest for every image: the golden bundles pin what nobody pulls."""
    services = load_stacks().catalog.services.values()
    images = lock_keys(image for service in services for image in service.images)
    digests = {key: "sha256:" + hashlib.sha256(key.encode()).hexdigest() for key in images}
    path.write_text(format_lock(ImageLock(digests)))
    return path


def draw_up(answers: Path, lock: Path, *settings: str) -> Job:
    """The job of an answers file, by the way the command line takes."""
    args = Namespace(
        answers=str(answers),
        settings=[f"images.lock_file={lock}", *settings],
        environ={},
        draft=None,
    )
    stacks = load_stacks()
    # the profiles name files that are on no machine: they are taken on trust
    validated = draft.validate(reading.read_draft(args), stacks.catalog)
    return drawing.draw_up(
        validated.answers, validated.warnings, stacks, OWNER, lambda process: False
    )


def write_bundle(bundle: Bundle, root: Path) -> None:
    """The bundle's files below a directory that is made anew."""
    shutil.rmtree(root, ignore_errors=True)
    for path, file in bundle.files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(file.data)


def read_tagged(data: bytes) -> Any:
    """YAML whose reader knows tags of its own (`!File`, `!Find`), as blueprints have."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, tag, node: tag)
    return yaml.load(data, Loader)  # noqa: S506 - a safe loader


def main() -> None:
    """Write the expected bundles."""
    lock = write_lock(HERE / "images.lock.yaml")
    for profile in PROFILES:
        write_bundle(draw_up(profile, lock).bundle, EXPECTED / profile.stem)
        print(EXPECTED / profile.stem)


if __name__ == "__main__":
    main()
