"""What the guide asks and one host cannot give is told in every plan and report."""

from __future__ import annotations

import pytest

from installer.core.errors import AnswersError, ExitCode
from installer.core.events import Outcome
from installer.core.manifest_parts import Unmet
from installer.core.report import build, to_document
from installer.core.unmet import find_unmet
from installer.output.markdown import format_report
from tests.apps.conftest import IMAGE

ASKED = [
    "4.2 ", "4.3 ", "4.1 two active replicas", "1.2 auto-scaling", "1.2 a web application firewall",
    "4.1 a load balancer", "4.1 a second Gitea", "2.1 object storage", "2.1 builds on a host",
    "7.4 audit log",
]  # fmt: skip


def told(plan) -> list[str]:
    return [
        result.title.removeprefix("guide ").replace(": ", " ", 1) for result in find_unmet(plan)
    ]


def test_everything_that_one_host_cannot_give_is_told(make_bundle):
    plan, _ = make_bundle()
    found = told(plan)
    for item in ASKED:
        assert [text for text in found if text.startswith(item)], item
    for result in find_unmet(plan):
        assert result.outcome is Outcome.UNMET
        assert result.problem is not None
        assert result.problem.remedy.summary


def test_what_is_not_installed_is_not_told(make_bundle):
    plan, _ = make_bundle(redis={"enabled": False}, minio={"enabled": False})
    assert not [text for text in told(plan) if text.startswith(("4.3", "2.1 object"))]


@pytest.mark.parametrize(
    ("answers", "item", "counts"),
    [
        ({"workspaces": {"image": IMAGE}}, "6.2 the production template", False),
        ({"workspaces": {}}, "6.2 the production template", True),
        ({"ai_gateway": {"enabled": True}}, "3.4 the AI gateway", True),
        ({"ai_gateway": {"enabled": False}}, "3.4 the AI gateway", False),
    ],
)
def test_an_answer_that_meets_an_item_takes_it_away(make_bundle, answers, item, counts):
    plan, _ = make_bundle(**answers)
    assert bool([text for text in told(plan) if text.startswith(item)]) is counts


def test_a_report_has_them_apart_and_does_not_count_them_as_passed(make_bundle):
    plan, _ = make_bundle()
    unmet = find_unmet(plan)
    facts = {"deployment": "devplat"}
    report = build(
        facts=facts, exit_code=ExitCode.OK, steps=(), checks=unmet, problems=(), images={}, notes=()
    )
    text = format_report(report)
    assert "## Not met" in text
    assert "guide 4.3: a Redis cluster of six" in text
    assert f"{len(unmet)} unmet" in text
    assert "0 pass," in text
    assert {check["outcome"] for check in to_document(report)["checks"]} == {"unmet"}
    without = build(
        facts=facts, exit_code=ExitCode.OK, steps=(), checks=(), problems=(), images={}, notes=()
    )
    assert "Not met" not in format_report(without)


def test_an_item_names_its_section_of_the_guide():
    with pytest.raises(ValueError, match="guide"):
        Unmet(guide="high availability", why="one host", remedy="another")


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (
            {"database": {"mode": "external", "url": "postgres://a@db.company.com:5432/a?sslmode=verify-full"}},
            "database.ca_missing",
        ),
        ({"workspaces": {"image": "codercom/enterprise-base:ubuntu"}}, "workspaces.image"),
        ({"ai_gateway": {"provider": "anthropic"}}, "ai.key_missing"),
        ({"ai_gateway": {"bedrock_access_key": "env:A"}}, "ai.key_half"),
        ({"ai_gateway": {"teams": "a;b"}}, "list.names"),
        ({"ci": {"organisations": "a b"}}, "list.names"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_and_not_passed_over(make_bundle, answers, code):
    """A database of one's own is verified, or not used."""
    with pytest.raises(AnswersError) as refusal:
        make_bundle(**answers)
    assert code in [problem.code for problem in refusal.value.problems]
    assert all(problem.remedy.summary for problem in refusal.value.problems)
