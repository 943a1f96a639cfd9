"""Layers are reproducible, keep owners and modes, and let the first directory win."""

from __future__ import annotations

import subprocess
import tarfile

import pytest

from tests.testbed import layers
from tests.testbed.layers import Entry

ENTRIES = (
    Entry("data", mode=0o700, uid=999, gid=1000),
    Entry("usr/local/bin/run", b"#!/bin/sh\n"),
    Entry("usr/bin/redis-cli", link="/usr/bin/valkey-cli"),
    Entry("usr/bin/.wh.curl", b"", 0o600),
)
CONTROL = """\
Package: x
Version: 1
Architecture: all
Maintainer: a <a@x>
Description: x
"""


@pytest.fixture
def package(tmp_path):
    """A Debian package with a program, a manual page and a CA certificate."""
    root = tmp_path / "package"
    for path, text in {
        "DEBIAN/control": CONTROL,
        "bin/tool": "tool",
        "usr/share/man/man1/tool.1": "manual",
        "usr/share/ca-certificates/mozilla/A.crt": "CERTIFICATE\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    built = tmp_path / "x_1_all.deb"
    made = subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", root, built], capture_output=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return built


def names(layer):
    with tarfile.open(layer.path) as archive:
        return {member.name: member for member in archive}


def test_owner_mode_link_and_content_are_kept(tmp_path):
    found = names(layers.write_layer(tmp_path / "l", (), ENTRIES))
    data, run = found["./data"], found["./usr/local/bin/run"]
    assert (data.isdir(), data.mode, data.uid, data.gid) == (True, 0o700, 999, 1000)
    assert (run.mode, run.size, run.mtime) == (0o755, 10, 0)
    assert found["./usr/bin/redis-cli"].linkname == "/usr/bin/valkey-cli"
    assert found["./usr/bin/.wh.curl"].isreg()


def test_the_same_content_gives_the_same_digest_and_other_content_another(tmp_path):
    first = layers.write_layer(tmp_path / "a", (), ENTRIES)
    assert first.digest == layers.write_layer(tmp_path / "b", (), ENTRIES).digest
    assert first.digest != layers.write_layer(tmp_path / "b", (), ENTRIES[1:]).digest
    assert first.path.name == first.digest.removeprefix("sha256:") + ".tar"
    assert first.size == first.path.stat().st_size


def test_a_package_is_unpacked_merged_and_without_its_manual(tmp_path, package):
    found = names(layers.write_layer(tmp_path / "l", [package], [Entry("usr/bin", mode=0o711)]))
    assert found["./usr/bin"].mode == 0o711
    assert "./usr/bin/tool" in found
    assert "./bin/tool" not in found
    assert not [name for name in found if "man1" in name]


def test_the_certificates_of_a_package_become_the_bundle(tmp_path, package):
    layer = layers.write_layer(tmp_path / "l", [package], ())
    with tarfile.open(layer.path) as archive:
        assert archive.extractfile("./etc/ssl/certs/ca-certificates.crt").read() == b"CERTIFICATE\n"


def test_a_broken_package_is_an_error(tmp_path):
    (tmp_path / "x.deb").write_text("no package")
    with pytest.raises((OSError, tarfile.TarError)):
        layers.write_layer(tmp_path / "l", [tmp_path / "x.deb"], ())
