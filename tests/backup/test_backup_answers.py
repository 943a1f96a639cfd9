"""What the answers about backups must say, and what is warned of. BK-07."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from installer.core.draft import from_file, validate
from installer.core.errors import AnswersError
from tests.stacks.builders import BASE, load

PATH: dict[str, Any] = {"enabled": True, "place": "path"}
S3: dict[str, Any] = {
    "enabled": True,
    "bucket": "company-backups",
    "access_key": "env:ID",
    "secret_key": "env:KEY",
    "passphrase": "env:PASS",
}


def codes(backup: dict[str, Any], **waivers: str) -> set[str]:
    """The problems of an answers file with this section."""
    document = {**BASE, "backup": backup, "waivers": {**BASE["waivers"], **waivers}}
    try:
        validate(from_file(yaml.safe_dump(document).encode(), "answers.yaml", 0o600), load())
    except AnswersError as error:
        return {problem.code for problem in error.problems}
    return set()


def without(answers: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in answers.items() if key not in names}


@pytest.mark.parametrize(
    ("backup", "found"),
    [
        ({"enabled": False}, set()),
        (S3, set()),
        (without(S3, "bucket"), {"bucket.missing"}),
        (without(S3, "access_key"), {"backup.keys"}),
        (without(S3, "secret_key"), {"backup.keys"}),
        (without(S3, "passphrase"), {"backup.key_on_host_only"}),
        ({**S3, "passphrase": "generate"}, {"secret.not_generated"}),
        ({**S3, "endpoint": "http://minio.company.com"}, {"backup.endpoint"}),
        ({**S3, "endpoint": "https://minio.company.com"}, set()),
        (PATH, {"backup.same_host", "backup.key_on_host_only"}),
        ({**PATH, "passphrase": "env:P"}, {"backup.same_host"}),
    ],
)
def test_a_place_and_a_key_that_survive_the_host_are_asked_for(
    backup: dict[str, Any], found: set[str]
) -> None:
    assert codes(backup) == found


def test_the_warnings_can_be_accepted_with_a_reason() -> None:
    accepted = {"backup.same_host": "a mount", "backup.key_on_host_only": "exported"}
    assert codes(PATH, **accepted) == set()
