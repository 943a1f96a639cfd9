"""stacks/ and assets/ are found from a wheel, from a checkout and from an editable install."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from installer.core.errors import InternalError
from installer.resources import data_root

ROOT = Path(__file__).resolve().parents[2]
COUNT = (
    "from installer.stacks import load_stacks; s = load_stacks();"
    "print(s.root, len(s.catalog.services))"
)


def services_seen_by(path):
    done = subprocess.run(
        [sys.executable, "-P", "-c", COUNT], capture_output=True, text=True, check=True,
        cwd="/", env={"PYTHONPATH": str(path), "HOME": str(path)},
    )  # fmt: skip
    root, number = done.stdout.split()
    return Path(root), int(number)


def build_wheel(directory):
    """Build the wheel, unpack it into `directory/site`, return the paths it holds."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    wheel = next(directory.glob("devplat_install-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory / "site")
        return archive.namelist()


def test_a_wheel_carries_its_data(tmp_path):
    names = build_wheel(tmp_path)
    root, number = services_seen_by(tmp_path / "site")
    assert root == tmp_path / "site" / "installer" / "_data"
    assert number == len(list(ROOT.glob("stacks/compose/*/service.yaml")))
    assert "installer/_data/assets/probe.sh" in names
    assert [name for name in names if name.startswith("tests")] == []


def test_a_checkout_and_an_editable_install_find_the_folders_beside_the_package():
    root, number = services_seen_by(ROOT)
    assert root == ROOT
    assert number > 0


def test_missing_data_is_told_as_a_broken_installation(tmp_path):
    with pytest.raises(InternalError) as caught:
        data_root(tmp_path / "installer")
    assert caught.value.problems[0].code == "internal.no_data"
