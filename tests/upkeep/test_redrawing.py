"""The job of an earlier release: the same bundle byte for byte, or a reason why not; F-085."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from installer.core.bundle import Bundle, BundleFile
from installer.core.draft import dump
from installer.core.errors import AnswersError, ConflictError, IntegrityError, Problem, Remedy
from installer.core.history import hash_answers
from installer.job import Job, make_record
from installer.redrawing import draw_release
from installer.stacks import load_stacks
from tests.golden.render import draw_up, write_lock
from tests.stacks.builders import BASE
from tests.upkeep.conftest import Clock

pytestmark = pytest.mark.slow
SMALL = {name: {"enabled": False} for name in ("redis", "minio", "drone", "ai_gateway")}


def job_of(folder: Path, **sections: Any) -> Job:
    folder.mkdir(exist_ok=True)
    path = folder / "answers.yaml"
    path.write_text(yaml.safe_dump({**BASE, "vault": {"mode": "embedded"}, **SMALL, **sections}))
    return draw_up(path, write_lock(folder / "images.lock.yaml"))


@pytest.fixture(scope="module")
def then(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return job_of(tmp_path_factory.mktemp("then"))


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Another size, another way to the host, and a lock with other digests."""
    job = job_of(
        tmp_path_factory.mktemp("now"),
        labels={"team": "new"},
        ssh={"host": "203.0.113.10", "port": 2222, "user": "new"},
    )
    assert job.bundle.release
    return job


def recorded(job: Job) -> tuple[Any, str]:
    text = dump(job.plan.answers)
    return make_record(job, Clock().now(), "apply", text), text


def never() -> Bundle:
    raise AssertionError("the files on the target were not needed")


def test_the_same_answers_give_the_same_release_reached_as_today(then: Job, now: Job) -> None:
    record, text = recorded(then)
    assert record.answers == hash_answers(text)
    assert then.bundle.release != now.bundle.release
    drawn = draw_release(record, text, now, load_stacks(), never)
    assert drawn.bundle == then.bundle
    assert drawn.plan.answers.ssh == now.plan.answers.ssh
    assert drawn.plan.images == then.plan.images


def test_the_lock_file_of_that_time_is_not_needed(then: Job, now: Job) -> None:
    """It was replaced by one with other digests; the release keeps its own."""
    record, text = recorded(then)
    lock = Path(str(then.plan.answers.images.lock_file))
    before = lock.read_text()
    try:
        lock.unlink()
        drawn = draw_release(record, text, now, load_stacks(), never)
    finally:
        lock.write_text(before)
    assert drawn.bundle.release == then.bundle.release


def altered(job: Job, **changes: Any) -> Job:
    """As another version of the product rendered it: another file, or another document."""
    files = {**job.bundle.files, "gitea/older.ini": BundleFile(b"[older]\n")}
    document = {**job.bundle.document, **changes}
    bundle = Bundle(dict(sorted(files.items())), document, "0ldre1ea5e00")
    return replace(job, bundle=bundle)


def test_a_release_of_another_version_is_taken_from_the_target(then: Job, now: Job) -> None:
    old = altered(then)
    record, text = recorded(old)
    drawn = draw_release(record, text, now, load_stacks(), lambda: old.bundle)
    assert drawn.bundle == old.bundle
    assert drawn.plan.images == dict(record.images)
    assert [f for f in drawn.audit_bundle if f.id.startswith("HD-")]


@pytest.mark.parametrize("part", ["services", "secrets", "networks"])
def test_other_parts_than_this_version_makes_are_refused(then: Job, now: Job, part: str) -> None:
    body = dict(then.bundle.document[part])
    body["retired"] = {}
    old = altered(then, **{part: body})
    record, text = recorded(old)
    with pytest.raises(ConflictError) as caught:
        draw_release(record, text, now, load_stacks(), lambda: old.bundle)
    [problem] = caught.value.problems
    assert problem.code == "rollback.other_product"
    assert "retired" in problem.summary
    assert problem.remedy.commands[1].endswith("--to 0ldre1ea5e00")


def test_services_that_this_version_does_not_have_are_refused(then: Job, now: Job) -> None:
    record, text = recorded(then)
    more = replace(record, images={**record.images, "retired": "x@sha256:1"})
    with pytest.raises(ConflictError) as caught:
        draw_release(more, text, now, load_stacks(), never)
    assert "retired" in caught.value.problems[0].summary


def test_a_release_that_was_altered_on_the_target_is_not_run(then: Job, now: Job) -> None:
    record, text = recorded(altered(then))

    def load() -> Bundle:
        raise IntegrityError(Problem("rollback.altered", "hash", Remedy("apply")))

    with pytest.raises(IntegrityError):
        draw_release(record, text, now, load_stacks(), load)


def test_answers_that_are_not_acceptable_any_more_are_refused(then: Job, now: Job) -> None:
    record, text = recorded(then)
    with pytest.raises(AnswersError):
        draw_release(record, text.replace("company.com", "-"), now, load_stacks(), never)
