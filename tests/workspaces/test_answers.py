"""`workspaces.mode: separate`: which answers are taken, and which are refused with a way out."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from installer.core.draft import from_file, validate
from installer.core.errors import AnswersError
from installer.core.fields_secrets import check_secret_value
from installer.core.secrets import Secret
from tests.stacks.builders import BASE, load
from tests.workspaces.conftest import SEPARATE
from tests.workspaces.lab import Authority

CLIENT = Authority().issue()


def answer(**changes: Any) -> Any:
    merged = {**SEPARATE, **changes}
    workspaces = {key: value for key, value in merged.items() if value is not None}
    data = yaml.safe_dump({**BASE, "workspaces": workspaces}).encode()
    return validate(from_file(data, "answers.yaml", 0o600), load()).answers


def test_hosts_are_taken_in_their_one_form_and_the_port_may_be_left_out() -> None:
    answers = answer(
        hosts=["tcp://WS1.company.com", "https://10.0.0.7:2376", "tcp://[2001:db8::1]"]
    )
    assert answers.at("workspaces.hosts") == (
        "tcp://ws1.company.com:2376",
        "tcp://10.0.0.7:2376",
        "tcp://[2001:db8::1]:2376",
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"hosts": ["tcp://ws1.company.com:2375"]}, "workspaces.engine_plain"),
        ({"hosts": ["http://ws1.company.com:2376"]}, "workspaces.engine_form"),
        ({"hosts": ["ssh://root@ws1.company.com"]}, "workspaces.engine_ssh"),
        ({"hosts": ["unix:///var/run/docker.sock"]}, "workspaces.engine_form"),
        ({"hosts": ["ws1.company.com:2376"]}, "workspaces.engine_form"),
        ({"hosts": ["tcp://ws1.company.com:2376/v1"]}, "workspaces.engine_form"),
        ({"hosts": ["tcp://user:word@ws1.company.com"]}, "workspaces.engine_form"),
        ({"hosts": ["tcp://127.0.0.1:2376"]}, "workspaces.engine_loopback"),
        ({"hosts": ["tcp://localhost"]}, "workspaces.engine_loopback"),
        ({"hosts": ["tcp://ws1", "tcp://ws1:2376"]}, "workspaces.host_twice"),
        ({"hosts": []}, "workspaces.no_host"),
        ({"hosts": ["tcp://203.0.113.10:2376"]}, "workspaces.same_host"),
        ({"hosts": ["tcp://coder.company.com:2376"]}, "workspaces.same_host"),
        ({"key": "generate"}, "secret.not_generated"),
        ({"hosts": None}, None),
        ({"ca_file": None}, None),
        ({"certificate": None}, None),
        ({"key": None}, None),
        ({"mode": "host"}, None),
    ],
)
def test_what_would_not_be_safe_or_not_work_is_refused(
    changes: dict[str, Any], code: str | None
) -> None:
    """The last ones: all of it is needed, and none of it goes with workspaces on the same host."""
    with pytest.raises(AnswersError) as refused:
        answer(**changes)
    codes = {problem.code for problem in refused.value.problems}
    assert code in codes if code else codes
    assert all(problem.remedy.summary for problem in refused.value.problems)
    assert "user:word" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("workspaces.certificate", CLIENT.certificate, None),
        ("workspaces.key", CLIENT.key, None),
        ("workspaces.certificate", CLIENT.certificate + CLIENT.key, "workspaces.certificate_form"),
        ("workspaces.certificate", "hvs.token", "workspaces.certificate_form"),
        ("workspaces.key", CLIENT.certificate, "workspaces.key_form"),
        (
            "workspaces.key",
            CLIENT.key.replace("EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
            "workspaces.key_encrypted",
        ),
        ("admin.password", CLIENT.key, "password.control_char"),
    ],
)
def test_what_a_reference_leads_to_is_a_certificate_or_an_open_key(
    path: str, value: str, code: str | None
) -> None:
    problems = check_secret_value(path, Secret(value))
    assert [problem.code for problem in problems] == ([code] if code else [])
    assert value[5:80] not in str(problems)
