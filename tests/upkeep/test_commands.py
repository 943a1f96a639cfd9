"""`rollback`, `uninstall`, `support-bundle` at the command line: consent, refusals, statuses.

The target is this machine: what would connect to it is replaced by a host in a directory.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from installer import wiring
from installer.adapters.clock import SystemClock
from installer.adapters.local import LocalHost
from installer.cli import main, make_parser
from installer.core.errors import Problem, Remedy, SshConnectError
from installer.core.history import hash_answers
from installer.core.layout import Layout
from installer.core.redaction import find_secrets
from installer.core.secrets import Secret
from installer.job import Job
from installer.phases.history import record_release
from tests.golden.render import write_lock
from tests.stacks.builders import BASE
from tests.upkeep.builders import ours, record, thing
from tests.upkeep.engine import FakeEngine

pytestmark = pytest.mark.slow
CANARY = "canary-of-the-host-Zq7-0123456789"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "srv/opt/state").mkdir(parents=True)
    return Layout(str(tmp_path / "srv/opt"), str(tmp_path / "srv/data"))


@pytest.fixture
def run(tmp_path: Path, layout: Layout, host: LocalHost, monkeypatch: Any, capsys: Any) -> Any:
    """`run("rollback", …)` → status, standard output, standard error."""
    monkeypatch.setenv("DEVPLAT_STORE_PASSPHRASE", "correct horse battery staple 9!")
    lock = write_lock(tmp_path / "images.lock.yaml")
    path = tmp_path / "answers of ours.yaml"
    sections = {"deployment": {"name": "trial"}, "vault": {"mode": "embedded"}}
    path.write_text(yaml.safe_dump({**BASE, **sections}))

    @contextmanager
    def open_target(job: Any, reader: Any) -> Iterator[wiring.Target]:
        yield wiring.Target(host, SystemClock())

    monkeypatch.setattr(wiring, "open_target", open_target)
    monkeypatch.setattr(Job, "layout", property(lambda job: layout))

    def call(command: str, *argv: str) -> tuple[int, str, str]:
        shared = ["--answers", str(path), "--run-dir", str(tmp_path / "run")]
        status = main([command, *shared, "--set", f"images.lock_file={lock}", *argv])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def command_in(err: str) -> list[str]:
    lines = [line.strip() for line in err.splitlines() if line.strip().startswith("$ ")]
    return shlex.split(lines[-1].removeprefix("$ "))


# rollback


def test_rollback_on_a_fresh_target_is_refused(run: Any) -> None:
    status, _, err = run("rollback", "--yes")
    assert (status, "code: rollback.nothing" in err) == (18, True)


@pytest.fixture
def released(layout: Layout, host: LocalHost) -> Layout:
    """Two releases were verified; the second one is active."""
    for name in ("aaaa1111bbbb", "cccc2222dddd"):
        record_release(host, layout, record(name, answers=hash_answers("x")), "x")
        release = Path(layout.release(name))
        release.mkdir(parents=True)
        (release / "manifest.json").write_text(json.dumps({"images": {"gitea": "g@sha256:1"}}))
    Path(layout.current).symlink_to("releases/cccc2222dddd")
    return layout


def test_the_releases_are_listed_and_nothing_is_changed(run: Any, released: Layout) -> None:
    before = sorted(str(p) for p in Path(released.install_dir).rglob("*"))
    status, out, _ = run("rollback", "--list")
    assert status == 0
    assert out.index("* cccc2222dddd") < out.index("  aaaa1111bbbb")
    assert before == sorted(str(p) for p in Path(released.install_dir).rglob("*"))


def test_a_release_that_is_not_known_is_refused_with_those_that_are(
    run: Any, released: Layout
) -> None:
    status, _, err = run("rollback", "--to", "ffff", "--yes")
    assert status == 2
    assert "known: aaaa1111bbbb, cccc2222dddd" in err


def test_answers_of_a_release_that_somebody_changed_stop_it(run: Any, released: Layout) -> None:
    (Path(released.state) / "answers/aaaa1111bbbb.yaml").write_text("version: 1\n")
    status, _, err = run("rollback", "--yes")
    assert (status, "code: rollback.answers_changed" in err) == (19, True)


# uninstall


@pytest.fixture
def deployed(engine: FakeEngine, layout: Layout) -> FakeEngine:
    engine.add("container", ours("trial-gitea-1"), image="x")
    engine.add("container", thing("theirs"), image="x")
    Path(layout.releases).mkdir(parents=True)
    Path(layout.override).write_text("services: {}\n")
    (Path(layout.data_dir) / "gitea").mkdir(parents=True)
    return engine


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), ["--keep-data", "--yes"]),
        (("--delete-data", "trial"), ["--delete-data", "trial", "--yes"]),
        (("--images", "remove"), ["--keep-data", "--images", "remove", "--yes"]),
    ],
)
def test_without_consent_it_is_shown_and_nothing_is_removed(
    run: Any, deployed: FakeEngine, layout: Layout, argv: Any, words: list[str]
) -> None:
    status, out, err = run("uninstall", "--unattended", *argv)
    assert status == 24
    assert "- container trial-gitea-1" in out
    assert "theirs" not in out
    assert deployed.names("container") == {"trial-gitea-1", "theirs"}
    again = command_in(err)
    assert again[-len(words) :] == words
    parsed = make_parser().parse_args(again[1:])
    assert (parsed.yes, parsed.unattended) == (True, True)


@pytest.mark.parametrize("name", ["devplat", "", "TRIAL"])
def test_data_is_not_deleted_under_another_name(run: Any, deployed: Any, name: str) -> None:
    given = ("--delete-data", name) if name else ("--delete-data",)
    status, _, err = run("uninstall", "--unattended", "--yes", *given)
    assert (status, "code: usage.delete_data" in err) == (2, True)
    assert deployed.names("container") == {"trial-gitea-1", "theirs"}


def test_keeping_and_deleting_data_is_a_contradiction(run: Any) -> None:
    assert run("uninstall", "--keep-data", "--delete-data", "trial", "--yes")[0] == 2
    assert run("uninstall", "--images", "some")[0] == 2


def test_it_removes_what_it_showed_and_says_what_this_machine_still_has(
    run: Any, deployed: FakeEngine, layout: Layout
) -> None:
    status, out, err = run("uninstall", "--unattended", "--yes")
    assert status == 0, err
    assert deployed.names("container") == {"theirs"}
    assert [p.name for p in Path(layout.install_dir).iterdir()] == ["compose.override.yaml"]
    assert (Path(layout.data_dir) / "gitea").is_dir()
    assert "stays on this machine" in out
    assert "answers.yaml: the answers" in out
    again, out, _ = run("uninstall", "--unattended", "--yes")
    assert (again, "nothing of trial is on" in out) == (0, True)


def test_events_are_told_as_json_lines(run: Any, deployed: FakeEngine) -> None:
    status, out, _ = run("uninstall", "--unattended", "--yes", "--log-format", "json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert lines[-1]["type"] == "run_finished"
    changed = [x["step"] for x in lines if x["type"] == "step_finished" and x["changed"]]
    assert changed == ["uninstall.containers", "uninstall.files"]


def test_half_restored_data_is_not_left_alone(run: Any, deployed: Any, layout: Layout) -> None:
    (Path(layout.state) / "restoring.json").write_text("{}")
    status, _, err = run("uninstall", "--unattended", "--yes")
    assert (status, "code: uninstall.half_restored" in err) == (18, True)
    assert "trial-gitea-1" in deployed.names("container")


def test_an_engine_that_does_not_answer_has_its_own_status(run: Any, deployed: FakeEngine) -> None:
    deployed.silence()
    assert run("uninstall", "--unattended", "--yes")[0] == 10


def test_a_held_lock_has_its_own_status(run: Any, deployed: FakeEngine, layout: Layout) -> None:
    Path(layout.lock).write_text(json.dumps({"machine": "elsewhere", "run": "r9"}))
    status, _, err = run("uninstall", "--unattended", "--yes")
    assert status == 17, err
    assert "trial-gitea-1" in deployed.names("container")


# support-bundle


def unpacked(path: Path) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes()), mode="r:gz") as archive:
        files = {m.name.partition("/")[2]: archive.extractfile(m) for m in archive}
        return {name: file.read() for name, file in files.items() if file}


def test_the_bundle_is_one_private_file_without_a_secret(
    run: Any, deployed: FakeEngine, layout: Layout, tmp_path: Path
) -> None:
    """SE-05: a canary on the host is in a log of a container and in an earlier report."""
    mine = ours("trial-gitea-1")
    inspect = {"Id": mine.id, "Name": "/trial-gitea-1", "Config": {"Env": [f"P={CANARY}"]}}
    deployed.add("container", mine, image="x", inspect=inspect)
    (deployed.root / "logs" / mine.id).write_text(f"refused: {CANARY}\n")
    (Path(layout.secrets) / "gitea").mkdir(parents=True)
    (Path(layout.secrets) / "gitea/admin").write_text(CANARY)
    earlier = tmp_path / "run/runs/20250101T000000Z"
    earlier.mkdir(parents=True)
    (earlier / "report.json").write_text(json.dumps({"found": f"it was {CANARY}"}))
    target = tmp_path / "help.tar.gz"
    status, out, err = run("support-bundle", "--output", str(target))
    assert status == 0, err
    assert target.stat().st_mode & 0o777 == 0o600
    assert "look into it before you send it" in out
    files = unpacked(target)
    for name, data in files.items():
        assert find_secrets(data, {"canary": Secret(CANARY)}) == (), name
    manifest = json.loads(files["MANIFEST.json"])
    assert set(manifest["files"]) == set(files) - {"MANIFEST.json"}
    assert "runs/20250101T000000Z/report.json" in files
    assert b"refused: " in files["containers/trial-gitea-1/log.txt"]
    assert {"answers.yaml", "rendered/manifest.json", "host/uname.txt"} <= set(files)
    assert find_secrets(files["answers.yaml"] + CANARY.encode(), {"c": Secret(CANARY)})


def test_an_unreachable_host_leaves_the_part_of_this_machine(
    run: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    @contextmanager
    def refuse(job: Any, reader: Any) -> Iterator[Any]:
        raise SshConnectError(Problem("ssh.refused", "connection refused", Remedy("start it")))
        yield

    monkeypatch.setattr(wiring, "open_target", refuse)
    target = tmp_path / "help.tar.gz"
    status, _, err = run("support-bundle", "--output", str(target))
    assert status == 0, err
    assert "only this machine's part is there" in err
    files = unpacked(target)
    assert "answers.yaml" in files
    assert not [name for name in files if name.startswith(("host/", "containers/"))]
    left = json.loads(files["MANIFEST.json"])["left_out"]
    assert {"path": "host, target, containers", "why": "ssh.refused: connection refused"} in left


def test_logs_are_left_out_where_no_secret_is_known(
    run: Any, deployed: FakeEngine, tmp_path: Path
) -> None:
    target = tmp_path / "help.tar.gz"
    status, _, err = run("support-bundle", "--output", str(target))
    assert status == 0
    assert "logs of containers are left out" in err
    assert not [name for name in unpacked(target) if name.endswith("/log.txt")]


@pytest.mark.parametrize(("lines", "status"), [("0", 2), ("-1", 2), ("x", 2), ("100001", 2)])
def test_a_number_of_lines_that_makes_no_sense_is_refused(
    run: Any, lines: str, status: int
) -> None:
    assert run("support-bundle", "--lines", lines)[0] == status


def test_nothing_is_written_over_a_file_or_where_nobody_may_write(run: Any, tmp_path: Path) -> None:
    there = tmp_path / "there.tar.gz"
    there.write_text("mine")
    status, _, err = run("support-bundle", "--output", str(there))
    assert (status, "code: usage.exists" in err, there.read_text()) == (2, True, "mine")
    nowhere = tmp_path / "no/such/place.tar.gz"
    assert run("support-bundle", "--output", str(nowhere))[0] == 20
    assert not os.path.lexists(nowhere)
