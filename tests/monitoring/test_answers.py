"""The section `monitoring` of the answers: on unless switched off, receivers whole or not."""

from __future__ import annotations

from typing import Any

import pytest

from installer.core.errors import AnswersError
from installer.core.unmet import find_unmet
from tests.monitoring.bundles import EVERY_RECEIVER, RECEIVERS, render_with


def refused(**answers: Any) -> list[str]:
    with pytest.raises(AnswersError) as caught:
        render_with({"monitoring": answers})
    return [f"{p.where}: {p.summary}" for p in caught.value.problems]


def test_monitoring_is_installed_unless_switched_off() -> None:
    """Guide 7: production has metrics and alerts."""
    assert "prometheus" in render_with({})[0].services
    plan, _ = render_with({"monitoring": {"enabled": False}})
    assert not {"prometheus", "alertmanager", "node-exporter"} & set(plan.services)


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ({"mail_to": "a@b.com"}, "monitoring.mail_to: mail_to is given and mail_host is not"),
        ({"mail_host": "smtp"}, "monitoring.mail_host: mail_host is given and mail_to is not"),
        (
            {**RECEIVERS["mail-without-login"], "mail_user": "x"},
            "monitoring.mail_user: mail_user is given and mail_password is not",
        ),
        (
            {**RECEIVERS["mail-without-login"], "mail_password": "env:X"},
            "monitoring.mail_password: mail_password is given and mail_user is not",
        ),
        (
            {"slack_channel": "#a"},
            "monitoring.slack_channel: slack_channel is given and slack_url is not",
        ),
    ],
)
def test_half_a_receiver_is_refused(answers: dict[str, Any], found: str) -> None:
    assert refused(**answers) == [found]


def test_whole_receivers_are_taken_alone_and_together() -> None:
    for receivers in (*RECEIVERS.values(), EVERY_RECEIVER):
        assert render_with({"monitoring": dict(receivers)})[0].services


@pytest.mark.parametrize(
    ("receivers", "unmet"),
    [
        ("nobody", {"alerts that reach people", "uptime monitoring from outside"}),
        ("watchdog-only", {"alerts that reach people"}),
        ("mail", {"uptime monitoring from outside"}),
        ("slack", {"uptime monitoring from outside"}),
        ("pagerduty", {"uptime monitoring from outside"}),
        ("webhook", {"uptime monitoring from outside"}),
    ],
)
def test_what_nobody_is_told_of_is_shown_as_not_met(receivers: str, unmet: set[str]) -> None:
    """CK-18, CK-53."""
    plan, _ = render_with({"monitoring": dict(RECEIVERS[receivers])})
    results = [r for r in find_unmet(plan) if r.where == "alertmanager"]
    assert {r.expected for r in results} == unmet
