"""Modes and owners on the target (HH-13): real files, looked at by the real command.

Each seeded defect makes its own check fail, and no other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from installer.adapters.local import LocalHost
from installer.core.events import CheckResult, Outcome
from installer.core.host_files import judge_files, parse_files
from installer.core.layout import Layout
from installer.phases.verify_files import read_files

DATA = {"db/data": "700 70:70", "git/repos": "750 1000:1000"}
SECRETS = {"db/password": "70:70", "git/token": "1000:1000"}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files of other users need root")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A sound installation; the test's directory stands for a memory file system."""
    made = Layout(str(tmp_path / "opt"), str(tmp_path / "data"))
    for path, mode in (
        (made.install_dir, 0o750), (made.releases, 0o755), (made.release("abc"), 0o755),
        (made.state, 0o700), (made.secrets, 0o700), (made.data_dir, 0o755),
    ):  # fmt: skip
        Path(path).mkdir()
        Path(path).chmod(mode)
    put(Path(made.release("abc"), "compose.yaml"), 0o644, "0:0")
    Path(made.current).symlink_to("releases/abc")
    for path, owner in SECRETS.items():
        put(Path(made.secrets, path), 0o400, owner)
    for path, facts in DATA.items():
        mode, _, owner = facts.partition(" ")
        target = Path(made.data_dir, path)
        target.mkdir(parents=True)
        own(target, int(mode, 8), owner)
    return made


def put(path: Path, mode: int, owner: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    own(path, mode, owner)


def own(path: Path, mode: int, owner: str) -> None:
    uid, _, gid = owner.partition(":")
    os.chown(path, int(uid), int(gid))
    path.chmod(mode)


def look(layout: Layout, *, secrets_type: str = "tmpfs") -> dict[str, CheckResult]:
    seen = read_files(LocalHost(), layout, tuple(DATA))
    assert seen.secrets_type
    text = f"type {secrets_type}\n" + "".join(
        f"{kind} {f.mode:o} {f.owner} {path}\n"
        for kind, files in (("file", seen.files), ("loose", seen.loose))
        for path, f in files.items()
    )
    return {r.id: r for r in judge_files(parse_files(text), layout, DATA, SECRETS)}


def wrong(found: dict[str, CheckResult]) -> dict[str, Outcome]:
    return {name: r.outcome for name, r in found.items() if r.outcome is not Outcome.PASS}


def test_a_sound_installation_passes_hh_13(layout: Layout) -> None:
    found = look(layout)
    assert set(found) == {"HH-13.install", "HH-13.releases", "HH-13.secrets", "HH-13.data"}
    assert wrong(found) == {}


Change = Callable[[Layout], object]
DEFECTS: list[tuple[str, Change, str, Outcome, str]] = [
    ("others may write to the install directory", lambda x: Path(x.install_dir).chmod(0o777),
     "HH-13.install", Outcome.FAIL, "0777 0:0"),
    ("the install directory is somebody else's", lambda x: os.chown(x.install_dir, 1000, 0),
     "HH-13.install", Outcome.FAIL, "0750 1000:0"),
    ("others may look into it", lambda x: Path(x.install_dir).chmod(0o755),
     "HH-13.install", Outcome.WARN, "others may look into it"),
    ("a release that a group may write",
     lambda x: Path(x.release("abc"), "compose.yaml").chmod(0o664),
     "HH-13.releases", Outcome.FAIL, "compose.yaml 0664 0:0"),
    ("a release of somebody else", lambda x: os.chown(x.release("abc"), 1000, 1000),
     "HH-13.releases", Outcome.FAIL, "0755 1000:1000"),
    ("state that everybody may write", lambda x: Path(x.state).chmod(0o707),
     "HH-13.releases", Outcome.FAIL, "0707"),
    ("a secret that others read", lambda x: Path(x.secrets, "db/password").chmod(0o444),
     "HH-13.secrets", Outcome.FAIL, "db/password 0444 70:70, where 0400 70:70 is right"),
    ("a secret of another service", lambda x: os.chown(Path(x.secrets, "git/token"), 70, 70),
     "HH-13.secrets", Outcome.FAIL, "git/token 0400 70:70"),
    ("a secret that is gone", lambda x: Path(x.secrets, "db/password").unlink(),
     "HH-13.secrets", Outcome.FAIL, "db/password absent"),
    ("a secret that nobody declared", lambda x: put(Path(x.secrets, "old/key"), 0o400, "0:0"),
     "HH-13.secrets", Outcome.FAIL, "old/key 0400 0:0, which nobody declared"),
    ("a directory of secrets that is open", lambda x: Path(x.secrets).chmod(0o755),
     "HH-13.secrets", Outcome.FAIL, "0755 0:0"),
    ("data that others read", lambda x: Path(x.data_dir, "db/data").chmod(0o755),
     "HH-13.data", Outcome.FAIL, "db/data 0755 70:70, where 0700 70:70 is right"),
    ("data of another service", lambda x: os.chown(Path(x.data_dir, "git/repos"), 0, 0),
     "HH-13.data", Outcome.FAIL, "git/repos 0750 0:0"),
    ("data that is gone", lambda x: Path(x.data_dir, "git/repos").rmdir(),
     "HH-13.data", Outcome.FAIL, "git/repos absent"),
    ("a data directory that everybody may write", lambda x: Path(x.data_dir).chmod(0o777),
     "HH-13.data", Outcome.FAIL, "0777"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "check", "outcome", "evidence"),
    [d[1:] for d in DEFECTS],
    ids=[d[0] for d in DEFECTS],
)
def test_a_seeded_defect_fails_its_own_check(
    layout: Layout, change: Change, check: str, outcome: Outcome, evidence: str
) -> None:
    change(layout)
    found = look(layout)
    assert wrong(found) == {check: outcome}
    assert evidence in found[check].found
    problem = found[check].problem
    assert problem is not None
    assert problem.remedy.commands


def test_stricter_than_declared_is_right(layout: Layout) -> None:
    Path(layout.data_dir, "git/repos").chmod(0o700)
    Path(layout.secrets, "db/password").chmod(0o600)
    assert wrong(look(layout)) == {}


def test_secrets_on_a_disk_fail_even_when_their_modes_are_right(layout: Layout) -> None:
    assert wrong(look(layout, secrets_type="ext2/ext3")) == {"HH-13.secrets": Outcome.FAIL}


def test_where_agents_render_secrets_none_are_expected_here(layout: Layout) -> None:
    seen = read_files(LocalHost(), layout, tuple(DATA))
    assert "HH-13.secrets" not in {r.id for r in judge_files(seen, layout, DATA, None)}


def test_what_is_no_line_of_ours_is_left_out() -> None:
    seen = parse_files("hello\nfile 999 0:0 /x\nfile 755 0:0\nfile 755 0:0 /a b\n")
    assert list(seen.files) == ["/a b"]
