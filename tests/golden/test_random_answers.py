"""Random answers through rendering: what is accepted arrives, audits pass (BR-07, HA-03)."""

import dataclasses

import pytest
import yaml
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from installer import drawing
from installer.core import draft
from installer.core.bundle import COMPOSE_PATH
from installer.core.errors import AnswersError, TlsError
from installer.core.events import Outcome
from installer.stacks import load_stacks
from tests.answers.strategies import answers_documents
from tests.golden.render import OWNER, read_tagged, write_lock
from tests.golden.test_bundles import undouble

STACKS = load_stacks()


@pytest.fixture(scope="module")
def lock_file(tmp_path_factory):
    return write_lock(tmp_path_factory.mktemp("lock") / "lock.yaml")


def draw(document, lock_file):
    """The job of a document, with every warning waived."""
    images = {**document.get("images", {}), "lock_file": str(lock_file)}
    target = {"address": "192.0.2.7", **document.get("target", {})}
    waivers = dict.fromkeys(
        ("size.beyond_compose", "size.beyond_profile", "size.licence_needed"), "a test"
    )
    document = {
        **document,
        "images": images,
        "target": target,
        "waivers": {**document.get("waivers", {}), **waivers},
    }
    given_answers = draft.from_file(yaml.safe_dump(document).encode(), "random.yaml", 0o600)
    validated = draft.validate(given_answers, STACKS.catalog)
    answers, warnings = validated.answers, validated.warnings
    return drawing.draw_up(answers, warnings, STACKS, OWNER, lambda process: False)


@settings(
    max_examples=25, deadline=None, derandomize=True,
    phases=[Phase.generate],  # a failing document tells enough; making it smaller takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
@given(st.data())
def test_what_is_accepted_arrives_exactly_and_passes_the_audits(lock_file, data):
    document = data.draw(answers_documents(STACKS.catalog))
    try:
        job = draw(document, lock_file)
    except (AnswersError, TlsError):
        assume(False)
    text = job.bundle.files[COMPOSE_PATH].data.decode()
    assert undouble(yaml.safe_load(text)) == job.bundle.document
    for path, file in job.bundle.files.items():
        if path.endswith((".yml", ".yaml")):
            read_tagged(file.data)
    routes = yaml.safe_load(job.bundle.files["traefik/dynamic/routes.yml"].data)
    rules = str(routes)
    assert all(host in rules for host in job.plan.hosts.values())
    bad = [r for r in job.audit_bundle if r.outcome is Outcome.FAIL]
    assert [(r.id, r.where, r.found) for r in bad] == []


def test_the_same_answers_give_the_same_bytes(lock_file):
    document = {
        "version": 1,
        "domain": {"base": "company.com"},
        "ssh": {"host": "192.0.2.7", "user": "ops"},
        "admin": {"email": "a@company.com"},
        "vault": {"mode": "embedded"},
    }
    one, two = draw(document, lock_file), draw(document, lock_file)
    assert dataclasses.asdict(one.bundle) == dataclasses.asdict(two.bundle)
