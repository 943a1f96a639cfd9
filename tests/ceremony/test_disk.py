"""SE-09: what a run directory's file system holds after the ceremony, deleted files included.

The run directory lies on an image that is searched byte by byte once it is unmounted. The run holds
every kind of secret that passes through this machine: shares, root token, the transport key, the
passphrase, and all that is generated.
"""

import base64
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pyrage
import pytest

from installer.core.secrets import Secret
from tests.ceremony.rehearsal import PASSPHRASE, perform, set_up

PEOPLE = {n: str(pyrage.x25519.Identity.generate().to_public()) for n in ("ada", "ben", "cleo")}
MIB = 1024 * 1024


@contextmanager
def mounted(image: Path, place: Path):
    """An empty ext4 at `place`, written through at the end."""
    with image.open("wb") as file:
        file.truncate(24 * MIB)
    for argv in (
        ["mkfs.ext4", "-q", str(image)],
        ["mount", "-o", "loop,nodev", str(image), str(place)],
    ):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"no image can be mounted here: {done.stderr.strip()}")
    try:
        place.chmod(0o700)
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def found_in(image: Path, secrets):
    """Names of secrets whose value is in the image: plain, in hex or in base64."""
    data = image.read_bytes()
    hits = []
    for name, secret in secrets.items():
        value = secret.reveal().strip().encode()
        forms = (value, value.hex().encode(), base64.b64encode(value).rstrip(b"="))
        if any(form in data for form in forms):
            hits.append(name)
    return hits


@pytest.fixture
def traced(rehearse, tmp_path):
    """After a ceremony: the image, and every secret that was on this machine meanwhile."""
    rehearsal, image, learned = rehearse(custodians=PEOPLE, key_shares=3), tmp_path / "image", []
    with mounted(image, rehearsal.folder / "run"):
        stage = set_up(rehearsal, learn=learned.append)
        perform(stage)
        secrets = {f"learned {n}": secret for n, secret in enumerate(learned)}
        names = [spec.name for spec in stage.job.plan.secrets]
        secrets |= {name: stage.ports.secrets.get(name) for name in names}
        secrets["passphrase"] = PASSPHRASE
        assert len(secrets) > 20
        assert len(stage.custody.handed_over()) == 3
        stage.session.close()
    return rehearsal, image, secrets


def test_nothing_that_passed_through_is_on_the_disk_in_clear(traced):
    _, image, secrets = traced
    assert found_in(image, secrets) == []
    assert b"BEGIN AGE ENCRYPTED FILE" in image.read_bytes()  # it is what was written to


def test_a_file_that_was_written_and_deleted_is_found(traced):
    """The seeded defect."""
    rehearsal, image, secrets = traced
    place = rehearsal.folder / "run"
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    name, secret = sorted(secrets.items())[0]
    (place / "scratch").write_text(secret.reveal())
    subprocess.run(["sync", "-f", str(place)], check=True)
    (place / "scratch").unlink()
    subprocess.run(["umount", str(place)], check=True)
    assert name in found_in(image, secrets)
    assert found_in(image, {"another": Secret("of-none-of-them-Zq7Xw3")}) == []
