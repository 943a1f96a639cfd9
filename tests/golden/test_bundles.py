"""Whole bundles against the reviewed ones, and what must hold for every one of them.

Covers BR-07 and BR-08 (texts arrive as they are), HA-03 (no deviation beyond the listed ones),
SE-01 (no secret in the bundle), F-080 (same answers, same bytes).
"""

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from installer.core.bundle import COMPOSE_PATH, diff_files, file_hashes
from installer.core.events import Outcome
from tests.golden.render import EXPECTED, HERE, draw_up, read_tagged, write_lock

TREES = {path.name for path in EXPECTED.iterdir()}


def test_the_bundle_is_the_reviewed_one(job, profile):
    """After a wanted change: make golden-update, and review the diff."""
    root = EXPECTED / profile.stem
    expected = {
        p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()
    }
    found = {path: file.data for path, file in job.bundle.files.items()}
    assert sorted(found) == sorted(expected)
    assert [path for path in found if found[path] != expected[path]] == []


def test_every_expected_tree_has_a_profile(profile):
    assert profile.stem in TREES


def test_another_process_with_another_hash_seed_renders_the_same_bytes(job, profile, tmp_path):
    script = (
        "import sys; from pathlib import Path; from tests.golden.render import draw_up;"
        "job = draw_up(Path(sys.argv[1]), Path(sys.argv[2])); print(job.bundle.release)"
    )
    lock = write_lock(tmp_path / "lock.yaml")
    env = {**os.environ, "PYTHONHASHSEED": "4711", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(profile), str(lock)],
        capture_output=True, text=True, check=True, env=env, cwd=HERE.parents[1],
    )  # fmt: skip
    assert done.stdout.strip() == job.bundle.release


def test_the_audits_find_nothing_in_an_unaltered_bundle(job):
    bad = [
        f"{r.id} {r.where}: expected {r.expected}, found {r.found}"
        for r in job.audit_bundle
        if r.outcome in (Outcome.FAIL, Outcome.UNKNOWN)
    ]
    assert bad == []
    assert len(job.audit_bundle) > 30 * len(job.plan.services)


def test_yaml_gives_back_the_document_that_was_assembled(job):
    """By a YAML 1.1 reader, with the dollar signs that compose takes away again."""
    text = job.bundle.files[COMPOSE_PATH].data.decode()
    assert undouble(yaml.safe_load(text)) == job.bundle.document


def undouble(value):
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, dict):
        return {undouble(k): undouble(v) for k, v in value.items()}
    return [undouble(v) for v in value] if isinstance(value, list) else value


def test_labels_that_look_like_something_else_stay_text(lock):
    """BR-08, B-145, B-146."""
    job = draw_up(HERE / "profiles" / "awkward_texts.yaml", lock)
    labels = yaml.safe_load(job.bundle.files[COMPOSE_PATH].data)["services"]["coder"]["labels"]
    assert labels["team"] == "yes"
    assert labels["cost-centre"] == "0123"
    assert labels["at"] == "12:30"
    assert labels["note"] == "1e3"
    assert labels["off"] == "null"


def test_configuration_files_can_be_read_by_readers_of_their_format(job):
    readers = {".yml": yaml.safe_load, ".yaml": read_tagged, ".json": json.loads}
    read = 0
    for path, file in job.bundle.files.items():
        suffix = Path(path).suffix
        if suffix in readers:
            assert readers[suffix](file.data) is not None, path
            read += 1
        elif suffix == ".ini":
            configparser.ConfigParser(interpolation=None).read_string(file.data.decode())
            read += 1
        elif suffix == ".sh":
            subprocess.run(["sh", "-n"], input=file.data, check=True)
            read += 1
    assert read >= 5


def test_changing_one_answer_changes_only_what_it_concerns(lock):
    """F-081: a changed label of every container is a change of every one; a host's name is not."""
    profile = HERE / "profiles" / "small.yaml"
    before = draw_up(profile, lock)
    after = draw_up(profile, lock, "domain.hosts.git=code.company.com")
    changed = {c.path for c in diff_files(file_hashes(before.bundle), file_hashes(after.bundle))}
    releases = [
        {n: b["labels"]["devplat.release"] for n, b in j.bundle.document["services"].items()}
        for j in (before, after)
    ]
    recreated = {n for n in releases[0] if releases[0][n] != releases[1][n]}
    assert "compose.yaml" in changed
    assert "gitea" in recreated
    assert {"postgres", "redis", "minio"}.isdisjoint(recreated)


@pytest.mark.parametrize(
    ("setting", "service"),
    [("redis.enabled=false", "redis"), ("drone.enabled=false", "drone-server")],
)
def test_a_service_that_is_switched_off_leaves_nothing_behind(lock, setting, service):
    job = draw_up(HERE / "profiles" / "small.yaml", lock, setting)
    document = job.bundle.document
    assert service not in document["services"]
    assert not [name for name in document["networks"] if service in name]
    assert not [name for name in document["secrets"] if name.startswith(service)]
